import { pushStack } from '../core/branch.ts';
import * as T from '../core/reg_types.table.ts';
import { markRegKnownZero, markRegNotInit, markRegUnknown } from '../core/regs.ts';
import { type Env, Reject, reject } from '../core/types.ts';
import { boundsSync, isConst } from '../domain/index.ts';
import { BPF_RES_SPIN_LOCK, BPF_SPIN_LOCK } from '../tables/special_fields.table.ts';
import {
  allBytes,
  BAD_SLOT,
  clearSlots,
  frameOf,
  markSlotsRead,
  markSlotWritten,
  NEW_SLOT,
  objectSlot,
} from './_slots.ts';
import { checkMemAccess } from './memory.ts';
import { constOff } from './numbers.ts';
import { hasField, recordOf } from './record.ts';
import { invalidateNonOwning } from './references.ts';
import { BPF_WRITE } from './region.ts';

const BPF_DW = 0x18;
const MAX_ERRNO = 4095;
/** What saved an interrupt flag: bpf_local_irq_save, or a lock. */
const IRQ_NATIVE = 1;
const IRQ_LOCK = 2;

/** How a lock is taken or given back. */
export interface LockCall {
  take: boolean;
  /** bpf_res_spin_lock, which can fail. */
  resilient: boolean;
  irq: boolean;
}

const refType = ({ resilient, irq }: LockCall): number =>
  resilient ? (irq ? T.REF_TYPE_RES_LOCK_IRQ : T.REF_TYPE_RES_LOCK) : T.REF_TYPE_LOCK;

/** Whether a lock of one of `types` is held; of which one, if `ptr` is given (`find_lock_state`). */
function holds(env: Env, types: number, id: number, ptr: object | null): boolean {
  return env.cur.refs.some((ref) => ref.type & types && (ptr === null || (ref.id === id && ref.ptr === ptr)));
}

function take(env: Env, call: LockCall, id: number, ptr: object): void {
  const { cur } = env;
  if (cur.activeLocks) {
    if (!call.resilient && holds(env, T.REF_TYPE_LOCK, 0, null)) {
      reject(env, 'EINVAL', 'Locking two bpf_spin_locks are not allowed');
    }
    if (call.resilient && holds(env, T.REF_TYPE_RES_LOCK | T.REF_TYPE_RES_LOCK_IRQ, id, ptr)) {
      reject(env, 'EINVAL', 'Acquiring the same lock again, AA deadlock detected');
    }
  }
  cur.refs.push({ type: refType(call), id, insnIdx: env.insnIdx, ptr });
  cur.activeLocks++;
  cur.activeLockId = id;
  cur.activeLockPtr = ptr;
}

function giveBack(env: Env, call: LockCall, name: string, id: number, ptr: object): void {
  const { cur } = env;
  if (!cur.activeLocks) reject(env, 'EINVAL', `${name}_unlock without taking a lock`);
  const at = cur.refs.findIndex((ref) => ref.type === refType(call) && ref.id === id && ref.ptr === ptr);
  if (at < 0) reject(env, 'EINVAL', `${name}_unlock of different lock`);
  if (id !== cur.activeLockId || ptr !== cur.activeLockPtr) {
    reject(env, 'EINVAL', `${name}_unlock cannot be out of order`);
  }
  const before = cur.refs
    .slice(0, at)
    .filter((ref) => ref.type & T.REF_TYPE_LOCK_MASK)
    .at(-1);
  cur.refs.splice(at, 1);
  cur.activeLocks--;
  cur.activeLockId = before?.id ?? 0;
  cur.activeLockPtr = before?.ptr ?? null;
  invalidateNonOwning(env);
}

/** Takes the lock that R`regno` points to, or gives it back (`process_spin_lock`, kernel/bpf/verifier.c, 6.18). */
export function processLock(env: Env, regno: number, call: LockCall): void {
  const reg = env.reg(regno);
  const name = call.resilient ? 'bpf_res_spin' : 'bpf_spin';
  if (!isConst(reg)) {
    reject(env, 'EINVAL', `R${regno} doesn't have constant offset. ${name}_lock has to be at the constant offset`);
  }
  const map = reg.type === T.PTR_TO_MAP_VALUE ? reg.map : null;
  if (map && !map.btf) reject(env, 'EINVAL', `map '${map.name}' has to have BTF in order to use ${name}_lock`);
  const record = recordOf(env, reg);
  const kind = call.resilient ? BPF_RES_SPIN_LOCK : BPF_SPIN_LOCK;
  if (!hasField(record, kind)) {
    const what = map ? `map '${map.name}'` : "local 'kptr'";
    reject(env, 'EINVAL', `${what} has no valid ${name}_lock`);
  }
  const { offset } = record!.fields.find(({ type }) => type === kind)!;
  const at = constOff(reg) + reg.off;
  if (offset !== at) reject(env, 'EINVAL', `off ${at} doesn't point to 'struct ${name}_lock' that is at ${offset}`);
  const ptr = map ?? reg.btf!;
  if (call.take) take(env, call, reg.id, ptr);
  else giveBack(env, call, name, reg.id, ptr);
}

/** Kfuncs that take locks which may fail, or give them back. */
const LOCK_KFUNCS: Readonly<Record<string, LockCall>> = {
  bpf_res_spin_lock: { take: true, resilient: true, irq: false },
  bpf_res_spin_unlock: { take: false, resilient: true, irq: false },
  bpf_res_spin_lock_irqsave: { take: true, resilient: true, irq: true },
  bpf_res_spin_unlock_irqrestore: { take: false, resilient: true, irq: true },
};

