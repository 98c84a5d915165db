import { pushStack } from '../core/branch.ts';
import * as T from '../core/reg_types.table.ts';
import { markRegNotInit, markRegUnknown } from '../core/regs.ts';
import { type Env, reject, type VerifierState } from '../core/types.ts';
import { boundsSync, isConst } from '../domain/index.ts';
import { BPF_RES_SPIN_LOCK, BPF_SPIN_LOCK } from '../tables/special_fields.table.ts';
import { inTreeCallback } from './callbacks.ts';
import { constOff, MAX_ERRNO, signedDecimal } from './numbers.ts';
import { recordOf } from './record.ts';
import { invalidateNonOwning } from './references.ts';

/** A lock of one state: whose it is, and the id of the value that it lies in. */
interface Lock {
  type: number;
  id: number;
  ptr: object;
}

function isHeld({ refs }: VerifierState, types: number, { id, ptr }: Lock): boolean {
  return refs.some((ref) => ref.type & types && ref.id === id && ref.ptr === ptr);
}

/** `acquire_lock_state`. */
function take(env: Env, { type, id, ptr }: Lock): void {
  const { cur } = env;
  cur.refs.push({ type, id, insnIdx: env.insnIdx, ptr });
  cur.activeLocks++;
  cur.activeLockId = id;
  cur.activeLockPtr = ptr;
}

/** The newest lock is given back; the one taken before it is the newest again (`release_lock_state`). */
function give(cur: VerifierState, { type, id, ptr }: Lock): void {
  const at = cur.refs.findIndex((ref) => ref.type === type && ref.id === id && ref.ptr === ptr);
  const before = cur.refs.slice(0, at).findLast((ref) => ref.type & T.REF_TYPE_LOCK_MASK);
  cur.refs.splice(at, 1);
  cur.activeLocks--;
  cur.activeLockId = before?.id ?? 0;
  cur.activeLockPtr = before?.ptr ?? null;
}

/** The lock that R`regno` points to, of kind `type` (first half of `process_spin_lock`). */
function lockAt(env: Env, regno: number, type: number, word: string): Lock {
  const reg = env.reg(regno);
  if (!isConst(reg)) {
    const text = `R${regno} doesn't have constant offset. ${word}_lock has to be at the constant offset`;
    reject(env, 'EINVAL', text);
  }
  const map = reg.type === T.PTR_TO_MAP_VALUE ? reg.map : null;
  if (map && !map.btf) reject(env, 'EINVAL', `map '${map.name}' has to have BTF in order to use ${word}_lock`);
  const kind = type === T.REF_TYPE_LOCK ? BPF_SPIN_LOCK : BPF_RES_SPIN_LOCK;
  const field = recordOf(env, reg)?.fields.find((candidate) => candidate.type === kind);
  if (!field) {
    const owner = map ? `map '${map.name}'` : "local 'kptr'";
    throw reject(env, 'EINVAL', `${owner} has no valid ${word}_lock`);
  }
  const off = constOff(reg) + reg.off;
  if (field.offset !== off) {
    const text = `off ${signedDecimal(off | 0, off < 0 ? -1 : 0)} doesn't point to 'struct ${word}_lock'`;
    reject(env, 'EINVAL', `${text} that is at ${field.offset}`);
  }
  return { type, id: reg.id, ptr: map ?? reg.btf! };
}

/**
 * Takes or gives back the lock that R`regno` points to (`process_spin_lock`); `type` is REF_TYPE_LOCK of bpf_spin_lock,
 * REF_TYPE_RES_LOCK or REF_TYPE_RES_LOCK_IRQ of bpf_res_spin_lock.
 */
function processLock(env: Env, regno: number, takes: boolean, type: number): void {
  const { cur } = env;
  const resilient = type !== T.REF_TYPE_LOCK;
  const word = resilient ? 'bpf_res_spin' : 'bpf_spin';
  const lock = lockAt(env, regno, type, word);
  if (takes) {
    if (resilient && isHeld(cur, T.REF_TYPE_RES_LOCK | T.REF_TYPE_RES_LOCK_IRQ, lock))
      reject(env, 'EINVAL', 'Acquiring the same lock again, AA deadlock detected');
    take(env, lock);
    return;
  }
  if (!cur.activeLocks) reject(env, 'EINVAL', `${word}_unlock without taking a lock`);
  if (!isHeld(cur, type, lock)) reject(env, 'EINVAL', `${word}_unlock of different lock`);
  if (lock.id !== cur.activeLockId || lock.ptr !== cur.activeLockPtr)
    reject(env, 'EINVAL', `${word}_unlock cannot be out of order`);
  give(cur, lock);
  invalidateNonOwning(env);
}

/** The argument of bpf_spin_lock and bpf_spin_unlock. */
export function processHelperLock(env: Env, regno: number, takes: boolean): void {
  if (inTreeCallback(env)) reject(env, 'EACCES', "can't spin_{lock,unlock} in rbtree cb");
  processLock(env, regno, takes, T.REF_TYPE_LOCK);
}

/** Whether the kfunc takes a lock, and its kind; null of others. */
const RES_LOCKS: Readonly<Record<string, { takes: boolean; type: number }>> = {
  bpf_res_spin_lock: { takes: true, type: T.REF_TYPE_RES_LOCK },
  bpf_res_spin_unlock: { takes: false, type: T.REF_TYPE_RES_LOCK },
  bpf_res_spin_lock_irqsave: { takes: true, type: T.REF_TYPE_RES_LOCK_IRQ },
  bpf_res_spin_unlock_irqrestore: { takes: false, type: T.REF_TYPE_RES_LOCK_IRQ },
};

/** Whether the kfunc tries to take a lock and may fail. */
export const mayFailToLock = (kfunc: string): boolean => RES_LOCKS[kfunc]?.takes ?? false;

/** Argument `arg` of a kfunc for resilient locks. */
export function processKfuncLock(env: Env, kfunc: string, arg: number): void {
  const { type } = env.reg(arg + 1);
  if (type !== T.PTR_TO_MAP_VALUE && type !== (T.PTR_TO_BTF_ID | T.MEM_ALLOC))
    reject(env, 'EINVAL', `arg#${arg} doesn't point to map value or allocated object`);
  const lock = RES_LOCKS[kfunc];
  if (!lock) throw reject(env, 'EFAULT', '');
  processLock(env, arg + 1, lock.takes, lock.type);
}

/** Leaves the outcome that a lock was not to be had, R0 = -errno, to be walked later. */
export function branchOnFailedLock(env: Env): void {
  const state = pushStack(env, env.insnIdx + 1, env.insnIdx, false);
  const func = state.frame[state.curframe]!;
  for (let i = 0; i <= 5; i++) markRegNotInit(env, func.reg(i));
  const r0 = func.reg(0);
  markRegUnknown(env, r0);
  r0.s32min = r0.sminLo = -MAX_ERRNO;
  r0.s32max = r0.smaxLo = -1;
  r0.sminHi = r0.smaxHi = -1;
  boundsSync(r0);
  r0.subregDef = env.insnIdx + 1;
}
