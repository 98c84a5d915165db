import { JMP } from '../../bpf/index.ts';
import { boundsSync, lowerSmax, lowerUmax, raiseSmin, raiseUmin } from './bounds.ts';
import { slt, ult } from './i64.ts';
import { isConst, type ScalarRange, unbound32, unbound64 } from './range.ts';

const { JEQ, JGT, JGE, JSET, JNE, JSGT, JSGE, JLT, JLE, JSLT, JSLE } = JMP;
/** The opposite of JSET, which no instruction has. */
const JNSET = 0x48;

const REVERSE: Readonly<Record<number, number>> = {
  [JEQ]: JNE,
  [JNE]: JEQ,
  [JSET]: JNSET,
  [JGT]: JLE,
  [JLE]: JGT,
  [JGE]: JLT,
  [JLT]: JGE,
  [JSGT]: JSLE,
  [JSLE]: JSGT,
  [JSGE]: JSLT,
  [JSLT]: JSGE,
};

/** Operators with the operands exchanged, for the half that is not handled itself. */
const FLIP: Readonly<Record<number, number>> = { [JGT]: JLT, [JGE]: JLE, [JSGT]: JSLT, [JSGE]: JSLE };

/** Whether all of a's values are below all of b's (1), none is (0), or it depends (-1). */
function below(a: ScalarRange, b: ScalarRange, jmp32: boolean): number {
  if (jmp32) return a.u32max < b.u32min ? 1 : a.u32min >= b.u32max ? 0 : -1;
  if (ult(a.umaxLo, a.umaxHi, b.uminLo, b.uminHi)) return 1;
  return ult(a.uminLo, a.uminHi, b.umaxLo, b.umaxHi) ? -1 : 0;
}

function belowSigned(a: ScalarRange, b: ScalarRange, jmp32: boolean): number {
  if (jmp32) return a.s32max < b.s32min ? 1 : a.s32min >= b.s32max ? 0 : -1;
  if (slt(a.smaxLo, a.smaxHi, b.sminLo, b.sminHi)) return 1;
  return slt(a.sminLo, a.sminHi, b.smaxLo, b.smaxHi) ? -1 : 0;
}

function not(taken: number): number {
  return taken < 0 ? taken : 1 - taken;
}

function apart32(a: ScalarRange, b: ScalarRange): boolean {
  return a.u32min > b.u32max || a.u32max < b.u32min || a.s32min > b.s32max || a.s32max < b.s32min;
}

function apart64(a: ScalarRange, b: ScalarRange): boolean {
  return (
    ult(b.umaxLo, b.umaxHi, a.uminLo, a.uminHi) ||
    ult(a.umaxLo, a.umaxHi, b.uminLo, b.uminHi) ||
    slt(b.smaxLo, b.smaxHi, a.sminLo, a.sminHi) ||
    slt(a.smaxLo, a.smaxHi, b.sminLo, b.sminHi)
  );
}

function equal(a: ScalarRange, b: ScalarRange, jmp32: boolean): number {
  const top = jmp32 ? 0 : -1;
  const differ = ((a.varLo ^ b.varLo) & ~(a.maskLo | b.maskLo)) | ((a.varHi ^ b.varHi) & ~(a.maskHi | b.maskHi) & top);
  if (isConst(a, jmp32) && isConst(b, jmp32)) return differ ? 0 : 1;
  if (differ || apart32(a, b) || (!jmp32 && apart64(a, b))) return 0;
  return -1;
}

function anyBit(a: ScalarRange, b: ScalarRange, jmp32: boolean): number {
  let value = a;
  let bits = b;
  if (!isConst(bits, jmp32)) {
    value = b;
    bits = a;
  }
  if (!isConst(bits, jmp32)) return -1;
  const top = jmp32 ? 0 : -1;
  if ((value.varLo & bits.varLo) | (value.varHi & bits.varHi & top)) return 1;
  const possible = ((value.varLo | value.maskLo) & bits.varLo) | ((value.varHi | value.maskHi) & bits.varHi & top);
  return possible ? -1 : 0;
}

