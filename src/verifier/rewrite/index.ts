// rewrite: what the kernel makes of an accepted program before its JIT compiles it.
// Takes: the instructions of a verdict and what verification learned of each. Gives: the functions that the JIT gets.
// Mirrors: the passes behind do_check in bpf_check, kernel/bpf/verifier.c (6.18), in the kernel's order; of 6.12 what differs.
// Leaves out: offload, programs of unprivileged loaders, epilogues; what of the kernel a pass does not know is refused as
// unsupported.

import type { Insn } from '../../bpf/index.ts';
import type { InsnAux, SubprogInfo, VerifierInput } from '../core/types.ts';
import { PROG_STRUCT_OPS } from '../tables/contexts.table.ts';
import { convertAccesses } from './access.ts';
import { settleAddresses } from './addresses.ts';
import { hardWireBranches, removeDeadCode, removeNops } from './dead.ts';
import { addExceptionCallback } from './exception.ts';
import { extendExchanges } from './extend.ts';
import { dropFastcallSpills } from './fastcall.ts';
import { inlineLoops } from './loops.ts';
import { fixUp, type TailCall } from './misc.ts';
import { type RewrittenFunction, splitFunctions } from './split.ts';
import { type RewriteTarget, unknownTo } from './target.ts';

export type { TailCall } from './misc.ts';
export type { RewrittenFunction } from './split.ts';
export type { RewriteTarget } from './target.ts';

/** What the passes start from: a part of a `Verdict`. */
export interface Accepted {
  insns: readonly Insn[];
  aux: readonly InsnAux[];
  /** With the end sentinel, or without. */
  subprogs: readonly SubprogInfo[];
  /** The program writes to packets; it throws; its own exception callback, by index, 0 without. */
  seenDirectWrite: boolean;
  seenException: boolean;
  exceptionCallback: number;
}

export interface Rewritten {
  functions: RewrittenFunction[];
  tailCalls: TailCall[];
}

/** Of what was handed to the verifier, what the passes ask for. */
export type RewriteInput = Pick<
  VerifierInput,
  'name' | 'progType' | 'expectedAttachType' | 'attachBtfId' | 'sleepable' | 'maps'
>;

/** Ops tables whose programs get a prologue or an epilogue of their own (net/sched/bpf_qdisc.c, 6.16). */
const WITH_EPILOGUE: readonly string[] = ['Qdisc_ops'];

/**
 * Every pass over an accepted program of a privileged loader.
 * @throws VerifierError of kind `unsupported` where a pass meets what it does not model
 */
export function rewriteAccepted(accepted: Accepted, input: RewriteInput, target: RewriteTarget): Rewritten {
  const { insns, aux, subprogs } = accepted;
  const { name, maps, progType } = input;
  const ops = progType === PROG_STRUCT_OPS && input.attachBtfId > 0 ? target.vmlinux.name(input.attachBtfId) : '';
  if (WITH_EPILOGUE.includes(ops)) throw unknownTo(`program '${name}'`, `what the kernel adds to programs of ${ops}`);
  const functions = subprogs.filter(({ start }) => start < insns.length);
  const whole = {
    insns: [...insns],
    aux: [...aux],
    origin: insns.map((_, i) => i),
    starts: [...functions.map(({ start }) => start), insns.length],
    subprogs: functions,
    depths: functions.map(({ stackDepth }) => stackDepth),
  };
  const looped = inlineLoops(dropFastcallSpills(settleAddresses(whole, name, maps)));
  const live = removeNops(removeDeadCode(hardWireBranches(looped)), target.timedMayGoto);
  const converted = convertAccesses(live, { name, progType, writesPacket: accepted.seenDirectWrite }, target);
  const throwing = accepted.seenException && accepted.exceptionCallback === 0;
  const { program, tailCalls } = fixUp(throwing ? addExceptionCallback(converted) : converted, input, target);
  return { functions: splitFunctions(extendExchanges(program)), tailCalls };
}
