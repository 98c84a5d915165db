import type { Era } from '../target/index.ts';
import { type Emitter, REG, X } from '../x86/index.ts';
import type { ExtableEntry, JitContext, JitFunction, Poke, Segment } from './types.ts';

/** x86 register of each BPF register; 11 is the verifier's scratch register BPF_REG_AX. */
export const BPF_TO_X86: readonly number[] = [
  REG.rax,
  REG.rdi,
  REG.rsi,
  REG.rdx,
  REG.rcx,
  REG.r8,
  REG.rbx,
  REG.r13,
  REG.r14,
  REG.r15,
  REG.rbp,
  REG.r10,
];
/** The same for a function on its private stack: R10 is r9, so that rbp stays the kernel's frame. */
export const PRIVATE_STACK_REGS: readonly number[] = BPF_TO_X86.map((register) =>
  register === REG.rbp ? REG.r9 : register,
);
/** Scratch registers of the JIT itself. */
export const AX = REG.r10;
export const AUX = REG.r11;

/** One function while it is being compiled. Offsets count from the start of the image. */
export interface JitState {
  e: Emitter;
  fn: JitFunction;
  ctx: JitContext;
  /** Low 32 bits of the image's address; 0 until it has one. */
  image: number;
  /** End of each instruction as of the last pass, overwritten as this pass goes on. */
  addrs: Int32Array;
  padding: boolean;
  /** x86 register of each BPF register in this function. */
  regs: readonly number[];
  /** Callee-saved registers in use: rbx, r13, r14, r15. */
  used: readonly boolean[];
  /** Offset of the epilogue. */
  cleanup: number;
  seenExit: boolean;
  /** Length of a direct and an indirect tail call sequence, known after the first pass. */
  directLabel: number;
  indirectLabel: number;
  extable: ExtableEntry[];
  pokes: Poke[];
  segments: Segment[];
}

export const isImm8 = (value: number): boolean => value <= 127 && value >= -128;
export const roundUp8 = (value: number): number => (value + 7) & ~7;

/** `mov dst, src`; nothing if 64-bit and equal. */
export function movReg(e: Emitter, size: number, dst: number, src: number): void {
  if (size === 4 || dst !== src) e.reg(X.mov_EvGv, size, dst, src);
}

/** A 32-bit constant in the shortest form that the kernel uses (emit_mov_imm32). */
export function movImm32(e: Emitter, signExtend: boolean, register: number, imm: number): void {
  if (signExtend && (imm | 0) < 0) e.regImm32(X.mov_EvIz, 8, register, imm);
  else if (imm === 0) e.reg(X.xor_EvGv, 4, register, register);
  else {
    e.plus(X.mov_ZvIv, 4, register);
    e.u32(imm);
  }
}

/** A 64-bit constant given as halves (emit_mov_imm64). */
export function movImm64(e: Emitter, era: Era, register: number, lo: number, hi: number): void {
  if ((hi | 0) === 0) movImm32(e, false, register, lo | 0);
  else if (era.shortKernelAddresses && (hi | 0) === -1 && (lo | 0) < 0) movImm32(e, true, register, lo | 0);
  else e.movImm64(register, lo, hi);
}
