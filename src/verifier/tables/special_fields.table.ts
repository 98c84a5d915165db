import * as M from './maps.table.ts';

/** `enum btf_field_type` (include/linux/bpf.h, 6.18). */
export const BPF_SPIN_LOCK = 1 << 0;
export const BPF_TIMER = 1 << 1;
export const BPF_KPTR_UNREF = 1 << 2;
export const BPF_KPTR_REF = 1 << 3;
export const BPF_KPTR_PERCPU = 1 << 4;
export const BPF_KPTR = BPF_KPTR_UNREF | BPF_KPTR_REF | BPF_KPTR_PERCPU;
export const BPF_LIST_HEAD = 1 << 5;
export const BPF_LIST_NODE = 1 << 6;
export const BPF_RB_ROOT = 1 << 7;
export const BPF_RB_NODE = 1 << 8;
export const BPF_GRAPH_NODE = BPF_LIST_NODE | BPF_RB_NODE;
export const BPF_GRAPH_ROOT = BPF_LIST_HEAD | BPF_RB_ROOT;
export const BPF_REFCOUNT = 1 << 9;
export const BPF_WORKQUEUE = 1 << 10;
export const BPF_UPTR = 1 << 11;
export const BPF_RES_SPIN_LOCK = 1 << 12;
export const BPF_TASK_WORK = 1 << 13;
/** What a lock call may take. */
export const BPF_LOCKS = BPF_SPIN_LOCK | BPF_RES_SPIN_LOCK;
/** What calls back after its call has returned. */
export const BPF_ASYNC = BPF_TIMER | BPF_WORKQUEUE | BPF_TASK_WORK;

/** A struct that the kernel gives a meaning wherever it lies. */
export interface SpecialStruct {
  type: number;
  name: string;
  size: number;
  align: number;
  /** At most one of it in a value. */
  once: boolean;
}

const of = (type: number, name: string, size: number, align: number, once = true): SpecialStruct => ({
  type,
  name,
  size,
  align,
  once,
});

/** In the order in which `btf_get_field_type` tries names (kernel/bpf/btf.c, 6.18); sizes of include/uapi/linux/bpf.h. */
export const SPECIAL_STRUCTS: readonly SpecialStruct[] = [
  of(BPF_SPIN_LOCK, 'bpf_spin_lock', 4, 4),
  of(BPF_RES_SPIN_LOCK, 'bpf_res_spin_lock', 4, 4),
  of(BPF_TIMER, 'bpf_timer', 16, 8),
  of(BPF_WORKQUEUE, 'bpf_wq', 16, 8),
  of(BPF_TASK_WORK, 'bpf_task_work', 8, 8),
  of(BPF_LIST_HEAD, 'bpf_list_head', 16, 8, false),
  of(BPF_LIST_NODE, 'bpf_list_node', 24, 8, false),
  of(BPF_RB_ROOT, 'bpf_rb_root', 16, 8, false),
  of(BPF_RB_NODE, 'bpf_rb_node', 32, 8, false),
  of(BPF_REFCOUNT, 'bpf_refcount', 4, 4),
];

/** Tag of a pointer's target → the kind of kernel pointer (`btf_find_kptr`). */
export const KPTR_TAGS: Readonly<Record<string, number>> = {
  kptr_untrusted: BPF_KPTR_UNREF,
  kptr: BPF_KPTR_REF,
  percpu_kptr: BPF_KPTR_PERCPU,
  uptr: BPF_UPTR,
};

/** Kernel structs that a map may own, and the function that destroys one (`register_btf_id_dtor_kfuncs`, 6.18). */
export const KPTR_DESTRUCTORS: Readonly<Record<string, string>> = {
  task_struct: 'bpf_task_release_dtor',
  cgroup: 'bpf_cgroup_release_dtor',
  bpf_cpumask: 'bpf_cpumask_release_dtor',
  bpf_crypto_ctx: 'bpf_crypto_ctx_release_dtor',
  prog_test_ref_kfunc: 'bpf_kfunc_call_test_release_dtor',
  prog_test_member: 'bpf_kfunc_call_memb_release_dtor',
};

/** Kernel structs that RCU keeps alive (`rcu_protected_types`). */
export const RCU_PROTECTED: readonly string[] = [
  'prog_test_ref_kfunc',
  'cgroup',
  'bpf_cpumask',
  'task_struct',
  'bpf_crypto_ctx',
];

const LOCAL_STORAGE = [M.MAP_SK_STORAGE, M.MAP_INODE_STORAGE, M.MAP_TASK_STORAGE, M.MAP_CGRP_STORAGE];
const LOCKED = [M.MAP_HASH, M.MAP_ARRAY, M.MAP_CGROUP_STORAGE, ...LOCAL_STORAGE];
const ASYNC = [M.MAP_HASH, M.MAP_LRU_HASH, M.MAP_ARRAY];
const OWNED = [
  M.MAP_HASH,
  M.MAP_PERCPU_HASH,
  M.MAP_LRU_HASH,
  M.MAP_LRU_PERCPU_HASH,
  M.MAP_ARRAY,
  M.MAP_PERCPU_ARRAY,
  ...LOCAL_STORAGE,
];

/** Map types (BPF_MAP_TYPE_*) whose values may have such a field (`map_check_btf`, kernel/bpf/syscall.c, 6.18). */
export const MAPS_OF_FIELD: ReadonlyMap<number, readonly number[]> = new Map([
  [BPF_SPIN_LOCK, LOCKED],
  [BPF_RES_SPIN_LOCK, LOCKED],
  [BPF_TIMER, ASYNC],
  [BPF_WORKQUEUE, ASYNC],
  [BPF_TASK_WORK, ASYNC],
  [BPF_KPTR_UNREF, OWNED],
  [BPF_KPTR_REF, OWNED],
  [BPF_KPTR_PERCPU, OWNED],
  [BPF_REFCOUNT, OWNED],
  [BPF_UPTR, [M.MAP_TASK_STORAGE]],
  [BPF_LIST_HEAD, ASYNC],
  [BPF_RB_ROOT, ASYNC],
]);
