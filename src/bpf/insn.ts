/**
 * One 8-byte slot of BPF, as `struct bpf_insn` (include/uapi/linux/bpf.h):
 *
 *     63            32 31        16 15   12 11    8 7       0
 *    ┌────────────────┬────────────┬───────┬───────┬─────────┐
 *    │   imm (s32)    │  off (s16) │  src  │  dst  │  code   │
 *    └────────────────┴────────────┴───────┴───────┴─────────┘
 *
 * A `lddw` (BPF_LD | BPF_IMM | BPF_DW) takes two slots, exactly as in the kernel, so indices agree with the kernel's.
 */
export interface Insn {
  /** Opcode, 0..255. */
  code: number;
  /** Destination register, 0..11 (11 is the kernel's AX scratch register). */
  dst: number;
  /** Source register or pseudo tag, 0..15. */
  src: number;
  /** Signed 16-bit offset. */
  off: number;
  /** Signed 32-bit immediate. */
  imm: number;
}

/** Reads `bytes` as an array of slots; a length that is no multiple of 8 is the caller's error. */
export function readInsns(bytes: Uint8Array): Insn[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const insns: Insn[] = new Array(bytes.byteLength >> 3);
  for (let i = 0, at = 0; i < insns.length; i++, at += 8) {
    const regs = view.getUint8(at + 1);
    insns[i] = {
      code: view.getUint8(at),
      dst: regs & 15,
      src: regs >> 4,
      off: view.getInt16(at + 2, true),
      imm: view.getInt32(at + 4, true),
    };
  }
  return insns;
}

/** The inverse of {@link readInsns}. */
export function writeInsns(insns: readonly Insn[]): Uint8Array {
  const bytes = new Uint8Array(insns.length * 8);
  const view = new DataView(bytes.buffer);
  for (let i = 0, at = 0; i < insns.length; i++, at += 8) {
    const insn = insns[i]!;
    view.setUint8(at, insn.code);
    view.setUint8(at + 1, insn.dst | (insn.src << 4));
    view.setInt16(at + 2, insn.off, true);
    view.setInt32(at + 4, insn.imm, true);
  }
  return bytes;
}
