import { type Insn, MODE, SIZE } from '../../bpf/index.ts';
import { pushStack } from '../core/branch.ts';
import { prepareFuncExit } from '../core/calls.ts';
import { markRegScratched, type VerifierEnv } from '../core/env.ts';
import { typeStr } from '../core/log.ts';
import * as T from '../core/reg_types.table.ts';
import { checkRegArg, clearCallerSaved, markRegKnownZero, markRegUnknown } from '../core/regs.ts';
import { type Env, reject } from '../core/types.ts';
import * as P from '../tables/contexts.table.ts';
import { checkResourceLeak } from './references.ts';
import { checkPtrOff } from './region.ts';

/** `may_access_skb`. */
const PACKET_TYPES: readonly number[] = [P.PROG_SOCKET_FILTER, P.PROG_SCHED_CLS, P.PROG_SCHED_ACT];
const CTX = 6;

/**
 * A legacy load from the packet of the context in R6 (`check_ld_abs`). One that fails ends its function with R0 = 0:
 * within a program's own functions both outcomes are walked.
 */
export function checkLdAbs(env: Env, insn: Insn): void {
  if (!PACKET_TYPES.includes(env.input.progType))
    reject(env, 'EINVAL', 'BPF_LD_[ABS|IND] instructions not allowed for this program type');
  const { cur } = env;
  for (let f = cur.curframe; f > 0; f--)
    if (cur.frame[f]!.inCallbackFn) reject(env, 'EINVAL', 'cannot use BPF_LD_[ABS|IND] within callback');
  const indirect = (insn.code & 0xe0) === MODE.IND;
  if (insn.dst !== 0 || insn.off !== 0 || (insn.code & SIZE.DW) === SIZE.DW || (!indirect && insn.src !== 0))
    reject(env, 'EINVAL', 'BPF_LD_[ABS|IND] uses reserved fields');
  checkRegArg(env, CTX, 'src');
  checkResourceLeak(env, false, true, 'BPF_LD_[ABS|IND]');
  const { type } = env.peek(CTX);
  if (type !== T.PTR_TO_CTX) reject(env, 'EINVAL', 'at the time of BPF_LD_ABS|IND R6 != pointer to skb');
  if (indirect) checkRegArg(env, insn.src, 'src');
  checkPtrOff(env, CTX, typeStr(type), false);
  clearCallerSaved(env, env.func());
  markRegUnknown(env, env.reg(0));
  env.reg(0).subregDef = env.insnIdx + 1;
  if (cur.curframe === 0) return;
  markRegScratched(env, 0);
  pushStack(env, env.insnIdx + 1, env.insnIdx, false);
  const r0 = env.reg(0);
  r0.type = T.SCALAR_VALUE;
  markRegKnownZero(r0);
  prepareFuncExit(env as VerifierEnv);
  env.insnIdx--;
}
