import { ALU, CLASS, type Insn, JMP, LD_IMM64, MODE, PSEUDO, SRC_X } from '../bpf/index.ts';

/** BPF_REG_AX, which only the kernel uses. */
const AX = 11;
const CLASS_MASK = 7;
const OP_MASK = 0xf0;
const BLINDED_ALU: ReadonlySet<number> = new Set([
  ALU.ADD,
  ALU.SUB,
  ALU.AND,
  ALU.OR,
  ALU.XOR,
  ALU.MUL,
  ALU.MOV,
  ALU.DIV,
  ALU.MOD,
]);
const NOT_COMPARING: ReadonlySet<number> = new Set([JMP.JA, JMP.CALL, JMP.EXIT, JMP.JCOND, JMP.TAIL_CALL]);

/**
 * Replaces constants that a program chooses by sums of random ones, so that none of its bytes stands in executable memory
 * as it was written: bpf_jit_blind_constants (kernel/bpf/core.c, 6.12 and 6.18), under `net.core.bpf_jit_harden`.
 * @param insns a function's final instructions
 * @param random gives 32 bits for a slot; asked once for each that is looked at, in order
 * @returns the new instructions, and the old slot of each
 */
export function blindConstants(
  insns: readonly Insn[],
  random: (slot: number) => number,
): { insns: Insn[]; origin: Int32Array } {
  const parts = insns.map((insn, i): Insn[] => {
    const before = insns[i - 1];
    const upper = insn.code === 0 && before?.code === LD_IMM64;
    if ((insn.code === LD_IMM64 && insn.src === PSEUDO.FUNC) || (upper && before.src === PSEUDO.FUNC)) return [insn];
    const rnd = random(i) | 0;
    if (upper) return [...loaded(CLASS.ALU, before.imm, rnd), registers(CLASS.ALU64, ALU.OR, before.dst, AX)];
    if (insn.code === LD_IMM64)
      return [
        ...loaded(CLASS.ALU64, insns[i + 1]!.imm, rnd),
        { code: CLASS.ALU64 | ALU.LSH, dst: AX, src: 0, off: 0, imm: 32 },
        registers(CLASS.ALU64, ALU.MOV, insn.dst, AX),
      ];
    return blind(insn, rnd) ?? [insn];
  });
  return join(insns, parts);
}

/** AX gets a constant in two steps. */
const loaded = (kind: number, imm: number, rnd: number): Insn[] => [
  { code: kind | ALU.MOV, dst: AX, src: 0, off: 0, imm: rnd ^ imm },
  { code: kind | ALU.XOR, dst: AX, src: 0, off: 0, imm: rnd },
];
const registers = (kind: number, op: number, dst: number, src: number, off = 0): Insn => ({
  code: kind | op | SRC_X,
  dst,
  src,
  off,
  imm: 0,
});

/** An instruction with a constant as a sequence without; undefined for any other. */
function blind(insn: Insn, rnd: number): Insn[] | undefined {
  if (insn.dst === AX || insn.src === AX) return undefined;
  const kind = insn.code & CLASS_MASK;
  const op = insn.code & OP_MASK;
  switch (kind) {
    case CLASS.ALU:
    case CLASS.ALU64:
      if ((insn.code & SRC_X) !== 0 || !BLINDED_ALU.has(op)) return undefined;
      if (op === ALU.MOV && insn.imm === 0) return [registers(CLASS.ALU64, ALU.XOR, insn.dst, insn.dst)];
      return [...loaded(kind, insn.imm, rnd), registers(kind, op, insn.dst, AX, insn.off)];
    case CLASS.JMP:
    case CLASS.JMP32:
      if ((insn.code & SRC_X) !== 0 || NOT_COMPARING.has(op)) return undefined;
      return [
        ...loaded(kind === CLASS.JMP ? CLASS.ALU64 : CLASS.ALU, insn.imm, rnd),
        registers(kind, op, insn.dst, AX, insn.off),
      ];
    case CLASS.ST: {
      if ((insn.code & 0xe0) !== MODE.MEM) return undefined;
      return [
        ...loaded(CLASS.ALU64, insn.imm, rnd),
        { code: (insn.code & ~CLASS_MASK) | CLASS.STX, dst: insn.dst, src: AX, off: insn.off, imm: 0 },
      ];
    }
    default:
      return undefined;
  }
}

/** Puts the sequences one after the other and mends the distances of jumps, each of which stands last in its sequence. */
function join(insns: readonly Insn[], parts: readonly Insn[][]): { insns: Insn[]; origin: Int32Array } {
  const starts = new Int32Array(parts.length + 1);
  parts.forEach((part, i) => {
    starts[i + 1] = starts[i]! + part.length;
  });
  const out: Insn[] = [];
  const origin = new Int32Array(starts[parts.length]!);
  parts.forEach((part, i) => {
    origin.fill(i, starts[i], starts[i + 1]);
    const { code, off, imm } = insns[i]!;
    const kind = code & CLASS_MASK;
    const op = code & OP_MASK;
    const jumps =
      (kind === CLASS.JMP || kind === CLASS.JMP32) && op !== JMP.CALL && op !== JMP.EXIT && op !== JMP.TAIL_CALL;
    out.push(...part.slice(0, -1));
    const last = part[part.length - 1]!;
    const far = kind === CLASS.JMP32 && op === JMP.JA;
    const distance = jumps ? starts[i + 1 + (far ? imm : off)]! - starts[i + 1]! : 0;
    if (!jumps) out.push(last);
    else if (far) out.push({ ...last, imm: distance });
    else out.push({ ...last, off: distance });
  });
  return { insns: out, origin };
}
