import { ALU, ATOMIC, CLASS, type Insn, JMP, LD_IMM64, MODE, SIZE, SRC_X } from '../bpf/index.ts';
import type { Replacement } from './patch.ts';

/** Shape of a map, as far as inlined look-ups need it. */
export interface InlineMap {
  /** enum bpf_map_type. */
  type: number;
  keySize: number;
  valueSize: number;
  maxEntries: number;
}

/** Places that inlined code bakes in: offsets, and calls and addresses as the immediates that the JIT gets. */
export interface InlineFacts {
  /** `struct bpf_array.value` (and `.pptrs`), `struct htab_elem.key`. */
  arrayValues: number;
  htabKey: number;
  /** `imm` of a call of `__htab_map_lookup_elem`. */
  htabLookup: number;
  /** Per-CPU offset of `pcpu_hot.cpu_number`. */
  cpuNumber: number;
  /** Address of `jiffies`. */
  jiffies: { lo: number; hi: number };
}

const insn = (code: number, dst: number, src: number, off: number, imm: number): Insn => ({ code, dst, src, off, imm });
const R0 = 0;
const R1 = 1;
const R2 = 2;

/** `dst = 0 if src is 0`, as the instruction set says: x86's div would fault (do_misc_fixups, 6.12). */
export function guardDivision(index: number, original: Insn): Replacement | undefined {
  const op = original.code & 0xf0;
  const kind = original.code & 7;
  if ((kind !== CLASS.ALU && kind !== CLASS.ALU64) || (op !== ALU.DIV && op !== ALU.MOD)) return undefined;
  if ((original.code & SRC_X) === 0) {
    if (original.off !== 1 || original.imm !== -1) return undefined;
    const whole =
      op === ALU.DIV ? insn(kind | ALU.NEG, original.dst, 0, 0, 0) : insn(CLASS.ALU | ALU.MOV, original.dst, 0, 0, 0);
    return { at: index, insns: [whole] };
  }
  if (original.off === 1) return guardSigned(index, original, kind === CLASS.ALU64, op === ALU.DIV);
  const jump = kind === CLASS.ALU64 ? CLASS.JMP : CLASS.JMP32;
  const { dst, src } = original;
  if (op === ALU.DIV) {
    return {
      at: index,
      insns: [
        insn(jump | JMP.JNE, src, 0, 2, 0),
        insn(CLASS.ALU | ALU.XOR | SRC_X, dst, dst, 0, 0),
        insn(CLASS.JMP | JMP.JA, 0, 0, 1, 0),
        original,
      ],
    };
  }
  if (kind === CLASS.ALU64) return { at: index, insns: [insn(jump | JMP.JEQ, src, 0, 1, 0), original] };
  return {
    at: index,
    insns: [
      insn(jump | JMP.JEQ, src, 0, 2, 0),
      original,
      insn(CLASS.JMP | JMP.JA, 0, 0, 1, 0),
      insn(CLASS.ALU | ALU.MOV | SRC_X, dst, dst, 0, 0),
    ],
  };
}

/** Signed division: besides 0, −1 would overflow for the least value. */
function guardSigned(index: number, original: Insn, wide: boolean, isDivision: boolean): Replacement {
  const { dst, src } = original;
  const AX = 11;
  const kind = wide ? CLASS.ALU64 : CLASS.ALU;
  const jump = wide ? CLASS.JMP : CLASS.JMP32;
  const head = [insn(CLASS.ALU64 | ALU.MOV | SRC_X, AX, src, 0, 0), insn(kind | ALU.ADD, AX, 0, 0, 1)];
  if (isDivision) {
    return {
      at: index,
      insns: [
        ...head,
        insn(jump | JMP.JGT, AX, 0, 4, 1),
        insn(jump | JMP.JEQ, AX, 0, 1, 0),
        insn(kind | ALU.MOV, dst, 0, 0, 0),
        insn(kind | ALU.NEG, dst, 0, 0, 0),
        insn(CLASS.JMP | JMP.JA, 0, 0, 1, 0),
        original,
      ],
    };
  }
  const insns = [
    ...head,
    insn(jump | JMP.JGT, AX, 0, 3, 1),
    insn(jump | JMP.JEQ, AX, 0, 3 + (wide ? 0 : 1), 1),
    insn(CLASS.ALU | ALU.MOV, dst, 0, 0, 0),
    insn(CLASS.JMP | JMP.JA, 0, 0, 1, 0),
    original,
  ];
  if (!wide) insns.push(insn(CLASS.JMP | JMP.JA, 0, 0, 1, 0), insn(CLASS.ALU | ALU.MOV | SRC_X, dst, dst, 0, 0));
  return { at: index, insns };
}

