import { slt, ult } from './i64.ts';
import type { ScalarRange } from './range.ts';
import { settleSingle } from './step.ts';

export function raiseSmin(r: ScalarRange, lo: number, hi: number): void {
  if (slt(r.sminLo, r.sminHi, lo, hi)) {
    r.sminLo = lo | 0;
    r.sminHi = hi | 0;
  }
}

export function lowerSmax(r: ScalarRange, lo: number, hi: number): void {
  if (slt(lo, hi, r.smaxLo, r.smaxHi)) {
    r.smaxLo = lo | 0;
    r.smaxHi = hi | 0;
  }
}

export function raiseUmin(r: ScalarRange, lo: number, hi: number): void {
  if (ult(r.uminLo, r.uminHi, lo, hi)) {
    r.uminLo = lo | 0;
    r.uminHi = hi | 0;
  }
}

export function lowerUmax(r: ScalarRange, lo: number, hi: number): void {
  if (ult(lo, hi, r.umaxLo, r.umaxHi)) {
    r.umaxLo = lo | 0;
    r.umaxHi = hi | 0;
  }
}

function tightenS32(r: ScalarRange, min: number, max: number): void {
  r.s32min = Math.max(r.s32min, min | 0);
  r.s32max = Math.min(r.s32max, max | 0);
}

function tightenU32(r: ScalarRange, min: number, max: number): void {
  r.u32min = Math.max(r.u32min, min >>> 0);
  r.u32max = Math.min(r.u32max, max >>> 0);
}

/** Bounds from the known bits (`__update_reg_bounds`). */
export function boundsFromBits(r: ScalarRange): void {
  const { varLo, varHi, maskLo, maskHi } = r;
  tightenS32(r, varLo | (maskLo & -0x80000000), varLo | (maskLo & 0x7fffffff));
  tightenU32(r, varLo, varLo | maskLo);
  raiseSmin(r, varLo, varHi | (maskHi & -0x80000000));
  lowerSmax(r, varLo | maskLo, varHi | (maskHi & 0x7fffffff));
  raiseUmin(r, varLo, varHi);
  lowerUmax(r, varLo | maskLo, varHi | maskHi);
  settleSingle(r);
}

/** 32-bit bounds from a 64-bit range that stays within one upper half, or passes from negative to positive s32. */
function deduce32From64(r: ScalarRange): void {
  if (r.uminHi === r.umaxHi) {
    tightenU32(r, r.uminLo, r.umaxLo);
    if (r.uminLo <= r.umaxLo) tightenS32(r, r.uminLo, r.umaxLo);
  }
  if (r.sminHi === r.smaxHi) {
    if (r.sminLo >>> 0 <= r.smaxLo >>> 0) tightenU32(r, r.sminLo, r.smaxLo);
    if (r.sminLo <= r.smaxLo) tightenS32(r, r.sminLo, r.smaxLo);
  }
  if (((r.uminHi + 1) | 0) === r.umaxHi && r.uminLo < 0 && r.umaxLo >= 0) tightenS32(r, r.uminLo, r.umaxLo);
  if (((r.sminHi + 1) | 0) === r.smaxHi && r.sminLo < 0 && r.smaxLo >= 0) tightenS32(r, r.sminLo, r.smaxLo);
}

/** `__reg32_deduce_bounds`. */
function deduce32(r: ScalarRange): void {
  deduce32From64(r);
  if ((r.u32min | 0) <= (r.u32max | 0)) tightenS32(r, r.u32min, r.u32max);
  if (r.s32min >>> 0 <= r.s32max >>> 0) {
    tightenU32(r, r.s32min, r.s32max);
  } else if (r.u32max < r.s32min >>> 0) {
    r.s32min = r.u32min | 0;
    r.u32max = Math.min(r.u32max, r.s32max >>> 0);
  } else if (r.s32max >>> 0 < r.u32min) {
    r.s32max = r.u32max | 0;
    r.u32min = Math.max(r.u32min, r.s32min >>> 0);
  }
}

/** `__reg64_deduce_bounds`; a signed range across the sign boundary helps if the unsigned one meets one end of it. */
function deduce64(r: ScalarRange): void {
  if (!slt(r.umaxLo, r.umaxHi, r.uminLo, r.uminHi)) {
    raiseSmin(r, r.uminLo, r.uminHi);
    lowerSmax(r, r.umaxLo, r.umaxHi);
  }
  if (!ult(r.smaxLo, r.smaxHi, r.sminLo, r.sminHi)) {
    raiseUmin(r, r.sminLo, r.sminHi);
    lowerUmax(r, r.smaxLo, r.smaxHi);
  } else if (ult(r.umaxLo, r.umaxHi, r.sminLo, r.sminHi)) {
    r.sminLo = r.uminLo;
    r.sminHi = r.uminHi;
    lowerUmax(r, r.smaxLo, r.smaxHi);
  } else if (ult(r.smaxLo, r.smaxHi, r.uminLo, r.uminHi)) {
    r.smaxLo = r.umaxLo;
    r.smaxHi = r.umaxHi;
    raiseUmin(r, r.sminLo, r.sminHi);
  }
}

