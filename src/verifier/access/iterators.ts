import { SIZE } from '../../bpf/index.ts';
import { pushStack } from '../core/branch.ts';
import type { VerifierEnv } from '../core/env.ts';
import { sameCallsites } from '../core/equal.ts';
import * as T from '../core/reg_types.table.ts';
import { markRegKnown, markRegKnownZero } from '../core/regs.ts';
import { type Env, type RegState, reject, type VerifierState } from '../core/types.ts';
import { findPrevEntry, widenImprecise } from '../core/widen.ts';
import * as K from '../tables/kfuncs.table.ts';
import {
  allBytes,
  BAD_SLOT,
  clearSlots,
  frameOf,
  markSlotsRead,
  markSlotWritten,
  NEW_SLOT,
  objectSlot,
  slotsOf,
} from './_slots.ts';
import { skipModifiers } from './btf_walk.ts';
import type { KfuncMeta } from './kfunc_meta.ts';
import { checkMemAccess } from './memory.ts';
import { acquireReference, releaseReference } from './references.ts';
import { BPF_WRITE } from './region.ts';

const PREFIX = 'bpf_iter_';

/** Where the iterator of a call lies. */
export interface IteratorPlace {
  frameno: number;
  spi: number;
}

interface IteratorType {
  btfId: number;
  name: string;
  slots: number;
}

/** Whether parameter `arg` is an iterator (`is_kfunc_arg_iter`). */
export function isIteratorParam(meta: KfuncMeta, arg: number): boolean {
  if (meta.flags & (K.KF_ITER_NEW | K.KF_ITER_NEXT | K.KF_ITER_DESTROY)) return arg === 0;
  const { name } = meta.params[arg]!;
  return name.length > 6 && name.endsWith('__iter');
}

function iteratorType(env: Env, meta: KfuncMeta, arg: number): IteratorType {
  const pointer = meta.params[arg]!.type;
  const struct = pointer.kind === 'ptr' ? skipModifiers(meta.btf, pointer.type) : null;
  if (struct?.type.kind !== 'struct' || !struct.type.name.startsWith(PREFIX)) {
    return reject(env, 'EINVAL', `expected valid iter pointer as arg #${arg}`);
  }
  return { btfId: struct.id, name: struct.type.name.slice(PREFIX.length), slots: struct.type.size / 8 };
}

function isFree(env: Env, reg: RegState, slots: number): boolean {
  const spi = objectSlot(env, reg, 'iter', slots);
  if (spi === NEW_SLOT) return true;
  if (spi === BAD_SLOT) return false;
  return slotsOf(frameOf(env, reg), spi, slots).every((slot) => !slot.slotType.includes(T.STACK_ITER));
}

/** 0 if an iterator of this type lies there, else EINVAL or EPROTO (`is_iter_reg_valid_init`). */
function initialized(env: Env, meta: KfuncMeta, reg: RegState, type: IteratorType): '' | 'EINVAL' | 'EPROTO' {
  const spi = objectSlot(env, reg, 'iter', type.slots);
  if (spi < 0) return 'EINVAL';
  for (const [i, slot] of slotsOf(frameOf(env, reg), spi, type.slots).entries()) {
    const held = slot.spilled;
    if (held.type & T.PTR_UNTRUSTED) return 'EPROTO';
    if ((i === 0) !== (held.refObjId !== 0)) return 'EINVAL';
    if (held.iterBtf !== meta.btf || held.iterBtfId !== type.btfId || !allBytes(slot, T.STACK_ITER)) return 'EINVAL';
  }
  return '';
}

function create(env: Env, meta: KfuncMeta, reg: RegState, type: IteratorType, insnIdx: number): void {
  const spi = objectSlot(env, reg, 'iter', type.slots);
  if (spi < 0) reject(env, 'EINVAL', '');
  const id = acquireReference(env, insnIdx);
  for (const [i, slot] of slotsOf(frameOf(env, reg), spi, type.slots).entries()) {
    const held = slot.spilled;
    markRegKnownZero(held);
    held.type = T.PTR_TO_STACK;
    if (meta.flags & K.KF_RCU_PROTECTED) held.type |= inRcuSection(env) ? T.MEM_RCU : T.PTR_UNTRUSTED;
    held.refObjId = i === 0 ? id : 0;
    held.iterBtf = meta.btf;
    held.iterBtfId = type.btfId;
    held.iterState = T.BPF_ITER_STATE_ACTIVE;
    held.iterDepth = 0;
    slot.slotType.fill(T.STACK_ITER);
    markSlotWritten(env, reg.frameno, spi - i);
  }
}

