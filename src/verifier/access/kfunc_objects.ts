import * as T from '../core/reg_types.table.ts';
import { type Env, type RecordField, type RegState, reject } from '../core/types.ts';
import { isConst } from '../domain/index.ts';
import * as F from '../tables/special_fields.table.ts';
import { inTreeCallback } from './callbacks.ts';
import type { KfuncArgs } from './kfunc_args.ts';
import type { KfuncMeta } from './kfunc_meta.ts';
import { constOff } from './numbers.ts';
import { fieldAt, isAllocated, recordOf } from './record.ts';
import { structIdsMatch } from './struct_match.ts';

const OBJECT = T.PTR_TO_BTF_ID | T.MEM_ALLOC;
const NAMES: Readonly<Record<number, string>> = Object.fromEntries(
  F.SPECIAL_STRUCTS.map(({ type, name }) => [type, name]),
);

/** What a kfunc shows of lists or of trees: the root and its field of the argument. */
interface Graph {
  root: number;
  node: number;
}
const LIST: Graph = { root: F.BPF_LIST_HEAD, node: F.BPF_LIST_NODE };
const TREE: Graph = { root: F.BPF_RB_ROOT, node: F.BPF_RB_NODE };

/** Whether the register points to an object that the program reaches without owning it (`type_is_non_owning_ref`). */
const isNonOwning = (type: number): boolean => isAllocated(type) && (type & T.NON_OWN_REF) !== 0;

function noteObject(seen: KfuncArgs, reg: RegState): void {
  seen.objectBtf = reg.btf;
  seen.objectId = reg.btfId;
}

function requireReference(env: Env, reg: RegState): void {
  if (!reg.refObjId) reject(env, 'EINVAL', 'allocated object must be referenced');
}

/** An object to be dropped (`KF_ARG_PTR_TO_ALLOC_BTF_ID`). */
export function checkAllocated(env: Env, meta: KfuncMeta, arg: number, seen: KfuncArgs): void {
  const reg = env.reg(arg + 1);
  const drop = reg.type === OBJECT ? 'bpf_obj_drop_impl' : 'bpf_percpu_obj_drop_impl';
  if (reg.type !== OBJECT && reg.type !== (OBJECT | T.MEM_PERCPU)) {
    reject(env, 'EINVAL', `arg#${arg} expected pointer to allocated object`);
  }
  if (meta.name !== drop) reject(env, 'EINVAL', `arg#${arg} expected for ${drop}()`);
  requireReference(env, reg);
  noteObject(seen, reg);
}

/** An object with a reference count, owned or not (`KF_ARG_PTR_TO_REFCOUNTED_KPTR`). */
export function checkRefcounted(env: Env, arg: number, seen: KfuncArgs): void {
  const reg = env.reg(arg + 1);
  if (!isAllocated(reg.type)) reject(env, 'EINVAL', `arg#${arg} is neither owning or non-owning ref`);
  if (!isNonOwning(reg.type) && reg.refObjId) seen.owningReference = true;
  const record = recordOf(env, reg);
  if (!record) reject(env, 'EFAULT', "verifier bug: Couldn't find btf_record");
  if (!(record!.fieldMask & F.BPF_REFCOUNT)) {
    reject(env, 'EINVAL', `arg#${arg} doesn't point to a type with bpf_refcount field`);
  }
  noteObject(seen, reg);
}

/** Whether the lock that is held lies in the same value or object as the register (`check_reg_allocation_locked`). */
function isLocked(env: Env, reg: RegState): boolean {
  const { cur } = env;
  if (!cur.activeLocks) return false;
  const ptr = reg.type === T.PTR_TO_MAP_VALUE ? reg.map : reg.btf;
  const lock = cur.refs.some((ref) => ref.type & T.REF_TYPE_LOCK_MASK && ref.id === reg.id && ref.ptr === ptr);
  if (!lock) env.verbose('held lock and object are not in the same allocation\n');
  return lock;
}

