import type { Btf } from '../../btf/index.ts';
import { typeStr } from '../core/log.ts';
import * as T from '../core/reg_types.table.ts';
import { registerIsNull } from '../core/regs.ts';
import { type Env, type MapInfo, type RecordField, type RegState, reject } from '../core/types.ts';
import * as P from '../tables/contexts.table.ts';
import * as K from '../tables/kfuncs.table.ts';
import { BPF_TASK_WORK, BPF_WORKQUEUE } from '../tables/special_fields.table.ts';
import { checkArgOffset } from './arg_offset.ts';
import { checkFieldPointer } from './async.ts';
import { skipModifiers } from './btf_walk.ts';
import { checkDynptrArg, type DynptrFacts, dynptrFlag } from './dynptr.ts';
import { processIrqFlag } from './irq.ts';
import { checkIteratorArg, destroyIterator, type IteratorPlace, isIteratorParam } from './iterators.ts';
import { checkScalar, checkSizedMemory, checkTypedMemory } from './kfunc_memory.ts';
import { hasSuffix, isScalarType, type KfuncMeta, kindName } from './kfunc_meta.ts';
import * as O from './kfunc_objects.ts';
import { type PointerKind, pointerKind, type Target } from './kfunc_pointer.ts';
import { checkMapArg, checkStruct, checkTrust } from './kfunc_struct.ts';
import { processKfuncLock } from './locks.ts';
import { hasField } from './record.ts';
import { checkConstString } from './strings.ts';
import { unsupported } from './unsupported.ts';

/** What the arguments of a call have shown (`struct bpf_kfunc_call_arg_meta`). */
export interface KfuncArgs {
  refObjId: number;
  /** Register whose reference the kfunc takes back; 0 without. */
  releaseRegno: number;
  iterator: IteratorPlace | null;
  dynptr: DynptrFacts | null;
  map: MapInfo | null;
  mapUid: number;
  /** The one `__k` or `__szk` argument. */
  constant: { lo: number; hi: number } | null;
  /** Bytes of the buffer that the kfunc returns; 0: its type tells. */
  returnSize: number;
  returnReadOnly: boolean;
  subprogno: number;
  /** Type of the allocated object that was given. */
  objectBtf: Btf | null;
  objectId: number;
  owningReference: boolean;
  listHead: RecordField | null;
  treeRoot: RecordField | null;
}

function noArgs(): KfuncArgs {
  return {
    refObjId: 0,
    releaseRegno: 0,
    iterator: null,
    dynptr: null,
    map: null,
    mapUid: 0,
    constant: null,
    returnSize: 0,
    returnReadOnly: false,
    subprogno: 0,
    objectBtf: null,
    objectId: 0,
    owningReference: false,
    listHead: null,
    treeRoot: null,
  };
}

/** Kind of dynptr that a kfunc makes of its other arguments. */
const MADE_DYNPTR: Readonly<Record<string, number>> = {
  bpf_dynptr_from_skb: T.DYNPTR_TYPE_SKB,
  bpf_dynptr_from_xdp: T.DYNPTR_TYPE_XDP,
  bpf_dynptr_from_skb_meta: T.DYNPTR_TYPE_SKB_META,
};

function checkDynptr(env: Env, meta: KfuncMeta, arg: number, insnIdx: number, seen: KfuncArgs): void {
  const uninit = hasSuffix(meta.params[arg]!, '__uninit');
  let flags = env.reg(arg + 1).type === T.CONST_PTR_TO_DYNPTR ? T.MEM_RDONLY : 0;
  let clone = 0;
  if (uninit) flags |= T.MEM_UNINIT;
  if (MADE_DYNPTR[meta.name]) flags |= MADE_DYNPTR[meta.name]!;
  else if (uninit) {
    if (meta.name !== 'bpf_dynptr_clone' || !seen.dynptr) unsupported(env, `kfunc ${meta.name}`);
    flags |= dynptrFlag(seen.dynptr!.type);
    clone = seen.dynptr!.refObjId;
  }
  const facts = checkDynptrArg(env, arg + 1, insnIdx, flags, clone);
  if (facts) seen.dynptr = facts;
}

