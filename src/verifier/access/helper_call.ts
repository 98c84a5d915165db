import type { Insn } from '../../bpf/index.ts';
import { markChainPrecision } from '../core/precise.ts';
import * as T from '../core/reg_types.table.ts';
import { clearCallerSaved, isScalarConst, markRegKnownZero, markRegUnknown, registerIsNull } from '../core/regs.ts';
import { type Env, MAP_PTR_POISON, reject } from '../core/types.ts';
import { boundsSync } from '../domain/index.ts';
import * as A from '../tables/arg_types.table.ts';
import { HELPER_NAMES } from '../tables/helper_sets.table.ts';
import * as M from '../tables/map_helpers.table.ts';
import * as F from '../tables/special_fields.table.ts';
import { callAsync, callForEach, callLoop, SYNC_CALLBACKS } from './callbacks.ts';
import { releaseDynptr } from './dynptr.ts';
import { checkArgument } from './helper_args.ts';
import type { CallMeta } from './helper_memory.ts';
import { helperProto, helperProtoName, requireHelperProto } from './helper_proto.ts';
import { constOff } from './numbers.ts';
import { clearAllPktPointers } from './pointers.ts';
import { hasField } from './record.ts';
import { acquireReference, checkResourceLeak, releaseReference } from './references.ts';
import { BPF_WRITE } from './region.ts';
import { checkFormat } from './strings.ts';
import { unsupported } from './unsupported.ts';

const BPF_B = 0x10;
const BPF_F_RDONLY_PROG = 1 << 7;
const MAX_ERRNO = 4095;
const LOCKS = F.BPF_SPIN_LOCK | F.BPF_RES_SPIN_LOCK;

/** Helpers whose rules beyond their arguments are not modelled. */
const NOT_MODELLED: readonly string[] = [
  'find_vma',
  'user_ringbuf_drain',
  'get_local_storage',
  'set_retval',
  'kptr_xchg',
  'per_cpu_ptr',
  'this_cpu_ptr',
  'sk_release',
  'get_func_ip',
  'get_attach_cookie',
  'get_func_arg',
  'get_func_ret',
  'get_func_arg_cnt',
];
const STORAGE_GET: readonly string[] = ['sk_storage_get', 'inode_storage_get', 'task_storage_get', 'cgrp_storage_get'];
const BOUNDED_BY_SIZE: readonly string[] = [
  'get_stack',
  'get_task_stack',
  'probe_read_str',
  'probe_read_kernel_str',
  'probe_read_user_str',
];
const WRITES_MAP: readonly string[] = ['map_delete_elem', 'map_update_elem', 'map_push_elem', 'map_pop_elem'];

/** What atomic sections that the program is in forbid. */
function checkSections(env: Env, meta: CallMeta): void {
  const { cur } = env;
  const who = `sleepable helper bpf_${meta.name}#${meta.func} in`;
  if (meta.proto.mightSleep) {
    if (cur.activeRcuLock) reject(env, 'EINVAL', `${who} rcu_read_lock region`);
    if (cur.activePreemptLocks) reject(env, 'EINVAL', `${who} non-preemptible region`);
    if (cur.activeIrqId) reject(env, 'EINVAL', `${who} IRQ-disabled region`);
  }
  const atomic = cur.activeRcuLock || cur.activePreemptLocks || cur.activeIrqId;
  if (atomic && cur.inSleepable && STORAGE_GET.includes(meta.name)) env.aux[env.insnIdx]!.storageGetFuncAtomic = true;
}

/** The map and, of a tail call, the index that this call always has (`record_func_map`, `record_func_key`). */
function record(env: Env, insnIdx: number, { map, name }: CallMeta): void {
  if (!M.RECORDS_MAP.includes(name)) return;
  const aux = env.aux[insnIdx]!;
  if (!map) throw unsupported(env, `helper bpf_${name} without a map`);
  if (map.flags & BPF_F_RDONLY_PROG && WRITES_MAP.includes(name)) reject(env, 'EACCES', 'write into map forbidden');
  if (!aux.mapPtr) aux.mapPtr = map;
  else if (aux.mapPtr !== map) aux.mapPtr = MAP_PTR_POISON;
  if (name !== 'tail_call') return;
  if (map.type !== 3) reject(env, 'EINVAL', 'expected prog array map for tail call');
  const index = env.reg(3);
  if (!isScalarConst(index) || constOff(index) < 0 || constOff(index) >= map.maxEntries) {
    aux.mapKeySeen = true;
    aux.mapKeyPoison = true;
    return;
  }
  markChainPrecision(env, 3);
  const key = constOff(index);
  if (!aux.mapKeySeen) aux.mapKey = key;
  else if (!aux.mapKeyPoison && aux.mapKey !== key) aux.mapKeyPoison = true;
  aux.mapKeySeen = true;
}

/** Whether helper and map go together (`check_map_func_compatibility`). */
function checkMap(env: Env, { map, name, func }: CallMeta): void {
  if (!map) return;
  if (M.SOCK_MAPS.includes(map.type)) unsupported(env, 'sockmaps');
  const helpers = M.HELPERS_OF_MAP[map.type];
  const types = M.MAPS_OF_HELPER[name];
  if ((!helpers || helpers.includes(name)) && (!types || types.includes(map.type))) return;
  reject(env, 'EINVAL', `cannot pass map_type ${map.type} into func bpf_${name}#${func}`);
}

