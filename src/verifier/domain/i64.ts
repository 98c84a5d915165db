/** Comparison of 64-bit numbers in halves. */
export function ult(aLo: number, aHi: number, bLo: number, bHi: number): boolean {
  return aHi === bHi ? aLo >>> 0 < bLo >>> 0 : aHi >>> 0 < bHi >>> 0;
}

export function slt(aLo: number, aHi: number, bLo: number, bHi: number): boolean {
  return aHi === bHi ? aLo >>> 0 < bLo >>> 0 : aHi < bHi;
}

/** Carry out of the low half of a + b. */
export function carry(aLo: number, bLo: number): number {
  return (aLo >>> 0) + (bLo >>> 0) > 0xffffffff ? 1 : 0;
}

/** Borrow of the low half of a - b. */
export function borrow(aLo: number, bLo: number): number {
  return aLo >>> 0 < bLo >>> 0 ? 1 : 0;
}

/** Upper half of the unsigned product of two 32-bit numbers. */
export function mulHigh(a: number, b: number): number {
  const aL = a & 0xffff;
  const aH = a >>> 16;
  const bL = b & 0xffff;
  const bH = b >>> 16;
  const mid = aH * bL + ((aL * bL) >>> 16);
  const mid2 = aL * bH + (mid % 0x10000);
  return (aH * bH + Math.floor(mid / 0x10000) + Math.floor(mid2 / 0x10000)) | 0;
}
