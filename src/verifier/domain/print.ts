import type { ScalarRange } from './range.ts';

/** The kernel's `%#llx`, which prints 0 as 0x0. */
function hex(lo: number, hi: number): string {
  const low = (lo >>> 0).toString(16);
  if (hi) return `0x${(hi >>> 0).toString(16)}${low.padStart(8, '0')}`;
  return `0x${low}`;
}

/** Unsigned: decimal up to U16_MAX, else hex (`verbose_unum`). */
export function unumText(lo: number, hi: number): string {
  return hi === 0 && lo >>> 0 <= 0xffff ? String(lo) : hex(lo, hi);
}

/** Signed: decimal within 16 bits, else hex (`verbose_snum`). */
export function snumText(lo: number, hi: number): string {
  return isSmall(lo, hi) ? String(lo) : hex(lo, hi);
}

function isSmall(lo: number, hi: number): boolean {
  return hi === lo >> 31 && lo >= -0x8000 && lo <= 0x7fff;
}

/** `tnum_strn`. */
export function tnumText(r: ScalarRange): string {
  if ((r.maskLo | r.maskHi) === 0) return unumText(r.varLo, r.varHi);
  return `(${hex(r.varLo, r.varHi)}; ${hex(r.maskLo, r.maskHi)})`;
}

interface Bound {
  readonly name: string;
  readonly lo: number;
  readonly hi: number;
  readonly omit: boolean;
}

/** A 32-bit signed bound is sign-extended only if it prints as a decimal, so that hex shows 32 bits. */
function bound32(name: string, value: number, omit: boolean): Bound {
  return { name, lo: value, hi: value < 0 && isSmall(value, -1) ? -1 : 0, omit };
}

function bounds(r: ScalarRange): Bound[] {
  const { sminLo, sminHi, smaxLo, smaxHi, uminLo, uminHi, umaxLo, umaxHi } = r;
  return [
    { name: 'smin', lo: sminLo, hi: sminHi, omit: sminLo === 0 && sminHi === -0x80000000 },
    { name: 'smax', lo: smaxLo, hi: smaxHi, omit: smaxLo === -1 && smaxHi === 0x7fffffff },
    { name: 'umin', lo: uminLo, hi: uminHi, omit: (uminLo | uminHi) === 0 },
    { name: 'umax', lo: umaxLo, hi: umaxHi, omit: (umaxLo & umaxHi) === -1 },
    bound32('smin32', r.s32min, r.s32min === -0x80000000),
    bound32('smax32', r.s32max, r.s32max === 0x7fffffff),
    { name: 'umin32', lo: r.u32min | 0, hi: 0, omit: r.u32min === 0 },
    { name: 'umax32', lo: r.u32max | 0, hi: 0, omit: r.u32max === 0xffffffff },
  ];
}

/**
 * Bounds and bits as the log shows them, equal ones joined: `smin=umin=1,smax=…,var_off=(…)`
 * (`print_scalar_ranges` and the var_off of `print_reg_state`). Empty if nothing is known.
 */
export function printRange(r: ScalarRange): string {
  const list = bounds(r);
  const shown = list.map((bound) => bound.omit);
  const parts: string[] = [];
  for (let i = 0; i < list.length; i++) {
    if (shown[i]) continue;
    const first = list[i]!;
    const negative = first.name[0] === 's' && first.hi < 0;
    let text = `${first.name}=`;
    for (let j = i + 2; j < list.length; j += 2) {
      const other = list[j]!;
      if (shown[j] || other.lo !== first.lo || other.hi !== first.hi) continue;
      if ((other.name[0] === 's' && other.hi < 0) !== negative) continue;
      shown[j] = true;
      text += `${other.name}=`;
    }
    parts.push(text + (first.name[0] === 's' ? snumText(first.lo, first.hi) : unumText(first.lo, first.hi)));
  }
  if ((r.maskLo & r.maskHi) !== -1 || r.varLo | r.varHi) parts.push(`var_off=${tnumText(r)}`);
  return parts.join(',');
}

const hex32 = (value: number): string => `0x${(value >>> 0).toString(16)}`;

/** Every bound, as `reg_bounds_sanity_check` names those that contradict one another. */
export function boundsText(r: ScalarRange): string {
  const wide = [
    `u64=[${hex(r.uminLo, r.uminHi)}, ${hex(r.umaxLo, r.umaxHi)}]`,
    `s64=[${hex(r.sminLo, r.sminHi)}, ${hex(r.smaxLo, r.smaxHi)}]`,
  ];
  const narrow = [`u32=[${hex32(r.u32min)}, ${hex32(r.u32max)}]`, `s32=[${hex32(r.s32min)}, ${hex32(r.s32max)}]`];
  return [...wide, ...narrow, `var_off=(${hex(r.varLo, r.varHi)}, ${hex(r.maskLo, r.maskHi)})`].join(' ');
}
