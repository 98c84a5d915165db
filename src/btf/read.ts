import { readElf } from '../elf/index.ts';
import { type Btf, parseBtf } from './btf.ts';
import { BtfError } from './error.ts';

/** Opens BTF from a file's bytes: raw, or the `.BTF` section of an ELF file such as vmlinux. */
export function readBtf(bytes: Uint8Array): Btf {
  if (bytes[0] !== 0x7f) return parseBtf(bytes);
  const section = readElf(bytes).sections.find(({ name }) => name === '.BTF');
  if (section === undefined) throw new BtfError("the ELF file has no '.BTF' section", 'BTF_MISSING');
  return parseBtf(section.data);
}
