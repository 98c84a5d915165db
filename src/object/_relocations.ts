import { CALL, LD_IMM64, PSEUDO_CALL } from '../bpf/index.ts';
import { SHN_UNDEF, STT } from '../elf/index.ts';
import { mapVariables } from './_maps.ts';
import { ObjectError } from './error.ts';
import type { Opening } from './open.ts';
import type { CodeBlueprint, CodeRelocation, ObjectFile } from './types.ts';

/** Finds out what each relocated instruction of `code` refers to (bpf_program__record_reloc). */
export function classify(opening: Opening, file: ObjectFile, code: CodeBlueprint): void {
  const lookup = lookupOf(opening, file);
  const all = lookup.relocations(code.section);
  const from = code.start * 8;
  const to = from + code.insns.length * 8;
  for (const relocation of all) {
    if (relocation.offset < from || relocation.offset >= to) continue;
    const where = `${code.section}:${code.name}+${relocation.offset - from}`;
    if (relocation.offset % 8 !== 0)
      throw new ObjectError('relocation points into the middle of an instruction', {
        where,
        code: 'OBJECT_RELOCATION',
      });
    const insn = (relocation.offset - from) / 8;
    code.relocations.push({ insn, ...lookup.meaning(code, insn, relocation.symbol, where) });
  }
}

type WithoutInsn<T> = T extends { insn: number } ? Omit<T, 'insn'> : never;
interface Lookup {
  relocations(section: string): { offset: number; symbol: number }[];
  meaning(code: CodeBlueprint, insn: number, symbol: number, where: string): WithoutInsn<CodeRelocation>;
}
/** Section of `__arena` variables: those of clang's address space 1. */
export const ARENA_SECTION = '.addr_space.1';
export const MAP_TYPE_ARENA = 33;

const lookups = new WeakMap<Opening, Lookup>();

/** Indexes over the object that all functions share. */
function lookupOf(opening: Opening, file: ObjectFile): Lookup {
  const known = lookups.get(opening);
  if (known !== undefined) return known;
  const made = makeLookup(opening, file);
  lookups.set(opening, made);
  return made;
}

function makeLookup(opening: Opening, file: ObjectFile): Lookup {
  const { elf, sections } = opening;
  const bySection = new Map<string, { offset: number; symbol: number }[]>();
  const externs = new Map(file.externs.map((extern, index) => [extern.name, index]));
  const dataMap = new Map(file.maps.map((map, index) => [map.section, index]));
  const mapAt = new Map(mapVariables(opening).map(({ offset }, index) => [offset, index]));
  const fail = (why: string, where: string) => new ObjectError(why, { where, code: 'OBJECT_RELOCATION' });
  return {
    relocations: (name) => {
      let found = bySection.get(name);
      if (found === undefined) {
        found = elf.relocations(sections.get(name)!);
        bySection.set(name, found);
      }
      return found;
    },
    meaning: (code, at, symbolIndex, where) => {
      const insn = code.insns[at]!;
      const isCall = insn.code === CALL;
      if (!isCall && insn.code !== LD_IMM64)
        throw fail(`instruction with opcode 0x${insn.code.toString(16)} cannot be relocated`, where);
      if (!isCall && at + 1 >= code.insns.length) throw fail('64-bit load has no second half', where);
      const symbol = elf.symbols[symbolIndex]!;
      const value = Number(symbol.value);
      if (symbol.section === SHN_UNDEF) {
        const index = externs.get(symbol.name);
        if (index === undefined) throw fail(`symbol '${symbol.name}' is no extern of this object`, where);
        return { kind: isCall ? 'extern_call' : 'extern', extern: index };
      }
      const section = elf.sections[symbol.section];
      if (section === undefined) throw fail(`symbol '${symbol.name}' lies in no section`, where);
      const isCode = section.name === '.text' && (symbol.type === STT.FUNC || symbol.type === STT.SECTION);
      if (isCall) {
        if (insn.src !== PSEUDO_CALL) throw fail(`call of '${symbol.name}' is not a call of a subprogram`, where);
        if (!isCode) throw fail(`call of '${symbol.name}' in '${section.name}': subprograms live in .text`, where);
        return { kind: 'call', target: textTarget(value + 8 * (insn.imm + 1), where) };
      }
      if (isCode) return { kind: 'func', target: textTarget(value + insn.imm, where) };
      if (section.name === '.maps') {
        const map = mapAt.get(value);
        if (map === undefined) throw fail(`'${symbol.name}' at .maps+${value} is no map`, where);
        return { kind: 'map', map };
      }
      const map = section.name === ARENA_SECTION ? arenaOf(file, symbol.name, where) : dataMap.get(section.name);
      if (map === undefined)
        throw fail(`'${symbol.name}' lies in '${section.name}', to which programs cannot refer`, where);
      return { kind: 'map_value', map, offset: value };
    },
  };
}

/** The map that holds `__arena` variables (libbpf's `init_arena_map_data`). */
function arenaOf(file: ObjectFile, symbol: string, where: string): number {
  const map = file.maps.findIndex(({ type }) => type === MAP_TYPE_ARENA);
  if (map >= 0) return map;
  const why = `'${symbol}' is a variable of an arena, and no arena is declared in .maps`;
  throw new ObjectError(why, { where, kind: 'refused', code: 'ENOENT' });
}

function textTarget(bytes: number, where: string): number {
  if (bytes < 0 || bytes % 8 !== 0)
    throw new ObjectError(`subprogram at .text${bytes < 0 ? '' : '+'}${bytes} is no instruction`, {
      where,
      code: 'OBJECT_RELOCATION',
    });
  return bytes / 8;
}
