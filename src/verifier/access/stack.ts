import type { Insn } from '../../bpf/index.ts';
import { withScalarId } from '../core/alu.ts';
import { markStackSlotScratched, type VerifierEnv } from '../core/env.ts';
import { checkFastcallContract } from '../core/fastcall.ts';
import { printLinfo } from '../core/log.ts';
import { insnStackAccessFlags, markChainPrecision, pushInsnHistory } from '../core/precise.ts';
import * as T from '../core/reg_types.table.ts';
import { markRegKnown, markRegUnknown, registerIsNull } from '../core/regs.ts';
import {
  copyReg,
  type Env,
  type FuncState,
  RegState,
  type RegView,
  reject,
  type SlotView,
  type StackSlot,
} from '../core/types.ts';
import { isConst, setConst, tnumText } from '../domain/index.ts';
import { destroyDynptrAt } from './_slots.ts';
import { constOff, smax, smin, umax } from './numbers.ts';
import { BPF_READ, isUnboundedOffset } from './region.ts';

const REG_SIZE = 8;
const BPF_ST = 2;

const spiOf = (off: number): number => (-off - 1) >> 3;
/** Index in `slotType` of the byte at `off`. */
const byteOf = (off: number): number => (-off - 1) & 7;

const isSpilled = (slot: SlotView): boolean => slot.slotType[7] === T.STACK_SPILL;
const isZeroConst = (reg: RegView): boolean => isConst(reg) && (reg.varLo | reg.varHi) === 0;
const isZeroStore = (insn: Insn): boolean => (insn.code & 7) === BPF_ST && insn.imm === 0;
const widthOf = (reg: RegView): number => bitLength(umax(reg));
const bitLength = (n: number): number => (n < 1 ? 0 : Math.min(64, Math.floor(Math.log2(n)) + 1));

/** The frame that R`regno` points into. */
export function frameOf(env: Env, reg: RegView): FuncState {
  return env.cur.frame[reg.frameno]!;
}

/** Makes the frame's stack at least `size` bytes deep (`grow_stack_state`). */
function grow(env: Env, state: FuncState, size: number): void {
  const slots = (size + REG_SIZE - 1) >> 3;
  state.grow(slots);
  const info = env.subprogs[state.subprogno]!;
  if (info.stackDepth < slots * REG_SIZE) info.stackDepth = slots * REG_SIZE;
}

/** Bounds of an access through a stack pointer (`check_stack_access_within_bounds`). */
export function checkStackBounds(
  env: Env,
  regno: number,
  off: number,
  size: number,
  access: number,
  helper: boolean,
): void {
  const reg = env.peek(regno);
  const fixed = isConst(reg);
  const what = () => (helper ? ' indirect access to' : access === BPF_READ ? ' read from' : ' write to');
  if (!fixed && isUnboundedOffset(reg)) {
    reject(env, 'EACCES', `invalid unbounded variable-offset${what()} stack R${regno}`);
  }
  const from = (fixed ? constOff(reg) : smin(reg)) + off;
  const to = (fixed ? constOff(reg) : smax(reg)) + off + size;
  const errno = from < -T.MAX_BPF_STACK || from > -1 ? 'EACCES' : to > 0 ? 'EINVAL' : size < 0 ? 'EFAULT' : '';
  if (errno) {
    const place = `off=${off} size=${size}`;
    if (fixed) reject(env, errno, `invalid${what()} stack R${regno} ${place}`);
    reject(env, errno, `invalid variable-offset${what()} stack R${regno} var_off=${tnumText(reg)} ${place}`);
  }
  grow(env, frameOf(env, reg), -from);
}

const OBJECTS: readonly number[] = [T.STACK_SPILL, T.STACK_DYNPTR, T.STACK_ITER, T.STACK_IRQ_FLAG];

/** Data is written to the slot: it holds no register and no object any more. */
function scrub({ slotType, spilled }: StackSlot): void {
  spilled.type = T.NOT_INIT;
  if (!OBJECTS.includes(slotType[7]!)) return;
  for (let i = 0; i < REG_SIZE; i++) if (slotType[i] !== T.STACK_INVALID) slotType[i] = T.STACK_MISC;
}

/** Puts the register in the slot (`save_register_state`); bytes of the slot that are not written turn to MISC. */
function saveRegister(slot: StackSlot, reg: RegView, size: number): void {
  copyReg(slot.spilled, reg);
  for (let i = REG_SIZE; i > REG_SIZE - size; i--) slot.slotType[i - 1] = T.STACK_SPILL;
  for (let i = REG_SIZE - size; i > 0; i--) {
    const type = slot.slotType[i - 1];
    if (type !== T.STACK_ZERO && type !== T.STACK_INVALID) slot.slotType[i - 1] = T.STACK_MISC;
  }
}

