// rewrite: what the kernel makes of an accepted program before its JIT compiles it.
// Takes: the instructions of a verdict and what verification learned of each. Gives: the functions that the JIT gets.
// Mirrors: the passes behind do_check in bpf_check, kernel/bpf/verifier.c (6.18), in the kernel's order.
// Leaves out: fields of contexts and sockets, may_goto, inlined loops, tail calls, fastcall spills, arenas; these are
// refused as unsupported or, where noted, stay as the program has them.

import type { Insn } from '../../bpf/index.ts';
import type { InsnAux, SubprogInfo, VerifierInput } from '../core/types.ts';
import { convertAccesses } from './access.ts';
import { settleAddresses } from './addresses.ts';
import { hardWireBranches, removeDeadCode, removeNops } from './dead.ts';
import { type CallRewriter, extendExchanges, fixUp } from './misc.ts';
import { type RewrittenFunction, splitFunctions } from './split.ts';

export type { CallRewriter } from './misc.ts';
export type { RewrittenFunction } from './split.ts';

/** What the passes start from: a part of a `Verdict`. */
export interface Accepted {
  insns: readonly Insn[];
  aux: readonly InsnAux[];
  /** With the end sentinel, or without. */
  subprogs: readonly SubprogInfo[];
}

/**
 * Every pass over an accepted program of a privileged loader.
 * @throws VerifierError of kind `unsupported` where a pass meets what it does not model
 */
export function rewriteAccepted(
  { insns, aux, subprogs }: Accepted,
  name: string,
  { progType, maps }: Pick<VerifierInput, 'progType' | 'maps'>,
  calls: CallRewriter,
): RewrittenFunction[] {
  const functions = subprogs.filter(({ start }) => start < insns.length);
  const whole = {
    insns: [...insns],
    aux: [...aux],
    starts: [...functions.map(({ start }) => start), insns.length],
    subprogs: functions,
  };
  const live = removeNops(removeDeadCode(hardWireBranches(settleAddresses(whole, name, maps))));
  return splitFunctions(fixUp(extendExchanges(convertAccesses(live, name, progType)), name, calls));
}