/** 64-bit bounds with their lower halves replaced by 32-bit ones. */
function lowerHalves(r: ScalarRange, min: number, max: number): void {
  raiseUmin(r, min, r.uminHi);
  lowerUmax(r, max, r.umaxHi);
  raiseSmin(r, min, r.sminHi);
  lowerSmax(r, max, r.smaxHi);
}

/** `__reg_deduce_mixed_bounds`. */
function deduceMixed(r: ScalarRange): void {
  lowerHalves(r, r.u32min, r.u32max);
  if (r.s32min >>> 0 <= r.s32max >>> 0) lowerHalves(r, r.s32min, r.s32max);
  if (r.s32min >= 0 && !slt(r.sminLo, r.sminHi, -0x80000000, -1) && !slt(0x7fffffff, 0, r.smaxLo, r.smaxHi)) {
    r.sminLo = r.uminLo = r.s32min;
    r.smaxLo = r.umaxLo = r.s32max;
    r.sminHi = r.uminHi = r.s32min >> 31;
    r.smaxHi = r.umaxHi = r.s32max >> 31;
    intersectRange(r, r.sminLo, r.sminHi, r.smaxLo, r.smaxHi);
  }
}

function spread(bits: number): number {
  return bits === 0 ? 0 : -1 >>> Math.clz32(bits);
}

/** Keeps of the known bits those of numbers from min to max (`tnum_intersect` with `tnum_range`). */
function intersectRange(r: ScalarRange, minLo: number, minHi: number, maxLo: number, maxHi: number): void {
  const deltaHi = spread(minHi ^ maxHi);
  const deltaLo = deltaHi ? -1 : spread(minLo ^ maxLo);
  const varLo = r.varLo | (minLo & ~deltaLo);
  const varHi = r.varHi | (minHi & ~deltaHi);
  r.maskLo &= deltaLo;
  r.maskHi &= deltaHi;
  r.varLo = varLo & ~r.maskLo;
  r.varHi = varHi & ~r.maskHi;
}

/** `tnum_range` as the known bits. */
export function setBitsFromRange(r: ScalarRange, minLo: number, minHi: number, maxLo: number, maxHi: number): void {
  r.maskHi = spread(minHi ^ maxHi);
  r.maskLo = r.maskHi ? -1 : spread(minLo ^ maxLo);
  r.varLo = minLo & ~r.maskLo;
  r.varHi = minHi & ~r.maskHi;
}

/** Known bits from the bounds (`__reg_bound_offset`). */
function bitsFromBounds(r: ScalarRange): void {
  intersectRange(r, r.uminLo, r.uminHi, r.umaxLo, r.umaxHi);
  const delta = spread(r.u32min ^ r.u32max);
  const value = r.varLo | (r.u32min & ~delta);
  r.maskLo &= delta;
  r.varLo = value & ~r.maskLo;
}

/** Lets bits and bounds of all widths learn from one another (`reg_bounds_sync`). */
export function boundsSync(r: ScalarRange): void {
  boundsFromBits(r);
  for (let round = 0; round < 3; round++) {
    deduce32(r);
    deduce64(r);
    deduceMixed(r);
  }
  bitsFromBounds(r);
  boundsFromBits(r);
}

/** What contradicts itself in `r`, in the words of `reg_bounds_sanity_check`, or null. */
export function boundsViolation(r: ScalarRange): string | null {
  if (
    ult(r.umaxLo, r.umaxHi, r.uminLo, r.uminHi) ||
    slt(r.smaxLo, r.smaxHi, r.sminLo, r.sminHi) ||
    r.u32min > r.u32max ||
    r.s32min > r.s32max
  )
    return 'range bounds violation';
  const known = (r.maskLo | r.maskHi) === 0;
  if (
    known &&
    (r.uminLo !== r.varLo ||
      r.uminHi !== r.varHi ||
      r.umaxLo !== r.varLo ||
      r.umaxHi !== r.varHi ||
      r.sminLo !== r.varLo ||
      r.sminHi !== r.varHi ||
      r.smaxLo !== r.varLo ||
      r.smaxHi !== r.varHi)
  )
    return 'const tnum out of sync with range bounds';
  if (
    r.maskLo === 0 &&
    (r.u32min !== r.varLo >>> 0 || r.u32max !== r.varLo >>> 0 || r.s32min !== r.varLo || r.s32max !== r.varLo)
  )
    return 'const subreg tnum out of sync with range bounds';
  return null;
}

/** Signed bounds follow the unsigned ones if those do not cross the sign boundary, else they say nothing. */
export function signedFromUnsigned(r: ScalarRange): void {
  const same32 = (r.u32min | 0) <= (r.u32max | 0);
  r.s32min = same32 ? r.u32min | 0 : -0x80000000;
  r.s32max = same32 ? r.u32max | 0 : 0x7fffffff;
  const same64 = !slt(r.umaxLo, r.umaxHi, r.uminLo, r.uminHi);
  r.sminLo = same64 ? r.uminLo : 0;
  r.sminHi = same64 ? r.uminHi : -0x80000000;
  r.smaxLo = same64 ? r.umaxLo : -1;
  r.smaxHi = same64 ? r.umaxHi : 0x7fffffff;
}
