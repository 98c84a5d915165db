import { readElf } from '../elf/index.ts';
import type { OracleDirectory } from './types.ts';

const found = new Map<string, Set<number>>();

/**
 * Destinations of the direct calls in the kernel's `.call_sites`: with call depth tracking their padding does the
 * accounting (callthunks.c). Empty without a vmlinux in the directory.
 */
export function calledDirectly(directory: OracleDirectory): Set<number> {
  const known = found.get(directory.path);
  if (known !== undefined) return known;
  const targets = new Set<number>();
  found.set(directory.path, targets);
  const vmlinux = directory.vmlinux();
  if (vmlinux === undefined) return targets;
  const { sections } = readElf(vmlinux);
  const sites = sections.find(({ name }) => name === '.call_sites');
  const text = sections.find(({ name }) => name === '.text');
  if (sites === undefined || text === undefined) return targets;
  const base = Number(text.addr & 0xffffffffn);
  const siteBase = Number(sites.addr & 0xffffffffn);
  const offsets = new DataView(sites.data.buffer, sites.data.byteOffset, sites.data.byteLength);
  const code = new DataView(text.data.buffer, text.data.byteOffset, text.data.byteLength);
  for (let at = 0; at + 4 <= sites.data.length; at += 4) {
    const site = siteBase + at + offsets.getInt32(at, true) - base;
    if (site < 0 || site + 5 > text.data.length || code.getUint8(site) !== 0xe8) continue;
    targets.add((base + site + 5 + code.getInt32(site + 1, true)) >>> 0);
  }
  return targets;
}