/**
 * Whether `a op b` always (1), never (0) or sometimes (-1) holds; `op` is the jump's operation, bits 4..7 of the opcode
 * (`is_scalar_branch_taken`).
 */
export function isBranchTaken(op: number, a: ScalarRange, b: ScalarRange, jmp32: boolean): number {
  switch (op) {
    case JEQ:
      return equal(a, b, jmp32);
    case JNE:
      return not(equal(a, b, jmp32));
    case JSET:
      return anyBit(a, b, jmp32);
    case JLT:
      return below(a, b, jmp32);
    case JGE:
      return not(below(a, b, jmp32));
    case JGT:
      return below(b, a, jmp32);
    case JLE:
      return not(below(b, a, jmp32));
    case JSLT:
      return belowSigned(a, b, jmp32);
    case JSGE:
      return not(belowSigned(a, b, jmp32));
    case JSGT:
      return belowSigned(b, a, jmp32);
    case JSLE:
      return not(belowSigned(b, a, jmp32));
    default:
      return -1;
  }
}

function refineEqual(a: ScalarRange, b: ScalarRange, jmp32: boolean): void {
  const maskLo = a.maskLo & b.maskLo;
  const maskHi = a.maskHi & b.maskHi;
  const varHi = (a.varHi | b.varHi) & ~maskHi;
  a.varLo = b.varLo = (a.varLo | b.varLo) & ~maskLo;
  a.maskLo = b.maskLo = maskLo;
  if (jmp32) {
    a.u32min = b.u32min = Math.max(a.u32min, b.u32min);
    a.u32max = b.u32max = Math.min(a.u32max, b.u32max);
    a.s32min = b.s32min = Math.max(a.s32min, b.s32min);
    a.s32max = b.s32max = Math.min(a.s32max, b.s32max);
    return;
  }
  a.varHi = b.varHi = varHi;
  a.maskHi = b.maskHi = maskHi;
  raiseUmin(a, b.uminLo, b.uminHi);
  lowerUmax(a, b.umaxLo, b.umaxHi);
  raiseSmin(a, b.sminLo, b.sminHi);
  lowerSmax(a, b.smaxLo, b.smaxHi);
  b.uminLo = a.uminLo;
  b.uminHi = a.uminHi;
  b.umaxLo = a.umaxLo;
  b.umaxHi = a.umaxHi;
  b.sminLo = a.sminLo;
  b.sminHi = a.sminHi;
  b.smaxLo = a.smaxLo;
  b.smaxHi = a.smaxHi;
}

function nextHi(lo: number, hi: number): number {
  return lo === -1 ? (hi + 1) | 0 : hi;
}

function prevHi(lo: number, hi: number): number {
  return lo === 0 ? (hi - 1) | 0 : hi;
}

/** A bound that equals the excluded constant moves by one. */
function refineUnequal(r: ScalarRange, lo: number, hi: number, jmp32: boolean): void {
  if (jmp32) {
    if (r.u32min === lo >>> 0) r.u32min = (lo + 1) >>> 0;
    if (r.u32max === lo >>> 0) r.u32max = (lo - 1) >>> 0;
    if (r.s32min === lo) r.s32min = (lo + 1) | 0;
    if (r.s32max === lo) r.s32max = (lo - 1) | 0;
    return;
  }
  const up = nextHi(lo, hi);
  const down = prevHi(lo, hi);
  if (r.uminLo === lo && r.uminHi === hi) {
    r.uminLo = (lo + 1) | 0;
    r.uminHi = up;
  }
  if (r.umaxLo === lo && r.umaxHi === hi) {
    r.umaxLo = (lo - 1) | 0;
    r.umaxHi = down;
  }
  if (r.sminLo === lo && r.sminHi === hi) {
    r.sminLo = (lo + 1) | 0;
    r.sminHi = up;
  }
  if (r.smaxLo === lo && r.smaxHi === hi) {
    r.smaxLo = (lo - 1) | 0;
    r.smaxHi = down;
  }
}

