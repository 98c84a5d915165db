import { CALL, CLASS, type Insn, JMP, LD_IMM64, PSEUDO, PSEUDO_CALL } from '../../bpf/index.ts';
import type { InsnAux, SubprogInfo } from '../core/types.ts';
import { jumpDistance } from '../structure.ts';

/** A program between two passes: instructions, what is known of each, and where its functions start. */
export interface WorkingProgram {
  insns: Insn[];
  aux: InsnAux[];
  /** First slot of every function, then the number of slots. */
  starts: number[];
  subprogs: SubprogInfo[];
}

/** What stands at a slot after a pass; an empty list removes it. */
export type Edits = ReadonlyMap<number, readonly Insn[]>;

/**
 * Applies the edits of a pass at once, as the kernel's bpf_patch_insn_data and verifier_remove_insns (6.18) do one by one:
 * distances that span an edit are mended, jumps to an edited slot go to the start of what stands there now, or to what
 * follows if nothing does. Distances inside of a sequence are its own. What was known of an instruction stays with the
 * last of its sequence; functions of which nothing is left vanish.
 */
export function applyEdits(program: WorkingProgram, edits: Edits): WorkingProgram {
  if (edits.size === 0) return program;
  const { insns, aux } = program;
  const moved = new Int32Array(insns.length + 1);
  for (let i = 0; i < insns.length; i++) moved[i + 1] = moved[i]! + (edits.get(i)?.length ?? 1);
  const outInsns: Insn[] = [];
  const outAux: InsnAux[] = [];
  for (let i = 0; i < insns.length; i++) {
    const sequence = edits.get(i);
    if (sequence === undefined) outInsns.push(mended(insns[i]!, i, moved));
    else outInsns.push(...sequence.map((insn) => ({ ...insn })));
    while (outAux.length < outInsns.length) outAux.push(aux[i]!);
  }
  const starts: number[] = [];
  const subprogs: SubprogInfo[] = [];
  program.subprogs.forEach((subprog, k) => {
    const [start, end] = [moved[program.starts[k]!]!, moved[program.starts[k + 1]!]!];
    if (start === end) return;
    starts.push(start);
    subprogs.push(subprog);
  });
  return { insns: outInsns, aux: outAux, starts: [...starts, outInsns.length], subprogs };
}

function mended(original: Insn, at: number, moved: Int32Array): Insn {
  const insn = { ...original };
  const behind = moved[at]! + 1;
  const distance = jumpDistance(insn);
  if (distance !== undefined) {
    const now = moved[at + 1 + distance]! - behind;
    if ((insn.code & 7) === CLASS.JMP32 && (insn.code & 0xf0) === JMP.JA) insn.imm = now;
    else insn.off = now;
  } else if (isOwnCall(insn)) insn.imm = moved[at + 1 + insn.imm]! - behind;
  return insn;
}

/** A call of one of the program's own functions, or a reference to one: `imm` is a distance. */
export const isOwnCall = (insn: Insn): boolean =>
  (insn.code === CALL && insn.src === PSEUDO_CALL) || (insn.code === LD_IMM64 && insn.src === PSEUDO.FUNC);
