import type { Era } from '../target/index.ts';
import type { JitImage } from './types.ts';

/** Offsets in `struct pt_regs` by x86 register number; rsp is never the target of a load. */
const PT_REGS = [80, 88, 96, 40, 152, 32, 104, 112, 72, 64, 56, 48, 24, 16, 8, 0] as const;
const ENTRY_SIZE = 12;
const EX_TYPE_BPF = 7;
/** In place of a register's offset: a store, nothing is cleared. */
const DONT_CLEAR = 1;
const ARENA_ACCESS = 0x8000_0000;

/**
 * The image's exception table as it lies in memory, behind the code at the next multiple of 4 (struct
 * exception_table_entry, arch/x86/net/bpf_jit_comp.c, 6.12 and 6.18):
 *
 *     insn   32  distance from this field to the instruction that may fault
 *     fixup  32  length of that instruction : 8, offset of the register to clear : 8, of the address : 8, …, arena : 1
 *     data   32  EX_TYPE_BPF, and in the upper half the displacement of an arena access
 *
 * The parts on arenas are there since they are reported to the program (6.18).
 */
export function encodeExtable(image: JitImage, era: Era): Uint8Array {
  const bytes = new Uint8Array(image.extable.length * ENTRY_SIZE);
  const view = new DataView(bytes.buffer);
  const start = (image.bytes.length + 3) & ~3;
  image.extable.forEach(({ offset, length, register, arena }, i) => {
    const at = i * ENTRY_SIZE;
    const cleared = register < 0 ? DONT_CLEAR : PT_REGS[register]!;
    const reported = era.arenaFaultReports ? arena : undefined;
    view.setInt32(at, offset - (start + at), true);
    view.setUint32(
      at + 4,
      (length | (cleared << 8) | (reported === undefined ? 0 : (PT_REGS[reported.register]! << 16) | ARENA_ACCESS)) >>>
        0,
      true,
    );
    view.setInt32(at + 8, EX_TYPE_BPF | (reported === undefined ? 0 : reported.offset << 16), true);
  });
  return bytes;
}
