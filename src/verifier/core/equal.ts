import { rangeWithin, sameRange, tnumIn } from '../domain/index.ts';
import * as T from './reg_types.table.ts';
import { type Env, type FuncState, RegState, type RegView, type SlotView, type VerifierState } from './types.ts';

/** How closely states must agree (`enum exact_level`). */
export const NOT_EXACT = 0;
export const EXACT = 1;
export const RANGE_WITHIN = 2;

const FIRST_TEMPORARY = 0x20000000;

/** Ids of the old state against those of the new one; each pairs with one other. There are few, so they are searched. */
export class IdMap {
  private readonly old: number[] = [];
  private readonly cur: number[] = [];
  private count = 0;
  private next = FIRST_TEMPORARY;

  /** Forgets all pairs. */
  reset(): void {
    this.count = 0;
    this.next = FIRST_TEMPORARY;
  }

  same(old: number, cur: number): boolean {
    if ((old === 0) !== (cur === 0)) return false;
    if (old === 0) return true;
    for (let i = 0; i < this.count; i++) {
      if (this.old[i] === old) return this.cur[i] === cur;
      if (this.cur[i] === cur) return false;
    }
    this.old[this.count] = old;
    this.cur[this.count++] = cur;
    return true;
  }

  /** A scalar that is linked with no other is the only one of its link (`check_scalar_ids`). */
  sameScalar(old: number, cur: number): boolean {
    return this.same(old, cur || this.next++);
  }
}

function sameFields(old: RegView, cur: RegView): boolean {
  if (old === cur) return true;
  return (
    sameRange(old, cur) &&
    old.type === cur.type &&
    old.off === cur.off &&
    old.pktRange === cur.pktRange &&
    old.map === cur.map &&
    old.mapUid === cur.mapUid &&
    old.btf === cur.btf &&
    old.btfId === cur.btfId &&
    old.memSize === cur.memSize &&
    old.subprogno === cur.subprogno &&
    old.dynptrType === cur.dynptrType &&
    old.dynptrId === cur.dynptrId
  );
}

/** Equal but for ids, which must pair (`regs_exact`). */
export function regsExact(old: RegView, cur: RegView, ids: IdMap): boolean {
  return sameFields(old, cur) && ids.same(old.id, cur.id) && ids.same(old.refObjId, cur.refObjId);
}

/** A scalar that the old state linked with no other may be linked now, at any distance. */
function sameLinks(old: RegView, cur: RegView, ids: IdMap): boolean {
  if (old.id === 0) return true;
  if ((old.id & T.BPF_ADD_CONST) !== (cur.id & T.BPF_ADD_CONST)) return false;
  if (old.id & T.BPF_ADD_CONST && old.off !== cur.off) return false;
  if (!ids.sameScalar(old.id, cur.id)) return false;
  return !(old.id & T.BPF_ADD_CONST) || ids.same(old.id & ~T.BPF_ADD_CONST, cur.id & ~T.BPF_ADD_CONST);
}

const within = (old: RegView, cur: RegView): boolean => rangeWithin(old, cur) && tnumIn(old, cur);

/** Whether what held for `old` holds for `cur` (`regsafe`). */
function regSafe(old: RegView, cur: RegView, ids: IdMap, exact: number): boolean {
  if (exact === EXACT) return regsExact(old, cur, ids);
  if (old.type === T.NOT_INIT && (exact === NOT_EXACT || cur.type === T.NOT_INIT)) return true;
  if (old.type !== cur.type) return false;
  switch (old.type & T.BASE_TYPE_MASK) {
    case T.SCALAR_VALUE:
      if (!old.precise && exact === NOT_EXACT) return true;
      return within(old, cur) && sameLinks(old, cur, ids);
    case T.PTR_TO_MAP_KEY:
    case T.PTR_TO_MAP_VALUE:
    case T.PTR_TO_MEM:
    case T.PTR_TO_BUF:
    case T.PTR_TO_TP_BUFFER:
      return (
        old.off === cur.off &&
        old.map === cur.map &&
        old.mapUid === cur.mapUid &&
        old.memSize === cur.memSize &&
        old.dynptrId === cur.dynptrId &&
        within(old, cur) &&
        ids.same(old.id, cur.id) &&
        ids.same(old.refObjId, cur.refObjId)
      );
    case T.PTR_TO_PACKET:
    case T.PTR_TO_PACKET_META:
      if (old.pktRange < 0 || cur.pktRange < 0) {
        if (old.pktRange !== cur.pktRange) return false;
      } else if (old.pktRange > cur.pktRange) return false;
      return old.off === cur.off && ids.same(old.id, cur.id) && within(old, cur);
    case T.PTR_TO_STACK:
      return regsExact(old, cur, ids) && old.frameno === cur.frameno;
    case T.PTR_TO_ARENA:
      return true;
    default:
      return regsExact(old, cur, ids);
  }
}

