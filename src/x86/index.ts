// x86: the x86-64 instructions that BPF's JIT, trampolines and the kernel text around them consist of.
// Takes: forms from one table, with operands; or machine code.
// Gives: bytes (Emitter), decoded fields (decode), Intel-syntax text (formatX86, listX86).
// Mirrors: the processor manuals' opcode maps; arch/x86/include/asm/nops.h for nops.
// Leaves out: floating point, vectors (but BMI2 shifts), system instructions, 16- and 32-bit modes.

export type { Row } from './_row.ts';
export { decode, type Undecodable, type X86Insn } from './decoder.ts';
export { type DispWidth, Emitter } from './emitter.ts';
export { formatX86, type ListingLine, listX86, type Symbolize } from './printer.ts';
export { REG, registerName } from './registers.ts';
export { CONDITIONS, ROWS, X } from './x86.table.ts';
