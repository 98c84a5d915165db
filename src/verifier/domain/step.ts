import { ult } from './i64.ts';
import { type ScalarRange, setConst } from './range.ts';

/** Bits above bit `d` of one half; `d` below 0 means all, 31 and more none. */
const above = (d: number): number => (d < 0 ? -1 : d >= 31 ? 0 : -1 << (d + 1));

/** Result of {@link nextMember}. */
let nextLo = 0;
let nextHi = 0;

/**
 * The smallest number above lo:hi whose bits agree with what is known of `r`, or the largest of them if none is
 * (`tnum_step`). lo:hi is not below the smallest. Leaves it in nextHi:nextLo.
 */
function nextMember(r: ScalarRange, lo: number, hi: number): void {
  const { varLo, varHi, maskLo, maskHi } = r;
  nextLo = varLo | maskLo;
  nextHi = varHi | maskHi;
  if (!ult(lo, hi, nextLo, nextHi)) return;
  const xLo = (lo + 1) | 0;
  const xHi = (hi + (xLo === 0 ? 1 : 0)) | 0;
  const wrongLo = (xLo ^ varLo) & ~maskLo;
  const wrongHi = (xHi ^ varHi) & ~maskHi;
  if ((wrongLo | wrongHi) === 0) {
    nextLo = xLo;
    nextHi = xHi;
    return;
  }
  const d = wrongHi ? 63 - Math.clz32(wrongHi) : 31 - Math.clz32(wrongLo);
  const aboveLo = above(d);
  const aboveHi = above(d - 32);
  const mustBeSet = d < 32 ? varLo & (1 << d) : varHi & (1 << (d - 32));
  if (mustBeSet) {
    nextLo = (xLo & aboveLo) | (varLo & ~aboveLo);
    nextHi = (xHi & aboveHi) | (varHi & ~aboveHi);
    return;
  }
  const upLo = ((xLo | ~maskLo | ~aboveLo) + 1) | 0;
  const upHi = ((xHi | ~maskHi | ~aboveHi) + (upLo === 0 ? 1 : 0)) | 0;
  nextLo = (upLo & maskLo & aboveLo) | varLo;
  nextHi = (upHi & maskHi & aboveHi) | varHi;
}

/**
 * Where the unsigned range and the known bits share one number only, that is it; where they share none, the largest
 * that the bits allow is taken (end of `__update_reg64_bounds`).
 */
export function settleSingle(r: ScalarRange): void {
  const { varLo, varHi, maskLo, maskHi, uminLo, uminHi, umaxLo, umaxHi } = r;
  if ((maskLo & maskHi) === -1) {
    if (uminLo === umaxLo && uminHi === umaxHi && (uminLo & uminHi) !== -1) setConst(r, uminLo, uminHi);
    return;
  }
  nextMember(r, uminLo, uminHi);
  const lo = nextLo;
  const hi = nextHi;
  const isMember = (uminLo & ~maskLo) === varLo && (uminHi & ~maskHi) === varHi;
  if (isMember) {
    if (ult(umaxLo, umaxHi, lo, hi)) setConst(r, uminLo, uminHi);
    return;
  }
  if (lo === (varLo | maskLo) && hi === (varHi | maskHi)) {
    setConst(r, lo, hi);
    return;
  }
  if (ult(umaxLo, umaxHi, lo, hi)) return;
  nextMember(r, lo, hi);
  if (ult(umaxLo, umaxHi, nextLo, nextHi)) setConst(r, lo, hi);
}
