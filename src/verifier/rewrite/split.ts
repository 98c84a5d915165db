import type { Insn } from '../../bpf/index.ts';
import { PRIV_STACK_ADAPTIVE } from '../core/depth.ts';
import { dropTags } from './addresses.ts';
import { isHidden } from './exception.ts';
import { isOwnCall, type WorkingProgram } from './program.ts';

/** A function as the JIT gets it. */
export interface RewrittenFunction {
  name: string;
  /** Calls of own functions and LD_IMM64 of one keep their tag and have the callee's index in `off`, and no address yet. */
  insns: Insn[];
  /** The slot of the loaded program that each instruction stems from. */
  origin: Int32Array;
  /** Bytes. */
  stackDepth: number;
  tailCallReachable: boolean;
  exceptionCallback: boolean;
  /** Not the program's own: the kernel does not tell of it. */
  hidden: boolean;
  /** Its frame lies on a stack of its own (6.13). */
  privateStack: boolean;
}

/**
 * Every function by itself, callees named by their index (`jit_subprogs`, 6.18). Functions are copied before the tags of
 * 64-bit loads are dropped: only a program of one function loses them.
 */
export function splitFunctions({ insns, origin, starts, subprogs, depths }: WorkingProgram): RewrittenFunction[] {
  const index = new Map(starts.map((start, k) => [start, k]));
  return subprogs.map((subprog, k) => {
    const [start, end] = [starts[k]!, starts[k + 1]!];
    const own = insns.slice(start, end).map((insn, i) => {
      if (!isOwnCall(insn)) return insn;
      const callee = index.get(start + i + 1 + insn.imm) ?? 0;
      return { ...insn, off: callee, imm: 0 };
    });
    return {
      name: subprog.name,
      insns: subprogs.length === 1 ? dropTags(own) : own,
      origin: Int32Array.from(origin.slice(start, end)),
      stackDepth: depths[k]!,
      tailCallReachable: subprog.tailCallReachable,
      exceptionCallback: subprog.isExceptionCb,
      hidden: isHidden(subprog),
      privateStack: subprog.privStackMode === PRIV_STACK_ADAPTIVE,
    };
  });
}
