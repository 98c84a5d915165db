import { ALU, ATOMIC, CLASS, type Insn, MODE, SIZE, SRC_X } from '../../bpf/index.ts';
import { insn, R0 } from './build.ts';
import { applyEdits, type WorkingProgram } from './program.ts';

/**
 * x86's 32-bit compare-and-exchange leaves the upper half of rax alone where it succeeds: R0 is zero-extended after it where
 * its upper half is read (`opt_subreg_zext_lo32_rnd_hi32`, 6.18).
 */
export function extendExchanges(program: WorkingProgram): WorkingProgram {
  const edits = new Map<number, readonly Insn[]>();
  program.insns.forEach((original, i) => {
    const exchanges = original.code === (CLASS.STX | MODE.ATOMIC | SIZE.W) && original.imm === ATOMIC.CMPXCHG;
    if (exchanges && program.aux[i]!.zextDst) edits.set(i, [original, insn(CLASS.ALU | ALU.MOV | SRC_X, R0, R0, 0, 1)]);
  });
  return applyEdits(program, edits);
}
