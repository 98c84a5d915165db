import { CLASS, type Insn, JMP } from '../../bpf/index.ts';
import { functionOf, type WorkingProgram } from './program.ts';

const NOP: Insn = { code: CLASS.JMP | JMP.JA, dst: 0, src: 0, off: 0, imm: 0 };

/**
 * Spills and fills around a call that spares all registers become nops, and the function needs that stack no more
 * (`remove_fastcall_spills_fills`, 6.18).
 */
export function dropFastcallSpills(program: WorkingProgram): WorkingProgram {
  const of = functionOf(program);
  const insns = [...program.insns];
  const depths = [...program.depths];
  program.aux.forEach(({ fastcallSpillsNum: spills }, i) => {
    for (let k = 1; k <= spills; k++) {
      insns[i - k] = NOP;
      insns[i + k] = NOP;
    }
    const subprog = program.subprogs[of[i]!]!;
    if (spills > 0 && !subprog.keepFastcallStack) depths[of[i]!] = -subprog.fastcallStackOff;
  });
  return { ...program, insns, depths };
}
