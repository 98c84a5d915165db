import * as T from '../core/reg_types.table.ts';
import { markRegKnownZero, markRegUnknown } from '../core/regs.ts';
import {
  type Env,
  type RecordField,
  type Reference,
  type RegState,
  type RegView,
  reject,
  type VerifierState,
} from '../core/types.ts';
import { PROG_STRUCT_OPS } from '../tables/contexts.table.ts';
import { BPF_REFCOUNT } from '../tables/special_fields.table.ts';
import { hasField, isAllocated, recordOf } from './record.ts';

/** Every register of every frame and every register spilled to the stack that `where` holds for, to be changed. */
export function forEachReg(
  state: VerifierState,
  visit: (reg: RegState) => void,
  where: (reg: RegView) => boolean = () => true,
): void {
  for (const frame of state.frame) {
    for (let i = 0; i < T.MAX_BPF_REG; i++) if (where(frame.peek(i))) visit(frame.reg(i));
    for (let i = 0; i < frame.depth; i++) {
      const { slotType, spilled } = frame.peekSlot(i)!;
      if (slotType[7] === T.STACK_SPILL && where(spilled)) visit(frame.slot(i).spilled);
    }
  }
}

/** A new reference of the current state; gives its id (`acquire_reference`). */
export function acquireReference(env: Env, insnIdx: number): number {
  const id = ++env.idGen;
  env.cur.refs.push({ type: T.REF_TYPE_PTR, id, insnIdx, ptr: null });
  return id;
}

export function findReference(state: VerifierState, id: number): Reference | undefined {
  return state.refs.find((ref) => ref.type === T.REF_TYPE_PTR && ref.id === id);
}

/** Forgets a reference without touching registers (`release_reference_nomark`); false if there is none. */
export function forgetReference(state: VerifierState, id: number): boolean {
  const at = state.refs.findIndex((ref) => ref.type === T.REF_TYPE_PTR && ref.id === id);
  if (at < 0) return false;
  state.refs.splice(at, 1);
  return true;
}

/** Forgets a reference and every register that holds it (`release_reference`); false if there is none. */
export function releaseReference(env: Env, id: number): boolean {
  if (!forgetReference(env.cur, id)) return false;
  forEachReg(
    env.cur,
    (reg) => markRegUnknown(env, reg),
    (reg) => reg.refObjId === id,
  );
  return true;
}

/** The register points to the node of an object that a list or tree contains (`mark_reg_graph_node`). */
export function markGraphNode(reg: RegState, field: RecordField): void {
  markRegKnownZero(reg);
  reg.type = T.PTR_TO_BTF_ID | T.MEM_ALLOC;
  reg.btf = field.btf!;
  reg.btfId = field.btfId!;
  reg.off = field.nodeOffset!;
}

/** The object is reached, but a list or tree owns it: good while the lock is held (`ref_set_non_owning`). */
export function setNonOwning(env: Env, reg: RegState): void {
  if (!env.cur.activeLocks) reject(env, 'EFAULT', 'verifier bug: ref_set_non_owning w/o active lock');
  if (reg.type & T.NON_OWN_REF) reject(env, 'EFAULT', 'verifier bug: NON_OWN_REF already set');
  reg.type |= T.NON_OWN_REF;
  if (hasField(recordOf(env, reg), BPF_REFCOUNT)) reg.type |= T.MEM_RCU;
}

/** A list or tree takes the object over (`ref_convert_owning_non_owning` and `release_reference`). */
export function giveToGraph(env: Env, id: number): void {
  if (!findReference(env.cur, id)) reject(env, 'EFAULT', 'verifier bug: ref state missing for ref_obj_id');
  forEachReg(
    env.cur,
    (reg) => {
      reg.refObjId = 0;
      setNonOwning(env, reg);
    },
    (reg) => reg.refObjId === id,
  );
  releaseReference(env, id);
}

/** A map's field takes the object over; within RCU a per-processor object can still be read (`bpf_kptr_xchg`). */
export function giveToMap(env: Env, id: number): boolean {
  if (!forgetReference(env.cur, id)) return false;
  const percpu = T.MEM_ALLOC | T.MEM_PERCPU;
  const protectedByRcu = env.cur.activeRcuLock !== 0 || env.cur.activeLocks !== 0 || !env.cur.inSleepable;
  forEachReg(
    env.cur,
    (reg) => {
      if (!protectedByRcu || (reg.type & percpu) !== percpu) {
        markRegUnknown(env, reg);
        return;
      }
      reg.refObjId = 0;
      reg.type = (reg.type & ~T.MEM_ALLOC) | T.MEM_RCU;
    },
    (reg) => reg.refObjId === id,
  );
  return true;
}

/** After an unlock: what the list or tree owns is not good any more (`invalidate_non_owning_refs`). */
export function invalidateNonOwning(env: Env): void {
  forEachReg(
    env.cur,
    (reg) => markRegUnknown(env, reg),
    (reg) => isAllocated(reg.type) && (reg.type & T.NON_OWN_REF) !== 0,
  );
}

/**
 * What must not be held where a program ends or is left (`check_resource_leak`): references, then locks, disabled
 * interrupts, RCU and preemption sections. `prefix` opens the message.
 */
export function checkResourceLeak(env: Env, exceptionExit: boolean, checkLock: boolean, prefix: string): void {
  const { cur } = env;
  if (leaksReference(env, exceptionExit)) reject(env, 'EINVAL', `${prefix} would lead to reference leak`);
  if (!checkLock) return;
  const inside = (region: string): never =>
    reject(env, 'EINVAL', `${prefix} cannot be used inside ${region}-ed region`);
  if (cur.activeLocks) inside('bpf_spin_lock');
  if (cur.activeIrqId) inside('bpf_local_irq_save');
  if (cur.activeRcuLock) inside('bpf_rcu_read_lock');
  if (cur.activePreemptLocks) inside('bpf_preempt_disable');
}

function leaksReference(env: Env, exceptionExit: boolean): boolean {
  if (!exceptionExit && env.cur.curframe > 0) return false;
  const returned = env.reg(0);
  let leaks = false;
  for (const ref of env.cur.refs) {
    if (ref.type !== T.REF_TYPE_PTR) continue;
    const handedBack =
      !exceptionExit && env.input.progType === PROG_STRUCT_OPS && returned.btfId !== 0 && returned.refObjId === ref.id;
    if (handedBack) continue;
    env.verbose(`Unreleased reference id=${ref.id} alloc_insn=${ref.insnIdx}\n`);
    leaks = true;
  }
  return leaks;
}
