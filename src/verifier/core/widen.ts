import type { VerifierEnv } from './env.ts';
import { IdMap, regsExact, sameCallsites } from './equal.ts';
import * as T from './reg_types.table.ts';
import { markRegUnknown } from './regs.ts';
import type { Env, RegState, VerifierState } from './types.ts';

/** The newest checkpoint of instruction `at` that the current path went through, before `from` (`find_prev_entry`). */
export function findPrevEntry(env: VerifierEnv, from: VerifierState | null, at: number): VerifierState | null {
  for (let state = from?.parent ?? null; state; state = state.parent) {
    if (state.insnIdx === at && state.branches > 0 && !state.evicted && sameCallsites(state, env.cur)) return state;
  }
  return null;
}

function widen(env: Env, old: RegState, cur: RegState, ids: IdMap): void {
  if (old.type !== T.SCALAR_VALUE || cur.type !== T.SCALAR_VALUE) return;
  if (old.precise || cur.precise || regsExact(old, cur, ids)) return;
  markRegUnknown(env, cur);
}

/** Scalars that changed around a loop and are not needed precisely are forgotten in `cur` (`widen_imprecise_scalars`). */
export function widenImprecise(env: Env, old: VerifierState, cur: VerifierState): void {
  const ids = new IdMap();
  for (let f = old.curframe; f >= 0; f--) {
    const was = old.frame[f]!;
    const now = cur.frame[f]!;
    for (let i = 0; i < T.MAX_BPF_REG; i++) widen(env, was.regs[i]!, now.regs[i]!, ids);
    for (let i = 0; i < was.stack.length; i++) {
      const slot = now.stack[i];
      if (slot && was.stack[i]!.slotType[7] === T.STACK_SPILL && slot.slotType[7] === T.STACK_SPILL)
        widen(env, was.stack[i]!.spilled, slot.spilled, ids);
    }
  }
}
