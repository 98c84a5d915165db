import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import * as D from '../../src/verifier/domain/index.ts';

const MASK = (1n << 64n) - 1n;
const lo = (v: bigint): number => Number(BigInt.asIntN(32, v));
const hi = (v: bigint): number => Number(BigInt.asIntN(32, v >> 32n));
const join = (l: number, h: number): bigint => (BigInt(h >>> 0) << 32n) | BigInt(l >>> 0);
const s64 = (v: bigint): bigint => BigInt.asIntN(64, v);
const s32 = (v: bigint): number => Number(BigInt.asIntN(32, v));
const u32 = (v: bigint): number => Number(BigInt.asUintN(32, v));

/** `a <= b`, unsigned and signed, of numbers in halves. */
const ule = (aLo: number, aHi: number, bLo: number, bHi: number): boolean =>
  aHi >>> 0 < bHi >>> 0 || (aHi === bHi && aLo >>> 0 <= bLo >>> 0);
const sle = (aLo: number, aHi: number, bLo: number, bHi: number): boolean =>
  aHi < bHi || (aHi === bHi && aLo >>> 0 <= bLo >>> 0);

function holds(r: D.ScalarRange, v: bigint): boolean {
  const l = lo(v);
  const h = hi(v);
  return (
    (l & ~r.maskLo) === r.varLo &&
    (h & ~r.maskHi) === r.varHi &&
    ule(r.uminLo, r.uminHi, l, h) &&
    ule(l, h, r.umaxLo, r.umaxHi) &&
    sle(r.sminLo, r.sminHi, l, h) &&
    sle(l, h, r.smaxLo, r.smaxHi) &&
    r.u32min <= l >>> 0 &&
    l >>> 0 <= r.u32max &&
    r.s32min <= l &&
    l <= r.s32max
  );
}

/** The bounds and common bits of a set of values, not yet synchronised. */
function hull(values: readonly bigint[]): D.ScalarRange {
  const r = new D.ScalarRange();
  const first = values[0]!;
  let mask = 0n;
  for (const v of values) mask |= v ^ first;
  const by = (less: (a: bigint, b: bigint) => boolean): bigint => values.reduce((a, b) => (less(b, a) ? b : a));
  const umin = by((a, b) => a < b);
  const umax = by((a, b) => a > b);
  const smin = by((a, b) => s64(a) < s64(b));
  const smax = by((a, b) => s64(a) > s64(b));
  r.maskLo = lo(mask);
  r.maskHi = hi(mask);
  r.varLo = lo(first & ~mask);
  r.varHi = hi(first & ~mask);
  r.uminLo = lo(umin);
  r.uminHi = hi(umin);
  r.umaxLo = lo(umax);
  r.umaxHi = hi(umax);
  r.sminLo = lo(smin);
  r.sminHi = hi(smin);
  r.smaxLo = lo(smax);
  r.smaxHi = hi(smax);
  r.u32min = Math.min(...values.map(u32));
  r.u32max = Math.max(...values.map(u32));
  r.s32min = Math.min(...values.map(s32));
  r.s32max = Math.max(...values.map(s32));
  D.boundsSync(r);
  return r;
}

type Binary = [string, (d: D.ScalarRange, s: D.ScalarRange, alu32: boolean) => void, (a: bigint, b: bigint) => bigint];
const BINARY: Binary[] = [
  ['add', D.add, (a, b) => a + b],
  ['sub', D.sub, (a, b) => a - b],
  ['mul', D.mul, (a, b) => a * b],
  ['and', D.and, (a, b) => a & b],
  ['or', D.or, (a, b) => a | b],
  ['xor', D.xor, (a, b) => a ^ b],
];
type Jump = [string, number, (a: bigint, b: bigint, width: number) => boolean];
const signed = (v: bigint, width: number): bigint => BigInt.asIntN(width, v);
const JUMPS: Jump[] = [
  ['eq', 0x10, (a, b) => a === b],
  ['gt', 0x20, (a, b) => a > b],
  ['ge', 0x30, (a, b) => a >= b],
  ['set', 0x40, (a, b) => (a & b) !== 0n],
  ['ne', 0x50, (a, b) => a !== b],
  ['sgt', 0x60, (a, b, w) => signed(a, w) > signed(b, w)],
  ['sge', 0x70, (a, b, w) => signed(a, w) >= signed(b, w)],
  ['lt', 0xa0, (a, b) => a < b],
  ['le', 0xb0, (a, b) => a <= b],
  ['slt', 0xc0, (a, b, w) => signed(a, w) < signed(b, w)],
  ['sle', 0xd0, (a, b, w) => signed(a, w) <= signed(b, w)],
];

