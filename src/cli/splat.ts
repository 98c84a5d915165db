import { readFileSync } from 'node:fs';
import { hex32 } from '../base/index.ts';
import { type Explanation, explain, prototypesByHash, readReports, type TypeReading } from '../splat/index.ts';
import { CliError } from './error.ts';
import { COMMON, parse } from './options.ts';
import { bold, cyan, dim, green, json, out, red, yellow } from './print.ts';
import { chooseKernel, readFile } from './session.ts';

export const SPLAT_USAGE = `usage: trampet splat [FILE] [--btf FILE] [--hash-seed N] [--json]

Explains CFI and "Missing ENDBR" reports in a kernel log, from FILE or pasted on standard input.
  --btf         names prototypes from this kernel's types (default: the bundled ones)
  --hash-seed   the seed that this boot mixed into type ids, if it is known`;

/** `trampet splat`: exit code 0, or 1 if there is no report in the text. */
export function splat(args: string[]): number {
  const { values, positionals } = parse(args, COMMON);
  if (values.help) {
    out(SPLAT_USAGE);
    return 0;
  }
  if (positionals.length > 1) throw new CliError('splat takes one file', 'usage', SPLAT_USAGE.split('\n')[0]!);
  const [path = '-'] = positionals;
  const log = new TextDecoder().decode(path === '-' ? readFileSync(0) : readFile(path));
  const reports = readReports(log);
  if (reports.length === 0)
    throw new CliError("no 'CFI failure at …' and no 'Missing ENDBR: …' in this text", 'refused');
  const { btf, hashSeed } = chooseKernel(values);
  const prototypes = prototypesByHash(btf);
  const explanations = reports.map((report) => explain(report, prototypes, hashSeed));
  if (values.json) json({ schema: 1, reports: explanations.map(describe) });
  else explanations.forEach(print);
  return 0;
}

const typeOf = (reading: TypeReading | undefined) =>
  reading === undefined ? null : { id: hex32(reading.id), prototypes: reading.prototypes };

function describe({ wanted, found, ...rest }: Explanation): unknown {
  return { ...rest, wanted: typeOf(wanted), found: typeOf(found) };
}

function print(explanation: Explanation, index: number): void {
  const { check, kernels, where, target, targetIs, wanted, found, notes, resembles, release } = explanation;
  if (index > 0) out();
  out(`${bold(check)}`);
  out(dim(`  this form: ${kernels}${release === undefined ? '' : `; the report is from ${release}`}`));
  const row = (name: string, text: string, more = '') =>
    out(`  ${name.padEnd(8)} ${text}${more === '' ? '' : `  ${dim(more)}`}`);
  row('trapped', cyan(where));
  if (target !== undefined && target !== where) row('target', cyan(target), targetIs ?? '');
  else if (targetIs !== undefined) row('', targetIs);
  if (wanted !== undefined) printType('wanted', wanted, green);
  if (found !== undefined) printType('found', found, red);
  for (const note of notes) out(dim(`  · ${note}`));
  if (resembles !== undefined) out(yellow(`  known fault (${resembles.id}): ${resembles.what}`));
}

function printType(name: string, { id, prototypes }: TypeReading, color: (text: string) => string): void {
  out(`  ${name.padEnd(8)} ${color(hex32(id))}  ${prototypes[0] ?? dim('no prototype of this type in the BTF')}`);
  for (const more of prototypes.slice(1)) out(`${' '.repeat(23)}${more}`);
}
