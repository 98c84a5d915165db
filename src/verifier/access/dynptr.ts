import { SIZE } from '../../bpf/index.ts';
import * as T from '../core/reg_types.table.ts';
import { markRegKnownZero, markRegNotInit } from '../core/regs.ts';
import { type Env, type RegState, reject } from '../core/types.ts';
import {
  allBytes,
  clearSlots,
  DYNPTR_LOCAL,
  DYNPTR_RINGBUF,
  DYNPTR_SKB,
  DYNPTR_SKB_META,
  DYNPTR_SLOTS,
  DYNPTR_XDP,
  destroyDynptrAt,
  frameOf,
  isRefcountedDynptr,
  markSlotsRead,
  markSlotWritten,
  NEW_SLOT,
  objectSlot,
  slotsOf,
} from './_slots.ts';
import { checkMemAccess } from './memory.ts';
import { acquireReference, releaseReference } from './references.ts';
import { BPF_WRITE } from './region.ts';
import { unsupported } from './unsupported.ts';

/** Kind of dynptr → flag of an argument's type, and word in messages. */
const KINDS: readonly { type: number; flag: number; name: string }[] = [
  { type: DYNPTR_LOCAL, flag: T.DYNPTR_TYPE_LOCAL, name: 'local' },
  { type: DYNPTR_RINGBUF, flag: T.DYNPTR_TYPE_RINGBUF, name: 'ringbuf' },
  { type: DYNPTR_SKB, flag: T.DYNPTR_TYPE_SKB, name: 'skb' },
  { type: DYNPTR_XDP, flag: T.DYNPTR_TYPE_XDP, name: 'xdp' },
  { type: DYNPTR_SKB_META, flag: T.DYNPTR_TYPE_SKB_META, name: 'skb_meta' },
];

/** What is known of a dynptr that a call was given. */
export interface DynptrFacts {
  id: number;
  type: number;
  refObjId: number;
}

const kindOf = (argType: number) => KINDS.find(({ flag }) => argType & flag);

/** The flag that asks for a dynptr of kind `type` (`get_dynptr_type_flag`). */
export const dynptrFlag = (type: number): number => KINDS.find((kind) => kind.type === type)?.flag ?? 0;

function markSlot(reg: RegState, type: number, first: boolean, id: number): void {
  reg.type = T.CONST_PTR_TO_DYNPTR;
  markRegKnownZero(reg);
  reg.id = id;
  reg.dynptrType = type;
  reg.dynptrFirstSlot = first;
}

function create(env: Env, reg: RegState, argType: number, insnIdx: number, cloneRefObjId: number): void {
  const spi = objectSlot(env, reg, 'dynptr', DYNPTR_SLOTS);
  if (spi < 0) reject(env, 'EINVAL', '');
  const state = frameOf(env, reg);
  destroyDynptrAt(env, state, spi);
  destroyDynptrAt(env, state, spi - 1);
  const kind = kindOf(argType) ?? unsupported(env, 'a dynptr of this kind');
  const id = ++env.idGen;
  const slots = slotsOf(state, spi, DYNPTR_SLOTS);
  for (const [i, slot] of slots.entries()) {
    slot.slotType.fill(T.STACK_DYNPTR);
    markSlot(slot.spilled, kind.type, i === 0, id);
    markSlotWritten(env, reg.frameno, spi - i);
  }
  if (!isRefcountedDynptr(kind.type)) return;
  const ref = cloneRefObjId || acquireReference(env, insnIdx);
  for (const slot of slots) slot.spilled.refObjId = ref;
}

/** The first slot of the dynptr that `reg` points to or is; null without one (`is_dynptr_reg_valid_init`). */
function held(env: Env, reg: RegState): RegState | null {
  if (reg.type === T.CONST_PTR_TO_DYNPTR) return reg;
  const spi = objectSlot(env, reg, 'dynptr', DYNPTR_SLOTS);
  if (spi < 0) return null;
  const slots = slotsOf(frameOf(env, reg), spi, DYNPTR_SLOTS);
  const first = slots[0]!.spilled;
  return first.dynptrFirstSlot && slots.every((slot) => allBytes(slot, T.STACK_DYNPTR)) ? first : null;
}

