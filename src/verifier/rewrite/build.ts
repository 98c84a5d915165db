import { ALU, CALL, CLASS, EXIT, type Insn, JMP, LD_IMM64, MODE, SIZE, SRC_X } from '../../bpf/index.ts';

// Instructions as include/linux/filter.h builds them; sizes are opcode bits (SIZE), operations ALU and JMP.

export const R0 = 0;
export const R1 = 1;
export const R2 = 2;
export const R3 = 3;
/** The kernel's scratch register. */
export const AX = 11;
/** The frame pointer. */
export const FP = 10;

export const insn = (code: number, dst: number, src: number, off: number, imm: number): Insn => ({
  code,
  dst,
  src,
  off,
  imm,
});

export const mov = (dst: number, src: number): Insn => insn(CLASS.ALU64 | ALU.MOV | SRC_X, dst, src, 0, 0);
export const movImm = (dst: number, imm: number): Insn => insn(CLASS.ALU64 | ALU.MOV, dst, 0, 0, imm);
export const mov32 = (dst: number, src: number): Insn => insn(CLASS.ALU | ALU.MOV | SRC_X, dst, src, 0, 0);
export const mov32Imm = (dst: number, imm: number): Insn => insn(CLASS.ALU | ALU.MOV, dst, 0, 0, imm);
/** Adds this CPU's offset to a per-CPU address. */
export const movPerCpu = (dst: number, src: number): Insn => insn(CLASS.ALU64 | ALU.MOV | SRC_X, dst, src, -1, 0);
export const alu = (op: number, dst: number, src: number): Insn => insn(CLASS.ALU64 | op | SRC_X, dst, src, 0, 0);
export const aluImm = (op: number, dst: number, imm: number): Insn => insn(CLASS.ALU64 | op, dst, 0, 0, imm);
export const alu32 = (op: number, dst: number, src: number): Insn => insn(CLASS.ALU | op | SRC_X, dst, src, 0, 0);
export const alu32Imm = (op: number, dst: number, imm: number): Insn => insn(CLASS.ALU | op, dst, 0, 0, imm);

export const load = (size: number, dst: number, src: number, off: number): Insn =>
  insn(CLASS.LDX | MODE.MEM | size, dst, src, off, 0);
export const store = (size: number, dst: number, off: number, src: number): Insn =>
  insn(CLASS.STX | MODE.MEM | size, dst, src, off, 0);
export const storeImm = (size: number, dst: number, off: number, imm: number): Insn =>
  insn(CLASS.ST | MODE.MEM | size, dst, 0, off, imm);

export const jump = (off: number): Insn => insn(CLASS.JMP | JMP.JA, 0, 0, off, 0);
export const jumpImm = (op: number, dst: number, imm: number, off: number): Insn =>
  insn(CLASS.JMP | op, dst, 0, off, imm);
export const jumpReg = (op: number, dst: number, src: number, off: number): Insn =>
  insn(CLASS.JMP | op | SRC_X, dst, src, off, 0);
export const jump32Imm = (op: number, dst: number, imm: number, off: number): Insn =>
  insn(CLASS.JMP32 | op, dst, 0, off, imm);
/** A call; `imm` is the distance from `__bpf_call_base`. */
export const call = (imm: number): Insn => insn(CALL, 0, 0, 0, imm);
export const exit = (): Insn => insn(EXIT, 0, 0, 0, 0);

/** The two slots of a 64-bit constant. */
export const loadImm64 = (dst: number, value: bigint): [Insn, Insn] => [
  insn(LD_IMM64, dst, 0, 0, Number(BigInt.asIntN(32, value))),
  insn(0, 0, 0, 0, Number(BigInt.asIntN(32, value >> 32n))),
];

/** Opcode size bits of a load of `bytes`. */
export function sizeBits(bytes: number): number {
  switch (bytes) {
    case 1:
      return SIZE.B;
    case 2:
      return SIZE.H;
    case 4:
      return SIZE.W;
    default:
      return SIZE.DW;
  }
}