/** `stacksafe`: every byte that the old state knew is known as well or better. */
function stackSafe(old: FuncState, cur: FuncState, ids: IdMap, exact: number): boolean {
  for (let i = 0; i < old.depth; i++) {
    const a = old.peekSlot(i)!;
    const b = cur.peekSlot(i);
    const wanted = scalarIn(a);
    const given = wanted && b ? scalarIn(b) : null;
    for (let j = 0; j < 8; j++) {
      const kind = a.slotType[j]!;
      const now = b ? b.slotType[j]! : T.STACK_INVALID;
      if (exact !== NOT_EXACT && (!b || kind !== now)) return false;
      if (kind === T.STACK_INVALID || kind === T.STACK_MISC) continue;
      if (!b) return false;
      if (wanted && given) {
        if (!regSafe(wanted, given, ids, exact)) return false;
        break;
      }
      if (kind !== now) return false;
      if (j === 7 && !slotSafe(kind, a.spilled, b.spilled, ids, exact)) return false;
    }
  }
  return true;
}

/** What a load of all eight bytes gives: the scalar spilled there, or any number from bytes of no meaning. */
function scalarIn({ slotType, spilled }: SlotView): RegView | null {
  if (slotType[0] === T.STACK_SPILL && spilled.type === T.SCALAR_VALUE) return spilled;
  for (let i = 0; i < 8; i++) if (slotType[i] !== T.STACK_MISC && slotType[i] !== T.STACK_INVALID) return null;
  return ANY_NUMBER;
}

const ANY_NUMBER = Object.assign(new RegState(), { type: T.SCALAR_VALUE });

/** Two slots of one kind, by what is remembered of them. */
function slotSafe(kind: number, x: RegView, y: RegView, ids: IdMap, exact: number): boolean {
  switch (kind) {
    case T.STACK_SPILL:
      return regSafe(x, y, ids, exact);
    case T.STACK_DYNPTR:
      return (
        x.dynptrType === y.dynptrType && x.dynptrFirstSlot === y.dynptrFirstSlot && ids.same(x.refObjId, y.refObjId)
      );
    case T.STACK_ITER:
      return (
        x.type === y.type &&
        x.iterBtf === y.iterBtf &&
        x.iterBtfId === y.iterBtfId &&
        x.iterState === y.iterState &&
        ids.same(x.refObjId, y.refObjId)
      );
    case T.STACK_IRQ_FLAG:
      return ids.same(x.refObjId, y.refObjId) && x.irqKfuncClass === y.irqKfuncClass;
    default:
      return true;
  }
}

function refsSafe(old: VerifierState, cur: VerifierState, ids: IdMap): boolean {
  if (old.refs.length !== cur.refs.length || old.activePreemptLocks !== cur.activePreemptLocks) return false;
  if (old.activeRcuLock !== cur.activeRcuLock || old.activeLocks !== cur.activeLocks) return false;
  if (!ids.same(old.activeIrqId, cur.activeIrqId)) return false;
  for (let i = 0; i < old.refs.length; i++) {
    const ref = old.refs[i]!;
    const other = cur.refs[i]!;
    if (ref.type !== other.type || !ids.same(ref.id, other.id) || ref.ptr !== other.ptr) return false;
  }
  return true;
}

/** Whether both were reached through the same calls (`same_callsites`). */
export function sameCallsites(a: VerifierState, b: VerifierState): boolean {
  if (a.curframe !== b.curframe) return false;
  for (let f = a.curframe; f >= 0; f--) if (a.frame[f]!.callsite !== b.frame[f]!.callsite) return false;
  return true;
}

/** Registers are the same, ids and all, as a loop without end would have them (`states_maybe_looping`). */
export function statesMaybeLooping(old: VerifierState, cur: VerifierState): boolean {
  if (old.curframe !== cur.curframe) return false;
  const a = old.frame[old.curframe]!;
  const b = cur.frame[cur.curframe]!;
  for (let i = 0; i < T.MAX_BPF_REG; i++) {
    const before = a.peek(i);
    const now = b.peek(i);
    if (!sameFields(before, now) || before.id !== now.id || before.refObjId !== now.refObjId) return false;
  }
  return true;
}

/** The one comparison's at a time. */
const pairs = new IdMap();

/** Whether what was proved from `old` covers `cur` (`states_equal`). */
export function statesEqual(env: Env, old: VerifierState, cur: VerifierState, exact: number): boolean {
  if (old.curframe !== cur.curframe || old.speculative !== cur.speculative || old.inSleepable !== cur.inSleepable)
    return false;
  const ids = pairs;
  ids.reset();
  if (!refsSafe(old, cur, ids)) return false;
  for (let f = 0; f <= old.curframe; f++) {
    const a = old.frame[f]!;
    const b = cur.frame[f]!;
    if (a.callsite !== b.callsite || a.callbackDepth > b.callbackDepth) return false;
    const at = f === old.curframe ? old.insnIdx : old.frame[f + 1]!.callsite;
    const live = env.aux[at]!.liveRegsBefore;
    for (let i = 0; i < T.MAX_BPF_REG; i++)
      if (live & (1 << i) && !regSafe(a.peek(i), b.peek(i), ids, exact)) return false;
    if (!stackSafe(a, b, ids, exact)) return false;
  }
  return true;
}
