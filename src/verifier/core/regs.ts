import type { Insn } from '../../bpf/index.ts';
import { boundsText, boundsViolation, setConst, setUnknown, unbound32, unbound64 } from '../domain/index.ts';
import { markRegScratched } from './env.ts';
import { typeStr } from './log.ts';
import * as T from './reg_types.table.ts';
import { copyReg, type Env, type FuncState, PRISTINE, type RegState, type RegView, Reject, reject } from './types.ts';

export { typeStr };

/** An unknown scalar (`mark_reg_unknown`); the subregister's definition stays. */
export function markRegUnknown(_env: Env, reg: RegState): void {
  const { subregDef } = reg;
  copyReg(reg, PRISTINE);
  reg.type = T.SCALAR_VALUE;
  reg.subregDef = subregDef;
  setUnknown(reg);
}

export function markRegNotInit(env: Env, reg: RegState): void {
  markRegUnknown(env, reg);
  reg.type = T.NOT_INIT;
}

/** Known value; the type is the caller's, everything else of a pointer is cleared (`__mark_reg_known`). */
export function markRegKnown(reg: RegState, lo: number, hi: number): void {
  const { type, subregDef, frameno, precise } = reg;
  copyReg(reg, PRISTINE);
  reg.type = type;
  reg.subregDef = subregDef;
  reg.frameno = frameno;
  reg.precise = precise;
  setConst(reg, lo, hi);
}

/** Offset 0 of whatever pointer type it has (`__mark_reg_known_zero`). */
export function markRegKnownZero(reg: RegState): void {
  markRegKnown(reg, 0, 0);
}

export function registerIsNull(reg: RegView): boolean {
  return reg.type === T.SCALAR_VALUE && (reg.maskLo | reg.maskHi | reg.varLo | reg.varHi) === 0;
}

export function isScalarConst(reg: RegView): boolean {
  return reg.type === T.SCALAR_VALUE && (reg.maskLo | reg.maskHi) === 0;
}

/** R0–R5 lose what they held at a call (`clear_caller_saved_regs`). */
export function clearCallerSaved(env: Env, func: FuncState): void {
  for (let i = 0; i <= 5; i++) {
    func.forget(i);
    markRegScratched(env, i);
  }
}

/** Whether `insn` uses all 64 bits of R`regno` as the source or sets them as the destination (`is_reg64`). */
function isReg64(insn: Insn, regno: number, reg: RegView, src: boolean): boolean {
  const { code } = insn;
  const cls = code & 7;
  const op = code & 0xf0;
  if (cls === 5) {
    if (op === 0x90) return true;
    if (op === 0x80) return !src || insn.src !== 1;
  }
  if (cls === 7 || cls === 5) return true;
  if (cls === 4 && op === 0xd0 && insn.imm === 64) return true;
  if (cls === 4 || cls === 6) return false;
  if (cls === 1) return src || (code & 0x18) === 0x18 || (code & 0xe0) === 0x80;
  if (cls === 3) return (src && reg.type !== T.SCALAR_VALUE) || (code & 0x18) === 0x18;
  if (cls === 0) {
    if ((code & 0xe0) === 0) return true;
    if (regno !== 6) return false;
  }
  return true;
}

/** Checks R`regno` as an operand of the current instruction (`check_reg_arg`). */
export function checkRegArg(env: Env, regno: number, kind: 'src' | 'dst' | 'dst_no_mark'): void {
  if (regno >= T.MAX_BPF_REG) reject(env, 'EINVAL', `R${regno} is invalid`);
  markRegScratched(env, regno);
  const old = env.peek(regno);
  const wide = isReg64(env.insns[env.insnIdx]!, regno, old, kind === 'src');
  if (kind === 'src') {
    if (old.type === T.NOT_INIT) reject(env, 'EACCES', `R${regno} !read_ok`);
    if (regno !== 10 && wide && old.subregDef !== T.DEF_NOT_SUBREG) markInsnZext(env, env.reg(regno));
    return;
  }
  if (regno === 10) reject(env, 'EACCES', 'frame pointer is read only');
  const reg = env.reg(regno);
  reg.subregDef = wide ? T.DEF_NOT_SUBREG : env.insnIdx + 1;
  if (kind === 'dst') markRegUnknown(env, reg);
}

const BPF_F_TEST_REG_INVARIANTS = 1 << 7;

/** A range that contradicts itself, as on a way that cannot be gone, says nothing (`reg_bounds_sanity_check`). */
export function checkBounds(env: Env, reg: RegState, where: string): void {
  const violation = boundsViolation(reg);
  if (!violation) return;
  env.verbose(`verifier bug: REG INVARIANTS VIOLATION (${where}): ${violation} ${boundsText(reg)}\n`);
  if (env.input.progFlags & BPF_F_TEST_REG_INVARIANTS) throw new Reject('EFAULT');
  unbound64(reg);
  unbound32(reg);
}

/** All 64 bits of a register set by a 32-bit instruction are read: that one must zero-extend. */
export function markInsnZext(env: Env, reg: RegState): void {
  if (reg.subregDef === T.DEF_NOT_SUBREG) return;
  env.aux[reg.subregDef - 1]!.zextDst = true;
  reg.subregDef = T.DEF_NOT_SUBREG;
}