/** Whether RCU-protected pointers may be used here (`in_rcu_cs`). */
export const inRcuSection = (env: Env): boolean =>
  env.cur.activeRcuLock !== 0 || env.cur.activeLocks !== 0 || !env.cur.inSleepable;

/** An iterator as argument of a kfunc (`process_iter_arg`); gives its place unless it was just created. */
export function checkIteratorArg(env: Env, meta: KfuncMeta, regno: number, insnIdx: number): IteratorPlace | null {
  const reg = env.reg(regno);
  const arg = regno - 1;
  if (reg.type !== T.PTR_TO_STACK) reject(env, 'EINVAL', `arg#${arg} expected pointer to an iterator on stack`);
  const type = iteratorType(env, meta, arg);
  if (meta.flags & K.KF_ITER_NEW) {
    if (!isFree(env, reg, type.slots)) {
      reject(env, 'EINVAL', `expected uninitialized iter_${type.name} as arg #${arg}`);
    }
    for (let i = 0; i < type.slots; i++) {
      checkMemAccess(env, insnIdx, regno, i * 8, SIZE.DW, BPF_WRITE, -1, false, false);
    }
    create(env, meta, reg, type, insnIdx);
    return null;
  }
  const wrong = initialized(env, meta, reg, type);
  if (wrong === 'EINVAL') reject(env, wrong, `expected an initialized iter_${type.name} as arg #${arg}`);
  if (wrong) reject(env, wrong, `expected an RCU CS when using ${meta.name}`);
  const spi = objectSlot(env, reg, 'iter', type.slots);
  markSlotsRead(env, reg.frameno, spi, type.slots);
  return { frameno: reg.frameno, spi };
}

/** After {@link checkIteratorArg} of a destructor: the iterator is gone (`unmark_stack_slots_iter`). */
export function destroyIterator(env: Env, meta: KfuncMeta, place: IteratorPlace): void {
  const state = env.cur.frame[place.frameno]!;
  releaseReference(env, state.peekSlot(place.spi)!.spilled.refObjId);
  clearSlots(env, state, place.spi, iteratorType(env, meta, 0).slots);
}

/** The main slot of the iterator at `place` of a state. */
export const iteratorIn = (state: VerifierState, place: IteratorPlace): RegState =>
  state.frame[place.frameno]!.slot(place.spi).spilled;

/**
 * The two outcomes of an iterator's next (`process_iter_next_call`): here it has ended and R0 is NULL; an element is
 * left to be walked later.
 */
export function branchOnNext(env: Env, insnIdx: number, place: IteratorPlace): void {
  const { cur } = env;
  const iterator = iteratorIn(cur, place);
  if (iterator.iterState === T.BPF_ITER_STATE_ACTIVE) {
    if (cur.parent === null || cur.parent.insnIdx !== insnIdx || !sameCallsites(cur.parent, cur)) {
      reject(env, 'EFAULT', 'bug: bad parent state for iter next call');
    }
    const previous = findPrevEntry(env as VerifierEnv, cur.parent, insnIdx);
    const queued = pushStack(env, insnIdx + 1, insnIdx, false);
    iteratorIn(queued, place).iterDepth++;
    if (previous) widenImprecise(env, previous, queued);
    queued.frame[queued.curframe]!.reg(0).type &= ~T.PTR_MAYBE_NULL;
  }
  iterator.iterState = T.BPF_ITER_STATE_DRAINED;
  const r0 = env.reg(0);
  r0.type = T.SCALAR_VALUE;
  markRegKnown(r0, 0, 0);
  r0.precise = false;
}
