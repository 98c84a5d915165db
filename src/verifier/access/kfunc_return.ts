import { PROG_TYPES } from '../../bpf/index.ts';
import type { Btf } from '../../btf/index.ts';
import * as T from '../core/reg_types.table.ts';
import { markRegKnownZero, markRegUnknown } from '../core/regs.ts';
import { type Env, reject } from '../core/types.ts';
import * as P from '../tables/contexts.table.ts';
import * as K from '../tables/kfuncs.table.ts';
import { BPF_LOCKS } from '../tables/special_fields.table.ts';
import { isStruct, skipModifiers } from './btf_walk.ts';
import { dynptrFlag } from './dynptr.ts';
import { iteratorIn } from './iterators.ts';
import type { KfuncArgs } from './kfunc_args.ts';
import { type KfuncMeta, kindName } from './kfunc_meta.ts';
import { isScalarStruct, type Target } from './kfunc_pointer.ts';
import { mayFailToLock } from './locks.ts';
import { hasField, recordOf, structRecord } from './record.ts';
import { acquireReference, markGraphNode, setNonOwning } from './references.ts';
import { unsupported } from './unsupported.ts';

/** BPF_GLOBAL_PERCPU_MA_MAX_SIZE. */
const MAX_PERCPU_SIZE = 512;

type Special = (env: Env, meta: KfuncMeta, args: KfuncArgs, insnIdx: number) => void;

function toStruct(env: Env, type: number, btf: Btf, id: number): void {
  const r0 = env.reg(0);
  markRegKnownZero(r0);
  r0.type = T.PTR_TO_BTF_ID | type;
  r0.btf = btf;
  r0.btfId = id;
}

/** An object of the struct of the program's own BTF that the first argument names. */
const newObject: Special = (env, meta, args, insnIdx) => {
  const percpu = meta.name === 'bpf_percpu_obj_new_impl';
  const { lo, hi } = args.constant!;
  if (hi !== 0) reject(env, 'EINVAL', 'local type ID argument must be in range [0, U32_MAX]');
  const id = lo >>> 0;
  if (!env.btf) throw reject(env, 'EINVAL', 'bpf_obj_new/bpf_percpu_obj_new requires prog BTF');
  const type = id < env.btf.typeCount ? env.btf.type(id) : null;
  if (type?.kind !== 'struct') {
    throw reject(env, 'EINVAL', 'bpf_obj_new/bpf_percpu_obj_new type ID argument must be of a struct');
  }
  if (percpu && type.size > MAX_PERCPU_SIZE) {
    const text = `bpf_percpu_obj_new type size (${type.size}) is greater than ${MAX_PERCPU_SIZE}`;
    reject(env, 'EINVAL', text);
  }
  const record = structRecord(env.btf, env.vmlinux, id);
  const wrong = (what: string): never => reject(env, 'EINVAL', `bpf_percpu_obj_new type ID argument must ${what}`);
  if (percpu && !isScalarStruct(env, env.btf, type, 0)) wrong('be of a struct of scalars');
  if (percpu && record) wrong('not contain special fields');
  toStruct(env, T.MEM_ALLOC | (percpu ? T.MEM_PERCPU : 0), env.btf, id);
  const aux = env.aux[insnIdx]!;
  aux.objNewSize = type.size;
  aux.kptrStructMeta = record ? { btfId: id, record } : null;
};

const sameObject: Special = (env, _meta, { objectBtf, objectId }, insnIdx) => {
  toStruct(env, T.MEM_ALLOC, objectBtf!, objectId);
  const record = structRecord(objectBtf!, env.vmlinux, objectId);
  env.aux[insnIdx]!.kptrStructMeta = { btfId: objectId, record };
};

/** The context as the kernel has it (`get_kern_ctx_btf_id`). */
const kernelContext: Special = (env) => {
  const { progType } = env.input;
  const name = K.KERNEL_CTX[progType];
  if (name === undefined) {
    const member = `BPF_PROG_TYPE_${PROG_TYPES[progType]?.toUpperCase()}_kern`;
    const table = env.vmlinux.find('bpf_ctx_convert', 'struct');
    const found = table === undefined ? [] : env.vmlinux.struct(table).members;
    const id = found.find((candidate) => candidate.name === member)?.type;
    if (id === undefined) throw unsupported(env, 'a kernel without struct bpf_ctx_convert');
    throw reject(env, 'EINVAL', `kern ctx type id ${id} is not a struct`);
  }
  const id = env.vmlinux.find(name, 'struct');
  if (id === undefined) throw unsupported(env, `a kernel without struct ${name}`);
  toStruct(env, T.PTR_TRUSTED, env.vmlinux, id);
};

/** Memory or a struct that may be read, whatever it is. */
const readOnlyCast: Special = (env, _meta, args) => {
  const { lo, hi } = args.constant!;
  const type = hi === 0 && lo >>> 0 < env.vmlinux.typeCount ? env.vmlinux.type(lo >>> 0) : null;
  if (!type) {
    const id = (BigInt(hi) << 32n) | BigInt(lo >>> 0);
    throw reject(env, 'EINVAL', `Unknown type ID ${id} passed to kfunc bpf_rdonly_cast`);
  }
  if (isStruct(type)) {
    toStruct(env, T.PTR_UNTRUSTED, env.vmlinux, type.id);
    return;
  }
  if (type.kind !== 'void') {
    reject(env, 'EINVAL', 'kfunc bpf_rdonly_cast type ID argument must be of a struct or void');
  }
  const r0 = env.reg(0);
  markRegKnownZero(r0);
  r0.type = T.PTR_TO_MEM | T.MEM_RDONLY | T.PTR_UNTRUSTED;
  r0.memSize = 0;
};