/** A dynptr as argument R`regno` of a helper or kfunc (`process_dynptr_func`); null when it was just created. */
export function checkDynptrArg(
  env: Env,
  regno: number,
  insnIdx: number,
  argType: number,
  cloneRefObjId: number,
): DynptrFacts | null {
  const reg = env.reg(regno);
  const arg = regno - 1;
  if (reg.type !== T.PTR_TO_STACK && reg.type !== T.CONST_PTR_TO_DYNPTR) {
    reject(env, 'EINVAL', `arg#${arg} expected pointer to stack or const struct bpf_dynptr`);
  }
  if (argType & T.MEM_UNINIT) {
    const spi = reg.type === T.PTR_TO_STACK ? objectSlot(env, reg, 'dynptr', DYNPTR_SLOTS) : -1;
    if (spi < 0 && spi !== NEW_SLOT) reject(env, 'EINVAL', 'Dynptr has to be an uninitialized dynptr');
    for (let i = 0; i < DYNPTR_SLOTS; i++) {
      checkMemAccess(env, insnIdx, regno, i * 8, SIZE.DW, BPF_WRITE, -1, false, false);
    }
    create(env, reg, argType, insnIdx, cloneRefObjId);
    return null;
  }
  if (reg.type === T.CONST_PTR_TO_DYNPTR && !(argType & T.MEM_RDONLY)) {
    reject(env, 'EINVAL', 'cannot pass pointer to const bpf_dynptr, the helper mutates it');
  }
  const dynptr = held(env, reg);
  if (!dynptr) return reject(env, 'EINVAL', `Expected an initialized dynptr as arg #${arg}`);
  const wanted = kindOf(argType);
  if (wanted && wanted.type !== dynptr.dynptrType) {
    reject(env, 'EINVAL', `Expected a dynptr of type ${wanted.name} as arg #${arg}`);
  }
  if (reg.type === T.PTR_TO_STACK) {
    markSlotsRead(env, reg.frameno, objectSlot(env, reg, 'dynptr', DYNPTR_SLOTS), DYNPTR_SLOTS);
  }
  return { id: dynptr.id, type: dynptr.dynptrType, refObjId: dynptr.refObjId };
}

/** Only a dynptr on the stack that holds a reference can be given back (`check_func_arg`). */
export function requireOwnedDynptr(env: Env, regno: number): void {
  const reg = env.reg(regno);
  if (reg.type !== T.PTR_TO_STACK) reject(env, 'EINVAL', 'cannot release unowned const bpf_dynptr');
  const spi = objectSlot(env, reg, 'dynptr', DYNPTR_SLOTS);
  if (spi < 0 || !frameOf(env, reg).stack[spi]!.spilled.refObjId) {
    reject(env, 'EINVAL', `arg ${regno} is an unacquired reference`);
  }
}

/** Gives the data of the dynptr at R`regno` back: its clones and slices go with it (`unmark_stack_slots_dynptr`). */
export function releaseDynptr(env: Env, regno: number): void {
  const reg = env.reg(regno);
  const spi = objectSlot(env, reg, 'dynptr', DYNPTR_SLOTS);
  if (spi < 0) reject(env, 'EINVAL', '');
  const state = frameOf(env, reg);
  const { dynptrType, refObjId } = state.stack[spi]!.spilled;
  if (!isRefcountedDynptr(dynptrType)) {
    clearSlots(env, state, spi, DYNPTR_SLOTS);
    return;
  }
  releaseReference(env, refObjId);
  for (let i = 1; i < state.stack.length; i++) {
    const { spilled, slotType } = state.stack[i]!;
    if (spilled.refObjId !== refObjId || slotType[0] !== T.STACK_DYNPTR) continue;
    if (spilled.dynptrFirstSlot) clearSlots(env, state, i, DYNPTR_SLOTS);
  }
}

/** The register of a callback's dynptr argument (`mark_dynptr_cb_reg`). */
export function markCallbackDynptr(env: Env, reg: RegState, type: number): void {
  markRegNotInit(env, reg);
  markSlot(reg, type, true, ++env.idGen);
}