/** One bit that is set is known; of several it is not known which. */
function refineSet(r: ScalarRange, lo: number, hi: number): void {
  const single = hi === 0 ? lo !== 0 && (lo & (lo - 1)) === 0 : lo === 0 && (hi & (hi - 1)) === 0;
  if (!single) return;
  r.varLo |= lo;
  r.varHi |= hi;
  r.maskLo &= ~lo;
  r.maskHi &= ~hi;
}

function refineClear(r: ScalarRange, lo: number, hi: number): void {
  unbound64(r);
  unbound32(r);
  r.varLo &= ~lo;
  r.varHi &= ~hi;
  r.maskLo &= ~lo;
  r.maskHi &= ~hi;
}

/** a <= b, or a < b if `strict`. */
function refineBelow(a: ScalarRange, b: ScalarRange, strict: number, jmp32: boolean): void {
  if (jmp32) {
    a.u32max = Math.min(a.u32max, (b.u32max - strict) >>> 0);
    b.u32min = Math.max((a.u32min + strict) >>> 0, b.u32min);
    return;
  }
  lowerUmax(a, (b.umaxLo - strict) | 0, strict ? prevHi(b.umaxLo, b.umaxHi) : b.umaxHi);
  raiseUmin(b, (a.uminLo + strict) | 0, strict ? nextHi(a.uminLo, a.uminHi) : a.uminHi);
}

function refineBelowSigned(a: ScalarRange, b: ScalarRange, strict: number, jmp32: boolean): void {
  if (jmp32) {
    a.s32max = Math.min(a.s32max, (b.s32max - strict) | 0);
    b.s32min = Math.max((a.s32min + strict) | 0, b.s32min);
    return;
  }
  lowerSmax(a, (b.smaxLo - strict) | 0, strict ? prevHi(b.smaxLo, b.smaxHi) : b.smaxHi);
  raiseSmin(b, (a.sminLo + strict) | 0, strict ? nextHi(a.sminLo, a.sminHi) : a.sminHi);
}

/** `a op b` where one of them is a constant. */
function refineByConst(r1: ScalarRange, r2: ScalarRange, op: number, jmp32: boolean): void {
  const swapped = !isConst(r2, jmp32);
  const r = swapped ? r2 : r1;
  const known = swapped ? r1 : r2;
  if (!isConst(known, jmp32)) return;
  const hi = jmp32 ? 0 : known.varHi;
  if (op === JNE) refineUnequal(r, known.varLo, hi, jmp32);
  else if (op === JSET) refineSet(r, known.varLo, hi);
  else refineClear(r, known.varLo, hi);
}

/** What `a op b` being true tells of both (`regs_refine_cond_op`). */
function refine(r1: ScalarRange, r2: ScalarRange, opcode: number, jmp32: boolean): void {
  const flipped = FLIP[opcode];
  const op = flipped ?? opcode;
  const a = flipped ? r2 : r1;
  const b = flipped ? r1 : r2;
  if (op === JEQ) refineEqual(a, b, jmp32);
  else if (op === JLE || op === JLT) refineBelow(a, b, op === JLT ? 1 : 0, jmp32);
  else if (op === JSLE || op === JSLT) refineBelowSigned(a, b, op === JSLT ? 1 : 0, jmp32);
  else refineByConst(a, b, op, jmp32);
  boundsSync(r1);
  boundsSync(r2);
}

/** Refines copies of both registers for the branch taken and for the one not taken (`reg_set_min_max`). */
export function refineBranch(
  trueA: ScalarRange,
  trueB: ScalarRange,
  falseA: ScalarRange,
  falseB: ScalarRange,
  op: number,
  jmp32: boolean,
): void {
  refine(falseA, falseB, REVERSE[op]!, jmp32);
  refine(trueA, trueB, op, jmp32);
}
