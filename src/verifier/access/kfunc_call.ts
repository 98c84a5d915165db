import type { Insn } from '../../bpf/index.ts';
import * as T from '../core/reg_types.table.ts';
import { clearCallerSaved, markInsnZext } from '../core/regs.ts';
import { type Env, type RegState, reject } from '../core/types.ts';
import * as K from '../tables/kfuncs.table.ts';
import { callAsync, callLess, inTreeCallback } from './callbacks.ts';
import { branchOnNext, inRcuSection } from './iterators.ts';
import { checkKfuncArgs } from './kfunc_args.ts';
import { type KfuncMeta, kfuncMeta, kfuncName } from './kfunc_meta.ts';
import { setKfuncReturn } from './kfunc_return.ts';
import { branchOnFailedLock, mayFailToLock } from './locks.ts';
import { clearAllPktPointers } from './pointers.ts';
import { giveToGraph, releaseReference } from './references.ts';
import { checkReturnCode } from './return_code.ts';

const GRAPH_KFUNCS: readonly string[] = [
  'bpf_list_push_front_impl',
  'bpf_list_push_back_impl',
  'bpf_list_pop_front',
  'bpf_list_pop_back',
  'bpf_list_front',
  'bpf_list_back',
  'bpf_rbtree_remove',
  'bpf_rbtree_add_impl',
  'bpf_rbtree_first',
  'bpf_rbtree_root',
  'bpf_rbtree_left',
  'bpf_rbtree_right',
];
/** Kfuncs that a program may call while it holds a spin lock (`kfunc_spin_allowed`). */
const ALLOWED_UNDER_LOCK: ReadonlySet<string> = new Set([
  'bpf_iter_num_new',
  'bpf_iter_num_next',
  'bpf_iter_num_destroy',
  ...GRAPH_KFUNCS,
  'bpf_refcount_acquire_impl',
  'bpf_res_spin_lock',
  'bpf_res_spin_unlock',
  'bpf_res_spin_lock_irqsave',
  'bpf_res_spin_unlock_irqrestore',
]);

function checkContext(env: Env, meta: KfuncMeta): void {
  const { cur } = env;
  if (meta.flags & K.KF_SLEEPABLE && !cur.inSleepable) {
    reject(env, 'EACCES', `program must be sleepable to call sleepable kfunc ${meta.name}`);
  }
}

/** Every register and iterator that RCU protected is not trusted any more. */
function leaveRcu(env: Env): void {
  const drop = (reg: RegState): void => {
    if (reg.type & T.MEM_RCU) reg.type = (reg.type & ~(T.MEM_RCU | T.PTR_MAYBE_NULL)) | T.PTR_UNTRUSTED;
  };
  for (const frame of env.cur.frame) {
    for (const reg of frame.regs) drop(reg);
    for (const { slotType, spilled } of frame.stack) {
      if (slotType[7] === T.STACK_SPILL || slotType[7] === T.STACK_ITER) drop(spilled);
    }
  }
  env.cur.activeRcuLock = 0;
}

