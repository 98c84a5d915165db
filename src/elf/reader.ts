import { SHT } from './constants.ts';
import { ElfError } from './error.ts';

export interface ElfSection {
  index: number;
  name: string;
  type: number;
  flags: number;
  addr: bigint;
  /** Size in memory; larger than `data` for NOBITS. */
  size: number;
  offset: number;
  link: number;
  info: number;
  align: number;
  entsize: number;
  /** The section's bytes in the file, a view; empty for NOBITS. */
  data: Uint8Array;
}

export interface ElfSymbol {
  index: number;
  name: string;
  value: bigint;
  size: number;
  bind: number;
  type: number;
  visibility: number;
  /** Section index; SHN_UNDEF, SHN_ABS and SHN_COMMON as in the file. */
  section: number;
}

export interface ElfRelocation {
  offset: number;
  type: number;
  symbol: number;
  /** Present in RELA tables. */
  addend?: bigint;
}

export interface ElfFile {
  /** e_type: 1 relocatable, 2 executable, 3 shared. */
  type: number;
  machine: number;
  sections: ElfSection[];
  symbols: ElfSymbol[];
  /** Relocations that apply to `section`, in file order; throws ElfError if their table is malformed. */
  relocations(section: ElfSection): ElfRelocation[];
}

const EHDR_SIZE = 64;
const SHDR_SIZE = 64;
const SYM_SIZE = 24;
const MAX_SECTIONS = 65535;
/** A NOBITS section may claim any size without the file having it; no BPF object needs more than this. */
const MAX_NOBITS = 1 << 30;

/**
 * Reads an ELF64 little-endian file.
 * @throws ElfError in one line if it is truncated, 32-bit, big-endian, or a table points outside of the file.
 */
