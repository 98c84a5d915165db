import { ALU, type Insn } from '../../bpf/index.ts';
import * as D from '../domain/index.ts';
import { pushStack } from './branch.ts';
import { ALU_WORDS, pointerAlu } from './pointer.ts';
import { markChainPrecision } from './precise.ts';
import * as T from './reg_types.table.ts';
import { checkBounds, checkRegArg, markRegKnown, markRegUnknown } from './regs.ts';
import { copyReg, type Env, RegState, type RegView, reject } from './types.ts';

const { MOV, NEG, END } = ALU;
const SHIFTS = new Set([0x60, 0x70, 0xc0]);
const DIVIDES = new Set([0x30, 0x90]);
const OPS: Record<number, (d: RegState, s: RegState, is32: boolean) => void> = {
  0: D.add,
  16: D.sub,
  32: D.mul,
  64: D.or,
  80: D.and,
  96: (d, s, is32) => D.lsh(d, s.varLo, is32),
  112: (d, s, is32) => D.rsh(d, s.varLo, is32),
  160: D.xor,
  192: (d, s, is32) => D.arsh(d, s.varLo, is32),
};

/**
 * R`regno`, about to be copied: a scalar that is not constant is given an id, so that what is learned of one holds for
 * the other (`assign_scalar_id_before_mov`).
 */
export function withScalarId(env: Env, regno: number): RegView {
  const func = env.func();
  const old = func.peek(regno);
  if (old.type !== T.SCALAR_VALUE || D.isConst(old) || (old.id && !(old.id & T.BPF_ADD_CONST))) return old;
  const reg = func.reg(regno);
  if (reg.id) reg.off = 0;
  reg.id = ++env.idGen;
  return reg;
}

function checkMov(env: Env, insn: Insn): void {
  const wide = (insn.code & 7) === 7;
  if (!(insn.code & 8)) {
    if (insn.src !== 0 || insn.off !== 0) reject(env, 'EINVAL', 'BPF_MOV uses reserved fields');
    checkRegArg(env, insn.dst, 'dst_no_mark');
    const dst = env.reg(insn.dst);
    markRegUnknown(env, dst);
    markRegKnown(dst, insn.imm, wide ? insn.imm >> 31 : 0);
    return;
  }
  const arena = wide && insn.off === 1;
  const { off } = insn;
  if (arena ? insn.imm !== 1 && insn.imm !== 0x10000 : insn.imm !== 0 || ![0, 8, 16, wide ? 32 : 0].includes(off))
    reject(env, 'EINVAL', 'BPF_MOV uses reserved fields');
  checkRegArg(env, insn.src, 'src');
  checkRegArg(env, insn.dst, 'dst_no_mark');
  let src = env.peek(insn.src);
  if (wide) {
    const dst = env.reg(insn.dst);
    if (arena) {
      markRegUnknown(env, dst);
      if (insn.imm === 1) dst.type = T.PTR_TO_ARENA;
      dst.subregDef = env.insnIdx + 1;
      return;
    }
    if (off !== 0 && src.type !== T.SCALAR_VALUE) {
      markRegUnknown(env, dst);
      return;
    }
    const fits = src.uminHi === 0 && src.umaxHi === 0 && src.umaxLo >>> 0 < 2 ** (off - 1);
    if (off === 0 || fits) src = withScalarId(env, insn.src);
    copyReg(dst, src);
    dst.subregDef = T.DEF_NOT_SUBREG;
    if (off === 0) return;
    if (!fits) {
      dst.id = 0;
      dst.off = 0;
    }
    D.coerceToSizeSx(dst, off >> 3);
    return;
  }
  const dst = env.reg(insn.dst);
  if (src.type !== T.SCALAR_VALUE) {
    markRegUnknown(env, dst);
    D.zext32(dst);
    return;
  }
  const isU32 = src.umaxHi === 0;
  const fits = src.umaxHi === 0 && src.umaxLo >>> 0 < 2 ** (off - 1);
  if (off === 0 ? isU32 : fits) src = withScalarId(env, insn.src);
  copyReg(dst, src);
  if (off === 0 ? !isU32 : !fits) {
    dst.id = 0;
    dst.off = 0;
  }
  dst.subregDef = env.insnIdx + 1;
  if (off !== 0) D.coerceToSizeSx32(dst, off >> 3);
  D.zext32(dst);
  D.boundsSync(dst);
}

