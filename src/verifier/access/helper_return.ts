import * as T from '../core/reg_types.table.ts';
import { markRegKnownZero, markRegUnknown } from '../core/regs.ts';
import { type Env, type RegState, reject } from '../core/types.ts';
import { boundsSync } from '../domain/index.ts';
import * as A from '../tables/arg_types.table.ts';
import * as M from '../tables/map_helpers.table.ts';
import { MAP_ARRAY_OF_MAPS, MAP_HASH_OF_MAPS } from '../tables/maps.table.ts';
import * as F from '../tables/special_fields.table.ts';
import { isStruct, skipModifiers } from './btf_walk.ts';
import type { CallMeta } from './helper_memory.ts';
import { setExchanged } from './kptr.ts';
import { MAX_ERRNO } from './numbers.ts';
import { hasField } from './record.ts';
import { acquireReference } from './references.ts';
import { unsupported } from './unsupported.ts';

const BOUNDED_BY_SIZE: readonly string[] = [
  'get_stack',
  'get_task_stack',
  'probe_read_str',
  'probe_read_kernel_str',
  'probe_read_user_str',
];
/** Helpers whose result the program owns (`is_acquire_function`). */
const ACQUIRES: readonly string[] = [
  'sk_lookup_tcp',
  'sk_lookup_udp',
  'skc_lookup_tcp',
  'ringbuf_reserve',
  'kptr_xchg',
];
/** Helpers that give another view of the socket that they are given (`is_ptr_cast_function`). */
const CASTS: readonly string[] = [
  'tcp_sock',
  'sk_fullsock',
  'skc_to_tcp_sock',
  'skc_to_tcp6_sock',
  'skc_to_udp6_sock',
  'skc_to_mptcp_sock',
  'skc_to_tcp_timewait_sock',
  'skc_to_tcp_request_sock',
];
const SOCKET_TYPES: Readonly<Record<number, number>> = {
  [A.RET_PTR_TO_SOCKET]: T.PTR_TO_SOCKET,
  [A.RET_PTR_TO_SOCK_COMMON]: T.PTR_TO_SOCK_COMMON,
  [A.RET_PTR_TO_TCP_SOCK]: T.PTR_TO_TCP_SOCK,
};

/** What is known of the number that a helper returns (`do_refine_retval_range`). */
function refine(env: Env, r0: RegState, meta: CallMeta): void {
  if (BOUNDED_BY_SIZE.includes(meta.name)) {
    const { lo, hi, s32 } = meta.sizeMax!;
    Object.assign(r0, { smaxLo: lo, smaxHi: hi, s32max: s32, sminLo: -MAX_ERRNO, sminHi: -1, s32min: -MAX_ERRNO });
    boundsSync(r0);
  } else if (meta.name === 'get_smp_processor_id') {
    const max = env.input.target.cpus - 1;
    Object.assign(r0, { umaxLo: max, umaxHi: 0, u32max: max, smaxLo: max, smaxHi: 0, s32max: max });
    Object.assign(r0, { uminLo: 0, uminHi: 0, u32min: 0, sminLo: 0, sminHi: 0, s32min: 0 });
    boundsSync(r0);
  }
}

const MAPS_OF_MAPS: readonly number[] = [MAP_ARRAY_OF_MAPS, MAP_HASH_OF_MAPS];

function toMapValue(env: Env, r0: RegState, flags: number, { map, mapUid, name, constKey }: CallMeta): void {
  if (!map) throw reject(env, 'EINVAL', 'kernel subsystem misconfigured verifier');
  if (MAPS_OF_MAPS.includes(map.type) && !map.inner) unsupported(env, `map '${map.name}' of maps without a template`);
  const found = name === 'map_lookup_elem' && constKey >= 0 && constKey < map.maxEntries;
  markRegKnownZero(r0);
  r0.map = map;
  r0.mapUid = mapUid;
  r0.type = T.PTR_TO_MAP_VALUE | (found ? flags & ~T.PTR_MAYBE_NULL : flags);
  if (!(r0.type & T.PTR_MAYBE_NULL) && hasField(map.record, F.BPF_LOCKS)) r0.id = ++env.idGen;
}

/** A variable that each processor has of its own, or an object of bpf_percpu_obj_new. */
function toPerCpu(env: Env, r0: RegState, flags: number, { retBtf, retBtfId, objectOfCpu }: CallMeta): void {
  const btf = retBtf!;
  const { type } = skipModifiers(btf, retBtfId);
  markRegKnownZero(r0);
  if (!isStruct(type)) {
    if (['func', 'func_proto', 'fwd', 'void'].includes(type.kind)) {
      reject(env, 'EINVAL', `unable to resolve the size of type '${type.name}': -22`);
    }
    r0.type = T.PTR_TO_MEM | flags;
    r0.memSize = btf.sizeOf(type.id);
    return;
  }
  r0.type = T.PTR_TO_BTF_ID | (objectOfCpu ? T.MEM_ALLOC | T.MEM_RCU : flags & ~T.MEM_RDONLY);
  r0.btf = btf;
  r0.btfId = retBtfId;
}

function toStruct(env: Env, r0: RegState, flags: number, meta: CallMeta): void {
  if (meta.name === 'kptr_xchg') {
    setExchanged(env, meta.kptr);
    return;
  }
  const { retBtf } = meta.proto;
  const id = retBtf ? env.vmlinux.find(retBtf, 'struct') : undefined;
  if (id === undefined) throw unsupported(env, `what helper bpf_${meta.name} returns`);
  markRegKnownZero(r0);
  r0.type = T.PTR_TO_BTF_ID | flags;
  r0.btf = env.vmlinux;
  r0.btfId = id;
}

/** R0 by the prototype's return type (the second half of `check_helper_call`, kernel/bpf/verifier.c, 6.18). */
export function setHelperReturn(env: Env, insnIdx: number, meta: CallMeta): void {
  const { ret } = meta.proto;
  const r0 = env.reg(0);
  const base = ret & T.BASE_TYPE_MASK;
  const flags = ret & ~T.BASE_TYPE_MASK;
  switch (base) {
    case A.RET_INTEGER:
      markRegUnknown(env, r0);
      refine(env, r0, meta);
      return;
    case A.RET_VOID:
      return;
    case A.RET_PTR_TO_MAP_VALUE:
      toMapValue(env, r0, flags, meta);
      break;
    case A.RET_PTR_TO_MEM:
      markRegKnownZero(r0);
      r0.type = T.PTR_TO_MEM | flags;
      r0.memSize = meta.memSize;
      break;
    case A.RET_PTR_TO_MEM_OR_BTF_ID:
      toPerCpu(env, r0, flags, meta);
      break;
    case A.RET_PTR_TO_BTF_ID:
      toStruct(env, r0, flags, meta);
      break;
    default:
      markRegKnownZero(r0);
      r0.type = SOCKET_TYPES[base]! | flags;
  }
  if (r0.type & T.PTR_MAYBE_NULL) r0.id = ++env.idGen;
  if (meta.name === 'dynptr_data') r0.dynptrId = meta.dynptr!.id;
  if (CASTS.includes(meta.name)) r0.refObjId = meta.refObjId;
  else if (meta.name === 'dynptr_data') r0.refObjId = meta.dynptr!.refObjId;
  else if (ACQUIRES.includes(meta.name) || (meta.name === 'map_lookup_elem' && M.SOCK_MAPS.includes(meta.map!.type))) {
    r0.id = r0.refObjId = acquireReference(env, insnIdx);
  }
}
