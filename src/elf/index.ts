// elf: the container of BPF objects and of vmlinux.
// Takes: bytes of an ELF64 little-endian file, of any machine.
// Gives: sections, symbols and relocations, all checked against the file's bounds.
// Mirrors: the ELF-64 object file format; include/uapi/linux/elf.h.
// Leaves out: 32-bit and big-endian files (refused by name), program headers, dynamic linking, writing.

export {
  EM_BPF,
  SHF_ALLOC,
  SHF_EXECINSTR,
  SHF_WRITE,
  SHN_ABS,
  SHN_COMMON,
  SHN_UNDEF,
  SHT,
  STB,
  STT,
} from './constants.ts';
export { ElfError } from './error.ts';
export { type ElfFile, type ElfRelocation, type ElfSection, type ElfSymbol, readElf } from './reader.ts';
