import { evenParity, FLAG, flagBits, KIND, setExplicit, setFlags } from './_flags.ts';
import { ALU_OPS, SHIFT_OPS, WIDE_OPS } from './_ops.ts';

// The operations that the run loop does not spell out: narrow and carrying arithmetic, shifts, multiplication, division.

/** Registers as halves. */
export interface Registers {
  lo: Int32Array;
  hi: Int32Array;
  fl: Int32Array;
}

const join = (lo: number, hi: number): bigint => (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
const lowHalf = (value: bigint): number => Number(BigInt.asIntN(32, value));
const highHalf = (value: bigint): number => Number(BigInt.asIntN(32, value >> 32n));

/** Writes the low `size` bytes of a register: 4 clears what is above, 1 and 2 keep it. */
export function writeSized({ lo, hi }: Registers, d: number, size: number, valueLo: number, valueHi: number): void {
  switch (size) {
    case 1:
      lo[d] = (lo[d]! & ~0xff) | (valueLo & 0xff);
      return;
    case 2:
      lo[d] = (lo[d]! & ~0xffff) | (valueLo & 0xffff);
      return;
    case 4:
      lo[d] = valueLo;
      hi[d] = 0;
      return;
    default:
      lo[d] = valueLo;
      hi[d] = valueHi;
  }
}

/** A two-operand operation of any size, by its number in ALU_OPS; slow and complete. */
export function alu(regs: Registers, op: number, d: number, s: number, size: number): void {
  const { lo, hi, fl } = regs;
  const up = size === 8 ? 0 : 32 - 8 * size;
  const align = (register: number): [number, number] =>
    size === 8 ? [lo[register]!, hi[register]!] : [0, lo[register]! << up];
  const [aLo, aHi] = align(d);
  const [bLo, bHi] = align(s);
  const carryIn = ALU_OPS[op] === 'adc' || ALU_OPS[op] === 'sbb' ? flagBits(fl) & FLAG.CF : 0;
  let rLo: number;
  let rHi: number;
  switch (ALU_OPS[op]!) {
    case 'add':
      rLo = (aLo + bLo) | 0;
      rHi = (aHi + bHi + ((aLo >>> 0) + (bLo >>> 0) > 0xffffffff ? 1 : 0)) | 0;
      setFlags(fl, KIND.ADD, size, aLo, aHi, bLo, bHi, rLo, rHi);
      break;
    case 'sub':
    case 'cmp':
      rLo = (aLo - bLo) | 0;
      rHi = (aHi - bHi - (aLo >>> 0 < bLo >>> 0 ? 1 : 0)) | 0;
      setFlags(fl, KIND.SUB, size, aLo, aHi, bLo, bHi, rLo, rHi);
      break;
    case 'adc':
    case 'sbb': {
      const add = ALU_OPS[op] === 'adc';
      const unit = BigInt(carryIn) << (size === 8 ? 0n : BigInt(64 - 8 * size));
      const a = join(aLo, aHi);
      const b = join(bLo, bHi);
      const full = add ? a + b + unit : a - b - unit;
      const result = BigInt.asUintN(64, full);
      rLo = lowHalf(result);
      rHi = highHalf(result);
      const borrow = add ? full !== result : full < 0n;
      const over = add ? (~(aHi ^ bHi) & (aHi ^ rHi)) < 0 : ((aHi ^ bHi) & (aHi ^ rHi)) < 0;
      const lowByte = size === 8 ? rLo : rHi >>> up;
      setExplicit(
        fl,
        (borrow ? FLAG.CF : 0) |
          (evenParity(lowByte) ? FLAG.PF : 0) |
          (result === 0n ? FLAG.ZF : 0) |
          (rHi < 0 ? FLAG.SF : 0) |
          (over ? FLAG.OF : 0),
      );
      break;
    }
    case 'or':
      rLo = aLo | bLo;
      rHi = aHi | bHi;
      setFlags(fl, KIND.LOGIC, size, 0, 0, 0, 0, rLo, rHi);
      break;
    case 'xor':
      rLo = aLo ^ bLo;
      rHi = aHi ^ bHi;
      setFlags(fl, KIND.LOGIC, size, 0, 0, 0, 0, rLo, rHi);
      break;
    default:
      rLo = aLo & bLo;
      rHi = aHi & bHi;
      setFlags(fl, KIND.LOGIC, size, 0, 0, 0, 0, rLo, rHi);
  }
  if (ALU_OPS[op] === 'cmp' || ALU_OPS[op] === 'test') return;
  if (size === 8) writeSized(regs, d, 8, rLo, rHi);
  else writeSized(regs, d, size, rHi >>> up, 0);
}

/** not, neg, inc, dec. inc and dec leave CF alone. */
export function unary(regs: Registers, op: number, d: number, size: number): void {
  const { lo, hi, fl } = regs;
  const width = BigInt(8 * size);
  const value = BigInt.asUintN(8 * size, join(lo[d]!, hi[d]!));
  if (op === 0) {
    writeSized(regs, d, size, ~lo[d]!, ~hi[d]!);
    return;
  }
  const result = BigInt.asUintN(8 * size, op === 1 ? -value : op === 2 ? value + 1n : value - 1n);
  const top = 1n << (width - 1n);
  const kept = flagBits(fl) & FLAG.CF;
  const cf = op === 1 ? (value === 0n ? 0 : FLAG.CF) : kept;
  const over = op === 1 ? value === top : op === 2 ? result === top : value === top;
  setExplicit(
    fl,
    cf |
      (evenParity(Number(result & 0xffn)) ? FLAG.PF : 0) |
      (result === 0n ? FLAG.ZF : 0) |
      ((result & top) !== 0n ? FLAG.SF : 0) |
      (over ? FLAG.OF : 0),
  );
  writeSized(regs, d, size, lowHalf(result), highHalf(result));
}

/** Shift without flags: the value of `register` shifted by `count` (masked by the caller). */
function shifted(op: string, lo: number, hi: number, count: number, size: number): [number, number] {
  if (size === 4) {
    switch (op) {
      case 'shl':
        return [lo << count, 0];
      case 'shr':
        return [lo >>> count, 0];
      default:
        return [lo >> count, 0];
    }
  }
  if (count === 0) return [lo, hi];
  const rest = 32 - (count & 31);
  if (op === 'shl') return count >= 32 ? [0, lo << (count - 32)] : [lo << count, (hi << count) | (lo >>> rest)];
  const fill = op === 'shr' ? 0 : hi >> 31;
  if (count >= 32) return [op === 'shr' ? hi >>> (count - 32) : hi >> (count - 32), fill];
  return [(lo >>> count) | (hi << rest), op === 'shr' ? hi >>> count : hi >> count];
}

/** Shifts and rotates by a masked count; flags as the processor sets them, CF and OF defined for a count of 1. */
export function shift(regs: Registers, op: number, d: number, size: number, rawCount: number): void {
  const { lo, hi, fl } = regs;
  const count = rawCount & (size === 8 ? 63 : 31);
  if (count === 0) {
    if (size === 4) hi[d] = 0;
    return;
  }
  const name = SHIFT_OPS[op]!;
  if (name === 'rol' || name === 'ror' || size < 4) {
    rotateOrNarrow(regs, name, d, size, count);
    return;
  }
  const beforeLo = lo[d]!;
  const beforeHi = hi[d]!;
  const [rLo, rHi] = shifted(name, beforeLo, beforeHi, count, size);
  writeSized(regs, d, size, rLo, rHi);
  const top = size === 8 ? rHi : rLo;
  const [lastLo, lastHi] = count === 1 ? [beforeLo, beforeHi] : shifted(name, beforeLo, beforeHi, count - 1, size);
  const lastTop = size === 8 ? lastHi : lastLo;
  const cf = name === 'shl' ? lastTop < 0 : (lastLo & 1) === 1;
  const over = name === 'shl' ? top < 0 !== cf : name === 'shr' ? (size === 8 ? beforeHi : beforeLo) < 0 : false;
  const isZero = size === 8 ? (rLo | rHi) === 0 : rLo === 0;
  setExplicit(
    fl,
    (cf ? FLAG.CF : 0) |
      (evenParity(rLo) ? FLAG.PF : 0) |
      (isZero ? FLAG.ZF : 0) |
      (top < 0 ? FLAG.SF : 0) |
      (over ? FLAG.OF : 0),
  );
}

function rotateOrNarrow(
  regs: Registers,
  name: (typeof SHIFT_OPS)[number],
  d: number,
  size: number,
  count: number,
): void {
  const { lo, hi, fl } = regs;
  const width = 8 * size;
  const value = BigInt.asUintN(width, join(lo[d]!, hi[d]!));
  const by = BigInt(count);
  const turn = BigInt(count % width);
  const top = (x: bigint) => (x >> BigInt(width - 1)) & 1n;
  let result: bigint;
  let cf: bigint;
  let over: boolean;
  switch (name) {
    case 'rol':
      result = BigInt.asUintN(width, (value << turn) | (value >> (BigInt(width) - turn)));
      cf = result & 1n;
      over = top(result) !== cf;
      break;
    case 'ror':
      result = BigInt.asUintN(width, (value >> turn) | (value << (BigInt(width) - turn)));
      cf = top(result);
      over = top(result) !== top(result << 1n);
      break;
    case 'shl':
      result = BigInt.asUintN(width, value << by);
      cf = (value >> (BigInt(width) - by)) & 1n;
      over = top(result) !== cf;
      break;
    case 'shr':
      result = value >> by;
      cf = (value >> (by - 1n)) & 1n;
      over = top(value) === 1n;
      break;
    default: {
      const signed = BigInt.asIntN(width, value);
      result = BigInt.asUintN(width, signed >> by);
      cf = (signed >> (by - 1n)) & 1n;
      over = false;
    }
  }
  writeSized(regs, d, size, lowHalf(result), highHalf(result));
  const kept = name === 'rol' || name === 'ror' ? flagBits(fl) & (FLAG.PF | FLAG.ZF | FLAG.SF) : -1;
  const plain =
    (evenParity(Number(result & 0xffn)) ? FLAG.PF : 0) |
    (result === 0n ? FLAG.ZF : 0) |
    (top(result) === 1n ? FLAG.SF : 0);
  setExplicit(fl, (kept < 0 ? plain : kept) | (cf === 1n ? FLAG.CF : 0) | (over ? FLAG.OF : 0));
}

/** BMI2: no flags. */
export function shiftx(regs: Registers, op: number, d: number, s: number, size: number, countRegister: number): void {
  const { lo, hi } = regs;
  const count = lo[countRegister]! & (size === 8 ? 63 : 31);
  const [rLo, rHi] = shifted(SHIFT_OPS[op]!, lo[s]!, hi[s]!, count, size);
  writeSized(regs, d, size, rLo, rHi);
}

/** Low 64 bits of a product, without BigInt: the low halves' 64-bit product by 16-bit pieces. */
export function multiply64({ lo, hi }: Registers, d: number, s: number): void {
  const aLo = lo[d]!;
  const bLo = lo[s]!;
  const cross = (Math.imul(aLo, hi[s]!) + Math.imul(hi[d]!, bLo)) | 0;
  const a0 = aLo & 0xffff;
  const a1 = aLo >>> 16;
  const b0 = bLo & 0xffff;
  const b1 = bLo >>> 16;
  const low = a0 * b0;
  const middle = a1 * b0 + (low >>> 16);
  const middle2 = a0 * b1 + (middle & 0xffff);
  lo[d] = Math.imul(aLo, bLo);
  hi[d] = (a1 * b1 + Math.floor(middle / 0x10000) + Math.floor(middle2 / 0x10000) + cross) | 0;
}

const SAFE_HIGH = 0x20_0000;

/** mul, imul, div, idiv with rdx:rax; false for a division that raises #DE. */
export function wideOp(regs: Registers, op: number, s: number, size: number): boolean {
  const { lo, hi, fl } = regs;
  const name = WIDE_OPS[op]!;
  if (
    name === 'div' &&
    size === 8 &&
    lo[2] === 0 &&
    hi[2] === 0 &&
    hi[0]! >>> 0 < SAFE_HIGH &&
    hi[s]! >>> 0 < SAFE_HIGH
  ) {
    // Both below 2⁵³: doubles divide exactly enough for floor and remainder.
    const a = (hi[0]! >>> 0) * 0x1_0000_0000 + (lo[0]! >>> 0);
    const b = (hi[s]! >>> 0) * 0x1_0000_0000 + (lo[s]! >>> 0);
    if (b === 0) return false;
    const remainder = a % b;
    const quotient = (a - remainder) / b;
    lo[0] = quotient | 0;
    hi[0] = (quotient / 0x1_0000_0000) | 0;
    lo[2] = remainder | 0;
    hi[2] = (remainder / 0x1_0000_0000) | 0;
    return true;
  }
  const width = 8 * size;
  const bits = BigInt(width);
  const unsigned = (register: number) => BigInt.asUintN(width, join(lo[register]!, hi[register]!));
  const write = (register: number, value: bigint) => writeSized(regs, register, size, lowHalf(value), highHalf(value));
  if (name === 'mul' || name === 'imul') {
    const wrap = (value: bigint) => (name === 'mul' ? value : BigInt.asIntN(width, value));
    const product = wrap(unsigned(0)) * wrap(unsigned(s));
    write(0, BigInt.asUintN(width, product));
    write(2, BigInt.asUintN(width, product >> bits));
    const fits = name === 'mul' ? product >> bits === 0n : BigInt.asIntN(width, product) === product;
    setExplicit(fl, fits ? 0 : FLAG.CF | FLAG.OF);
    return true;
  }
  const divisor = name === 'div' ? unsigned(s) : BigInt.asIntN(width, unsigned(s));
  if (divisor === 0n) return false;
  const both = (unsigned(2) << bits) | unsigned(0);
  const dividend = name === 'div' ? both : BigInt.asIntN(2 * width, both);
  const quotient = dividend / divisor;
  const fits = name === 'div' ? quotient >> bits === 0n : BigInt.asIntN(width, quotient) === quotient;
  if (!fits) return false;
  write(0, BigInt.asUintN(width, quotient));
  write(2, BigInt.asUintN(width, dividend % divisor));
  return true;
}

export function byteSwap({ lo, hi }: Registers, d: number, size: number): void {
  const swap = (x: number) => (x << 24) | ((x & 0xff00) << 8) | ((x >>> 8) & 0xff00) | (x >>> 24);
  const low = swap(lo[d]!);
  if (size === 8) {
    lo[d] = swap(hi[d]!);
    hi[d] = low;
  } else {
    lo[d] = low;
    hi[d] = 0;
  }
}

export function add64(lo: Int32Array, hi: Int32Array, fl: Int32Array, d: number, bLo: number, bHi: number): void {
  const aLo = lo[d]!;
  const aHi = hi[d]!;
  const rLo = (aLo + bLo) | 0;
  const rHi = (aHi + bHi + (rLo >>> 0 < aLo >>> 0 ? 1 : 0)) | 0;
  lo[d] = rLo;
  hi[d] = rHi;
  setFlags(fl, KIND.ADD, 8, aLo, aHi, bLo, bHi, rLo, rHi);
}

export function add32(lo: Int32Array, hi: Int32Array, fl: Int32Array, d: number, b: number): void {
  const a = lo[d]!;
  const r = (a + b) | 0;
  lo[d] = r;
  hi[d] = 0;
  setFlags(fl, KIND.ADD, 4, 0, a, 0, b, 0, r);
}

export function sub64(
  lo: Int32Array,
  hi: Int32Array,
  fl: Int32Array,
  d: number,
  bLo: number,
  bHi: number,
  keep: boolean,
): void {
  const aLo = lo[d]!;
  const aHi = hi[d]!;
  const rLo = (aLo - bLo) | 0;
  const rHi = (aHi - bHi - (aLo >>> 0 < bLo >>> 0 ? 1 : 0)) | 0;
  if (keep) {
    lo[d] = rLo;
    hi[d] = rHi;
  }
  setFlags(fl, KIND.SUB, 8, aLo, aHi, bLo, bHi, rLo, rHi);
}

export function sub32(lo: Int32Array, hi: Int32Array, fl: Int32Array, d: number, b: number, keep: boolean): void {
  const a = lo[d]!;
  const r = (a - b) | 0;
  if (keep) {
    lo[d] = r;
    hi[d] = 0;
  }
  setFlags(fl, KIND.SUB, 4, 0, a, 0, b, 0, r);
}

export function logic(fl: Int32Array, size: number, rLo: number, rHi: number): void {
  setFlags(fl, KIND.LOGIC, size, 0, 0, 0, 0, rLo, rHi);
}
