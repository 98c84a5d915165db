import { CALL, CLASS, type Insn, JMP, LD_IMM64, PSEUDO, PSEUDO_CALL } from '../bpf/index.ts';
import { jumpDistance } from './structure.ts';

/** What stands at a slot after the rewrites: several instructions, of which one may be the original. */
export interface Replacement {
  at: number;
  insns: Insn[];
}

/**
 * Replaces instructions by sequences and mends every distance that spans one, as bpf_patch_insn_data (kernel/bpf/core.c):
 * jumps to a replaced slot go to the start of its sequence. Distances inside of a sequence are its own.
 * @returns the new instructions, and where each old slot went
 */
export function applyReplacements(
  insns: readonly Insn[],
  replacements: readonly Replacement[],
): { insns: Insn[]; moved: Int32Array } {
  const at = new Map(replacements.map((replacement) => [replacement.at, replacement.insns]));
  const moved = new Int32Array(insns.length + 1);
  let next = 0;
  for (let i = 0; i < insns.length; i++) {
    moved[i] = next;
    next += at.get(i)?.length ?? 1;
  }
  moved[insns.length] = next;
  const out: Insn[] = [];
  for (let i = 0; i < insns.length; i++) {
    const sequence = at.get(i);
    if (sequence !== undefined) {
      // A distance of the original instruction, if it stands last in the sequence, is mended like any other.
      out.push(...sequence.map((insn) => ({ ...insn })));
      continue;
    }
    const insn = { ...insns[i]! };
    const distance = jumpDistance(insn);
    const relative =
      (insn.code === CALL && insn.src === PSEUDO_CALL) || (insn.code === LD_IMM64 && insn.src === PSEUDO.FUNC);
    if (distance !== undefined) {
      const mended = moved[i + 1 + distance]! - moved[i]! - 1;
      if ((insn.code & 7) === CLASS.JMP32 && (insn.code & 0xf0) === JMP.JA) insn.imm = mended;
      else insn.off = mended;
    } else if (relative) insn.imm = moved[i + 1 + insn.imm]! - moved[i]! - 1;
    out.push(insn);
  }
  return { insns: out, moved };
}
