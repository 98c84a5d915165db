import { boundsFromBits, boundsSync, lowerUmax, raiseUmin, signedFromUnsigned } from './bounds.ts';
import { zext32 } from './cast.ts';
import { borrow, carry } from './i64.ts';
import { copyRange, isConst, ScalarRange, setConst } from './range.ts';

export { mul } from './mul.ts';
export { arsh, lsh, rsh } from './shift.ts';

/** The end of every operation of `adjust_scalar_min_max_vals`. */
export function finish(d: ScalarRange, alu32: boolean): void {
  if (alu32) zext32(d);
  boundsSync(d);
}

function addBits(d: ScalarRange, s: ScalarRange): void {
  const valueLo = (d.varLo + s.varLo) | 0;
  const valueHi = (d.varHi + s.varHi + carry(d.varLo, s.varLo)) | 0;
  const maskLo = (d.maskLo + s.maskLo) | 0;
  const maskHi = (d.maskHi + s.maskHi + carry(d.maskLo, s.maskLo)) | 0;
  const sumLo = (maskLo + valueLo) | 0;
  const sumHi = (maskHi + valueHi + carry(maskLo, valueLo)) | 0;
  d.maskLo |= (sumLo ^ valueLo) | s.maskLo;
  d.maskHi |= (sumHi ^ valueHi) | s.maskHi;
  d.varLo = valueLo & ~d.maskLo;
  d.varHi = valueHi & ~d.maskHi;
}

function subBits(d: ScalarRange, s: ScalarRange): void {
  const valueLo = (d.varLo - s.varLo) | 0;
  const valueHi = (d.varHi - s.varHi - borrow(d.varLo, s.varLo)) | 0;
  const alphaLo = (valueLo + d.maskLo) | 0;
  const alphaHi = (valueHi + d.maskHi + carry(valueLo, d.maskLo)) | 0;
  const betaLo = (valueLo - s.maskLo) | 0;
  const betaHi = (valueHi - s.maskHi - borrow(valueLo, s.maskLo)) | 0;
  d.maskLo |= (alphaLo ^ betaLo) | s.maskLo;
  d.maskHi |= (alphaHi ^ betaHi) | s.maskHi;
  d.varLo = valueLo & ~d.maskLo;
  d.varHi = valueHi & ~d.maskHi;
}

/** d += s, for known bits held in ranges whose bounds do not matter (`tnum_add`). */
export { addBits as tnumAdd };

function add32(d: ScalarRange, s: ScalarRange): void {
  const smin = d.s32min + s.s32min;
  const smax = d.s32max + s.s32max;
  const fits = smin >= -0x80000000 && smax <= 0x7fffffff && smax >= -0x80000000 && smin <= 0x7fffffff;
  d.s32min = fits ? smin : -0x80000000;
  d.s32max = fits ? smax : 0x7fffffff;
  const umin = d.u32min + s.u32min;
  const umax = d.u32max + s.u32max;
  const split = umin <= 0xffffffff && umax > 0xffffffff;
  d.u32min = split ? 0 : umin >>> 0;
  d.u32max = split ? 0xffffffff : umax >>> 0;
}

function add64(d: ScalarRange, s: ScalarRange): void {
  const minLo = (d.sminLo + s.sminLo) | 0;
  const minHi = (d.sminHi + s.sminHi + carry(d.sminLo, s.sminLo)) | 0;
  const maxLo = (d.smaxLo + s.smaxLo) | 0;
  const maxHi = (d.smaxHi + s.smaxHi + carry(d.smaxLo, s.smaxLo)) | 0;
  const overflow = ((d.sminHi ^ minHi) & (s.sminHi ^ minHi)) < 0 || ((d.smaxHi ^ maxHi) & (s.smaxHi ^ maxHi)) < 0;
  d.sminLo = overflow ? 0 : minLo;
  d.sminHi = overflow ? -0x80000000 : minHi;
  d.smaxLo = overflow ? -1 : maxLo;
  d.smaxHi = overflow ? 0x7fffffff : maxHi;
  const uminTop = (d.uminHi >>> 0) + (s.uminHi >>> 0) + carry(d.uminLo, s.uminLo);
  const umaxTop = (d.umaxHi >>> 0) + (s.umaxHi >>> 0) + carry(d.umaxLo, s.umaxLo);
  const split = uminTop <= 0xffffffff && umaxTop > 0xffffffff;
  d.uminLo = split ? 0 : (d.uminLo + s.uminLo) | 0;
  d.uminHi = split ? 0 : uminTop | 0;
  d.umaxLo = split ? -1 : (d.umaxLo + s.umaxLo) | 0;
  d.umaxHi = split ? -1 : umaxTop | 0;
}

function sub32(d: ScalarRange, s: ScalarRange): void {
  const smin = d.s32min - s.s32max;
  const smax = d.s32max - s.s32min;
  const fits = smin >= -0x80000000 && smax <= 0x7fffffff && smax >= -0x80000000 && smin <= 0x7fffffff;
  d.s32min = fits ? smin : -0x80000000;
  d.s32max = fits ? smax : 0x7fffffff;
  const umin = d.u32min - s.u32max;
  const umax = d.u32max - s.u32min;
  const split = umin < 0 && umax >= 0;
  d.u32min = split ? 0 : umin >>> 0;
  d.u32max = split ? 0xffffffff : umax >>> 0;
}

