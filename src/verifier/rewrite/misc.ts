import { CALL, CLASS, type Insn, JMP, PSEUDO_KFUNC_CALL } from '../../bpf/index.ts';
import { MAP_PTR_POISON } from '../core/types.ts';
import { VerifierError } from '../error.ts';
import { extendExchange, guardDivision } from '../rewrite.ts';
import { applyEdits, type WorkingProgram } from './program.ts';

const MAY_GOTO = CLASS.JMP | JMP.JCOND;

/** What calls turn into: an address, or instructions. Throws `unsupported` for what is not modelled. */
export interface CallRewriter {
  /** What replaces a helper's call; `map`: the only map that it is called with, as an index, −1 if not known. */
  helper(insn: Insn, map: number, where: string): readonly Insn[];
  kfunc(insn: Insn, where: string): readonly Insn[];
}

/** 32-bit compare-and-exchange is followed by a zero extension (`opt_subreg_zext_lo32_rnd_hi32`, 6.18). */
export function extendExchanges(program: WorkingProgram): WorkingProgram {
  const edits = new Map<number, readonly Insn[]>();
  program.insns.forEach((insn, i) => {
    const extended = extendExchange(i, insn);
    if (extended !== undefined && program.aux[i]!.zextDst) edits.set(i, extended.insns);
  });
  return applyEdits(program, edits);
}

/** Guards divisions and settles calls (`do_misc_fixups`, 6.18). */
export function fixUp(program: WorkingProgram, name: string, calls: CallRewriter): WorkingProgram {
  const edits = new Map<number, readonly Insn[]>();
  program.insns.forEach((insn, i) => {
    const aux = program.aux[i]!;
    const where = `${name}: insn ${i}`;
    if (insn.code === MAY_GOTO)
      throw new VerifierError('may_goto is not rewritten yet', where, 'VERIFIER', 'unsupported');
    if (aux.fastcallSpillsNum > 0 || aux.loopInlineFit || aux.kptrStructMeta !== null)
      throw new VerifierError('this call is not rewritten yet', where, 'VERIFIER', 'unsupported');
    if (insn.code === CALL) {
      const { mapPtr, mapIndex } = aux;
      if (insn.src === PSEUDO_KFUNC_CALL) edits.set(i, calls.kfunc(insn, where));
      else if (insn.src === 0) edits.set(i, calls.helper(insn, mapPtr === MAP_PTR_POISON ? -1 : mapIndex, where));
      return;
    }
    const guarded = guardDivision(i, insn);
    if (guarded !== undefined) edits.set(i, guarded.insns);
  });
  return applyEdits(program, edits);
}