/** A `struct bpf_res_spin_lock` as argument of kfunc `name`. */
export function checkLockArg(env: Env, name: string, arg: number): void {
  const { type } = env.reg(arg + 1);
  if (type !== T.PTR_TO_MAP_VALUE && type !== (T.PTR_TO_BTF_ID | T.MEM_ALLOC)) {
    reject(env, 'EINVAL', `arg#${arg} doesn't point to map value or allocated object`);
  }
  processLock(env, arg + 1, LOCK_KFUNCS[name]!);
}

/** Whether the kfunc takes a lock or fails; where it goes on here, it took it and R0 is 0. */
export const takesLock = (name: string): boolean => LOCK_KFUNCS[name]?.take === true;

/** Leaves the state behind the call, where the lock was not taken and R0 says why, to be walked later. */
export function branchOnFailedLock(env: Env, insnIdx: number): void {
  const state = pushStack(env, insnIdx + 1, insnIdx, false);
  const frame = state.frame[state.curframe]!;
  for (let i = 0; i <= 5; i++) markRegNotInit(env, frame.reg(i));
  const r0 = frame.reg(0);
  markRegUnknown(env, r0);
  Object.assign(r0, { s32min: -MAX_ERRNO, s32max: -1, sminLo: -MAX_ERRNO, sminHi: -1, smaxLo: -1, smaxHi: -1 });
  boundsSync(r0);
  r0.subregDef = insnIdx + 1;
}

const SAVES: readonly string[] = ['bpf_local_irq_save', 'bpf_res_spin_lock_irqsave'];

/** A word of the stack that holds whether interrupts were on (`process_irq_flag`). */
export function checkIrqFlag(env: Env, name: string, arg: number): void {
  const regno = arg + 1;
  const reg = env.reg(regno);
  const cls = name.startsWith('bpf_local') ? IRQ_NATIVE : IRQ_LOCK;
  if (reg.type !== T.PTR_TO_STACK) reject(env, 'EINVAL', `arg#${arg} doesn't point to an irq flag on stack`);
  if (!SAVES.includes(name)) {
    restoreIrq(env, regno, cls);
    return;
  }
  const spi = objectSlot(env, reg, 'irq_flag', 1);
  const state = frameOf(env, reg);
  const free = spi === NEW_SLOT || (spi !== BAD_SLOT && !state.peekSlot(spi)!.slotType.includes(T.STACK_IRQ_FLAG));
  if (!free) reject(env, 'EINVAL', `expected uninitialized irq flag as arg#${arg}`);
  checkMemAccess(env, env.insnIdx, regno, 0, BPF_DW, BPF_WRITE, -1, false, false);
  saveIrq(env, regno, cls);
}

function saveIrq(env: Env, regno: number, cls: number): void {
  const reg = env.reg(regno);
  const spi = objectSlot(env, reg, 'irq_flag', 1);
  if (spi < 0) throw new Reject('EINVAL');
  const { spilled, slotType } = frameOf(env, reg).slot(spi);
  const id = ++env.idGen;
  env.cur.refs.push({ type: T.REF_TYPE_IRQ, id, insnIdx: env.insnIdx, ptr: null });
  env.cur.activeIrqId = id;
  markRegKnownZero(spilled);
  spilled.type = T.PTR_TO_STACK;
  spilled.refObjId = id;
  spilled.irqKfuncClass = cls;
  slotType.fill(T.STACK_IRQ_FLAG);
  markSlotWritten(env, reg.frameno, spi);
}

const className = (cls: number): string => (cls === IRQ_NATIVE ? 'native' : 'lock');

function restoreIrq(env: Env, regno: number, cls: number): void {
  const reg = env.reg(regno);
  const state = frameOf(env, reg);
  const spi = objectSlot(env, reg, 'irq_flag', 1);
  const slot = spi < 0 ? undefined : state.slot(spi);
  if (!slot?.spilled.refObjId || !allBytes(slot, T.STACK_IRQ_FLAG)) {
    throw reject(env, 'EINVAL', `expected an initialized irq flag as arg#${regno - 1}`);
  }
  markSlotsRead(env, reg.frameno, spi, 1);
  const { irqKfuncClass, refObjId } = slot.spilled;
  if (irqKfuncClass !== cls) {
    const text = `irq flag acquired by ${className(irqKfuncClass)} kfuncs cannot be restored with ${className(cls)} kfuncs`;
    reject(env, 'EINVAL', text);
  }
  forgetIrq(env, refObjId);
  clearSlots(env, state, spi, 1);
}

/** Interrupt flags are restored in the order in which they were saved (`release_irq_state`). */
function forgetIrq(env: Env, id: number): void {
  const { cur } = env;
  if (id !== cur.activeIrqId) {
    const insn = cur.refs.find((ref) => ref.id === cur.activeIrqId)?.insnIdx ?? 0;
    const expected = `expected id=${cur.activeIrqId} acquired at insn_idx=${insn}`;
    reject(env, 'EACCES', `cannot restore irq state out of order, ${expected}`);
  }
  const at = cur.refs.findIndex((ref) => ref.type === T.REF_TYPE_IRQ && ref.id === id);
  cur.activeIrqId =
    cur.refs
      .slice(0, at)
      .filter((ref) => ref.type === T.REF_TYPE_IRQ)
      .at(-1)?.id ?? 0;
  cur.refs.splice(at, 1);
}
