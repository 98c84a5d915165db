import { CALL, type Insn, LD_IMM64, PSEUDO, PSEUDO_CALL } from '../bpf/index.ts';
import type { FuncInfo, LineInfo } from '../btf/index.ts';
import { ObjectError } from './error.ts';
import type { CodeBlueprint, CodeRelocation, ObjectFile, ProgramLine } from './types.ts';

/** A program with its subprograms behind it. */
export interface Linked {
  insns: Insn[];
  /** Functions in the order of their code. */
  parts: { code: CodeBlueprint; start: number }[];
  /** Relocations other than calls, at slots of `insns`. */
  relocations: CodeRelocation[];
}

/**
 * Appends the subprograms that `main` reaches, in the order of discovery, depth first, and sets the distances of calls
 * and of function addresses: bpf_object__reloc_code of libbpf (6.12).
 */
export function link(file: ObjectFile, main: CodeBlueprint): Linked {
  const linked: Linked = { insns: [], parts: [], relocations: [] };
  const placed = new Map<CodeBlueprint, number>();
  const append = (code: CodeBlueprint): number => {
    const start = linked.insns.length;
    placed.set(code, start);
    linked.parts.push({ code, start });
    for (const insn of code.insns) linked.insns.push({ ...insn });
    return start;
  };
  follow(file, linked, placed, append, main);
  // Nobody calls the exception callback: it comes last, unless something took its address.
  const callback = exceptionCallback(file, main);
  if (callback !== undefined && !placed.has(callback)) follow(file, linked, placed, append, callback);
  return linked;
}

/** Appends `root` and what it reaches; an explicit stack keeps depth-first order without recursing on the input's call graph. */
function follow(
  file: ObjectFile,
  linked: Linked,
  placed: ReadonlyMap<CodeBlueprint, number>,
  append: (code: CodeBlueprint) => number,
  root: CodeBlueprint,
): void {
  const stack: Cursor[] = [
    { code: root, start: append(root), at: 0, relocations: new Map(root.relocations.map((r) => [r.insn, r])) },
  ];
  for (let cursor = stack.at(-1); cursor !== undefined; cursor = stack.at(-1)) {
    if (cursor.at >= cursor.code.insns.length) {
      stack.pop();
      continue;
    }
    const insn = linked.insns[cursor.start + cursor.at]!;
    const relocation = cursor.relocations.get(cursor.at);
    const target = calleeOf(file, cursor, insn, relocation);
    if (target === undefined) {
      if (relocation !== undefined) linked.relocations.push({ ...relocation, insn: cursor.start + cursor.at });
      cursor.at++;
      continue;
    }
    const known = placed.get(target);
    if (known === undefined) {
      const start = append(target);
      stack.push({ code: target, start, at: 0, relocations: new Map(target.relocations.map((r) => [r.insn, r])) });
      insn.imm = start - (cursor.start + cursor.at) - 1;
    } else {
      insn.imm = known - (cursor.start + cursor.at) - 1;
    }
    if (insn.code === LD_IMM64) {
      insn.src = PSEUDO.FUNC;
      linked.relocations.push({
        insn: cursor.start + cursor.at,
        kind: 'func',
        target: insn.imm + cursor.start + cursor.at + 1,
      });
    }
    cursor.at++;
  }
}

const EXCEPTION_TAG = 'exception_callback:';

/** The subprogram that a declaration tag of the program names as its exception callback. */
function exceptionCallback(file: ObjectFile, main: CodeBlueprint): CodeBlueprint | undefined {
  const { btf } = file;
  const own = typeIdOf(file, main);
  if (btf === undefined || own === 0) return undefined;
  for (let id = 1; id < btf.typeCount; id++) {
    if (btf.kind(id) !== 'decl_tag' || !btf.name(id).startsWith(EXCEPTION_TAG)) continue;
    const tag = btf.type(id);
    if (tag.kind !== 'decl_tag' || tag.type !== own || tag.component >= 0) continue;
    const name = tag.name.slice(EXCEPTION_TAG.length);
    const found = file.subprograms.find((code) => code.name === name);
    if (found === undefined)
      throw new ObjectError(`cannot find the exception callback '${name}'`, {
        where: `program '${main.name}'`,
        code: 'OBJECT_RELOCATION',
      });
    return found;
  }
  return undefined;
}

/** BTF id of a function, 0 without. */
export function typeIdOf(file: ObjectFile, code: CodeBlueprint): number {
  return within(file.ext?.funcs.get(code.section), code).find(({ offset }) => offset === code.start * 8)?.type ?? 0;
}

interface Cursor {
  code: CodeBlueprint;
  start: number;
  at: number;
  relocations: Map<number, CodeRelocation>;
}

/** The subprogram that this instruction calls or takes the address of; undefined for all other instructions. */
function calleeOf(
  file: ObjectFile,
  cursor: Cursor,
  insn: Insn,
  relocation: CodeRelocation | undefined,
): CodeBlueprint | undefined {
  const where = `${cursor.code.section}:${cursor.code.name}+${cursor.at * 8}`;
  let target: number;
  if (relocation?.kind === 'call' || relocation?.kind === 'func') target = relocation.target;
  else if (relocation === undefined && insn.code === CALL && insn.src === PSEUDO_CALL) {
    if (cursor.code.section !== '.text')
      throw new ObjectError('call of a subprogram has no relocation into .text', { where, code: 'OBJECT_RELOCATION' });
    target = cursor.code.start + cursor.at + insn.imm + 1;
  } else return undefined;
  const found = findFunction(file.subprograms, target);
  if (found === undefined)
    throw new ObjectError(`no subprogram starts at .text+${target * 8}`, { where, code: 'OBJECT_RELOCATION' });
  return found;
}

function findFunction(functions: readonly CodeBlueprint[], slot: number): CodeBlueprint | undefined {
  let low = 0;
  let high = functions.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const code = functions[middle]!;
    if (slot < code.start) high = middle - 1;
    else if (slot >= code.start + code.insns.length) low = middle + 1;
    else return code;
  }
  return undefined;
}

/** Line information of the linked program: each part's own, moved to where the part lies. */
export function linkLines(file: ObjectFile, linked: Linked): ProgramLine[] {
  const found: ProgramLine[] = [];
  for (const { code, start } of linked.parts) {
    for (const info of within<LineInfo>(file.ext?.lines.get(code.section), code)) {
      found.push({
        insn: Math.floor(info.offset / 8) - code.start + start,
        file: info.file,
        text: info.text.trimStart(),
        line: info.line,
        column: info.column,
      });
    }
  }
  return found;
}

/** Records of a section that belong to one of its functions. */
export function within<T extends FuncInfo | LineInfo | { offset: number }>(
  records: readonly T[] | undefined,
  code: CodeBlueprint,
): T[] {
  return (records ?? []).filter(
    ({ offset }) => offset >= code.start * 8 && offset < (code.start + code.insns.length) * 8,
  );
}