const copy = (r: D.ScalarRange): D.ScalarRange => Object.assign(new D.ScalarRange(), r);

function checkBinary(xs: readonly bigint[], ys: readonly bigint[]): void {
  const a = hull(xs);
  const b = hull(ys);
  for (const [name, apply, concrete] of BINARY)
    for (const alu32 of [false, true]) {
      const d = copy(a);
      apply(d, b, alu32);
      for (const x of xs)
        for (const y of ys) {
          const z = BigInt.asUintN(alu32 ? 32 : 64, concrete(x, y));
          if (!holds(d, z)) expect.fail(`${name}${alu32 ? 32 : 64} ${x} ${y}: ${z} not in ${D.printRange(d)}`);
        }
    }
}

function checkUnary(xs: readonly bigint[], shift: number): void {
  const a = hull(xs);
  const check = (
    name: string,
    apply: (d: D.ScalarRange) => void,
    concrete: (x: bigint) => bigint,
    width = 64,
  ): void => {
    const d = copy(a);
    apply(d);
    for (const x of xs) {
      const z = BigInt.asUintN(width, concrete(x));
      if (!holds(d, z)) expect.fail(`${name} ${x}: ${z} not in ${D.printRange(d)}`);
    }
  };
  for (const width of [32, 64]) {
    const by = BigInt(shift % width);
    const n = Number(by);
    const alu32 = width === 32;
    check(
      `lsh${width} ${n}`,
      (d) => D.lsh(d, n, alu32),
      (x) => x << by,
      width,
    );
    check(
      `rsh${width} ${n}`,
      (d) => D.rsh(d, n, alu32),
      (x) => BigInt.asUintN(width, x) >> by,
      width,
    );
    check(
      `arsh${width} ${n}`,
      (d) => D.arsh(d, n, alu32),
      (x) => BigInt.asIntN(width, x) >> by,
      width,
    );
    check(
      `neg${width}`,
      (d) => D.neg(d, alu32),
      (x) => -x,
      width,
    );
  }
  for (const size of [1, 2, 4]) {
    check(
      `size ${size}`,
      (d) => D.coerceToSize(d, size),
      (x) => x,
      size * 8,
    );
    check(
      `sx ${size}`,
      (d) => D.coerceToSizeSx(d, size),
      (x) => BigInt.asIntN(size * 8, x),
    );
    if (size === 4) continue;
    const sx32 = (d: D.ScalarRange): void => {
      D.coerceToSizeSx32(d, size);
      D.zext32(d);
      D.boundsSync(d);
    };
    check(`sx32 ${size}`, sx32, (x) => BigInt.asIntN(size * 8, x), 32);
  }
}

function checkJumps(xs: readonly bigint[], ys: readonly bigint[]): void {
  const a = hull(xs);
  const b = hull(ys);
  for (const [name, op, concrete] of JUMPS)
    for (const width of [32, 64]) {
      const taken = D.isBranchTaken(op, a, b, width === 32);
      const [ta, tb, fa, fb] = [copy(a), copy(b), copy(a), copy(b)];
      D.refineBranch(ta, tb, fa, fb, op, width === 32);
      for (const x of xs)
        for (const y of ys) {
          const is = concrete(BigInt.asUintN(width, x), BigInt.asUintN(width, y), width);
          const kept = is ? holds(ta, x) && holds(tb, y) : holds(fa, x) && holds(fb, y);
          if (!kept || taken === (is ? 0 : 1)) expect.fail(`j${name}${width} ${x} ${y}: ${is}, decided ${taken}`);
        }
    }
}

