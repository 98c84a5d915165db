/**
 * What the verifier knows of a scalar (`struct bpf_reg_state`'s var_off and bounds): the known bits (`var`) and the
 * unknown ones (`mask`), and bounds in four readings. 64-bit quantities are pairs of signed 32-bit halves; u32min and
 * u32max are unsigned.
 */
export class ScalarRange {
  varLo = 0;
  varHi = 0;
  maskLo = -1;
  maskHi = -1;
  sminLo = 0;
  sminHi = -0x80000000;
  smaxLo = -1;
  smaxHi = 0x7fffffff;
  uminLo = 0;
  uminHi = 0;
  umaxLo = -1;
  umaxHi = -1;
  s32min = -0x80000000;
  s32max = 0x7fffffff;
  /** u32min and u32max read as signed: numbers from 2^31 on would each lie in an object of their own. */
  u32minBits = 0;
  u32maxBits = -1;

  get u32min(): number {
    return this.u32minBits >>> 0;
  }

  set u32min(value: number) {
    this.u32minBits = value | 0;
  }

  get u32max(): number {
    return this.u32maxBits >>> 0;
  }

  set u32max(value: number) {
    this.u32maxBits = value | 0;
  }
}

/** Bounds that say nothing, in 64 bits. */
export function unbound64(r: ScalarRange): void {
  r.sminLo = 0;
  r.sminHi = -0x80000000;
  r.smaxLo = -1;
  r.smaxHi = 0x7fffffff;
  r.uminLo = 0;
  r.uminHi = 0;
  r.umaxLo = -1;
  r.umaxHi = -1;
}

/** Bounds that say nothing, in 32 bits. */
export function unbound32(r: ScalarRange): void {
  r.s32min = -0x80000000;
  r.s32max = 0x7fffffff;
  r.u32minBits = 0;
  r.u32maxBits = -1;
}

/** Any value at all (`__mark_reg_unknown_imprecise`, the scalar part). */
export function setUnknown(r: ScalarRange): void {
  r.varLo = 0;
  r.varHi = 0;
  r.maskLo = -1;
  r.maskHi = -1;
  unbound64(r);
  unbound32(r);
}

/** Exactly hi:lo (`___mark_reg_known`). */
export function setConst(r: ScalarRange, lo: number, hi: number): void {
  r.varLo = r.sminLo = r.smaxLo = r.uminLo = r.umaxLo = lo | 0;
  r.varHi = r.sminHi = r.smaxHi = r.uminHi = r.umaxHi = hi | 0;
  r.maskLo = r.maskHi = 0;
  r.s32min = r.s32max = lo | 0;
  r.u32minBits = r.u32maxBits = lo | 0;
}

/** Whether both say the same of a scalar. */
export function sameRange(a: ScalarRange, b: ScalarRange): boolean {
  return (
    a.varLo === b.varLo &&
    a.maskLo === b.maskLo &&
    a.uminLo === b.uminLo &&
    a.umaxLo === b.umaxLo &&
    a.varHi === b.varHi &&
    a.maskHi === b.maskHi &&
    a.uminHi === b.uminHi &&
    a.umaxHi === b.umaxHi &&
    a.sminLo === b.sminLo &&
    a.sminHi === b.sminHi &&
    a.smaxLo === b.smaxLo &&
    a.smaxHi === b.smaxHi &&
    a.s32min === b.s32min &&
    a.s32max === b.s32max &&
    a.u32minBits === b.u32minBits &&
    a.u32maxBits === b.u32maxBits
  );
}

/** Copies the scalar part only. */
export function copyRange(d: ScalarRange, s: ScalarRange): void {
  d.varLo = s.varLo;
  d.varHi = s.varHi;
  d.maskLo = s.maskLo;
  d.maskHi = s.maskHi;
  d.sminLo = s.sminLo;
  d.sminHi = s.sminHi;
  d.smaxLo = s.smaxLo;
  d.smaxHi = s.smaxHi;
  d.uminLo = s.uminLo;
  d.uminHi = s.uminHi;
  d.umaxLo = s.umaxLo;
  d.umaxHi = s.umaxHi;
  d.s32min = s.s32min;
  d.s32max = s.s32max;
  d.u32minBits = s.u32minBits;
  d.u32maxBits = s.u32maxBits;
}

/** Whether every bit is known; `sub` asks for the low 32 only (`is_reg_const`). */
export function isConst(r: ScalarRange, sub = false): boolean {
  return sub ? r.maskLo === 0 : (r.maskLo | r.maskHi) === 0;
}