/** Sections that the kfunc opens, closes or may not sleep in. */
function checkSections(env: Env, meta: KfuncMeta): void {
  const { cur } = env;
  const { name } = meta;
  const sleepable = (meta.flags & K.KF_SLEEPABLE) !== 0;
  const sleepsIn = (section: string): never =>
    reject(env, 'EACCES', `kernel func ${name} is sleepable within ${section} region`);
  const rcu = name === 'bpf_rcu_read_lock' || name === 'bpf_rcu_read_unlock';
  if (cur.activeRcuLock && rcu && inTreeCallback(env)) {
    reject(env, 'EACCES', 'Calling bpf_rcu_read_{lock,unlock} in unnecessary rbtree callback');
  }
  if (cur.activeRcuLock) {
    if (name === 'bpf_rcu_read_lock') reject(env, 'EINVAL', `nested rcu read lock (kernel function ${name})`);
    if (name === 'bpf_rcu_read_unlock') leaveRcu(env);
    else if (sleepable) sleepsIn('rcu_read_lock');
  } else if (name === 'bpf_rcu_read_lock') cur.activeRcuLock = 1;
  else if (name === 'bpf_rcu_read_unlock') reject(env, 'EINVAL', `unmatched rcu read unlock (kernel function ${name})`);
  if (name === 'bpf_preempt_disable') cur.activePreemptLocks++;
  else if (name === 'bpf_preempt_enable') {
    if (!cur.activePreemptLocks) {
      reject(env, 'EINVAL', `unmatched attempt to enable preemption (kernel function ${name})`);
    }
    cur.activePreemptLocks--;
  } else if (cur.activePreemptLocks && sleepable) sleepsIn('non-preemptible');
  if (cur.activeIrqId && sleepable) sleepsIn('IRQ-disabled');
  if (meta.flags & K.KF_RCU_PROTECTED && !inRcuSection(env)) {
    reject(env, 'EACCES', `kernel func ${name} requires RCU critical section protection`);
  }
}

/** Arguments of eight bytes are read whole (`mark_btf_func_reg_size`). */
function markArgumentsRead(env: Env, meta: KfuncMeta): void {
  for (const [arg, { type }] of meta.params.entries()) {
    if (type.kind === 'ptr' || meta.btf.sizeOf(type.id) === 8) markInsnZext(env, env.reg(arg + 1));
  }
}

/** A call of a kernel function (`check_kfunc_call`, kernel/bpf/verifier.c, 6.18). Throws `Reject`. */
export function checkKfuncCall(env: Env, insn: Insn, insnIdx: number): void {
  if (env.cur.activeLocks && (insn.off !== 0 || !ALLOWED_UNDER_LOCK.has(kfuncName(env, insn)))) {
    reject(env, 'EINVAL', 'function calls are not allowed while holding a lock');
  }
  if (insn.imm === 0) return;
  const meta = kfuncMeta(env, insn);
  checkContext(env, meta);
  env.aux[insnIdx]!.isIterNext = (meta.flags & K.KF_ITER_NEXT) !== 0;
  if (mayFailToLock(meta.name)) branchOnFailedLock(env);
  else if (meta.name === '__bpf_trap') {
    reject(env, 'EFAULT', 'unexpected __bpf_trap() due to uninitialized variable?');
  }
  const args = checkKfuncArgs(env, meta, insnIdx);
  if (meta.name === 'bpf_rbtree_add_impl') callLess(env, insn, insnIdx, args.subprogno);
  else if (K.ASYNC_CALLBACKS.includes(meta.name)) {
    callAsync(env, insn, insnIdx, args.subprogno, meta.name === 'bpf_wq_set_callback_impl' ? 1 : 2, true);
  }
  checkSections(env, meta);
  if (args.releaseRegno && !releaseReference(env, env.reg(args.releaseRegno).refObjId)) {
    reject(env, 'EINVAL', `kfunc ${meta.name}#${meta.id} reference has not been acquired before`);
  }
  if (TAKES_NODE.includes(meta.name)) {
    const { refObjId, off } = env.reg(2);
    env.aux[insnIdx]!.insertOff = off;
    giveToGraph(env, refObjId);
  }
  if (meta.name === 'bpf_throw') {
    env.seenException = true;
    // Without a callback the cookie is what the program returns.
    if (!env.exceptionCallbackSubprog) checkReturnCode(env, 1, 'R1');
  }
  markArgumentsRead(env, meta);
  clearCallerSaved(env, env.func());
  setKfuncReturn(env, meta, args, insnIdx);
  if (meta.name === K.PULL_DATA) clearAllPktPointers(env);
  if (meta.flags & K.KF_ITER_NEXT) branchOnNext(env, insnIdx, args.iterator!);
}

/** Kfuncs whose R2 is a node that a list or tree takes over. */
const TAKES_NODE: readonly string[] = ['bpf_list_push_front_impl', 'bpf_list_push_back_impl', 'bpf_rbtree_add_impl'];