/** Where the intervals of small numbers lie: at zero, across each sign boundary, in the upper half, at the top. */
const PLACES: ((v: bigint) => bigint)[] = [
  (v) => v,
  (v) => v - 2n,
  (v) => v + 0x7ffffffen,
  (v) => v + 0xfffffffen,
  (v) => v + 0x7ffffffffffffffen,
  (v) => v << 31n,
  (v) => (v - 2n) << 59n,
];
const INTERVALS: bigint[][] = [];
for (let from = 0n; from < 5n; from++)
  for (let to = from; to < 5n; to++)
    INTERVALS.push(Array.from({ length: Number(to - from) + 1 }, (_, i) => from + BigInt(i)));

const word = fc.oneof(
  fc.bigInt(0n, MASK),
  fc.bigInt(-40n, 40n),
  fc.tuple(fc.constantFrom(7n, 8n, 15n, 16n, 31n, 32n, 63n), fc.bigInt(-3n, 3n)).map(([bit, by]) => (1n << bit) + by),
);
const values = fc.array(word, { minLength: 1, maxLength: 6 }).map((list) => list.map((v) => v & MASK));

/** The range that a log shows as `text`. */
function parse(text: string): D.ScalarRange {
  const fields: Record<string, number> = {};
  const set64 = (name: string, v: bigint): void => {
    fields[`${name}Lo`] = lo(v);
    fields[`${name}Hi`] = hi(v);
  };
  for (const [, names, digits] of text.matchAll(/((?:[su](?:min|max)(?:32)?=)+)(-?[0-9a-fx]+)/g)) {
    const value = digits!.startsWith('-') ? -BigInt(digits!.slice(1)) : BigInt(digits!);
    for (const name of names!.split('=').slice(0, -1)) {
      if (!name.endsWith('32')) set64(name, value);
      else fields[`${name[0]}32${name.slice(1, 4)}`] = name[0] === 'u' ? u32(value) : s32(value);
    }
  }
  const bits = /var_off=\((\w+); (\w+)\)/.exec(text);
  if (bits) {
    set64('var', BigInt(bits[1]!));
    set64('mask', BigInt(bits[2]!));
  }
  return Object.assign(new D.ScalarRange(), fields);
}

/** Every set of known and unknown bits of three: as the numbers that have them. */
const TNUMS: bigint[][] = [];
for (let mask = 0n; mask < 8n; mask++)
  for (let known = 0n; known < 8n; known++) {
    if ((known & mask) !== 0n) continue;
    const all = Array.from({ length: 8 }, (_, i) => BigInt(i));
    TNUMS.push(all.filter((v) => (v & ~mask) === known));
  }

function reversed(v: bigint, bits: number): bigint {
  let result = 0n;
  for (let at = 0; at < bits; at += 8) result = (result << 8n) | ((v >> BigInt(at)) & 0xffn);
  return result;
}