/** The head of a list or the root of a tree (`__process_kf_arg_ptr_to_graph_root`). */
function checkRoot(env: Env, arg: number, graph: Graph): RecordField {
  const regno = arg + 1;
  const reg = env.reg(regno);
  const name = NAMES[graph.root]!;
  if (reg.type !== T.PTR_TO_MAP_VALUE && reg.type !== OBJECT) {
    reject(env, 'EINVAL', `arg#${arg} expected pointer to map value or allocated object`);
  }
  if (reg.type === OBJECT) requireReference(env, reg);
  if (!isConst(reg)) {
    reject(env, 'EINVAL', `R${regno} doesn't have constant offset. ${name} has to be at the constant offset`);
  }
  const record = recordOf(env, reg);
  const off = reg.off + constOff(reg);
  const field = fieldAt(record, off, graph.root);
  if (!field) throw reject(env, 'EINVAL', `${name} not found at offset=${off >>> 0}`);
  if (!isLocked(env, reg)) {
    const lock = record!.fields.find(({ type }) => type === F.BPF_SPIN_LOCK)?.offset ?? -22;
    reject(env, 'EINVAL', `bpf_spin_lock at off=${lock} must be held for ${name}`);
  }
  return field;
}

/** The node of an object against what the list or tree contains (`__process_kf_arg_ptr_to_graph_node`). */
function checkNode(env: Env, arg: number, graph: Graph, root: RecordField, seen: KfuncArgs): void {
  const regno = arg + 1;
  const reg = env.reg(regno);
  const name = NAMES[graph.node]!;
  if (!isConst(reg)) {
    reject(env, 'EINVAL', `R${regno} doesn't have constant offset. ${name} has to be at the constant offset`);
  }
  const off = reg.off + constOff(reg);
  if (!fieldAt(recordOf(env, reg), off, graph.node)) reject(env, 'EINVAL', `${name} not found at offset=${off >>> 0}`);
  const struct = root.btf!.name(root.btfId!);
  if (!structIdsMatch(env, reg.btf!, reg.btfId, 0, root.btf!, root.btfId!, true)) {
    const wants = `operation on ${NAMES[graph.root]} expects arg#1 ${name} at offset=${root.nodeOffset} in struct ${struct}`;
    reject(env, 'EINVAL', `${wants}, but arg is at offset=${off} in struct ${reg.btf!.name(reg.btfId)}`);
  }
  noteObject(seen, reg);
  if (off === root.nodeOffset) return;
  reject(env, 'EINVAL', `arg#1 offset=${off}, but expected ${name} at offset=${root.nodeOffset} in struct ${struct}`);
}

export function checkListHead(env: Env, arg: number, seen: KfuncArgs): void {
  seen.listHead = checkRoot(env, arg, LIST);
}

export function checkTreeRoot(env: Env, arg: number, seen: KfuncArgs): void {
  seen.treeRoot = checkRoot(env, arg, TREE);
}

function requireObject(env: Env, arg: number): void {
  const reg = env.reg(arg + 1);
  if (reg.type !== OBJECT) reject(env, 'EINVAL', `arg#${arg} expected pointer to allocated object`);
  requireReference(env, reg);
}

export function checkListNode(env: Env, arg: number, seen: KfuncArgs): void {
  requireObject(env, arg);
  checkNode(env, arg, LIST, seen.listHead!, seen);
}

export function checkTreeNode(env: Env, meta: KfuncMeta, arg: number, seen: KfuncArgs): void {
  if (meta.name === 'bpf_rbtree_add_impl') requireObject(env, arg);
  else {
    const reg = env.reg(arg + 1);
    if (!isNonOwning(reg.type) && !reg.refObjId) {
      reject(env, 'EINVAL', `${meta.name} can only take non-owning or refcounted bpf_rb_node pointer`);
    }
    if (inTreeCallback(env)) reject(env, 'EINVAL', `${meta.name} not allowed in rbtree cb`);
  }
  checkNode(env, arg, TREE, seen.treeRoot!, seen);
}