/** Refuses with the source line first (`verbose_linfo`). */
function rejectAtLine(env: Env, text: string): never {
  printLinfo(env as VerifierEnv, env.insnIdx, '; ');
  return reject(env, 'EACCES', text);
}

function isSpillable(type: number): boolean {
  const base = type & T.BASE_TYPE_MASK;
  return base >= T.PTR_TO_CTX && base <= T.PTR_TO_ARENA;
}

function writeFixed(env: Env, state: FuncState, off: number, size: number, valueRegno: number, insnIdx: number): void {
  const insn = env.insns[insnIdx]!;
  const spi = spiOf(off);
  const slot = state.slot(spi);
  const reg = valueRegno >= 0 ? env.peek(valueRegno) : null;
  const aligned = off % REG_SIZE === 0;
  destroyDynptrAt(env, state, spi);
  checkFastcallContract(env, state, insnIdx, off);
  markStackSlotScratched(env, spi);
  if (size === REG_SIZE) (env as VerifierEnv).live.markWrite(state.frameno, spi);
  if (reg && aligned && reg.type === T.SCALAR_VALUE) {
    const wholeValue = widthOf(reg) <= 8 * size;
    saveRegister(slot, wholeValue ? withScalarId(env, valueRegno) : reg, size);
    if (!wholeValue) slot.spilled.id = 0;
  } else if (!reg && aligned && (insn.code & 7) === BPF_ST) {
    const value = new RegState();
    value.type = T.SCALAR_VALUE;
    setConst(value, insn.imm, insn.imm >> 31);
    saveRegister(slot, value, size);
  } else if (reg && isSpillable(reg.type)) {
    if (size !== REG_SIZE) rejectAtLine(env, 'invalid size of register spill');
    if (state !== env.func() && reg.type === T.PTR_TO_STACK) {
      reject(env, 'EINVAL', 'cannot spill pointers to stack into stack frame of the caller');
    }
    saveRegister(slot, reg, size);
  } else {
    scrub(slot);
    const zero = reg ? registerIsNull(reg) : isZeroStore(insn);
    if (zero && valueRegno >= 0) markChainPrecision(env, valueRegno);
    for (let i = 0; i < size; i++) slot.slotType[byteOf(off + i)] = zero ? T.STACK_ZERO : T.STACK_MISC;
    return;
  }
  pushInsnHistory(env, insnStackAccessFlags(state.frameno, spi));
}

function writeVariable(env: Env, ptr: RegView, off: number, size: number, valueRegno: number, insnIdx: number): void {
  const state = frameOf(env, ptr);
  const value = valueRegno >= 0 ? env.peek(valueRegno) : null;
  const zero = value ? registerIsNull(value) : isZeroStore(env.insns[insnIdx]!);
  const end = smax(ptr) + off + size;
  let zeroUsed = false;
  checkFastcallContract(env, state, insnIdx, smin(ptr) + off);
  for (let at = smin(ptr) + off; at < end; at++) {
    const spi = spiOf(at);
    const slot = state.slot(spi);
    destroyDynptrAt(env, state, spi);
    markStackSlotScratched(env, spi);
    const byte = byteOf(at);
    if (
      zero &&
      slot.slotType[byte] === T.STACK_SPILL &&
      slot.spilled.type === T.SCALAR_VALUE &&
      isZeroConst(slot.spilled)
    ) {
      zeroUsed = true;
      continue;
    }
    slot.spilled.type = T.NOT_INIT;
    const staysZero = zero && slot.slotType[byte] === T.STACK_ZERO;
    zeroUsed ||= staysZero;
    slot.slotType[byte] = staysZero ? T.STACK_ZERO : T.STACK_MISC;
  }
  if (zeroUsed && valueRegno >= 0) markChainPrecision(env, valueRegno);
}

function setZero(reg: RegState): void {
  reg.type = T.SCALAR_VALUE;
  markRegKnown(reg, 0, 0);
}

/** What bytes of the stack give when they are not a whole spilled register (`mark_reg_stack_read`). */
function readBytes(env: Env, state: FuncState, from: number, to: number, dst: RegState): void {
  let zeros = true;
  for (let at = from; zeros && at < to; at++) {
    markStackSlotScratched(env, spiOf(at));
    zeros = state.peekSlot(spiOf(at))!.slotType[byteOf(at)] === T.STACK_ZERO;
  }
  if (zeros) setZero(dst);
  else markRegUnknown(env, dst);
}

