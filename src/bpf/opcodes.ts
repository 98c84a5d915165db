/**
 * Fields of an opcode (include/uapi/linux/bpf_common.h, bpf.h):
 *
 *     load, store        7   5 4  3 2     0        arithmetic, jump    7    4  3  2     0
 *                       ┌─────┬────┬───────┐                          ┌──────┬───┬───────┐
 *                       │ mode│size│ class │                          │  op  │src│ class │
 *                       └─────┴────┴───────┘                          └──────┴───┴───────┘
 */
export const CLASS = { LD: 0, LDX: 1, ST: 2, STX: 3, ALU: 4, JMP: 5, JMP32: 6, ALU64: 7 } as const;
export const SIZE = { W: 0x00, H: 0x08, B: 0x10, DW: 0x18 } as const;
export const MODE = {
  IMM: 0x00,
  ABS: 0x20,
  IND: 0x40,
  MEM: 0x60,
  MEMSX: 0x80,
  ATOMIC: 0xc0,
  /** Kernel-internal (include/linux/filter.h): loads that may fault, arena accesses, speculation barrier. */
  PROBE_MEM: 0x20,
  PROBE_MEMSX: 0x40,
  PROBE_MEM32: 0xa0,
  PROBE_MEM32SX: 0xc0,
  PROBE_ATOMIC: 0xe0,
  NOSPEC: 0xc0,
} as const;
export const ALU = {
  ADD: 0x00,
  SUB: 0x10,
  MUL: 0x20,
  DIV: 0x30,
  OR: 0x40,
  AND: 0x50,
  LSH: 0x60,
  RSH: 0x70,
  NEG: 0x80,
  MOD: 0x90,
  XOR: 0xa0,
  MOV: 0xb0,
  ARSH: 0xc0,
  END: 0xd0,
} as const;
export const JMP = {
  JA: 0x00,
  JEQ: 0x10,
  JGT: 0x20,
  JGE: 0x30,
  JSET: 0x40,
  JNE: 0x50,
  JSGT: 0x60,
  JSGE: 0x70,
  CALL: 0x80,
  EXIT: 0x90,
  JLT: 0xa0,
  JLE: 0xb0,
  JSLT: 0xc0,
  JSLE: 0xd0,
  JCOND: 0xe0,
  /** Kernel-internal tail call (include/linux/filter.h). */
  TAIL_CALL: 0xf0,
} as const;
/** The source operand is a register. */
export const SRC_X = 0x08;
export const ATOMIC = { FETCH: 0x01, XCHG: 0xe1, CMPXCHG: 0xf1, LOAD_ACQ: 0x100, STORE_REL: 0x110 } as const;
/** `src` of a 64-bit immediate load. */
export const PSEUDO = { MAP_FD: 1, MAP_VALUE: 2, BTF_ID: 3, FUNC: 4 } as const;
/** `src` of a call. */
export const PSEUDO_CALL = 1;
export const PSEUDO_KFUNC_CALL = 2;
/** BPF_LD | BPF_IMM | BPF_DW, the only instruction of two slots. */
export const LD_IMM64 = CLASS.LD | SIZE.DW | MODE.IMM;
export const CALL = CLASS.JMP | JMP.CALL;
export const EXIT = CLASS.JMP | JMP.EXIT;

/** Bytes that a load or store of this opcode moves. */
export function sizeInBytes(code: number): number {
  switch (code & 0x18) {
    case SIZE.W:
      return 4;
    case SIZE.H:
      return 2;
    case SIZE.B:
      return 1;
    default:
      return 8;
  }
}
