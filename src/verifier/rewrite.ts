import { ALU, CLASS, type Insn, JMP, MODE, SRC_X } from '../bpf/index.ts';
import type { Replacement } from './patch.ts';

/** Shape of a map, as far as inlined look-ups need it. */
export interface InlineMap {
  /** enum bpf_map_type. */
  type: number;
  maxEntries: number;
  valueSize: number;
  /** Offset of the values from the map's address (`struct bpf_array.value`). */
  valuesAt: number;
  /** Index mask of arrays, for the guard against speculation; undefined when unprivileged code is not a concern. */
  indexMask: number;
}

const insn = (code: number, dst: number, src: number, off: number, imm: number): Insn => ({ code, dst, src, off, imm });
const R0 = 0;
const R1 = 1;
const R2 = 2;

/** `dst = 0 if src is 0`, as the instruction set says: x86's div would fault (do_misc_fixups, 6.12). */
export function guardDivision(index: number, original: Insn): Replacement | undefined {
  const op = original.code & 0xf0;
  const kind = original.code & 7;
  if ((kind !== CLASS.ALU && kind !== CLASS.ALU64) || (op !== ALU.DIV && op !== ALU.MOD) || (original.code & SRC_X) === 0) return undefined;
  if (original.off === 1) return guardSigned(index, original, kind === CLASS.ALU64, op === ALU.DIV);
  const jump = kind === CLASS.ALU64 ? CLASS.JMP : CLASS.JMP32;
  const { dst, src } = original;
  if (op === ALU.DIV) {
    return {
      at: index,
      insns: [insn(jump | JMP.JNE, src, 0, 2, 0), insn(CLASS.ALU | ALU.XOR | SRC_X, dst, dst, 0, 0), insn(CLASS.JMP | JMP.JA, 0, 0, 1, 0), original],
    };
  }
  if (kind === CLASS.ALU64) return { at: index, insns: [insn(jump | JMP.JEQ, src, 0, 1, 0), original] };
  return {
    at: index,
    insns: [insn(jump | JMP.JEQ, src, 0, 2, 0), original, insn(CLASS.JMP | JMP.JA, 0, 0, 1, 0), insn(CLASS.ALU | ALU.MOV | SRC_X, dst, dst, 0, 0)],
  };
}

/** Signed division: besides 0, −1 would overflow for the least value. */
function guardSigned(index: number, original: Insn, wide: boolean, isDivision: boolean): Replacement {
  const { dst, src } = original;
  const AX = 11;
  const kind = wide ? CLASS.ALU64 : CLASS.ALU;
  const jump = wide ? CLASS.JMP : CLASS.JMP32;
  const head = [insn(kind | ALU.MOV | SRC_X, AX, src, 0, 0), insn(kind | ALU.ADD, AX, 0, 0, 1)];
  if (isDivision) {
    return {
      at: index,
      insns: [
        ...head,
        insn(jump | JMP.JGT, AX, 0, 4, 1), insn(jump | JMP.JEQ, AX, 0, 1, 1), insn(kind | ALU.MOV, dst, 0, 0, 0),
        insn(kind | ALU.NEG, dst, 0, 0, 0), insn(CLASS.JMP | JMP.JA, 0, 0, 1, 0), original,
      ],
    };
  }
  const insns = [
    ...head,
    insn(jump | JMP.JGT, AX, 0, 3, 1), insn(jump | JMP.JEQ, AX, 0, 3 + (wide ? 0 : 1), 1), insn(CLASS.ALU | ALU.MOV, dst, 0, 0, 0),
    insn(CLASS.JMP | JMP.JA, 0, 0, 1, 0), original,
  ];
  if (!wide) insns.push(insn(CLASS.JMP | JMP.JA, 0, 0, 1, 0), insn(CLASS.ALU | ALU.MOV | SRC_X, dst, dst, 0, 0));
  return { at: index, insns };
}

const ARRAY = 2;

/** bpf_map_lookup_elem on an array: index check and address arithmetic in place (array_map_gen_lookup, 6.12). */
export function inlineLookup(index: number, map: InlineMap): Replacement | undefined {
  if (map.type !== ARRAY) return undefined;
  const element = (map.valueSize + 7) & ~7;
  const insns = [
    insn(CLASS.ALU64 | ALU.ADD, R1, 0, 0, map.valuesAt),
    insn(CLASS.LDX | MODE.MEM, R0, R2, 0, 0),
    insn(CLASS.JMP | JMP.JGE, R0, 0, 3, map.maxEntries),
  ];
  const shift = Math.log2(element);
  insns.push(Number.isInteger(shift) ? insn(CLASS.ALU64 | ALU.LSH, R0, 0, 0, shift) : insn(CLASS.ALU64 | ALU.MUL, R0, 0, 0, element));
  insns.push(insn(CLASS.ALU64 | ALU.ADD | SRC_X, R0, R1, 0, 0), insn(CLASS.JMP | JMP.JA, 0, 0, 1, 0), insn(CLASS.ALU64 | ALU.MOV, R0, 0, 0, 0));
  return { at: index, insns };
}
