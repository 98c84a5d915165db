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

/** A duration: `20s`, `500ms`; seconds. */
export function seconds(name: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m)?$/.exec(text);
  const value =
    match === null
      ? Number.NaN
      : Number(match[1]) * ({ ms: 0.001, s: 1, m: 60 } as Record<string, number>)[match[2] ?? 's']!;
  if (!(value > 0 && value <= 86400)) throw new CliError(`--${name} '${text}' is no duration up to a day (e.g. 20s)`);
  return value;
}

export function oneOf<T extends string>(name: string, text: string, values: readonly T[]): T {
  if (!values.includes(text as T)) throw new CliError(`--${name} '${text}' is not one of ${values.join(', ')}`);
  return text as T;
}
