import { HELPERS, type Insn, SIZE } from '../../bpf/index.ts';
import { typeStr } from '../core/log.ts';
import { markChainPrecision } from '../core/precise.ts';
import * as T from '../core/reg_types.table.ts';
import { clearCallerSaved, isScalarConst, registerIsNull } from '../core/regs.ts';
import { type Env, MAP_PTR_POISON, reject } from '../core/types.ts';
import * as A from '../tables/arg_types.table.ts';
import * as P from '../tables/contexts.table.ts';
import * as M from '../tables/map_helpers.table.ts';
import { BPF_F_RDONLY_PROG, MAP_PROG_ARRAY } from '../tables/maps.table.ts';
import { DYNPTR_SKB, DYNPTR_SKB_META } from './_slots.ts';
import { isStruct } from './btf_walk.ts';
import { callAsync, callDrain, callFindVma, callForEach, callLoop, SYNC_CALLBACKS } from './callbacks.ts';
import { releaseDynptr } from './dynptr.ts';
import { checkArgument } from './helper_args.ts';
import type { CallMeta } from './helper_memory.ts';
import { hasTrampoline, helperProto, helperProtoName, requireHelperProto } from './helper_proto.ts';
import { setHelperReturn } from './helper_return.ts';
import { constOff } from './numbers.ts';
import { clearAllPktPointers } from './pointers.ts';
import { checkResourceLeak, giveToMap, releaseReference } from './references.ts';
import { BPF_WRITE } from './region.ts';
import { checkFormat } from './strings.ts';

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
  if (atomic && cur.inSleepable && M.STORAGE_GET.includes(meta.name)) env.aux[env.insnIdx]!.storageGetFuncAtomic = true;
}

/** The map and, of a tail call, the index that this call always has (`record_func_map`, `record_func_key`). */
function record(env: Env, insnIdx: number, { map, name }: CallMeta): void {
  if (!M.RECORDS_MAP.includes(name)) return;
  const aux = env.aux[insnIdx]!;
  if (!map) throw reject(env, 'EINVAL', 'kernel subsystem misconfigured verifier');
  if (map.flags & BPF_F_RDONLY_PROG && WRITES_MAP.includes(name)) reject(env, 'EACCES', 'write into map forbidden');
  if (!aux.mapPtr) aux.mapPtr = map;
  else if (aux.mapPtr !== map) aux.mapPtr = MAP_PTR_POISON;
  if (name !== 'tail_call') return;
  if (map.type !== MAP_PROG_ARRAY) reject(env, 'EINVAL', 'expected prog array map for tail call');
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

/** Whether this program may put sockets in a sockmap or take them out (`may_update_sockmap`). */
function mayUpdateSockmap(env: Env, name: string): boolean {
  if (name !== 'map_update_elem' && name !== 'map_delete_elem') return false;
  const { progType, expectedAttachType } = env.input;
  if (M.SOCKMAP_UPDATERS.includes(progType)) return true;
  if (progType === P.PROG_TRACING && expectedAttachType === P.ATTACH_ITER) return true;
  if (progType === P.PROG_SOCK_OPS && name === 'map_delete_elem') return true;
  env.verbose('cannot update sockmap in this context\n');
  return false;
}

/** Whether helper and map go together (`check_map_func_compatibility`). */
function checkMap(env: Env, { map, name, func }: CallMeta): void {
  if (!map) return;
  const helpers = M.HELPERS_OF_MAP[map.type];
  const types = M.MAPS_OF_HELPER[name];
  const mapAllows =
    !helpers || helpers.includes(name) || (M.SOCK_MAPS.includes(map.type) && mayUpdateSockmap(env, name));
  if (mapAllows && (!types || types.includes(map.type))) return;
  reject(env, 'EINVAL', `cannot pass map_type ${map.type} into func bpf_${name}#${func}`);
}

/** Rules of single helpers, once the arguments are known to be of their types; R1 to R5 still hold them. */
const SPECIAL: Readonly<Record<string, (env: Env, insn: Insn, insnIdx: number, meta: CallMeta) => void>> = {
  tail_call: (env) => checkResourceLeak(env, false, true, 'tail_call'),
  for_each_map_elem: callForEach,
  loop: callLoop,
  timer_set_callback: (env, insn, insnIdx, { subprogno }) => callAsync(env, insn, insnIdx, subprogno, 1, false),
  find_vma: callFindVma,
  user_ringbuf_drain: callDrain,
  snprintf: (env) => checkFormat(env),
  get_local_storage: (env) => {
    if (!registerIsNull(env.reg(2))) reject(env, 'EINVAL', "get_local_storage() doesn't support non-zero flags");
    markChainPrecision(env, 2);
  },
  dynptr_from_mem: (env) => {
    const { type } = env.reg(1);
    if (type === T.PTR_TO_MAP_VALUE) return;
    reject(env, 'EACCES', `Unsupported reg type ${typeStr(type)} for bpf_dynptr_from_mem data`);
  },
  per_cpu_ptr: (env, _insn, insnIdx, meta) => noteObjectOfCpu(env, insnIdx, meta),
  this_cpu_ptr: (env, _insn, insnIdx, meta) => noteObjectOfCpu(env, insnIdx, meta),
};

/** An object of bpf_percpu_obj_new, of which this processor's part is asked for. */
function noteObjectOfCpu(env: Env, insnIdx: number, meta: CallMeta): void {
  const reg = env.reg(1);
  if (!(reg.type & T.MEM_RCU)) return;
  if (!isStruct(reg.btf!.type(reg.btfId))) reject(env, 'EFAULT', 'Helper has invalid btf/btf_id in R1');
  meta.objectOfCpu = true;
  env.aux[insnIdx]!.callWithPercpuAllocPtr = true;
}

/** A call of a helper (`check_helper_call`, kernel/bpf/verifier.c, 6.18). */
export function checkHelperCall(env: Env, insn: Insn, insnIdx: number): void {
  const func = insn.imm;
  const proto = requireHelperProto(env, func);
  const name = HELPERS[func]!;
  env.aux[insnIdx]!.helperProto = helperProtoName(env, func)!;
  const hook = env.input.progType === P.PROG_LSM ? env.vmlinux.type(env.attachFuncProto) : null;
  if (name === 'set_retval' && hook?.kind === 'func_proto' && hook.returns === 0)
    reject(env, 'EINVAL', "BPF_LSM_CGROUP that attach to void LSM hooks can't modify return value!");
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
    dynptr: null,
    kptr: null,
    retBtf: null,
    retBtfId: 0,
    objectOfCpu: false,
  };
  checkSections(env, meta);
  proto.args.forEach((argType, i) => {
    checkArgument(env, i + 1, argType, meta);
  });
  record(env, insnIdx, meta);
  for (let i = 0; i < meta.accessSize; i++) {
    env.ops.checkMemAccess(env, insnIdx, meta.regno, i, SIZE.B, BPF_WRITE, -1, false, false);
  }
  release(env, meta);
  SPECIAL[name]?.(env, insn, insnIdx, meta);
  clearCallerSaved(env, env.func());
  setHelperReturn(env, insnIdx, meta);
  checkMap(env, meta);
  checkFuncIp(env, meta);
  if (M.CHANGES_PACKET.includes(name) || writesSkb(meta)) clearAllPktPointers(env);
}

