import { ALU, JMP, SIZE } from '../bpf/index.ts';

// What generated programs are made of. Seeds name programs by these orders.

export const SIZES = [SIZE.B, SIZE.H, SIZE.W, SIZE.DW] as const;
export const ARITHMETIC = [ALU.ADD, ALU.SUB, ALU.MUL, ALU.OR, ALU.AND, ALU.XOR] as const;
export const SHIFTS = [ALU.LSH, ALU.RSH, ALU.ARSH] as const;
export const CONDITIONS = [
  JMP.JEQ,
  JMP.JNE,
  JMP.JGT,
  JMP.JGE,
  JMP.JLT,
  JMP.JLE,
  JMP.JSET,
  JMP.JSGT,
  JMP.JSGE,
  JMP.JSLT,
  JMP.JSLE,
] as const;
/** The frame pointer, and the register that counts loops. */
export const FRAME = 10;
export const COUNTER = 8;
/** Blocks within blocks. */
export const DEEPEST = 2;
