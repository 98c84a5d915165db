import type { VerifierEnv } from './env.ts';
import { IdMap, regsExact, sameCallsites } from './equal.ts';
import * as T from './reg_types.table.ts';
import { markRegUnknown } from './regs.ts';
import type { Env, RegView, VerifierState } from './types.ts';

/** The newest checkpoint of instruction `at` that the current path went through, before `from` (`find_prev_entry`). */
export function findPrevEntry(env: VerifierEnv, from: VerifierState | null, at: number): VerifierState | null {
  for (let state = from?.parent ?? null; state; state = state.parent) {
    if (state.insnIdx === at && state.branches > 0 && !state.evicted && sameCallsites(state, env.cur)) return state;
  }
  return null;
}

/** Imprecise scalars that differ (`maybe_widen_reg`). */
function changed(old: RegView, cur: RegView, ids: IdMap): boolean {
  if (old.type !== T.SCALAR_VALUE || cur.type !== T.SCALAR_VALUE) return false;
  return !old.precise && !cur.precise && !regsExact(old, cur, ids);
}

/** Scalars that changed around a loop and are not needed precisely are forgotten in `cur` (`widen_imprecise_scalars`). */
export function widenImprecise(env: Env, old: VerifierState, cur: VerifierState): void {
  const ids = new IdMap();
  for (let f = old.curframe; f >= 0; f--) {
    const was = old.frame[f]!;
    const now = cur.frame[f]!;
    for (let i = 0; i < T.MAX_BPF_REG; i++) if (changed(was.peek(i), now.peek(i), ids)) markRegUnknown(env, now.reg(i));
    for (let i = 0; i < was.depth; i++) {
      const a = was.peekSlot(i)!;
      const b = now.peekSlot(i);
      if (!b || a.slotType[7] !== T.STACK_SPILL || b.slotType[7] !== T.STACK_SPILL) continue;
      if (changed(a.spilled, b.spilled, ids)) markRegUnknown(env, now.slot(i).spilled);
    }
  }
}