/** What is written through a dynptr of an skb may move its data. */
const writesSkb = ({ name, dynptr }: CallMeta): boolean =>
  name === 'dynptr_write' && (dynptr?.type === DYNPTR_SKB || dynptr?.type === DYNPTR_SKB_META);

/** Whether there is a function whose address could be asked for (`check_get_func_ip`). */
function checkFuncIp(env: Env, { name, func }: CallMeta): void {
  if (name !== 'get_func_ip') return;
  const { progType } = env.input;
  if (progType === P.PROG_KPROBE) return;
  const what = `func bpf_${name}#${func}`;
  if (progType !== P.PROG_TRACING) reject(env, 'ENOTSUPP', `${what} not supported for program type ${progType}`);
  if (!hasTrampoline(env)) reject(env, 'ENOTSUPP', `${what} supported only for fentry/fexit/fmod_ret programs`);
}

function release(env: Env, { releaseRegno, refObjId, name, func, proto }: CallMeta): void {
  if (releaseRegno && (proto.args[releaseRegno - 1]! & T.BASE_TYPE_MASK) === A.ARG_PTR_TO_DYNPTR) {
    releaseDynptr(env, releaseRegno);
    return;
  }
  if (!releaseRegno) return;
  if (refObjId && (name === 'kptr_xchg' ? giveToMap(env, refObjId) : releaseReference(env, refObjId))) return;
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
    fastcall: proto.allowFastcall === true && env.input.target.jitRequested && INLINED.includes(HELPERS[func]!),
  };
}

/** 1: the helper calls a function back before it returns; 2: later. */
export function helperCallbackKind(func: number): number {
  const name = HELPERS[func] ?? '';
  return SYNC_CALLBACKS.includes(name) ? 1 : name === 'timer_set_callback' ? 2 : 0;
}

export const helperChangesPacket = (func: number): boolean => M.CHANGES_PACKET.includes(HELPERS[func] ?? '');

export const helperMightSleep = (env: Env, func: number): boolean => helperProto(env, func)?.mightSleep === true;
