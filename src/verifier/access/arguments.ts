import * as T from '../core/reg_types.table.ts';
import { markRegKnownZero, markRegUnknown } from '../core/regs.ts';
import type { Env, VerifierState } from '../core/types.ts';
import { unsupported } from './unsupported.ts';

/** Registers at the entry of the main program: R1 is the context (`do_check_common`). */
export function initArguments(env: Env, state: VerifierState, subprog: number): void {
  if (subprog !== 0) unsupported(env, 'global functions');
  const ctx = state.frame[0]!.regs[1]!;
  markRegUnknown(env, ctx);
  ctx.type = T.PTR_TO_CTX;
  markRegKnownZero(ctx);
}
