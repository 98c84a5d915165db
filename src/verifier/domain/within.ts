import { slt, ult } from './i64.ts';
import type { ScalarRange } from './range.ts';

/** Whether every bit that `old` knows, `cur` knows with the same value (`tnum_in`). */
export function tnumIn(old: ScalarRange, cur: ScalarRange): boolean {
  if ((cur.maskLo & ~old.maskLo) | (cur.maskHi & ~old.maskHi)) return false;
  return old.varLo === (cur.varLo & ~old.maskLo) && old.varHi === (cur.varHi & ~old.maskHi);
}

/** Whether all bounds of `cur` lie within `old`'s (`range_within`). */
export function rangeWithin(old: ScalarRange, cur: ScalarRange): boolean {
  return (
    !ult(cur.uminLo, cur.uminHi, old.uminLo, old.uminHi) &&
    !ult(old.umaxLo, old.umaxHi, cur.umaxLo, cur.umaxHi) &&
    !slt(cur.sminLo, cur.sminHi, old.sminLo, old.sminHi) &&
    !slt(old.smaxLo, old.smaxHi, cur.smaxLo, cur.smaxHi) &&
    old.u32min <= cur.u32min &&
    old.u32max >= cur.u32max &&
    old.s32min <= cur.s32min &&
    old.s32max >= cur.s32max
  );
}
