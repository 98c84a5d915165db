import { markStackSlotScratched, type VerifierEnv } from '../core/env.ts';
import * as T from '../core/reg_types.table.ts';
import { markRegNotInit, markRegUnknown } from '../core/regs.ts';
import { type Env, type FuncState, type RegState, reject, type StackSlot } from '../core/types.ts';
import { isConst } from '../domain/index.ts';
import { constOff } from './numbers.ts';
import { forEachReg } from './references.ts';

/** The offset cannot hold such an object; {@link objectSlot} has said why. */
export const BAD_SLOT = -1;
/** Below the stack that is in use so far. */
export const NEW_SLOT = -2;

/** The frame that stack pointer `reg` points into. */
export const frameOf = (env: Env, reg: RegState): FuncState => env.cur.frame[reg.frameno]!;

/** Index of the first (highest) of the `count` slots of an object at `reg` (`stack_slot_obj_get_spi`). */
export function objectSlot(env: Env, reg: RegState, kind: string, count: number): number {
  if (!isConst(reg)) {
    env.verbose(`${kind} has to be at a constant offset\n`);
    return BAD_SLOT;
  }
  const off = reg.off + constOff(reg);
  const spi = Math.trunc((-off - 1) / 8);
  if (off % 8 !== 0 || spi + 1 < count) {
    env.verbose(`cannot pass in ${kind} at an offset=${off}\n`);
    return BAD_SLOT;
  }
  return spi - count + 1 >= 0 && spi < frameOf(env, reg).depth ? spi : NEW_SLOT;
}

/** Slots of an object whose first is `spi`. */
export function slotsOf(state: FuncState, spi: number, count: number): StackSlot[] {
  return Array.from({ length: count }, (_, i) => state.slot(spi - i));
}

export const allBytes = (slot: StackSlot, kind: number): boolean => slot.slotType.every((byte) => byte === kind);

/** The object is gone: its slots hold nothing. */
export function clearSlots(env: Env, state: FuncState, spi: number, count: number): void {
  for (let i = 0; i < count; i++) {
    const slot = state.slot(spi - i);
    markRegNotInit(env, slot.spilled);
    slot.slotType.fill(T.STACK_INVALID);
    markSlotWritten(env, state.frameno, spi - i);
  }
}

/** The call writes the slot: for the log and for the slots that may still be read. */
export function markSlotWritten(env: Env, frameno: number, spi: number): void {
  (env as VerifierEnv).live.markWrite(frameno, spi);
  markStackSlotScratched(env, spi);
}

/** The call reads the object (`mark_stack_slot_obj_read`). */
export function markSlotsRead(env: Env, frameno: number, spi: number, count: number): void {
  for (let i = 0; i < count; i++) {
    (env as VerifierEnv).live.markRead(env, frameno, env.insnIdx, spi - i);
    markStackSlotScratched(env, spi - i);
  }
}

/** Slots of a dynptr. */
export const DYNPTR_SLOTS = 2;
/** `enum bpf_dynptr_type`. */
export const DYNPTR_LOCAL = 1;
export const DYNPTR_RINGBUF = 2;
export const DYNPTR_SKB = 3;
export const DYNPTR_XDP = 4;
export const DYNPTR_SKB_META = 5;

/** Only data of a ring buffer must be given back (`dynptr_type_refcounted`). */
export const isRefcountedDynptr = (type: number): boolean => type === DYNPTR_RINGBUF;

/** Overwriting a dynptr destroys it with its slices; data of a ring buffer would be lost (`destroy_if_dynptr_stack_slot`). */
export function destroyDynptrAt(env: Env, state: FuncState, at: number): void {
  if (state.peekSlot(at)!.slotType[0] !== T.STACK_DYNPTR) return;
  const spi = state.peekSlot(at)!.spilled.dynptrFirstSlot ? at : at + 1;
  const { dynptrType, id } = state.peekSlot(spi)!.spilled;
  if (isRefcountedDynptr(dynptrType)) reject(env, 'EINVAL', 'cannot overwrite referenced dynptr');
  clearSlots(env, state, spi, DYNPTR_SLOTS);
  forEachReg(
    env.cur,
    (reg) => markRegUnknown(env, reg),
    (reg) => (reg.type & ~T.PTR_MAYBE_NULL) === T.PTR_TO_MEM && reg.dynptrId === id,
  );
}