/** R0 by the prototype's return type. */
function setReturn(env: Env, insnIdx: number, meta: CallMeta): void {
  const { ret, retBtf } = meta.proto;
  const r0 = env.reg(0);
  const flags = ret & ~T.BASE_TYPE_MASK;
  switch (ret & T.BASE_TYPE_MASK) {
    case A.RET_INTEGER:
      markRegUnknown(env, r0);
      refine(env, meta);
      return;
    case A.RET_VOID:
      return;
    case A.RET_PTR_TO_MAP_VALUE: {
      const map = meta.map;
      if (!map) throw unsupported(env, `helper bpf_${meta.name} without a map`);
      const found = meta.name === 'map_lookup_elem' && meta.constKey >= 0 && meta.constKey < map.maxEntries;
      markRegKnownZero(r0);
      r0.map = map;
      r0.mapUid = meta.mapUid;
      r0.type = T.PTR_TO_MAP_VALUE | (found ? flags & ~T.PTR_MAYBE_NULL : flags);
      if (found && hasField(map.record, LOCKS)) r0.id = ++env.idGen;
      break;
    }
    case A.RET_PTR_TO_MEM:
      markRegKnownZero(r0);
      r0.type = T.PTR_TO_MEM | flags;
      r0.memSize = meta.memSize;
      break;
    case A.RET_PTR_TO_BTF_ID: {
      const id = retBtf ? env.vmlinux.find(retBtf, 'struct') : undefined;
      if (id === undefined) throw unsupported(env, `what helper bpf_${meta.name} returns`);
      markRegKnownZero(r0);
      r0.type = T.PTR_TO_BTF_ID | flags;
      r0.btf = env.vmlinux;
      r0.btfId = id;
      break;
    }
    default:
      unsupported(env, `what helper bpf_${meta.name} returns`);
  }
  if (r0.type & T.PTR_MAYBE_NULL) r0.id = ++env.idGen;
  if (meta.name === 'ringbuf_reserve') r0.id = r0.refObjId = acquireReference(env, insnIdx);
}

/** What is known of the number that a helper returns (`do_refine_retval_range`). */
function refine(env: Env, meta: CallMeta): void {
  const r0 = env.reg(0);
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

/** A call of a helper (`check_helper_call`, kernel/bpf/verifier.c, 6.18). */
export function checkHelperCall(env: Env, insn: Insn, insnIdx: number): void {
  const func = insn.imm;
  const proto = requireHelperProto(env, func);
  const name = HELPER_NAMES[func]!;
  if (NOT_MODELLED.includes(name)) unsupported(env, `helper bpf_${name}`);
  env.aux[insnIdx]!.helperProto = helperProtoName(env, func)!;
  const meta: CallMeta = {
    func,
    name,
    proto,
    map: null,
    mapUid: 0,
    raw: false,
    regno: 0,
    accessSize: 0,
    refObjId: 0,
    releaseRegno: 0,
    sizeMax: null,
    memSize: 0,
    subprogno: 0,
    constKey: -1,
  };
  checkSections(env, meta);
  proto.args.forEach((argType, i) => {
    checkArgument(env, i + 1, argType, meta);
  });
  record(env, insnIdx, meta);
  for (let i = 0; i < meta.accessSize; i++) {
    env.ops.checkMemAccess(env, insnIdx, meta.regno, i, BPF_B, BPF_WRITE, -1, false, false);
  }
  release(env, meta);
  if (name === 'tail_call') checkResourceLeak(env, false, true, 'tail_call');
  else if (name === 'for_each_map_elem') callForEach(env, insn, insnIdx, meta);
  else if (name === 'loop') callLoop(env, insn, insnIdx, meta);
  else if (name === 'timer_set_callback') callAsync(env, insn, insnIdx, meta.subprogno, 1, false);
  else if (name === 'snprintf') checkFormat(env);
  clearCallerSaved(env, env.func().regs);
  setReturn(env, insnIdx, meta);
  checkMap(env, meta);
  if (M.CHANGES_PACKET.includes(name)) clearAllPktPointers(env);
}

function release(env: Env, { releaseRegno, refObjId, name, func, proto }: CallMeta): void {
  if (releaseRegno && (proto.args[releaseRegno - 1]! & T.BASE_TYPE_MASK) === A.ARG_PTR_TO_DYNPTR) {
    releaseDynptr(env, releaseRegno);
    return;
  }
  if (!releaseRegno || (refObjId && releaseReference(env, refObjId))) return;
  if (!refObjId && registerIsNull(env.reg(releaseRegno))) return;
  reject(env, 'EINVAL', `func bpf_${name}#${func} reference has not been acquired before`);
}

/** Helpers that the compiler of this target writes in place (`verifier_inlines_helper_call`, `bpf_jit_inlines_helper_call`). */
const INLINED: readonly string[] = ['get_smp_processor_id'];

/** How many registers a helper reads, and whether it spares the others (`get_call_summary`). */
export function helperSummary(
  env: Env,
  func: number,
): { numParams: number; isVoid: boolean; fastcall: boolean } | null {
  const proto = helperProto(env, func);
  if (!proto) return null;
  return {
    numParams: proto.args.length,
    isVoid: (proto.ret & T.BASE_TYPE_MASK) === A.RET_VOID,
    fastcall: proto.allowFastcall === true && env.input.target.jitRequested && INLINED.includes(HELPER_NAMES[func]!),
  };
}

/** 1: the helper calls a function back before it returns; 2: later. */
export function helperCallbackKind(func: number): number {
  const name = HELPER_NAMES[func] ?? '';
  return SYNC_CALLBACKS.includes(name) ? 1 : name === 'timer_set_callback' ? 2 : 0;
}

export const helperChangesPacket = (func: number): boolean => M.CHANGES_PACKET.includes(HELPER_NAMES[func] ?? '');

export const helperMightSleep = (env: Env, func: number): boolean => helperProto(env, func)?.mightSleep === true;
