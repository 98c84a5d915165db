import { type ParseArgsConfig, parseArgs } from 'node:util';
import { CliError } from './error.ts';

type OptionSpecs = NonNullable<ParseArgsConfig['options']>;

/** Options that most commands take. */
export const COMMON = {
  kernel: { type: 'string', default: '6.12' },
  cfi: { type: 'string', default: 'fineibt' },
  mitigations: { type: 'string', default: '' },
  btf: { type: 'string' },
  'hash-seed': { type: 'string', default: '0' },
  seed: { type: 'string', default: '1' },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const satisfies OptionSpecs;

/** Parses a command's arguments; a wrong option is a CliError. */
export function parse<O extends OptionSpecs>(
  args: string[],
  options: O,
): ReturnType<typeof parseArgs<{ args: string[]; options: O; allowPositionals: true; strict: true }>> {
  try {
    return parseArgs({ args, options, allowPositionals: true, strict: true });
  } catch (error) {
    throw new CliError((error as Error).message.split('\n')[0]!.replace(/\. To specify.*$/, ''));
  }
}

/** A number given as text; hex with 0x. */
export function number(name: string, text: string, least = 0, most = 0xffffffff): number {
  const value = /^(0x[0-9a-f]+|\d+)$/i.test(text) ? Number(text) : Number.NaN;
  if (!(value >= least && value <= most))
    throw new CliError(`--${name} '${text}' is no number from ${least} to ${most}`);
  return value;
}

/** A text that is a number with one of the units, in the unit whose factor is 1; NaN for any other. */
function measure(text: string, units: Readonly<Record<string, number>>): number {
  const [, digits = '', unit = ''] = /^(\d+(?:\.\d+)?)([a-z]*)$/i.exec(text) ?? [];
  const factor = unit.toLowerCase();
  return digits !== '' && Object.hasOwn(units, factor) ? Number(digits) * units[factor]! : Number.NaN;
}

const MOST_SECONDS = 86400;

/** A duration, `20s`, `500ms`, `0`: seconds. @throws CliError */
export function duration(text: string): number {
  const value = measure(text, { us: 1e-6, ms: 1e-3, s: 1, m: 60, '': 1 });
  if (!(value >= 0 && value <= MOST_SECONDS)) throw new CliError(`'${text}' is no duration up to a day (e.g. 20s)`);
  return value;
}

/** A duration that is longer than nothing; seconds. @throws CliError */
export function seconds(name: string, text: string): number {
  const value = measure(text, { ms: 1e-3, s: 1, m: 60, '': 1 });
  if (!(value > 0 && value <= MOST_SECONDS))
    throw new CliError(`--${name} '${text}' is no duration up to a day (e.g. 20s)`);
  return value;
}

/** `2mbit`: bits a second. @throws CliError */
export function bitRate(text: string): number {
  const value = measure(text, { bit: 1, kbit: 1e3, mbit: 1e6, gbit: 1e9 });
  if (!(value > 0 && value <= 100e9)) throw new CliError(`'${text}' is no rate up to 100gbit (e.g. 2mbit)`);
  return value;
}

/** `64KB`: bytes. @throws CliError */
export function byteCount(text: string): number {
  const value = Math.round(measure(text, { b: 1, kb: 1e3, mb: 1e6, gb: 1e9, '': 1 }));
  if (!(value > 0 && value <= 1e12)) throw new CliError(`'${text}' is no number of bytes up to 1000GB (e.g. 64KB)`);
  return value;
}

export function oneOf<T extends string>(name: string, text: string, values: readonly T[]): T {
  if (!values.includes(text as T)) throw new CliError(`--${name} '${text}' is not one of ${values.join(', ')}`);
  return text as T;
}