function spillSize(slot: SlotView): number {
  let size = 1;
  while (size < REG_SIZE && slot.slotType[REG_SIZE - 1 - size] === T.STACK_SPILL) size++;
  return size;
}

/** A part of a spilled scalar; tells whether the register's state was restored. */
function readPart(env: Env, slot: SlotView, off: number, size: number, dst: RegState): boolean {
  const spilled = slot.spilled;
  if (size <= spillSize(slot) && off % REG_SIZE === 0) {
    const { subregDef } = dst;
    copyReg(dst, spilled);
    dst.subregDef = subregDef;
    if (widthOf(spilled) > size * 8) dst.id = 0;
    return true;
  }
  let spills = 0;
  let zeros = 0;
  for (let i = 0; i < size; i++) {
    const type = slot.slotType[byteOf(off + i)];
    if (type === T.STACK_SPILL) spills++;
    else if (type === T.STACK_ZERO) zeros++;
    else if (type !== T.STACK_MISC && type !== T.STACK_INVALID) {
      reject(env, 'EACCES', `invalid read from stack off ${off}+${i} size ${size}`);
    }
  }
  const zeroSpill = spills === size && isZeroConst(spilled);
  if (zeroSpill || zeros === size) setZero(dst);
  else markRegUnknown(env, dst);
  return zeroSpill;
}

function readFixed(env: Env, state: FuncState, off: number, size: number, dstRegno: number): void {
  const spi = spiOf(off);
  const slot = state.peekSlot(spi)!;
  const dst = dstRegno >= 0 ? env.reg(dstRegno) : null;
  markStackSlotScratched(env, spi);
  checkFastcallContract(env, env.func(), env.insnIdx, off);
  (env as VerifierEnv).live.markRead(env, state.frameno, env.insnIdx, spi);
  if (!isSpilled(slot)) {
    for (let i = 0; i < size; i++) {
      const type = slot.slotType[byteOf(off + i)]!;
      if (type > T.STACK_ZERO) reject(env, 'EACCES', `invalid read from stack off ${off}+${i} size ${size}`);
    }
    if (dst) readBytes(env, state, off, off + size, dst);
    return;
  }
  if (size !== REG_SIZE || spillSize(slot) !== REG_SIZE) {
    if (slot.spilled.type !== T.SCALAR_VALUE) rejectAtLine(env, 'invalid size of register fill');
    if (!dst || !readPart(env, slot, off, size, dst)) return;
  } else if (dst) {
    copyReg(dst, slot.spilled);
  }
  pushInsnHistory(env, insnStackAccessFlags(state.frameno, spi));
}

/** A load from or a store to the stack after {@link checkStackBounds}; `off` has the register's own part in it. */
export function accessStack(
  env: Env,
  regno: number,
  off: number,
  size: number,
  access: number,
  valueRegno: number,
  insnIdx: number,
): void {
  const reg = env.peek(regno);
  const state = frameOf(env, reg);
  if (access !== BPF_READ) {
    if (isConst(reg)) writeFixed(env, state, off + constOff(reg), size, valueRegno, insnIdx);
    else writeVariable(env, reg, off, size, valueRegno, insnIdx);
    return;
  }
  if (isConst(reg)) {
    readFixed(env, state, off + constOff(reg), size, valueRegno);
    return;
  }
  if (valueRegno < 0) {
    const text = `variable offset stack pointer cannot be passed into helper function; var_off=${tnumText(reg)} off=${off} size=${size}`;
    reject(env, 'EACCES', text);
  }
  const end = smax(reg) + off + size;
  for (let at = smin(reg) + off; at < end; at++) {
    if (state.peekSlot(spiOf(at))!.slotType[byteOf(at)]! <= T.STACK_ZERO) continue;
    const where = `${tnumText(reg)}+${at - smin(reg) - off} size ${size}`;
    reject(env, 'EACCES', `invalid read from stack R${regno} var_off ${where}`);
  }
  for (let spi = spiOf(smin(reg) + off); spi >= spiOf(end - 1); spi--)
    (env as VerifierEnv).live.markRead(env, state.frameno, env.insnIdx, spi);
  const from = smin(reg) + off;
  readBytes(env, state, from, end, env.reg(valueRegno));
  checkFastcallContract(env, state, env.insnIdx, from);
}