function checkIterator(env: Env, meta: KfuncMeta, arg: number, insnIdx: number, seen: KfuncArgs): void {
  if (meta.name === 'bpf_iter_css_task_new' && !env.cur.inSleepable) {
    const { progType, expectedAttachType } = env.input;
    const allowed = progType === P.PROG_LSM || (progType === P.PROG_TRACING && expectedAttachType === P.ATTACH_ITER);
    const text = 'css_task_iter is only allowed in bpf_lsm, bpf_iter and sleepable progs';
    if (!allowed) reject(env, 'EINVAL', text);
  }
  seen.iterator = checkIteratorArg(env, meta, arg + 1, insnIdx);
  if (!seen.iterator) return;
  seen.refObjId = env.cur.frame[seen.iterator.frameno]!.peekSlot(seen.iterator.spi)!.spilled.refObjId;
  if (meta.flags & K.KF_ITER_DESTROY) destroyIterator(env, meta, seen.iterator);
}

function noteReference(env: Env, meta: KfuncMeta, reg: RegState, regno: number, seen: KfuncArgs): void {
  if (!reg.refObjId) return;
  const release = (meta.flags & K.KF_RELEASE) !== 0;
  if (release && seen.refObjId) {
    const ids = `R${regno} ${reg.refObjId} ${seen.refObjId}`;
    reject(env, 'EFAULT', `verifier bug: more than one arg with ref_obj_id ${ids}`);
  }
  seen.refObjId = reg.refObjId;
  if (release) seen.releaseRegno = regno;
}

function requireMapValue(env: Env, arg: number): void {
  if (env.reg(arg + 1).type !== T.PTR_TO_MAP_VALUE) {
    reject(env, 'EINVAL', `arg#${arg} doesn't point to a map value`);
  }
}

/** A map that goes with a work queue or a task's work of an earlier argument must be the one that it lies in. */
function checkSameMap(env: Env, regno: number, seen: KfuncArgs): void {
  const reg = env.reg(regno);
  // A BTF pointer's BTF lies where a map pointer has its map.
  if (!reg.map && !reg.btf) reject(env, 'EINVAL', `pointer in R${regno} isn't map pointer`);
  if (!seen.map || !reg.map || !hasField(reg.map.record, BPF_WORKQUEUE | BPF_TASK_WORK)) return;
  if (seen.map === reg.map && seen.mapUid === reg.mapUid) return;
  const task = hasField(reg.map.record, BPF_TASK_WORK);
  const [what, at, map] = task ? ['bpf_task_work', 'R2', 'R3'] : ['workqueue', 'R1', 'R2'];
  const uids = `in ${at} map_uid=${seen.mapUid} doesn't match map pointer in ${map} map_uid=${reg.mapUid}`;
  reject(env, 'EINVAL', `${what} pointer ${uids}`);
}

type Check = (env: Env, meta: KfuncMeta, arg: number, seen: KfuncArgs, target: Target, insnIdx: number) => void;

const CHECKS: Readonly<Record<Exclude<PointerKind, 'null'>, Check>> = {
  ctx: (env, _meta, arg) => {
    const { type } = env.reg(arg + 1);
    if (type !== T.PTR_TO_CTX) {
      reject(env, 'EINVAL', `arg#${arg} expected pointer to ctx, but got ${typeStr(type)}`);
    }
  },
  object: (env, meta, arg, seen) => O.checkAllocated(env, meta, arg, seen),
  refcounted: (env, _meta, arg, seen) => O.checkRefcounted(env, arg, seen),
  dynptr: (env, meta, arg, seen, _target, insnIdx) => checkDynptr(env, meta, arg, insnIdx, seen),
  iterator: (env, meta, arg, seen, _target, insnIdx) => checkIterator(env, meta, arg, insnIdx, seen),
  list_head: (env, _meta, arg, seen) => O.checkListHead(env, arg, seen),
  list_node: (env, _meta, arg, seen) => O.checkListNode(env, arg, seen),
  tree_root: (env, _meta, arg, seen) => O.checkTreeRoot(env, arg, seen),
  tree_node: (env, meta, arg, seen) => O.checkTreeNode(env, meta, arg, seen),
  string: (env, _meta, arg) => {
    if (env.reg(arg + 1).type !== T.PTR_TO_MAP_VALUE) {
      reject(env, 'EINVAL', `arg#${arg} doesn't point to a const string`);
    }
    checkConstString(env, arg + 1);
  },
  map: (env, meta, arg, seen) => checkMapArg(env, meta, arg, seen),
  workqueue: (env, _meta, arg, seen) => {
    requireMapValue(env, arg);
    checkFieldPointer(env, arg + 1, BPF_WORKQUEUE, seen);
  },
  task_work: (env, _meta, arg, seen) => {
    requireMapValue(env, arg);
    checkFieldPointer(env, arg + 1, BPF_TASK_WORK, seen);
  },
  irq_flag: (env, meta, arg, _seen, _target, insnIdx) => processIrqFlag(env, meta.name, arg, insnIdx),
  res_lock: (env, meta, arg) => processKfuncLock(env, meta.name, arg),
  struct: (env, meta, arg, _seen, target) => checkStruct(env, meta, arg, target),
  callback: (env, _meta, arg, seen) => {
    const reg = env.reg(arg + 1);
    if (reg.type !== T.PTR_TO_FUNC) reject(env, 'EINVAL', `arg${arg} expected pointer to func`);
    seen.subprogno = reg.subprogno;
  },
  memory: (env, meta, arg, _seen, target) => checkTypedMemory(env, meta, arg, target),
  sized_memory: (env, meta, arg, seen) => checkSizedMemory(env, meta, arg, seen),
};

