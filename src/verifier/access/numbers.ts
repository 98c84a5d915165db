import type { ScalarRange } from '../domain/index.ts';

/** BPF_MAX_VAR_OFF: what a pointer's variable part must stay below. */
export const MAX_VAR_OFF = 1 << 29;
/** Error numbers are the values from -4095 to -1. */
export const MAX_ERRNO = 4095;

const signed = (lo: number, hi: number): number => hi * 0x100000000 + (lo >>> 0);
const unsigned = (lo: number, hi: number): number => (hi >>> 0) * 0x100000000 + (lo >>> 0);

/** Bounds as doubles: exact below 2^53, and beyond that on the right side of every limit the checks compare with. */
export const smin = (r: ScalarRange): number => signed(r.sminLo, r.sminHi);
export const smax = (r: ScalarRange): number => signed(r.smaxLo, r.smaxHi);
export const umin = (r: ScalarRange): number => unsigned(r.uminLo, r.uminHi);
export const umax = (r: ScalarRange): number => unsigned(r.umaxLo, r.umaxHi);

/** The known bits as a signed number. */
export const constOff = (r: ScalarRange): number => signed(r.varLo, r.varHi);

/** Whether `sum` does not fit in an s32. */
export const overflowsInt = (sum: number): boolean => sum < -0x80000000 || sum > 0x7fffffff;

/** An unsigned bound in decimal, as `%llu` prints it. */
export function decimal(lo: number, hi: number): string {
  const value = unsigned(lo, hi);
  if (Number.isSafeInteger(value)) return String(value);
  return String((BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0));
}

/** A signed reading of a bound in decimal, as `%lld` prints it. */
export function signedDecimal(lo: number, hi: number): string {
  const value = signed(lo, hi);
  if (Number.isSafeInteger(value)) return String(value);
  return String((BigInt(hi) << 32n) | BigInt(lo >>> 0));
}