/** Bytes of a dynptr: R0 is good as long as the dynptr is. */
const slice: Special = (env, meta, args) => {
  const r0 = env.reg(0);
  markRegKnownZero(r0);
  if (!args.constant) throw reject(env, 'EFAULT', 'verifier bug: bpf_dynptr_slice(_rdwr) no constant size');
  r0.memSize = args.constant.lo >>> 0;
  r0.type = T.PTR_TO_MEM | dynptrFlag(args.dynptr!.type);
  if (meta.name === 'bpf_dynptr_slice') r0.type |= T.MEM_RDONLY;
  else if (P.PACKET_WRITERS.includes(env.input.progType)) env.seenDirectWrite = true;
  else reject(env, 'EINVAL', 'the prog does not allow writes to packet data');
  r0.dynptrId = args.dynptr!.id;
};

const SPECIAL: Readonly<Record<string, Special>> = {
  bpf_obj_new_impl: newObject,
  bpf_percpu_obj_new_impl: newObject,
  bpf_refcount_acquire_impl: sameObject,
  bpf_cast_to_kern_ctx: kernelContext,
  bpf_rdonly_cast: readOnlyCast,
  bpf_dynptr_slice: slice,
  bpf_dynptr_slice_rdwr: slice,
};

/** Kfuncs that give an object back whose type the kernel knows as `void *` alone. */
const ACQUIRES_VOID: readonly string[] = ['bpf_obj_new_impl', 'bpf_percpu_obj_new_impl', 'bpf_refcount_acquire_impl'];

function toKernelStruct(env: Env, meta: KfuncMeta, args: KfuncArgs, target: Target): void {
  let flag = 0;
  if (meta.name === 'bpf_get_kmem_cache') flag = T.PTR_UNTRUSTED;
  else if (meta.flags & K.KF_RCU_PROTECTED) flag = T.MEM_RCU;
  else if (meta.flags & K.KF_ITER_NEXT) {
    flag = iteratorIn(env.cur, args.iterator!).type & T.MEM_RCU ? T.MEM_RCU : T.PTR_TRUSTED;
  }
  toStruct(env, flag, meta.btf, target.id);
}

function toMemory(env: Env, meta: KfuncMeta, args: KfuncArgs, target: Target): void {
  let { returnSize, returnReadOnly } = args;
  if (meta.name === 'bpf_session_cookie') [returnSize, returnReadOnly] = [8, false];
  else if (!returnSize) {
    const { type } = target;
    if (type.kind === 'func' || type.kind === 'func_proto' || type.kind === 'fwd') {
      const returns = `returns pointer type ${kindName(type)}`;
      reject(env, 'EINVAL', `kernel function ${meta.name} ${returns} is not supported`);
    }
    [returnSize, returnReadOnly] = [meta.btf.sizeOf(target.id), true];
  }
  const r0 = env.reg(0);
  markRegKnownZero(r0);
  r0.type = T.PTR_TO_MEM | (returnReadOnly ? T.MEM_RDONLY : 0);
  r0.memSize = returnSize;
  r0.refObjId = args.refObjId;
}

/** A node of a list or tree, named after the object that it lies in. */
function toNode(env: Env, args: KfuncArgs, target: Target): boolean {
  const field = { bpf_list_node: args.listHead, bpf_rb_node: args.treeRoot }[target.type.name];
  if (field) markGraphNode(env.reg(0), field);
  return field !== undefined && field !== null;
}

/** R0 after the call (the second half of `check_kfunc_call`, kernel/bpf/verifier.c, 6.18). */
export function setKfuncReturn(env: Env, meta: KfuncMeta, args: KfuncArgs, insnIdx: number): void {
  const r0 = env.reg(0);
  const { type } = skipModifiers(meta.btf, meta.proto.returns);
  const pointee = type.kind === 'ptr' ? skipModifiers(meta.btf, type.type) : null;
  const acquires = (meta.flags & K.KF_ACQUIRE) !== 0;
  if (acquires && !(pointee && isStruct(pointee.type)) && !ACQUIRES_VOID.includes(meta.name)) {
    reject(env, 'EINVAL', 'acquire kernel function does not return PTR_TO_BTF_ID');
  }
  if (type.kind === 'void') {
    if (args.objectBtf) {
      const record = structRecord(args.objectBtf, env.vmlinux, args.objectId);
      env.aux[insnIdx]!.kptrStructMeta = { btfId: args.objectId, record };
    }
    return;
  }
  if (!pointee) {
    markRegUnknown(env, r0);
    if (mayFailToLock(meta.name)) markRegKnownZero(r0);
    r0.subregDef = meta.btf.sizeOf(type.id) === 8 ? T.DEF_NOT_SUBREG : env.insnIdx + 1;
    return;
  }
  const special = SPECIAL[meta.name];
  let node = false;
  if (special) special(env, meta, args, insnIdx);
  else if (toNode(env, args, pointee)) node = true;
  else if (pointee.type.kind === 'void') markRegUnknown(env, r0);
  else if (isStruct(pointee.type)) toKernelStruct(env, meta, args, pointee);
  else toMemory(env, meta, args, pointee);
  const owned = meta.name === 'bpf_refcount_acquire_impl' && args.owningReference;
  const mayBeNull = (meta.flags & K.KF_RET_NULL) !== 0 && !owned;
  if (mayBeNull) {
    r0.type |= T.PTR_MAYBE_NULL;
    r0.id = ++env.idGen;
  }
  r0.subregDef = T.DEF_NOT_SUBREG;
  if (acquires) {
    const id = acquireReference(env, insnIdx);
    if (mayBeNull) r0.id = id;
    r0.refObjId = id;
  } else if (node) setNonOwning(env, r0);
  if (!r0.id && hasField(recordOf(env, r0), BPF_LOCKS)) r0.id = ++env.idGen;
}