/**
 * x86's 32-bit compare-and-exchange leaves the upper half of rax alone where it succeeds: R0 is zero-extended after it
 * (bpf_opt_subreg_zext_lo32_rnd_hi32, 6.12, which does so where the upper half is read).
 */
export function extendExchange(index: number, original: Insn): Replacement | undefined {
  const isExchange = original.code === (CLASS.STX | MODE.ATOMIC | SIZE.W) && original.imm === ATOMIC.CMPXCHG;
  return isExchange ? { at: index, insns: [original, insn(CLASS.ALU | ALU.MOV | SRC_X, R0, R0, 0, 1)] } : undefined;
}

const MAP_HASH = 1;
const MAP_ARRAY = 2;
const MAP_PERCPU_ARRAY = 6;
const FUNC_MAP_LOOKUP = 1;
const FUNC_SMP_PROCESSOR_ID = 8;
const FUNC_JIFFIES64 = 118;

/** A helper call that the kernel replaces by instructions (do_misc_fixups, 6.12); undefined if it stays a call. */
export function inlineHelper(
  index: number,
  helper: number,
  map: InlineMap | undefined,
  facts: InlineFacts,
): Replacement | undefined {
  const perCpu = insn(CLASS.ALU64 | ALU.MOV | SRC_X, R0, R0, -1, 0);
  switch (helper) {
    case FUNC_MAP_LOOKUP:
      return map === undefined ? undefined : inlineLookup(index, map, facts);
    case FUNC_SMP_PROCESSOR_ID:
      return {
        at: index,
        insns: [insn(CLASS.ALU | ALU.MOV, R0, 0, 0, facts.cpuNumber), perCpu, insn(CLASS.LDX | MODE.MEM, R0, R0, 0, 0)],
      };
    case FUNC_JIFFIES64:
      return {
        at: index,
        insns: [
          insn(LD_IMM64, R0, 0, 0, facts.jiffies.lo),
          insn(0, 0, 0, 0, facts.jiffies.hi),
          insn(CLASS.LDX | MODE.MEM | SIZE.DW, R0, R0, 0, 0),
        ],
      };
    default:
      return undefined;
  }
}

/** bpf_map_lookup_elem by map type: array_, percpu_array_ and htab_map_gen_lookup. Nobody unprivileged runs here: no index mask. */
function inlineLookup(index: number, map: InlineMap, facts: InlineFacts): Replacement | undefined {
  const element = (map.valueSize + 7) & ~7;
  const shift = Math.log2(element);
  const tail = [insn(CLASS.JMP | JMP.JA, 0, 0, 1, 0), insn(CLASS.ALU64 | ALU.MOV, R0, 0, 0, 0)];
  switch (map.type) {
    case MAP_ARRAY:
      return {
        at: index,
        insns: [
          insn(CLASS.ALU64 | ALU.ADD, R1, 0, 0, facts.arrayValues),
          insn(CLASS.LDX | MODE.MEM, R0, R2, 0, 0),
          insn(CLASS.JMP | JMP.JGE, R0, 0, 3, map.maxEntries),
          Number.isInteger(shift)
            ? insn(CLASS.ALU64 | ALU.LSH, R0, 0, 0, shift)
            : insn(CLASS.ALU64 | ALU.MUL, R0, 0, 0, element),
          insn(CLASS.ALU64 | ALU.ADD | SRC_X, R0, R1, 0, 0),
          ...tail,
        ],
      };
    case MAP_PERCPU_ARRAY:
      return {
        at: index,
        insns: [
          insn(CLASS.ALU64 | ALU.ADD, R1, 0, 0, facts.arrayValues),
          insn(CLASS.LDX | MODE.MEM, R0, R2, 0, 0),
          insn(CLASS.JMP | JMP.JGE, R0, 0, 5, map.maxEntries),
          insn(CLASS.ALU64 | ALU.LSH, R0, 0, 0, 3),
          insn(CLASS.ALU64 | ALU.ADD | SRC_X, R0, R1, 0, 0),
          insn(CLASS.LDX | MODE.MEM | SIZE.DW, R0, R0, 0, 0),
          insn(CLASS.ALU64 | ALU.MOV | SRC_X, R0, R0, -1, 0),
          ...tail,
        ],
      };
    case MAP_HASH:
      return {
        at: index,
        insns: [
          insn(CLASS.JMP | JMP.CALL, 0, 0, 0, facts.htabLookup),
          insn(CLASS.JMP | JMP.JEQ, R0, 0, 1, 0),
          insn(CLASS.ALU64 | ALU.ADD, R0, 0, 0, facts.htabKey + ((map.keySize + 7) & ~7)),
        ],
      };
    default:
      return undefined;
  }
}
