import { boundsSync, setBitsFromRange } from './bounds.ts';
import { isConst, type ScalarRange, setConst, setUnknown, unbound32, unbound64 } from './range.ts';

/** The upper 32 bits become zero (`zext_32_to_64`). */
export function zext32(r: ScalarRange): void {
  r.varHi = r.maskHi = 0;
  r.uminLo = r.u32min | 0;
  r.umaxLo = r.u32max | 0;
  const plain = r.s32min >= 0 && r.s32max >= 0;
  r.sminLo = plain ? r.s32min : 0;
  r.smaxLo = plain ? r.s32max : -1;
  r.uminHi = r.umaxHi = r.sminHi = r.smaxHi = 0;
}

/** Keeps the low `size` bytes, 1, 2 or 4 (`coerce_reg_to_size`). */
export function coerceToSize(r: ScalarRange, size: number): void {
  const mask = size === 4 ? -1 : (1 << (size * 8)) - 1;
  r.varLo &= mask;
  r.maskLo &= mask;
  r.varHi = r.maskHi = 0;
  if (r.uminHi === r.umaxHi && (r.uminLo & ~mask) === (r.umaxLo & ~mask)) {
    r.uminLo &= mask;
    r.umaxLo &= mask;
  } else {
    r.uminLo = 0;
    r.umaxLo = mask;
  }
  r.uminHi = r.umaxHi = r.sminHi = r.smaxHi = 0;
  r.sminLo = r.uminLo;
  r.smaxLo = r.umaxLo;
  if (size < 4) unbound32(r);
  boundsSync(r);
}

function signExtend(value: number, size: number): number {
  const shift = 32 - size * 8;
  return (value << shift) >> shift;
}

/** What a value sign-extended from `size` bytes can be if nothing else is known (`set_sext64_default_val`). */
function setSignExtended(r: ScalarRange, size: number): void {
  const max = size === 4 ? 0x7fffffff : (1 << (size * 8 - 1)) - 1;
  setUnknown(r);
  r.sminLo = r.s32min = -max - 1;
  r.sminHi = -1;
  r.smaxLo = r.s32max = max;
  r.smaxHi = 0;
}

/** Sign extension of the low `size` bytes, 1, 2 or 4, to 64 bits (`coerce_reg_to_size_sx`). */
export function coerceToSizeSx(r: ScalarRange, size: number): void {
  if (isConst(r)) {
    const value = signExtend(r.varLo, size);
    setConst(r, value, value >> 31);
    return;
  }
  const sameTop = r.smaxHi === r.sminHi && (size === 4 || r.smaxLo >>> (size * 8) === r.sminLo >>> (size * 8));
  const a = signExtend(r.smaxLo, size);
  const b = signExtend(r.sminLo, size);
  const min = Math.min(a, b);
  const max = Math.max(a, b);
  if (!sameTop || max >= 0 !== min >= 0) {
    setSignExtended(r, size);
    return;
  }
  unbound64(r);
  r.sminLo = r.uminLo = r.s32min = min;
  r.smaxLo = r.umaxLo = r.s32max = max;
  r.sminHi = r.uminHi = min >> 31;
  r.smaxHi = r.umaxHi = max >> 31;
  r.u32min = min >>> 0;
  r.u32max = max >>> 0;
  setBitsFromRange(r, min, min >> 31, max, max >> 31);
}

/** Sign extension of the low `size` bytes, 1 or 2, to 32 bits (`coerce_subreg_to_size_sx`). */
export function coerceToSizeSx32(r: ScalarRange, size: number): void {
  if (isConst(r)) {
    const value = signExtend(r.varLo, size);
    r.varLo = r.s32min = r.s32max = value;
    r.varHi = value >> 31;
    r.u32min = r.u32max = value >>> 0;
    return;
  }
  const a = signExtend(r.s32max, size);
  const b = signExtend(r.s32min, size);
  const min = Math.min(a, b);
  const max = Math.max(a, b);
  const known = r.s32max >>> (size * 8) === r.s32min >>> (size * 8) && max >= 0 === min >= 0;
  if (known) {
    r.s32min = min;
    r.s32max = max;
    r.u32min = min >>> 0;
    r.u32max = max >>> 0;
    setBitsFromRange(r, min, 0, max, 0);
  } else {
    const limit = 1 << (size * 8 - 1);
    r.s32min = -limit;
    r.s32max = limit - 1;
    r.u32min = 0;
    r.u32max = 0xffffffff;
    r.varLo = r.varHi = r.maskHi = 0;
    r.maskLo = -1;
  }
}

const swap32 = (v: number): number => (v << 24) | ((v & 0xff00) << 8) | ((v >>> 8) & 0xff00) | (v >>> 24);
const swap16 = (v: number): number => ((v & 0xff) << 8) | ((v >>> 8) & 0xff);

/** BPF_END: the low `bits` swapped or, without `swap`, cut to (`scalar_byte_swap`); known bits move, bounds are lost. */
export function bswap(r: ScalarRange, bits: number, swap: boolean): void {
  if (swap) {
    const { varLo, varHi, maskLo, maskHi } = r;
    setUnknown(r);
    const turn = bits === 16 ? swap16 : swap32;
    r.varLo = turn(bits === 64 ? varHi : varLo);
    r.maskLo = turn(bits === 64 ? maskHi : maskLo);
    r.varHi = bits === 64 ? swap32(varLo) : 0;
    r.maskHi = bits === 64 ? swap32(maskLo) : 0;
  }
  if (bits !== 64) coerceToSize(r, bits >> 3);
}
