import * as T from '../core/reg_types.table.ts';
import { markRegKnownZero, markRegUnknown } from '../core/regs.ts';
import { type Env, Reject, reject, type VerifierState } from '../core/types.ts';
import * as A from '../tables/arg_types.table.ts';
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
  info.args.forEach(({ argType, memSize }, i) => {
    const reg = regs[i + 1]!;
    markRegUnknown(env, reg);
    if (argType === A.ARG_ANYTHING) return;
    if (argType === A.ARG_PTR_TO_CTX) {
      reg.type = T.PTR_TO_CTX;
      markRegKnownZero(reg);
      return;
    }
    reg.type = T.PTR_TO_MEM | (argType & T.PTR_MAYBE_NULL);
    markRegKnownZero(reg);
    reg.memSize = memSize;
    if (argType & T.PTR_MAYBE_NULL) reg.id = ++env.idGen;
  });
}
