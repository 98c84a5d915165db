import { readInsns } from '../bpf/index.ts';
import { type Btf, type BtfExt, parseBtf, parseBtfExt } from '../btf/index.ts';
import { type ElfFile, type ElfSection, EM_BPF, readElf, SHF_EXECINSTR, SHT, STB, STT } from '../elf/index.ts';
import { dataMaps } from './_data.ts';
import { readExterns } from './_externs.ts';
import { definedMaps, fillSlots } from './_maps.ts';
import { ARENA_SECTION, classify, MAP_TYPE_ARENA } from './_relocations.ts';
import { readStructOps } from './_struct_ops.ts';
import { ObjectError } from './error.ts';
import type { CodeBlueprint, ObjectFile } from './types.ts';

/** More slots than the kernel takes from anyone (BPF_COMPLEXITY_LIMIT_INSNS). */
const MAX_INSNS = 1_000_000;

/** An object while it is being opened: what the parts below share. */
export interface Opening {
  name: string;
  elf: ElfFile;
  btf: Btf | undefined;
  sections: Map<string, ElfSection>;
}

/**
 * Reads a BPF object: what libbpf's bpf_object__open does (6.12). Pure and independent of any kernel.
 * @param name file name; `.bpf.o` and directories are taken off it.
 * @throws ElfError, BtfError, ObjectError, each in one line that names the place.
 */
export function openObject(bytes: Uint8Array, name: string): ObjectFile {
  const elf = readElf(bytes);
  if (elf.machine !== EM_BPF)
    throw new ObjectError(`ELF machine ${elf.machine} is not BPF (${EM_BPF})`, { code: 'OBJECT_MACHINE' });
  if (elf.type !== 1)
    throw new ObjectError(`ELF type ${elf.type} is not a relocatable object`, { code: 'OBJECT_TYPE' });
  const sections = new Map(elf.sections.map((section) => [section.name, section]));
  const btfBytes = sections.get('.BTF')?.data;
  const btf = btfBytes === undefined ? undefined : parseBtf(btfBytes);
  const extBytes = sections.get('.BTF.ext')?.data;
  const ext: BtfExt | undefined = btf === undefined || extBytes === undefined ? undefined : parseBtfExt(extBytes, btf);
  const opening: Opening = { name: baseName(name), elf, btf, sections };
  const externs = readExterns(opening);
  const defined = definedMaps(opening);
  const arena = sections.get(ARENA_SECTION);
  for (const map of defined) if (map.type === MAP_TYPE_ARENA && arena !== undefined) map.initial = arena.data.slice();
  const maps = [...defined, ...dataMaps(opening, externs)];
  const { programs, subprograms } = readCode(opening);
  const file: ObjectFile = {
    name: opening.name,
    license: readLicense(sections.get('license')),
    btf,
    btfBytes,
    ext,
    programs,
    subprograms,
    maps,
    externs,
    structOps: readStructOps(opening),
  };
  fillSlots(opening, file);
  for (const code of [...programs, ...subprograms]) classify(opening, file, code);
  return file;
}

function baseName(path: string): string {
  const file = path.slice(Math.max(path.lastIndexOf('/'), path.lastIndexOf('\\')) + 1);
  return file.replace(/(\.bpf)?\.o$/, '');
}

function readLicense(section: ElfSection | undefined): string {
  if (section === undefined) return '';
  const end = section.data.indexOf(0);
  return new TextDecoder().decode(section.data.subarray(0, end < 0 ? section.data.length : end));
}

/** Functions of the executable sections: those of `.text` are subprograms, all others entry points. */
function readCode({ elf }: Opening): { programs: CodeBlueprint[]; subprograms: CodeBlueprint[] } {
  const programs: CodeBlueprint[] = [];
  const subprograms: CodeBlueprint[] = [];
  for (const section of elf.sections) {
    if ((section.flags & SHF_EXECINSTR) === 0 || section.type !== SHT.PROGBITS || section.data.length === 0) continue;
    if (section.data.length % 8 !== 0)
      throw new ObjectError(`size ${section.data.length} is no multiple of an instruction (8)`, {
        where: section.name,
      });
    if (section.data.length > 8 * MAX_INSNS)
      throw new ObjectError(`${section.data.length / 8} instructions are more than ${MAX_INSNS}`, {
        where: section.name,
      });
    const isText = section.name === '.text';
    const found: CodeBlueprint[] = [];
    for (const symbol of elf.symbols) {
      if (symbol.section !== section.index || symbol.type !== STT.FUNC) continue;
      const where = `${section.name}:${symbol.name}`;
      const start = Number(symbol.value);
      if (symbol.size === 0 || start % 8 !== 0 || symbol.size % 8 !== 0 || start + symbol.size > section.data.length) {
        throw new ObjectError(`function at ${symbol.value}+${symbol.size} does not lie in its section`, { where });
      }
      if (!isText && symbol.bind === STB.LOCAL)
        throw new ObjectError(`program '${symbol.name}' is static, which is not supported`, { where });
      found.push({
        name: symbol.name,
        section: section.name,
        start: start / 8,
        insns: readInsns(section.data.subarray(start, start + symbol.size)),
        relocations: [],
        global: symbol.bind !== STB.LOCAL,
        hidden: symbol.bind === STB.LOCAL || symbol.visibility === 2 || symbol.visibility === 1,
      });
    }
    found.sort((a, b) => a.start - b.start);
    found.forEach((code, i) => {
      const next = found[i + 1];
      if (next !== undefined && code.start + code.insns.length > next.start) {
        throw new ObjectError(`functions '${code.name}' and '${next.name}' overlap`, { where: section.name });
      }
    });
    (isText ? subprograms : programs).push(...found);
  }
  return { programs, subprograms };
}