export function readElf(bytes: Uint8Array): ElfFile {
  if (bytes.length < 4 || bytes[0] !== 0x7f || bytes[1] !== 0x45 || bytes[2] !== 0x4c || bytes[3] !== 0x46) {
    throw new ElfError('not an ELF file (no \\x7fELF at offset 0)', 'ELF_MAGIC');
  }
  if (bytes.length < 16)
    throw new ElfError(`truncated ELF identification: ${bytes.length} of 16 bytes`, 'ELF_TRUNCATED');
  if (bytes[4] !== 2) throw new ElfError(`ELF class ${bytes[4]} is not supported (need 64-bit)`, 'ELF_CLASS');
  if (bytes[5] !== 1)
    throw new ElfError(`ELF data encoding ${bytes[5]} is not supported (need little-endian)`, 'ELF_ENDIAN');
  if (bytes.length < EHDR_SIZE) {
    throw new ElfError(`truncated ELF header: ${bytes.length} of ${EHDR_SIZE} bytes`, 'ELF_TRUNCATED');
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const sections = readSections(bytes, view);
  const symtab = sections.find((section) => section.type === SHT.SYMTAB);
  const symbols = symtab ? readSymbols(symtab, sections) : [];
  return {
    type: view.getUint16(16, true),
    machine: view.getUint16(18, true),
    sections,
    symbols,
    relocations: (section) => readRelocations(section, sections, symbols.length),
  };
}

function u64(view: DataView, at: number, what: string): number {
  const high = view.getUint32(at + 4, true);
  if (high >= 1 << 20)
    throw new ElfError(`${what} is absurd (0x${view.getBigUint64(at, true).toString(16)})`, 'ELF_RANGE');
  return high * 0x1_0000_0000 + view.getUint32(at, true);
}

function readSections(bytes: Uint8Array, view: DataView): ElfSection[] {
  const shoff = u64(view, 40, 'section header offset');
  const shentsize = view.getUint16(58, true);
  let shnum = view.getUint16(60, true);
  let shstrndx = view.getUint16(62, true);
  if (shoff === 0) return [];
  if (shentsize !== SHDR_SIZE) throw new ElfError(`section header size ${shentsize}, expected ${SHDR_SIZE}`);
  if (shoff + SHDR_SIZE > bytes.length)
    throw new ElfError('section headers lie past the end of the file', 'ELF_TRUNCATED');
  if (shnum === 0) shnum = u64(view, shoff + 32, 'section count');
  if (shstrndx === 0xffff) shstrndx = view.getUint32(shoff + 40, true);
  if (shnum > MAX_SECTIONS || shoff + shnum * SHDR_SIZE > bytes.length) {
    throw new ElfError(`${shnum} section headers at offset ${shoff} do not fit in the file`, 'ELF_TRUNCATED');
  }
  const sections: ElfSection[] = [];
  const names: number[] = [];
  for (let index = 0; index < shnum; index++) {
    const at = shoff + index * SHDR_SIZE;
    const type = view.getUint32(at + 4, true);
    const offset = u64(view, at + 24, `offset of section ${index}`);
    const size = u64(view, at + 32, `size of section ${index}`);
    const inFile = type !== SHT.NOBITS && type !== 0;
    if (inFile && offset + size > bytes.length) {
      throw new ElfError(
        `section ${index} (${size} bytes at offset ${offset}) lies past the end of the file`,
        'ELF_TRUNCATED',
      );
    }
    if (type === SHT.NOBITS && size > MAX_NOBITS)
      throw new ElfError(`section ${index} claims ${size} bytes of zeroes`, 'ELF_RANGE');
    names.push(view.getUint32(at, true));
    sections.push({
      index,
      name: '',
      type,
      flags: view.getUint32(at + 8, true),
      addr: view.getBigUint64(at + 16, true),
      size,
      offset,
      link: view.getUint32(at + 40, true),
      info: view.getUint32(at + 44, true),
      align: u64(view, at + 48, `alignment of section ${index}`),
      entsize: u64(view, at + 56, `entry size of section ${index}`),
      data: inFile ? bytes.subarray(offset, offset + size) : new Uint8Array(0),
    });
  }
  const strings = sections[shstrndx];
  if (strings === undefined) throw new ElfError(`section name table ${shstrndx} does not exist`);
  for (const section of sections)
    section.name = cstring(strings.data, names[section.index]!, `name of section ${section.index}`);
  refuseOverlaps(sections);
  return sections;
}

/** Two sections that share file bytes would alias each other's relocations. */
function refuseOverlaps(sections: readonly ElfSection[]): void {
  const placed = sections.filter((section) => section.data.length > 0).sort((a, b) => a.offset - b.offset);
  for (let i = 1; i < placed.length; i++) {
    const before = placed[i - 1]!;
    if (before.offset + before.data.length > placed[i]!.offset) {
      throw new ElfError(`sections '${before.name}' and '${placed[i]!.name}' overlap in the file`, 'ELF_OVERLAP');
    }
  }
}

const decoder = new TextDecoder();

function cstring(table: Uint8Array, offset: number, what: string): string {
  if (offset === 0 && table.length === 0) return '';
  if (offset >= table.length) throw new ElfError(`${what}: string offset ${offset} is outside of its table`);
  const end = table.indexOf(0, offset);
  if (end < 0) throw new ElfError(`${what}: string at ${offset} has no end`);
  return decoder.decode(table.subarray(offset, end));
}

function readSymbols(symtab: ElfSection, sections: readonly ElfSection[]): ElfSymbol[] {
  const strings = sections[symtab.link];
  if (strings === undefined || strings.type !== SHT.STRTAB) {
    throw new ElfError(`symbol table names a string table ${symtab.link} that does not exist`);
  }
  if (symtab.data.length % SYM_SIZE !== 0)
    throw new ElfError(`symbol table size ${symtab.data.length} is no multiple of ${SYM_SIZE}`);
  const extended = sections.find((section) => section.type === SHT.SYMTAB_SHNDX && section.link === symtab.index);
  const view = new DataView(symtab.data.buffer, symtab.data.byteOffset, symtab.data.byteLength);
  const symbols: ElfSymbol[] = [];
  for (let index = 0, at = 0; at < symtab.data.length; index++, at += SYM_SIZE) {
    const info = view.getUint8(at + 4);
    let section = view.getUint16(at + 6, true);
    if (section === 0xffff && extended !== undefined && extended.data.length >= 4 * index + 4) {
      section = new DataView(extended.data.buffer, extended.data.byteOffset).getUint32(4 * index, true);
    }
    if (section < 0xff00 && section >= sections.length) {
      throw new ElfError(`symbol ${index} lies in section ${section}, which does not exist`);
    }
    symbols.push({
      index,
      name: cstring(strings.data, view.getUint32(at, true), `name of symbol ${index}`),
      value: view.getBigUint64(at + 8, true),
      size: u64(view, at + 16, `size of symbol ${index}`),
      bind: info >> 4,
      type: info & 15,
      visibility: view.getUint8(at + 5) & 3,
      section,
    });
  }
  return symbols;
}

function readRelocations(target: ElfSection, sections: readonly ElfSection[], symbolCount: number): ElfRelocation[] {
  const found: ElfRelocation[] = [];
  for (const section of sections) {
    if ((section.type !== SHT.REL && section.type !== SHT.RELA) || section.info !== target.index) continue;
    const rela = section.type === SHT.RELA;
    const step = rela ? 24 : 16;
    if (section.data.length % step !== 0) {
      throw new ElfError(`size ${section.data.length} is no multiple of ${step}`, 'ELF_MALFORMED', section.name);
    }
    const view = new DataView(section.data.buffer, section.data.byteOffset, section.data.byteLength);
    for (let at = 0; at < section.data.length; at += step) {
      const offset = u64(view, at, `${section.name}: relocation offset`);
      const symbol = view.getUint32(at + 12, true);
      const where = `${section.name}+0x${at.toString(16)}`;
      if (offset >= target.size)
        throw new ElfError(
          `relocation points to 0x${offset.toString(16)}, past the end of '${target.name}'`,
          'ELF_RELOCATION',
          where,
        );
      if (symbol >= symbolCount)
        throw new ElfError(`relocation names symbol ${symbol} of ${symbolCount}`, 'ELF_RELOCATION', where);
      found.push({
        offset,
        type: view.getUint32(at + 8, true),
        symbol,
        ...(rela ? { addend: view.getBigInt64(at + 16, true) } : {}),
      });
    }
  }
  return found;
}
