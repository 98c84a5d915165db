/**
 * Micro-operations: 8 words each, in one array. `d` and `s` are registers 0 … 15, EA, T or ZERO; `a` is the address (low
 * half) of the instruction they belong to and `n` that of the next one.
 *
 *     0 op │ 1 d │ 2 s │ 3 imm or displacement │ 4 imm high, or more │ 5 a │ 6 n │ 7 link or count
 */
export const STRIDE = 8;
/** Temporaries above the sixteen general registers. */
export const EA = 16;
export const T = 17;
export const ZERO = 18;
export const REGISTERS = 19;

export const OP = {
  MOV64: 0,
  MOV32: 1,
  MOVI: 2,
  EA: 3,
  LD8U: 4,
  LD16U: 5,
  LD32: 6,
  LD64: 7,
  LD8S: 8,
  LD16S: 9,
  LD32S: 10,
  ST8: 11,
  ST16: 12,
  ST32: 13,
  ST64: 14,
  ADD64: 15,
  ADD32: 16,
  SUB64: 17,
  SUB32: 18,
  AND64: 19,
  AND32: 20,
  OR64: 21,
  OR32: 22,
  XOR64: 23,
  XOR32: 24,
  CMP64: 25,
  CMP32: 26,
  TEST64: 27,
  TEST32: 28,
  ADD64I: 29,
  ADD32I: 30,
  SUB64I: 31,
  SUB32I: 32,
  AND64I: 33,
  AND32I: 34,
  OR64I: 35,
  OR32I: 36,
  XOR64I: 37,
  XOR32I: 38,
  CMP64I: 39,
  CMP32I: 40,
  TEST64I: 41,
  TEST32I: 42,
  /** Any two-operand operation at any size: `imm` is the operation, word 4 the size. */
  ALU: 43,
  /** One operand: not, neg, inc, dec; `imm` the operation, word 4 the size. */
  UNARY: 44,
  /** Shifts and rotates: `imm` the operation, word 4 size | count << 8, count 0xff for cl. */
  SHIFT: 45,
  /** BMI2 shifts: count register in word 4 bits 8 …. */
  SHIFTX: 46,
  IMUL64: 47,
  IMUL32: 48,
  /** mul, imul, div, idiv on rdx:rax: `imm` the operation, word 4 the size. */
  WIDE: 49,
  BSWAP: 50,
  /** Zero- or sign-extension between registers: `imm` the source size (negative: signed), word 4 the destination's. */
  EXTEND: 51,
  /** Writes a register's low 1 or 2 bytes; word 4 the size. */
  INSERT: 52,
  CMOV: 53,
  SET: 54,
  SIGN: 55,
  XCHG: 56,
  XADD: 57,
  CMPXCHG: 58,
  PUSH: 59,
  POP: 60,
  LEAVE: 61,
  CALL: 62,
  CALLR: 63,
  JMP: 64,
  JMPR: 65,
  JCC: 66,
  RET: 67,
  /** The block ends because it is long enough; execution goes on at `n`. */
  NEXT: 68,
  VMCALL: 69,
  /** Raises the vector in `imm`. */
  TRAP: 70,
} as const;

/** Operations of OP.ALU, in the order of their opcodes. */
export const ALU_OPS = ['add', 'or', 'adc', 'sbb', 'and', 'sub', 'xor', 'cmp', 'test'] as const;
export const UNARY_OPS = ['not', 'neg', 'inc', 'dec'] as const;
export const SHIFT_OPS = ['rol', 'ror', 'shl', 'shr', 'sar'] as const;
export const WIDE_OPS = ['mul', 'imul', 'div', 'idiv'] as const;
/** Vectors of OP.TRAP. */
export const TRAPS = ['#UD', '#BP', '#GP'] as const;
