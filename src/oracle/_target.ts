import { readBtf } from '../btf/index.ts';
import type { resolveObject } from '../object/index.ts';
import type { OracleDirectory } from './types.ts';

/** How a golden names its kernel. */
export type KernelName = { release?: string } | string;

type Facts = Parameters<typeof resolveObject>[1];
const known = new Map<string, Facts>();

const textOf = (directory: OracleDirectory, name: string): string =>
  new TextDecoder().decode(directory.file(name) ?? new Uint8Array(0));

/** Configuration of the goldens' kernel. */
export function kconfigOf(directory: OracleDirectory): Map<string, string> {
  const kconfig = new Map<string, string>();
  for (const line of textOf(directory, 'config.txt').split('\n')) {
    const match = /^(CONFIG_\w+)=(.*)$/.exec(line);
    if (match !== null) kconfig.set(match[1]!, match[2]!);
  }
  return kconfig;
}

/** BTF, configuration and symbols of the golden's kernel. */
export function targetOf(directory: OracleDirectory, name: KernelName | undefined): Facts {
  const cached = known.get(directory.path);
  if (cached !== undefined) return cached;
  const kernel = typeof name === 'string' ? name : name?.release;
  const release = /\d+\.\d+(\.\d+)?/.exec(kernel ?? '')?.[0];
  const facts: Facts = {
    btf: readBtf(directory.btf),
    kconfig: kconfigOf(directory),
    symbol: symbolFinder(textOf(directory, 'kallsyms-6.18.txt.gz')),
    ...(release === undefined ? {} : { release }),
  };
  known.set(directory.path, facts);
  return facts;
}

/** Addresses by name out of the text of /proc/kallsyms; of several of one name the first. */
function symbolFinder(text: string): (name: string) => bigint | undefined {
  const starts = new Map<string, number>();
  for (let start = 0; start < text.length; ) {
    const newline = text.indexOf('\n', start);
    const end = newline < 0 ? text.length : newline;
    const name = /^\S+\s+\S+\s+(\S+)/.exec(text.slice(start, end))?.[1];
    if (name !== undefined && !starts.has(name)) starts.set(name, start);
    start = end + 1;
  }
  return (name) => {
    const start = starts.get(name);
    return start === undefined ? undefined : BigInt(`0x${text.slice(start, text.indexOf(' ', start))}`);
  };
}

/** Address of a symbol of the goldens' kernel. */
export const kernelAddress = (directory: OracleDirectory, name: string): bigint | undefined =>
  targetOf(directory, undefined).symbol?.(name);
