import { finish, tnumAdd } from './alu.ts';
import { carry, mulHigh, slt } from './i64.ts';
import { ScalarRange } from './range.ts';

const partial = new ScalarRange();
const factor = new ScalarRange();
const sum = new ScalarRange();

function setBits(r: ScalarRange, varLo: number, varHi: number, maskLo: number, maskHi: number): void {
  r.varLo = varLo;
  r.varHi = varHi;
  r.maskLo = maskLo;
  r.maskHi = maskHi;
}

/** Long multiplication; where d's bit is unknown, the union of both outcomes (`tnum_mul` of 6.18). */
function mulBits(d: ScalarRange, s: ScalarRange): void {
  setBits(factor, s.varLo, s.varHi, s.maskLo, s.maskHi);
  setBits(sum, 0, 0, 0, 0);
  let { varLo, varHi, maskLo, maskHi } = d;
  while (varLo | varHi | maskLo | maskHi) {
    if (varLo & 1) {
      tnumAdd(sum, factor);
    } else if (maskLo & 1) {
      setBits(partial, sum.varLo, sum.varHi, sum.maskLo, sum.maskHi);
      tnumAdd(partial, factor);
      sum.maskLo |= partial.maskLo | (sum.varLo ^ partial.varLo);
      sum.maskHi |= partial.maskHi | (sum.varHi ^ partial.varHi);
      sum.varLo &= partial.varLo & ~sum.maskLo;
      sum.varHi &= partial.varHi & ~sum.maskHi;
    }
    varLo = (varLo >>> 1) | (varHi << 31);
    varHi >>>= 1;
    maskLo = (maskLo >>> 1) | (maskHi << 31);
    maskHi >>>= 1;
    factor.varHi = (factor.varHi << 1) | (factor.varLo >>> 31);
    factor.varLo <<= 1;
    factor.maskHi = (factor.maskHi << 1) | (factor.maskLo >>> 31);
    factor.maskLo <<= 1;
  }
  setBits(d, sum.varLo, sum.varHi, sum.maskLo, sum.maskHi);
}

let productLo = 0;
let productHi = 0;

/** Unsigned product into productHi:productLo; false if it needs more than 64 bits. */
function mulUnsigned(aLo: number, aHi: number, bLo: number, bHi: number): boolean {
  const cross = (aHi >>> 0) * (bLo >>> 0) + (aLo >>> 0) * (bHi >>> 0);
  const top = mulHigh(aLo, bLo) >>> 0;
  productLo = Math.imul(aLo, bLo);
  productHi = (Math.imul(aHi, bLo) + Math.imul(aLo, bHi) + top) | 0;
  return (aHi === 0 || bHi === 0) && cross + top <= 0xffffffff;
}

/** Signed product into productHi:productLo; false if it overflows. */
function mulSigned(aLo: number, aHi: number, bLo: number, bHi: number): boolean {
  const negative = (aHi ^ bHi) < 0;
  const aUp = aHi < 0 ? (~aHi + (aLo === 0 ? 1 : 0)) | 0 : aHi;
  const bUp = bHi < 0 ? (~bHi + (bLo === 0 ? 1 : 0)) | 0 : bHi;
  const fits = mulUnsigned(aHi < 0 ? -aLo | 0 : aLo, aUp, bHi < 0 ? -bLo | 0 : bLo, bUp);
  if (!negative) return fits && productHi >= 0;
  const lo = -productLo | 0;
  productHi = (~productHi + carry(~productLo, 1)) | 0;
  productLo = lo;
  return fits && (productHi < 0 || (productHi | productLo) === 0);
}

function mul32(d: ScalarRange, s: ScalarRange): void {
  const umax = d.u32max * s.u32max;
  const fits = umax <= 0xffffffff;
  d.u32min = fits ? d.u32min * s.u32min : 0;
  d.u32max = fits ? umax : 0xffffffff;
  const products = [d.s32min * s.s32min, d.s32min * s.s32max, d.s32max * s.s32min, d.s32max * s.s32max];
  const min = Math.min(...products) + 0;
  const max = Math.max(...products) + 0;
  const plain = min >= -0x80000000 && max <= 0x7fffffff;
  d.s32min = plain ? min | 0 : -0x80000000;
  d.s32max = plain ? max | 0 : 0x7fffffff;
}

function mulUnsignedBounds(d: ScalarRange, s: ScalarRange): void {
  const fits = mulUnsigned(d.umaxLo, d.umaxHi, s.umaxLo, s.umaxHi);
  d.umaxLo = fits ? productLo : -1;
  d.umaxHi = fits ? productHi : -1;
  mulUnsigned(d.uminLo, d.uminHi, s.uminLo, s.uminHi);
  d.uminLo = fits ? productLo : 0;
  d.uminHi = fits ? productHi : 0;
}

function mulSignedBounds(d: ScalarRange, s: ScalarRange): void {
  let minLo = -1;
  let minHi = 0x7fffffff;
  let maxLo = 0;
  let maxHi = -0x80000000;
  for (let corner = 0; corner < 4; corner++) {
    const fits = mulSigned(
      corner & 1 ? d.smaxLo : d.sminLo,
      corner & 1 ? d.smaxHi : d.sminHi,
      corner & 2 ? s.smaxLo : s.sminLo,
      corner & 2 ? s.smaxHi : s.sminHi,
    );
    if (!fits) {
      minLo = 0;
      minHi = -0x80000000;
      maxLo = -1;
      maxHi = 0x7fffffff;
      break;
    }
    if (slt(productLo, productHi, minLo, minHi)) {
      minLo = productLo;
      minHi = productHi;
    }
    if (slt(maxLo, maxHi, productLo, productHi)) {
      maxLo = productLo;
      maxHi = productHi;
    }
  }
  d.sminLo = minLo;
  d.sminHi = minHi;
  d.smaxLo = maxLo;
  d.smaxHi = maxHi;
}

const multiplier = new ScalarRange();

/** d *= s. */
export function mul(d: ScalarRange, s: ScalarRange, alu32: boolean): void {
  const by = d === s ? Object.assign(multiplier, s) : s;
  mul32(d, by);
  mulUnsignedBounds(d, by);
  mulSignedBounds(d, by);
  mulBits(d, by);
  finish(d, alu32);
}