describe('scalar domain', () => {
  it('contains the results of all sets of three known or unknown bits, at every place', () => {
    expect(TNUMS.length).toBe(27);
    for (const [at, place] of PLACES.entries())
      for (const x of TNUMS)
        for (const y of TNUMS) {
          const xs = x.map((v) => place(v) & MASK);
          checkBinary(xs, y);
          if (at % 2 === 0) checkJumps(y, xs);
        }
  });

  it('contains what swapping bytes gives', () => {
    for (const place of PLACES)
      for (const x of [...TNUMS, ...INTERVALS]) {
        const xs = x.map((v) => place(v) & MASK);
        for (const bits of [16, 32, 64])
          for (const swap of [false, true]) {
            const d = hull(xs);
            D.bswap(d, bits, swap);
            D.boundsSync(d);
            for (const v of xs) {
              const z = swap ? reversed(v, bits) : BigInt.asUintN(bits, v);
              if (!holds(d, z)) expect.fail(`bswap ${bits} ${swap} of ${v}: ${z} not in ${D.printRange(d)}`);
            }
          }
      }
  });

  it('takes a set for a part of another exactly if its numbers are, where bounds and bits say it all', () => {
    for (const place of PLACES)
      for (const x of [...TNUMS, ...INTERVALS])
        for (const y of [...TNUMS, ...INTERVALS]) {
          const old = hull(x.map((v) => place(v) & MASK));
          const cur = hull(y.map((v) => place(v) & MASK));
          const within = D.rangeWithin(old, cur) && D.tnumIn(old, cur);
          if (within) for (const v of y) expect(holds(old, place(v) & MASK)).toBe(true);
          else expect(y.every((v) => x.includes(v))).toBe(false);
        }
  });

  it('contains the results of small intervals at every place', () => {
    for (const place of PLACES)
      for (const other of PLACES)
        for (const x of INTERVALS.filter((_, i) => i % 2 === 0))
          for (const y of INTERVALS.filter((_, i) => i % 5 === 0)) {
            const xs = x.map((v) => place(v) & MASK);
            const ys = y.map((v) => other(v) & MASK);
            checkBinary(xs, ys);
            checkJumps(xs, ys);
          }
  });

  it('contains the results of shifts, negations and casts of small intervals', () => {
    for (const place of PLACES)
      for (const x of INTERVALS)
        for (let shift = 0; shift < 64; shift += 3)
          checkUnary(
            x.map((v) => place(v) & MASK),
            shift,
          );
  });

  it('contains the results of random sets', () => {
    fc.assert(
      fc.property(values, values, fc.nat(63), (xs, ys, shift) => {
        checkBinary(xs, ys);
        checkJumps(xs, ys);
        checkUnary(xs, shift);
      }),
      { numRuns: 500 },
    );
  });

  it('computes constants exactly', () => {
    fc.assert(
      fc.property(word, word, (x, y) => {
        for (const [, apply, concrete] of BINARY)
          for (const alu32 of [false, true]) {
            const d = hull([x & MASK]);
            apply(d, hull([y & MASK]), alu32);
            expect(D.isConst(d)).toBe(true);
            expect(join(d.varLo, d.varHi)).toBe(BigInt.asUintN(alu32 ? 32 : 64, concrete(x, y)));
            expect(D.boundsViolation(d)).toBe(null);
          }
      }),
    );
  });

  it('prints as the log does', () => {
    const r = new D.ScalarRange();
    expect(D.printRange(r)).toBe('');
    D.coerceToSize(r, 1);
    expect(D.printRange(r)).toBe('smin=smin32=0,smax=umax=smax32=umax32=255,var_off=(0x0; 0xff)');
    D.setUnknown(r);
    D.zext32(r);
    D.boundsSync(r);
    expect(D.printRange(r)).toBe('smin=0,smax=umax=0xffffffff,var_off=(0x0; 0xffffffff)');
    D.setUnknown(r);
    D.coerceToSizeSx(r, 1);
    expect(D.printRange(r)).toBe('smin=smin32=-128,smax=smax32=127');
  });

  it('finds the scalars of real logs complete, and prints them as they were', () => {
    const lines = readFileSync(new URL('../golden/linux-6.18/scalars.txt', import.meta.url), 'utf8')
      .trim()
      .split('\n');
    for (const line of lines) {
      const text = line.slice('scalar('.length, -1);
      const r = parse(text);
      expect(D.printRange(r)).toBe(text);
      D.boundsSync(r);
      expect(D.printRange(r)).toBe(text);
      expect(D.boundsViolation(r)).toBe(null);
    }
    expect(lines.length).toBeGreaterThan(200);
  });
});