/** A mask of all ones or none (-1 or 0) under AND and OR: both values are walked apart (`maybe_fork_scalars`). */
function forkSigns(env: Env, insn: Insn, dst: RegState): void {
  const wide = dst.sminLo === -1 && dst.sminHi === -1 && (dst.smaxLo | dst.smaxHi) === 0;
  if (!wide && (dst.s32min !== -1 || dst.s32max !== 0)) return;
  const state = pushStack(env, env.insnIdx, env.insnIdx, false);
  const other = state.frame[state.curframe]!.reg(insn.dst);
  setKnown(other, 0, wide);
  setKnown(dst, -1, wide);
}

function setKnown(reg: RegState, value: number, wide: boolean): void {
  if (wide) {
    markRegKnown(reg, value, value);
    return;
  }
  reg.varLo = value;
  reg.maskLo = 0;
  reg.s32min = reg.s32max = value;
  reg.u32min = reg.u32max = value >>> 0;
}

/** A constant below the width, whose bounds say the same (`is_safe_to_compute_dst_reg_range`). */
function isShiftDistance(src: RegState, is32: boolean): boolean {
  const settled = is32
    ? src.s32min === src.s32max && src.u32min === src.u32max
    : src.sminLo === src.smaxLo && src.sminHi === src.smaxHi && src.uminLo === src.umaxLo && src.uminHi === src.umaxHi;
  return D.isConst(src, is32) && settled && src.umaxHi === 0 && src.umaxLo >>> 0 < (is32 ? 32 : 64);
}

/** dst = dst op src on scalars (`adjust_scalar_min_max_vals`). */
function scalarAlu(env: Env, insn: Insn, dst: RegState, src: RegState): void {
  const op = insn.code & 0xf0;
  const is32 = (insn.code & 7) === 4;
  const safe = !DIVIDES.has(op) && (!SHIFTS.has(op) || isShiftDistance(src, is32));
  if (!safe || !OPS[op]) {
    markRegUnknown(env, dst);
    return;
  }
  if ((op === 0x40 || op === 0x50) && D.isConst(src)) forkSigns(env, insn, dst);
  OPS[op](dst, src, is32);
  if (is32) D.zext32(dst);
  D.boundsSync(dst);
}

/**
 * After rX += K or rX -= K the register stays linked to those of its id, K apart; other operations cut the link, and so
 * does a 32-bit one where the upper half was not known to be zero (`wasNarrow`), or one of a register with itself.
 */
function linkByConstant(insn: Insn, dst: RegState, src: RegState, wasNarrow: boolean): void {
  const op = insn.code & 0xf0;
  const is32 = (insn.code & 7) === 4;
  const sign = op === 0 ? 1 : op === 0x10 ? -1 : 0;
  const known = src !== dst && (is32 ? wasNarrow && src.maskLo === 0 : D.isConst(src));
  const fits = is32 || src.varHi === src.varLo >> 31;
  const off = sign * src.varLo;
  const itself = (insn.code & 8) !== 0 && insn.src === insn.dst;
  if (sign && !itself && dst.id && !(dst.id & T.BPF_ADD_CONST) && known && fits && off < 0x80000000) {
    dst.id |= is32 ? T.BPF_ADD_CONST32 : T.BPF_ADD_CONST64;
    dst.off = off;
    return;
  }
  dst.id = 0;
  dst.off = 0;
}

/** The operand that an instruction has in itself. */
const constant = Object.assign(new RegState(), { type: T.SCALAR_VALUE });