function sub64(d: ScalarRange, s: ScalarRange): void {
  const minLo = (d.sminLo - s.smaxLo) | 0;
  const minHi = (d.sminHi - s.smaxHi - borrow(d.sminLo, s.smaxLo)) | 0;
  const maxLo = (d.smaxLo - s.sminLo) | 0;
  const maxHi = (d.smaxHi - s.sminHi - borrow(d.smaxLo, s.sminLo)) | 0;
  const overflow = ((d.sminHi ^ s.smaxHi) & (d.sminHi ^ minHi)) < 0 || ((d.smaxHi ^ s.sminHi) & (d.smaxHi ^ maxHi)) < 0;
  d.sminLo = overflow ? 0 : minLo;
  d.sminHi = overflow ? -0x80000000 : minHi;
  d.smaxLo = overflow ? -1 : maxLo;
  d.smaxHi = overflow ? 0x7fffffff : maxHi;
  const uminTop = (d.uminHi >>> 0) - (s.umaxHi >>> 0) - borrow(d.uminLo, s.umaxLo);
  const umaxTop = (d.umaxHi >>> 0) - (s.uminHi >>> 0) - borrow(d.umaxLo, s.uminLo);
  const split = uminTop < 0 && umaxTop >= 0;
  const uminLo = (d.uminLo - s.umaxLo) | 0;
  const umaxLo = (d.umaxLo - s.uminLo) | 0;
  d.uminLo = split ? 0 : uminLo;
  d.uminHi = split ? 0 : uminTop | 0;
  d.umaxLo = split ? -1 : umaxLo;
  d.umaxHi = split ? -1 : umaxTop | 0;
}

const operand = new ScalarRange();

/** A copy of the source, so that d and s may be one register. */
function fixed(d: ScalarRange, s: ScalarRange): ScalarRange {
  if (d !== s) return s;
  copyRange(operand, s);
  return operand;
}

/** d += s. */
export function add(d: ScalarRange, s: ScalarRange, alu32: boolean): void {
  const by = fixed(d, s);
  add32(d, by);
  add64(d, by);
  addBits(d, by);
  finish(d, alu32);
}

/** d -= s. */
export function sub(d: ScalarRange, s: ScalarRange, alu32: boolean): void {
  const by = fixed(d, s);
  sub32(d, by);
  sub64(d, by);
  subBits(d, by);
  finish(d, alu32);
}

const negated = new ScalarRange();

export function neg(d: ScalarRange, alu32: boolean): void {
  copyRange(negated, d);
  setConst(d, 0, 0);
  sub(d, negated, alu32);
}

/** Ends a bitwise operation: constants exactly, else signed bounds out of the unsigned ones and the bits. */
function finishBitwise(d: ScalarRange, sameLow: boolean, sameAll: boolean, alu32: boolean): void {
  signedFromUnsigned(d);
  if (sameLow) {
    d.u32min = d.u32max = d.varLo >>> 0;
    d.s32min = d.s32max = d.varLo;
  }
  if (sameAll) setConst(d, d.varLo, d.varHi);
  else boundsFromBits(d);
  finish(d, alu32);
}

export function and(d: ScalarRange, s: ScalarRange, alu32: boolean): void {
  const sameLow = isConst(d, true) && isConst(s, true);
  const sameAll = isConst(d) && isConst(s);
  const varLo = d.varLo & s.varLo;
  const varHi = d.varHi & s.varHi;
  d.maskLo = (d.varLo | d.maskLo) & (s.varLo | s.maskLo) & ~varLo;
  d.maskHi = (d.varHi | d.maskHi) & (s.varHi | s.maskHi) & ~varHi;
  d.varLo = varLo;
  d.varHi = varHi;
  d.u32min = varLo >>> 0;
  d.u32max = Math.min(d.u32max, s.u32max);
  d.uminLo = varLo;
  d.uminHi = varHi;
  lowerUmax(d, s.umaxLo, s.umaxHi);
  finishBitwise(d, sameLow, sameAll, alu32);
}

export function or(d: ScalarRange, s: ScalarRange, alu32: boolean): void {
  const sameLow = isConst(d, true) && isConst(s, true);
  const sameAll = isConst(d) && isConst(s);
  d.varLo |= s.varLo;
  d.varHi |= s.varHi;
  d.maskLo = (d.maskLo | s.maskLo) & ~d.varLo;
  d.maskHi = (d.maskHi | s.maskHi) & ~d.varHi;
  d.u32min = Math.max(d.u32min, s.u32min);
  d.u32max = (d.varLo | d.maskLo) >>> 0;
  raiseUmin(d, s.uminLo, s.uminHi);
  d.umaxLo = d.varLo | d.maskLo;
  d.umaxHi = d.varHi | d.maskHi;
  finishBitwise(d, sameLow, sameAll, alu32);
}

export function xor(d: ScalarRange, s: ScalarRange, alu32: boolean): void {
  const sameLow = isConst(d, true) && isConst(s, true);
  const sameAll = isConst(d) && isConst(s);
  d.maskLo |= s.maskLo;
  d.maskHi |= s.maskHi;
  d.varLo = (d.varLo ^ s.varLo) & ~d.maskLo;
  d.varHi = (d.varHi ^ s.varHi) & ~d.maskHi;
  d.u32min = d.varLo >>> 0;
  d.u32max = (d.varLo | d.maskLo) >>> 0;
  d.uminLo = d.varLo;
  d.uminHi = d.varHi;
  d.umaxLo = d.varLo | d.maskLo;
  d.umaxHi = d.varHi | d.maskHi;
  finishBitwise(d, sameLow, sameAll, alu32);
}
