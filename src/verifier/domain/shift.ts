import { finish } from './alu.ts';
import { boundsFromBits } from './bounds.ts';
import { ult } from './i64.ts';
import { type ScalarRange, unbound32, unbound64 } from './range.ts';

function leftLo(lo: number, n: number): number {
  return n > 31 ? 0 : lo << n;
}

function leftHi(lo: number, hi: number, n: number): number {
  if (n === 0) return hi;
  return n > 31 ? lo << (n - 32) : (hi << n) | (lo >>> (32 - n));
}

function rightLo(lo: number, hi: number, n: number): number {
  if (n === 0) return lo;
  return n > 31 ? hi >> (n - 32) : (lo >>> n) | (hi << (32 - n));
}

function logicalLo(lo: number, hi: number, n: number): number {
  return n > 31 ? (hi >>> (n - 32)) | 0 : rightLo(lo, hi, n);
}

function logicalHi(hi: number, n: number): number {
  return n > 31 ? 0 : (hi >>> n) | 0;
}

function arithmeticHi(hi: number, n: number): number {
  return n > 31 ? hi >> 31 : hi >> n;
}

function lsh32(d: ScalarRange, n: number): void {
  d.s32min = -0x80000000;
  d.s32max = 0x7fffffff;
  const fits = n <= 31 && d.u32max <= 2 ** (31 - n);
  d.u32min = fits ? (d.u32min << n) >>> 0 : 0;
  d.u32max = fits ? (d.u32max << n) >>> 0 : 0xffffffff;
}

function lsh64(d: ScalarRange, n: number): void {
  const exact = n === 32;
  d.sminLo = 0;
  d.sminHi = exact ? d.s32min : -0x80000000;
  d.smaxLo = exact ? 0 : -1;
  d.smaxHi = exact ? d.s32max : 0x7fffffff;
  const fits = !ult(leftLo(1, 63 - n), leftHi(1, 0, 63 - n), d.umaxLo, d.umaxHi);
  const { uminLo, umaxLo } = d;
  d.uminLo = fits ? leftLo(uminLo, n) : 0;
  d.uminHi = fits ? leftHi(uminLo, d.uminHi, n) : 0;
  d.umaxLo = fits ? leftLo(umaxLo, n) : -1;
  d.umaxHi = fits ? leftHi(umaxLo, d.umaxHi, n) : -1;
}

/** d <<= n, n a constant below the width. */
export function lsh(d: ScalarRange, n: number, alu32: boolean): void {
  if (!alu32) lsh64(d, n);
  else unbound64(d);
  lsh32(d, n);
  d.varHi = alu32 ? 0 : leftHi(d.varLo, d.varHi, n);
  d.maskHi = alu32 ? 0 : leftHi(d.maskLo, d.maskHi, n);
  d.varLo = leftLo(d.varLo, n);
  d.maskLo = leftLo(d.maskLo, n);
  boundsFromBits(d);
  finish(d, alu32);
}

/** d >>= n without sign, n a constant below the width. */
export function rsh(d: ScalarRange, n: number, alu32: boolean): void {
  const top = alu32 ? 0 : -1;
  d.varLo = logicalLo(d.varLo, d.varHi & top, n);
  d.maskLo = logicalLo(d.maskLo, d.maskHi & top, n);
  d.varHi = logicalHi(d.varHi & top, n);
  d.maskHi = logicalHi(d.maskHi & top, n);
  const { uminLo, uminHi, umaxLo, umaxHi, u32min, u32max } = d;
  unbound64(d);
  unbound32(d);
  if (alu32) {
    d.u32min = u32min >>> n;
    d.u32max = u32max >>> n;
  } else {
    d.uminLo = logicalLo(uminLo, uminHi, n);
    d.uminHi = logicalHi(uminHi, n);
    d.umaxLo = logicalLo(umaxLo, umaxHi, n);
    d.umaxHi = logicalHi(umaxHi, n);
  }
  boundsFromBits(d);
  finish(d, alu32);
}

/** d >>= n with sign, n a constant below the width. */
export function arsh(d: ScalarRange, n: number, alu32: boolean): void {
  const { sminLo, sminHi, smaxLo, smaxHi, s32min, s32max } = d;
  unbound64(d);
  unbound32(d);
  if (alu32) {
    d.s32min = s32min >> n;
    d.s32max = s32max >> n;
    d.varLo >>= n;
    d.maskLo >>= n;
    d.varHi = d.maskHi = 0;
  } else {
    d.sminLo = rightLo(sminLo, sminHi, n);
    d.sminHi = arithmeticHi(sminHi, n);
    d.smaxLo = rightLo(smaxLo, smaxHi, n);
    d.smaxHi = arithmeticHi(smaxHi, n);
    d.varLo = rightLo(d.varLo, d.varHi, n);
    d.varHi = arithmeticHi(d.varHi, n);
    d.maskLo = rightLo(d.maskLo, d.maskHi, n);
    d.maskHi = arithmeticHi(d.maskHi, n);
  }
  boundsFromBits(d);
  finish(d, alu32);
}
