import { CLASS, type Insn, JMP } from '../../bpf/index.ts';
import { MAY_GOTO } from './may_goto.ts';
import { applyEdits, type WorkingProgram } from './program.ts';

const JA = CLASS.JMP | JMP.JA;
const GONE: readonly Insn[] = [];

/** Conditional jumps of which one side was never walked become `goto` (`opt_hard_wire_dead_code_branches`, 6.18). */
export function hardWireBranches(program: WorkingProgram): WorkingProgram {
  const { insns, aux } = program;
  const edits = insns.map((insn, i) => {
    if (!isConditional(insn)) return insn;
    if (aux[i + 1]!.seen === 0) return { code: JA, dst: 0, src: 0, off: insn.off, imm: 0 };
    if (aux[i + 1 + insn.off]!.seen === 0) return { code: JA, dst: 0, src: 0, off: 0, imm: 0 };
    return insn;
  });
  return { ...program, insns: edits };
}

function isConditional({ code }: Insn): boolean {
  const kind = code & 7;
  const op = code & 0xf0;
  return kind === CLASS.JMP32
    ? op !== JMP.JA
    : kind === CLASS.JMP && op !== JMP.JA && op !== JMP.CALL && op !== JMP.EXIT;
}

/** Removes what was never walked (`opt_remove_dead_code`, 6.18); functions included. */
export function removeDeadCode(program: WorkingProgram): WorkingProgram {
  const edits = new Map<number, readonly Insn[]>();
  program.aux.forEach(({ seen }, i) => {
    if (seen === 0) edits.set(i, GONE);
  });
  return applyEdits(program, edits);
}

/**
 * Removes jumps to the next instruction (`opt_remove_nops`, 6.18). A `may_goto` that then spans nothing goes too; a `goto`
 * that then spans nothing stays, as in the kernel.
 * @param mayGoto a `may_goto` to the next instruction goes as well (6.14)
 */
export function removeNops(program: WorkingProgram, mayGoto: boolean): WorkingProgram {
  const edits = new Map<number, readonly Insn[]>();
  const { insns } = program;
  insns.forEach(({ code, off }, i) => {
    if ((code !== JA && (code !== MAY_GOTO || !mayGoto)) || off !== 0) return;
    edits.set(i, GONE);
    if (code === MAY_GOTO) removeSpanning(insns, i - 1, edits);
  });
  return applyEdits(program, edits);
}

/** Before a removed `may_goto`: others that jump over removed slots only, up to the first that is none. */
function removeSpanning(insns: readonly Insn[], last: number, edits: Map<number, readonly Insn[]>): void {
  for (let i = last; i >= 0; i--) {
    const { code, off } = insns[i]!;
    if ((code !== MAY_GOTO && code !== JA) || off < 0) return;
    for (let k = 1; k <= off; k++) if (!edits.has(i + k)) return;
    edits.set(i, GONE);
    if (code === JA) return;
  }
}
