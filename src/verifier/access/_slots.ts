import { markStackSlotScratched } from '../core/env.ts';
import * as T from '../core/reg_types.table.ts';
import { markRegNotInit } from '../core/regs.ts';
import type { Env, FuncState, RegState, StackSlot } from '../core/types.ts';
import { isConst } from '../domain/index.ts';
import { constOff } from './numbers.ts';

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
  return spi - count + 1 >= 0 && spi < frameOf(env, reg).stack.length ? spi : NEW_SLOT;
}

/** Slots of an object whose first is `spi`. */
export function slotsOf(state: FuncState, spi: number, count: number): StackSlot[] {
  return Array.from({ length: count }, (_, i) => state.stack[spi - i]!);
}

export const allBytes = (slot: StackSlot, kind: number): boolean => slot.slotType.every((byte) => byte === kind);

/** The object is gone: its slots hold nothing. */
export function clearSlots(env: Env, state: FuncState, spi: number, count: number): void {
  for (let i = 0; i < count; i++) {
    const slot = state.stack[spi - i]!;
    markRegNotInit(env, slot.spilled);
    slot.slotType.fill(T.STACK_INVALID);
    markStackSlotScratched(env, spi - i);
  }
}

/** A use of the object shows it in the log (`mark_stack_slot_obj_read`). */
export function markSlotsRead(env: Env, spi: number, count: number): void {
  for (let i = 0; i < count; i++) markStackSlotScratched(env, spi - i);
}