function binary(env: Env, insn: Insn): void {
  const op = insn.code & 0xf0;
  const dst = env.reg(insn.dst);
  const dstIsPtr = dst.type !== T.SCALAR_VALUE;
  let src = constant;
  if (insn.code & 8) {
    src = env.reg(insn.src);
    if (src.type !== T.SCALAR_VALUE) {
      if (dstIsPtr) {
        if (op === 0x10 && env.allowPtrLeaks) {
          markRegUnknown(env, dst);
          return;
        }
        reject(env, 'EACCES', `R${insn.dst} pointer ${ALU_WORDS[op]} pointer prohibited`);
      }
      markChainPrecision(env, insn.dst);
      pointerAlu(env, insn, src, dst, true);
      return;
    }
    if (dstIsPtr) {
      markChainPrecision(env, insn.src);
      pointerAlu(env, insn, dst, src, false);
      return;
    }
    if (dst.precise) markChainPrecision(env, insn.src);
  } else {
    D.setConst(src, insn.imm, insn.imm >> 31);
    if (dstIsPtr) {
      pointerAlu(env, insn, dst, src, false);
      return;
    }
  }
  const wasNarrow = dst.umaxHi === 0;
  scalarAlu(env, insn, dst, src);
  linkByConstant(insn, dst, src, wasNarrow);
}

function checkUnary(env: Env, insn: Insn, op: number): void {
  if (
    op === NEG
      ? insn.code & 8 || insn.src !== 0 || insn.off !== 0 || insn.imm !== 0
      : insn.src !== 0 || insn.off !== 0 || ![16, 32, 64].includes(insn.imm) || ((insn.code & 7) === 7 && insn.code & 8)
  )
    reject(env, 'EINVAL', op === NEG ? 'BPF_NEG uses reserved fields' : 'BPF_END uses reserved fields');
  checkRegArg(env, insn.dst, 'src');
  const dst = env.reg(insn.dst);
  if (dst.type !== T.SCALAR_VALUE) {
    checkRegArg(env, insn.dst, 'dst');
    return;
  }
  if (op === NEG) {
    checkRegArg(env, insn.dst, 'dst_no_mark');
    D.neg(dst, (insn.code & 7) === 4);
    if ((insn.code & 7) === 4) D.zext32(dst);
    D.boundsSync(dst);
    dst.id = 0;
    dst.off = 0;
    return;
  }
  checkRegArg(env, insn.dst, 'dst_no_mark');
  const swap = (insn.code & 7) === 7 || (insn.code & 8) !== 0;
  if (swap || insn.imm !== 64) dst.id = dst.off = 0;
  D.bswap(dst, insn.imm, swap);
  D.boundsSync(dst);
}

/** Every ALU instruction (`check_alu_op`). */
export function checkAlu(env: Env, insn: Insn): void {
  const op = insn.code & 0xf0;
  const wide = (insn.code & 7) === 7;
  if (op === END || op === NEG) checkUnary(env, insn, op);
  else if (op === MOV) checkMov(env, insn);
  else if (op > END) reject(env, 'EINVAL', `invalid BPF_ALU opcode ${op.toString(16)}`);
  else {
    const offOk = insn.off === 0 || (insn.off === 1 && DIVIDES.has(op));
    if (insn.code & 8 ? insn.imm !== 0 || !offOk : insn.src !== 0 || !offOk)
      reject(env, 'EINVAL', 'BPF_ALU uses reserved fields');
    if (insn.code & 8) checkRegArg(env, insn.src, 'src');
    checkRegArg(env, insn.dst, 'src');
    if (DIVIDES.has(op) && !(insn.code & 8) && insn.imm === 0) reject(env, 'EINVAL', 'div by zero');
    if (SHIFTS.has(op) && !(insn.code & 8)) {
      const size = wide ? 64 : 32;
      if (insn.imm < 0 || insn.imm >= size) reject(env, 'EINVAL', `invalid shift ${insn.imm}`);
    }
    checkRegArg(env, insn.dst, 'dst_no_mark');
    binary(env, insn);
  }
  checkBounds(env, env.reg(insn.dst), 'alu');
}