/** A pointer argument; gives its kind. */
function checkPointer(env: Env, meta: KfuncMeta, arg: number, insnIdx: number, seen: KfuncArgs): PointerKind {
  const regno = arg + 1;
  const reg = env.reg(regno);
  const param = meta.params[arg]!;
  if (param.type.kind !== 'ptr') {
    throw reject(env, 'EINVAL', `Unrecognized arg#${arg} type ${kindName(param.type).split(' ')[0]}`);
  }
  const mayBeNull = registerIsNull(reg) || (reg.type & T.PTR_MAYBE_NULL) !== 0;
  const trusted = K.KF_TRUSTED_ARGS | K.KF_RELEASE | K.KF_RCU;
  if (meta.flags & trusted && mayBeNull && !hasSuffix(param, '__nullable')) {
    reject(env, 'EACCES', `Possibly NULL pointer passed to trusted arg${arg}`);
  }
  noteReference(env, meta, reg, regno, seen);
  const target = skipModifiers(meta.btf, param.type.type);
  const kind = isIteratorParam(meta, arg) ? 'iterator' : pointerKind(env, meta, arg, target);
  if (kind === 'null') return kind;
  // A BTF pointer's BTF lies where a map pointer has its map.
  if (kind === 'map' && !reg.map && !reg.btf) reject(env, 'EINVAL', `pointer in R${regno} isn't map pointer`);
  if (kind === 'map') checkSameMap(env, regno, seen);
  if (kind === 'map' || kind === 'struct' || kind === 'object') checkTrust(env, meta, regno);
  checkArgOffset(env, regno, (meta.flags & K.KF_RELEASE) !== 0 && reg.refObjId !== 0, false);
  CHECKS[kind](env, meta, arg, seen, target, insnIdx);
  return kind;
}

/** The arguments of a call against the kfunc's prototype (`check_kfunc_args`, kernel/bpf/verifier.c, 6.18). */
export function checkKfuncArgs(env: Env, meta: KfuncMeta, insnIdx: number): KfuncArgs {
  const seen = noArgs();
  const count = meta.params.length;
  if (count > T.MAX_BPF_FUNC_REG_ARGS)
    reject(env, 'EINVAL', `Function ${meta.name} has ${count} > ${T.MAX_BPF_FUNC_REG_ARGS} args`);
  for (let arg = 0; arg < count; arg++) {
    const param = meta.params[arg]!;
    if (hasSuffix(param, '__ign')) continue;
    if (hasSuffix(param, '__prog')) env.aux[insnIdx]!.argProg = arg + 1;
    else if (isScalarType(param.type)) checkScalar(env, meta, arg, seen);
    else if (checkPointer(env, meta, arg, insnIdx, seen) === 'sized_memory') arg++;
  }
  if (meta.flags & K.KF_RELEASE && !seen.releaseRegno) {
    reject(env, 'EINVAL', `release kernel function ${meta.name} expects refcounted PTR_TO_BTF_ID`);
  }
  return seen;
}
