import { CALL, type Insn } from '../../bpf/index.ts';
import { isOwnCall, type WorkingProgram } from './program.ts';

/** A function as the JIT gets it. */
export interface RewrittenFunction {
  name: string;
  /** Calls of own functions keep BPF_PSEUDO_CALL with the callee's index in `off`; LD_IMM64 of one has it in `imm`. */
  insns: Insn[];
  /** Bytes. */
  stackDepth: number;
}

/** Every function by itself, callees named by their index (`jit_subprogs`, 6.18). */
export function splitFunctions({ insns, starts, subprogs }: WorkingProgram): RewrittenFunction[] {
  const index = new Map(starts.map((start, k) => [start, k]));
  return subprogs.map((subprog, k) => {
    const start = starts[k]!;
    const own = insns.slice(start, starts[k + 1]).map((insn, i) => {
      if (!isOwnCall(insn)) return insn;
      const callee = index.get(start + i + 1 + insn.imm) ?? 0;
      return insn.code === CALL ? { ...insn, off: callee, imm: 0 } : { ...insn, imm: callee };
    });
    return { name: subprog.name, insns: own, stackDepth: subprog.stackDepth };
  });
}
