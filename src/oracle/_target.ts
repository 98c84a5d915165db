import { readBtf } from '../btf/index.ts';
import type { resolveObject } from '../object/index.ts';
import type { OracleDirectory } from './types.ts';

/** How a golden names its kernel. */
export type KernelName = { release?: string } | string;

type Facts = Parameters<typeof resolveObject>[1];
const known = new Map<string, Facts>();

/** BTF, configuration and symbols of the golden's kernel. */
export function targetOf(directory: OracleDirectory, name: KernelName | undefined): Facts {
  const cached = known.get(directory.path);
  if (cached !== undefined) return cached;
  const text = (name: string) => new TextDecoder().decode(directory.file(name) ?? new Uint8Array(0));
  const kconfig = new Map<string, string>();
  for (const line of text('config.txt').split('\n')) {
    const match = /^(CONFIG_\w+)=(.*)$/.exec(line);
    if (match !== null) kconfig.set(match[1]!, match[2]!);
  }
  const symbols = new Map<string, bigint>();
  for (const line of text('kallsyms-6.18.txt.gz').split('\n')) {
    const [address, , name] = line.split(/\s+/);
    if (name !== undefined && !symbols.has(name)) symbols.set(name, BigInt(`0x${address}`));
  }
  const kernel = typeof name === 'string' ? name : name?.release;
  const release = /\d+\.\d+(\.\d+)?/.exec(kernel ?? '')?.[0];
  const facts: Facts = {
    btf: readBtf(directory.btf),
    kconfig,
    symbol: (name) => symbols.get(name),
    ...(release === undefined ? {} : { release }),
  };
  known.set(directory.path, facts);
  return facts;
}

/** Address of a symbol of the goldens' kernel. */
export const kernelAddress = (directory: OracleDirectory, name: string): bigint | undefined =>
  targetOf(directory, undefined).symbol?.(name);
