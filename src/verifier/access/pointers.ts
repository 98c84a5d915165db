import * as T from '../core/reg_types.table.ts';
import { markRegKnownZero, markRegUnknown } from '../core/regs.ts';
import { type Env, type RegState, type RegView, reject, type VerifierState } from '../core/types.ts';
import * as M from '../tables/map_helpers.table.ts';
import { MAP_XSKMAP } from '../tables/maps.table.ts';
import * as F from '../tables/special_fields.table.ts';
import { umax } from './numbers.ts';
import { hasField, recordOf } from './record.ts';
import { forEachReg, forgetReference } from './references.ts';

const MAX_PACKET_OFF = 0xffff;

const isPacket = (type: number): boolean => type === T.PTR_TO_PACKET || type === T.PTR_TO_PACKET_META;

const PACKET_DYNPTRS = T.DYNPTR_TYPE_SKB | T.DYNPTR_TYPE_XDP | T.DYNPTR_TYPE_SKB_META;
/** Bytes of a packet by way of a dynptr (`reg_is_dynptr_slice_pkt`). */
const isPacketSlice = (type: number): boolean =>
  (type & T.BASE_TYPE_MASK) === T.PTR_TO_MEM && (type & PACKET_DYNPTRS) !== 0;

/** After a helper that may move the packet: no pointer into it is good any more (`clear_all_pkt_pointers`). */
export function clearAllPktPointers(env: Env): void {
  forEachReg(
    env.cur,
    (reg) => markRegUnknown(env, reg),
    (reg) => isPacket(reg.type) || reg.type === T.PTR_TO_PACKET_END || isPacketSlice(reg.type),
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

/** The type that a pointer has once it is known not to be null (`mark_ptr_not_null_reg`). */
export function markNotNull(reg: RegState): void {
  if ((reg.type & T.BASE_TYPE_MASK) !== T.PTR_TO_MAP_VALUE) {
    reg.type &= ~T.PTR_MAYBE_NULL;
    return;
  }
  const { inner, type } = reg.map!;
  if (inner) {
    reg.type = T.CONST_PTR_TO_MAP;
    reg.map = inner;
    if (hasField(inner.record, F.BPF_ASYNC)) reg.mapUid = reg.id;
  } else if (type === MAP_XSKMAP) reg.type = T.PTR_TO_XDP_SOCK;
  else reg.type = M.SOCK_MAPS.includes(type) ? T.PTR_TO_SOCKET : T.PTR_TO_MAP_VALUE;
}

/** After a null check of R`regno`: all that share its id are null, or certainly not (`mark_ptr_or_null_regs`). */
export function markPtrOrNullRegs(env: Env, state: VerifierState, regno: number, isNull: boolean): void {
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
      markNotNull(reg);
      if (!hasField(recordOf(env, reg), F.BPF_LOCKS)) reg.id = 0;
    },
    (reg) => (reg.type & T.PTR_MAYBE_NULL) !== 0 && reg.id === id,
  );
}

/** Types that a load or store may not share with others: it is rewritten for them (`reg_type_mismatch_ok`). */
const UNMIXABLE: readonly number[] = [
  T.PTR_TO_CTX,
  T.PTR_TO_SOCKET,
  T.PTR_TO_SOCK_COMMON,
  T.PTR_TO_TCP_SOCK,
  T.PTR_TO_XDP_SOCK,
  T.PTR_TO_BTF_ID,
  T.PTR_TO_ARENA,
];

/**
 * The pointer type that this load or store always meets (`save_aux_ptr_type`). With `allowTrustMismatch` one of kernel
 * memory may be met trusted and untrusted, and counts as the latter.
 */
export function saveAuxPtrType(env: Env, type: number, allowTrustMismatch: boolean): void {
  const aux = env.aux[env.insnIdx]!;
  const previous = aux.ptrType;
  const [base, previousBase] = [type & T.BASE_TYPE_MASK, previous & T.BASE_TYPE_MASK];
  if (previous === T.NOT_INIT) aux.ptrType = type;
  else if (previous !== type && (UNMIXABLE.includes(base) || UNMIXABLE.includes(previousBase))) {
    const kernel = [T.PTR_TO_MEM, T.PTR_TO_BTF_ID];
    if (!allowTrustMismatch || !kernel.includes(base) || !kernel.includes(previousBase))
      reject(env, 'EINVAL', 'same insn cannot be used with different pointers');
    const isMemory = base === T.PTR_TO_MEM || previousBase === T.PTR_TO_MEM;
    aux.ptrType = (isMemory ? T.PTR_TO_MEM : T.PTR_TO_BTF_ID) | ((type | previous) & (T.PTR_UNTRUSTED | T.MEM_RDONLY));
  }
}
