import type { Insn } from '../../bpf/index.ts';
import * as T from '../core/reg_types.table.ts';
import { clearCallerSaved, markInsnZext, markRegKnownZero, markRegUnknown } from '../core/regs.ts';
import { type Env, type RegState, reject } from '../core/types.ts';
import * as K from '../tables/kfuncs.table.ts';
import { isStruct, skipModifiers } from './btf_walk.ts';
import { branchOnNext, inRcuSection, iteratorIn } from './iterators.ts';
import { checkKfuncArgs, type KfuncArgs } from './kfunc_args.ts';
import { type KfuncMeta, kfuncMeta, kindName } from './kfunc_meta.ts';
import { acquireReference, releaseReference } from './references.ts';
import { checkReturnCode } from './return_code.ts';

/** Kfuncs that a program may call while it holds a spin lock, of those that are modelled (`kfunc_spin_allowed`). */
const ALLOWED_UNDER_LOCK: ReadonlySet<string> = new Set([
  'bpf_iter_num_new',
  'bpf_iter_num_next',
  'bpf_iter_num_destroy',
]);

function checkContext(env: Env, meta: KfuncMeta): void {
  const { cur } = env;
  if (cur.activeLocks && !ALLOWED_UNDER_LOCK.has(meta.name)) {
    reject(env, 'EINVAL', 'function calls are not allowed while holding a lock');
  }
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

function returnPointer(env: Env, meta: KfuncMeta, args: KfuncArgs, target: number): void {
  const r0 = env.reg(0);
  const { id, type } = skipModifiers(meta.btf, target);
  if (type.kind === 'void') {
    markRegUnknown(env, r0);
    return;
  }
  r0.type = isStruct(type) ? T.PTR_TO_BTF_ID : T.PTR_TO_MEM | T.MEM_RDONLY;
  markRegKnownZero(r0);
  if (isStruct(type)) {
    r0.btf = meta.btf;
    r0.btfId = id;
    if (meta.flags & K.KF_ITER_NEXT) {
      const rcu = iteratorIn(env.cur, args.iterator!).type & T.MEM_RCU;
      r0.type |= rcu ? T.MEM_RCU : T.PTR_TRUSTED;
    } else if (meta.flags & K.KF_RCU_PROTECTED) r0.type |= T.MEM_RCU;
    return;
  }
  if (type.kind === 'func' || type.kind === 'func_proto' || type.kind === 'fwd') {
    const returns = `returns pointer type ${kindName(type)}`;
    reject(env, 'EINVAL', `kernel function ${meta.name} ${returns} is not supported`);
  }
  r0.memSize = meta.btf.sizeOf(id);
  r0.refObjId = args.refObjId;
}

/** R0 after the call. */
function setReturn(env: Env, meta: KfuncMeta, args: KfuncArgs, insnIdx: number): void {
  const r0 = env.reg(0);
  const { type } = skipModifiers(meta.btf, meta.proto.returns);
  if (type.kind === 'void') return;
  if (type.kind !== 'ptr') {
    if (meta.flags & K.KF_ACQUIRE) reject(env, 'EINVAL', 'acquire kernel function does not return PTR_TO_BTF_ID');
    markRegUnknown(env, r0);
    r0.subregDef = meta.btf.sizeOf(type.id) === 8 ? T.DEF_NOT_SUBREG : env.insnIdx + 1;
    return;
  }
  returnPointer(env, meta, args, type.type);
  if (meta.flags & K.KF_RET_NULL) {
    r0.type |= T.PTR_MAYBE_NULL;
    r0.id = ++env.idGen;
  }
  r0.subregDef = T.DEF_NOT_SUBREG;
  if (!(meta.flags & K.KF_ACQUIRE)) return;
  const id = acquireReference(env, insnIdx);
  if (meta.flags & K.KF_RET_NULL) r0.id = id;
  r0.refObjId = id;
}

/** Arguments of eight bytes are read whole (`mark_btf_func_reg_size`). */
function markArgumentsRead(env: Env, meta: KfuncMeta): void {
  for (const [arg, { type }] of meta.params.entries()) {
    if (type.kind === 'ptr' || meta.btf.sizeOf(type.id) === 8) markInsnZext(env, env.reg(arg + 1));
  }
}

/** A call of a kernel function (`check_kfunc_call`, kernel/bpf/verifier.c, 6.18). Throws `Reject`. */
export function checkKfuncCall(env: Env, insn: Insn, insnIdx: number): void {
  if (insn.imm === 0) return;
  const meta = kfuncMeta(env, insn);
  checkContext(env, meta);
  env.aux[insnIdx]!.isIterNext = (meta.flags & K.KF_ITER_NEXT) !== 0;
  const args = checkKfuncArgs(env, meta, insnIdx);
  checkSections(env, meta);
  if (args.releaseRegno && !releaseReference(env, env.reg(args.releaseRegno).refObjId)) {
    reject(env, 'EINVAL', `kfunc ${meta.name}#${meta.id} reference has not been acquired before`);
  }
  if (meta.name === 'bpf_throw') {
    env.seenException = true;
    // Without a callback the cookie is what the program returns.
    if (!env.exceptionCallbackSubprog) checkReturnCode(env, 1, 'R1');
  }
  markArgumentsRead(env, meta);
  clearCallerSaved(env, env.func().regs);
  setReturn(env, meta, args, insnIdx);
  if (meta.flags & K.KF_ITER_NEXT) branchOnNext(env, insnIdx, args.iterator!);
}
