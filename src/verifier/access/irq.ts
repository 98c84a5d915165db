import { SIZE } from '../../bpf/index.ts';
import * as T from '../core/reg_types.table.ts';
import { markRegKnownZero } from '../core/regs.ts';
import { type Env, type RegState, reject, type SlotView } from '../core/types.ts';
import { allBytes, BAD_SLOT, clearSlots, frameOf, markSlotsRead, markSlotWritten, objectSlot } from './_slots.ts';
import { checkMemAccess } from './memory.ts';
import { BPF_WRITE } from './region.ts';

/** `enum irq_kfunc_class`: flags of bpf_local_irq_save, and of locks. */
const NATIVE = 0;
const LOCK = 1;
const WORDS = ['native', 'lock'];

/** Kfuncs that save or restore a flag, and the class of it. */
const KFUNCS: Readonly<Record<string, { saves: boolean; kind: number }>> = {
  bpf_local_irq_save: { saves: true, kind: NATIVE },
  bpf_local_irq_restore: { saves: false, kind: NATIVE },
  bpf_res_spin_lock_irqsave: { saves: true, kind: LOCK },
  bpf_res_spin_unlock_irqrestore: { saves: false, kind: LOCK },
};

function save(env: Env, regno: number, kind: number, insnIdx: number): void {
  const reg = env.reg(regno);
  const old = objectSlot(env, reg, 'irq_flag', 1);
  const taken = (slot: SlotView) => slot.slotType.includes(T.STACK_IRQ_FLAG);
  if (old === BAD_SLOT || (old >= 0 && taken(frameOf(env, reg).peekSlot(old)!)))
    reject(env, 'EINVAL', `expected uninitialized irq flag as arg#${regno - 1}`);
  checkMemAccess(env, insnIdx, regno, 0, SIZE.DW, BPF_WRITE, -1, false, false);
  const spi = objectSlot(env, reg, 'irq_flag', 1);
  if (spi < 0) reject(env, 'EINVAL', '');
  const { cur } = env;
  const id = ++env.idGen;
  cur.refs.push({ type: T.REF_TYPE_IRQ, id, insnIdx, ptr: null });
  cur.activeIrqId = id;
  const slot = frameOf(env, reg).slot(spi);
  markRegKnownZero(slot.spilled);
  slot.spilled.type = T.PTR_TO_STACK;
  slot.spilled.refObjId = id;
  slot.spilled.irqKfuncClass = kind;
  slot.slotType.fill(T.STACK_IRQ_FLAG);
  markSlotWritten(env, reg.frameno, spi);
}

/** Slot of the flag that the register points to. */
function initialized(env: Env, reg: RegState, arg: number): number {
  const spi = objectSlot(env, reg, 'irq_flag', 1);
  const slot = spi < 0 ? undefined : frameOf(env, reg).slot(spi);
  if (!slot?.spilled.refObjId || !allBytes(slot, T.STACK_IRQ_FLAG))
    reject(env, 'EINVAL', `expected an initialized irq flag as arg#${arg}`);
  return spi;
}

function restore(env: Env, regno: number, kind: number): void {
  const { cur } = env;
  const reg = env.reg(regno);
  const spi = initialized(env, reg, regno - 1);
  markSlotsRead(env, reg.frameno, spi, 1);
  const { irqKfuncClass, refObjId } = frameOf(env, reg).peekSlot(spi)!.spilled;
  if (irqKfuncClass !== kind) {
    const flag = `irq flag acquired by ${WORDS[irqKfuncClass]} kfuncs`;
    reject(env, 'EINVAL', `${flag} cannot be restored with ${WORDS[kind]} kfuncs`);
  }
  if (refObjId !== cur.activeIrqId) {
    const at = cur.refs.find((ref) => ref.id === cur.activeIrqId)?.insnIdx ?? 0;
    const expected = `expected id=${cur.activeIrqId} acquired at insn_idx=${at}`;
    reject(env, 'EACCES', `cannot restore irq state out of order, ${expected}`);
  }
  const at = cur.refs.findIndex((ref) => ref.type === T.REF_TYPE_IRQ && ref.id === refObjId);
  cur.activeIrqId = cur.refs.slice(0, at).findLast((ref) => ref.type === T.REF_TYPE_IRQ)?.id ?? 0;
  cur.refs.splice(at, 1);
  clearSlots(env, frameOf(env, reg), spi, 1);
}

/** Argument `arg` of a kfunc that saves or restores the interrupt flag on the stack (`process_irq_flag`). */
export function processIrqFlag(env: Env, kfunc: string, arg: number, insnIdx: number): void {
  if (env.reg(arg + 1).type !== T.PTR_TO_STACK)
    reject(env, 'EINVAL', `arg#${arg} doesn't point to an irq flag on stack`);
  const known = KFUNCS[kfunc];
  if (!known) throw reject(env, 'EFAULT', 'verifier bug: unknown irq flags kfunc');
  if (known.saves) save(env, arg + 1, known.kind, insnIdx);
  else restore(env, arg + 1, known.kind);
}
