import * as T from '../core/reg_types.table.ts';
import { markRegKnownZero, markRegUnknown } from '../core/regs.ts';
import { type Env, type RegState, Reject, reject, type SubprogArg, type VerifierState } from '../core/types.ts';
import * as A from '../tables/arg_types.table.ts';
import { DYNPTR_LOCAL } from './_slots.ts';
import { markCallbackDynptr } from './dynptr.ts';
import { prepareFuncArgs, prepareMainArgs } from './subprog_args.ts';

/** Registers at the entry of the main program and of a global function (`do_check_common`). */
export function initArguments(env: Env, state: VerifierState, subprog: number): void {
  const { regs } = state.frame[0]!;
  if (subprog === 0) {
    prepareMainArgs(env);
    markRegUnknown(env, regs[1]!);
    regs[1]!.type = T.PTR_TO_CTX;
    markRegKnownZero(regs[1]!);
    return;
  }
  const info = env.subprogs[subprog]!;
  if (!prepareFuncArgs(env, subprog)) throw new Reject('EINVAL');
  if (info.isExceptionCb) {
    state.frame[0]!.inExceptionCallbackFn = true;
    if (info.argCnt !== 1 || info.args[0]!.argType !== A.ARG_ANYTHING)
      reject(env, 'EINVAL', 'exception cb only supports single integer argument');
  }
  info.args.forEach((arg, i) => {
    markRegUnknown(env, regs[i + 1]!);
    setArgument(env, regs[i + 1]!, arg);
  });
}

/** What a global function may take for granted of an argument. */
function setArgument(env: Env, reg: RegState, { argType, memSize, btfId }: SubprogArg): void {
  const flags = argType & ~T.BASE_TYPE_MASK;
  switch (argType & T.BASE_TYPE_MASK) {
    case A.ARG_ANYTHING:
    case A.ARG_PTR_TO_ARENA:
      return;
    case A.ARG_PTR_TO_CTX:
      reg.type = T.PTR_TO_CTX;
      markRegKnownZero(reg);
      return;
    case A.ARG_PTR_TO_DYNPTR:
      markCallbackDynptr(env, reg, DYNPTR_LOCAL);
      return;
    case A.ARG_PTR_TO_BTF_ID:
      reg.type = T.PTR_TO_BTF_ID | flags;
      markRegKnownZero(reg);
      reg.btf = env.vmlinux;
      reg.btfId = btfId;
      break;
    default:
      reg.type = T.PTR_TO_MEM | flags;
      markRegKnownZero(reg);
      reg.memSize = memSize;
  }
  if (flags & T.PTR_MAYBE_NULL) reg.id = ++env.idGen;
}
