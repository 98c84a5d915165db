import * as T from '../core/reg_types.table.ts';
import { markRegKnownZero, markRegUnknown } from '../core/regs.ts';
import { type Env, type RegView, reject, type VerifierState } from '../core/types.ts';
import { umax } from './numbers.ts';
import { forEachReg, forgetReference } from './references.ts';

const MAX_PACKET_OFF = 0xffff;

const isPacket = (type: number): boolean => type === T.PTR_TO_PACKET || type === T.PTR_TO_PACKET_META;

/** After a helper that may move the packet: no pointer into it is good any more (`clear_all_pkt_pointers`). */
export function clearAllPktPointers(env: Env): void {
  forEachReg(
    env.cur,
    (reg) => markRegUnknown(env, reg),
    (reg) => isPacket(reg.type) || reg.type === T.PTR_TO_PACKET_END,
  );
}

/** A comparison with the packet's end shows how much `dst`'s relatives may read (`find_good_pkt_pointers`). */
export function findGoodPktPointers(state: VerifierState, dst: RegView, type: number, rangeRightOpen: boolean): void {
  if (dst.off < 0 || (dst.off === 0 && rangeRightOpen)) return;
  if (umax(dst) > MAX_PACKET_OFF || umax(dst) + dst.off > MAX_PACKET_OFF) return;
  const range = dst.off + (rangeRightOpen ? 1 : 0);
  const { id } = dst;
  forEachReg(
    state,
    (reg) => {
      reg.pktRange = Math.max(reg.pktRange, range);
    },
    (reg) => reg.type === type && reg.id === id,
  );
}

/** After a null check of R`regno`: all that share its id are null, or certainly not (`mark_ptr_or_null_regs`). */
export function markPtrOrNullRegs(_env: Env, state: VerifierState, regno: number, isNull: boolean): void {
  const { id, refObjId } = state.frame[state.curframe]!.peek(regno);
  if (refObjId && refObjId === id && isNull) forgetReference(state, id);
  forEachReg(
    state,
    (reg) => {
      if (isNull) {
        reg.type = T.SCALAR_VALUE;
        markRegKnownZero(reg);
        return;
      }
      reg.type &= ~T.PTR_MAYBE_NULL;
      const holdsLock = (reg.map?.record?.fieldMask ?? 0) & 1;
      if (!holdsLock) reg.id = 0;
    },
    (reg) => (reg.type & T.PTR_MAYBE_NULL) !== 0 && reg.id === id,
  );
}

/** The pointer type that this load or store always meets (`save_aux_ptr_type`). */
export function saveAuxPtrType(env: Env, type: number): void {
  const aux = env.aux[env.insnIdx]!;
  if (aux.ptrType === T.NOT_INIT) {
    aux.ptrType = type;
    return;
  }
  const special = (t: number): boolean =>
    [T.PTR_TO_CTX, T.PTR_TO_ARENA, T.PTR_TO_BTF_ID].includes(t & T.BASE_TYPE_MASK);
  if (aux.ptrType === type || (!special(type) && !special(aux.ptrType))) return;
  reject(env, 'EINVAL', 'same insn cannot be used with different pointers');
}
