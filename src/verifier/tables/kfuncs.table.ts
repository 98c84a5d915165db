/** Flags of a kfunc (include/linux/btf.h, 6.18). */
export const KF_ACQUIRE = 1 << 0;
export const KF_RELEASE = 1 << 1;
export const KF_RET_NULL = 1 << 2;
export const KF_TRUSTED_ARGS = 1 << 4;
export const KF_SLEEPABLE = 1 << 5;
export const KF_DESTRUCTIVE = 1 << 6;
export const KF_RCU = 1 << 7;
export const KF_ITER_NEW = 1 << 8;
export const KF_ITER_NEXT = 1 << 9;
export const KF_ITER_DESTROY = 1 << 10;
export const KF_RCU_PROTECTED = 1 << 11;

/** Groups of program types that kfuncs are registered for (`enum btf_kfunc_hook`). */
export type KfuncHook = 'xdp' | 'tc' | 'struct_ops' | 'tracing' | 'syscall' | 'cgroup' | 'sched_act' | 'socket_filter';

/** The hook of a program type (`bpf_prog_type_to_kfunc_hook`); types without a hook here are not modelled. */
export const KFUNC_HOOK: Readonly<Record<number, KfuncHook>> = {
  1: 'socket_filter',
  3: 'tc',
  4: 'sched_act',
  5: 'tracing',
  6: 'xdp',
  7: 'tracing',
  8: 'cgroup',
  26: 'tracing',
  27: 'struct_ops',
  29: 'tracing',
  31: 'syscall',
};

/** Hooks that a set is registered for; 'all' is BTF_KFUNC_HOOK_COMMON. */
export const KFUNC_SETS: Readonly<Record<string, readonly KfuncHook[] | 'all'>> = {
  common: 'all',
  arena: 'all',
  generic: ['tracing', 'tc', 'xdp', 'struct_ops', 'syscall', 'cgroup'],
  tcp_ca: ['struct_ops'],
  cpumask: ['tracing', 'struct_ops', 'syscall'],
};

export interface Kfunc {
  set: string;
  flags: number;
}

const of = (set: string, flags: Readonly<Record<string, number>>): [string, Kfunc][] =>
  Object.entries(flags).map(([name, bits]) => [name, { set, flags: bits }]);

const ITER_NEXT = KF_ITER_NEXT | KF_RET_NULL;

/**
 * Kfuncs that are modelled, with the set that registers them. Every other function that the kernel's BTF tags
 * `bpf_kfunc` is refused as unsupported.
 */
export const KFUNCS: ReadonlyMap<string, Kfunc> = new Map([
  ...of('common', {
    bpf_rcu_read_lock: 0,
    bpf_rcu_read_unlock: 0,
    bpf_preempt_disable: 0,
    bpf_preempt_enable: 0,
    bpf_iter_num_new: KF_ITER_NEW,
    bpf_iter_num_next: ITER_NEXT,
    bpf_iter_num_destroy: KF_ITER_DESTROY,
    bpf_iter_bits_new: KF_ITER_NEW,
    bpf_iter_bits_next: ITER_NEXT,
    bpf_iter_bits_destroy: KF_ITER_DESTROY,
    bpf_iter_task_new: KF_ITER_NEW | KF_TRUSTED_ARGS | KF_RCU_PROTECTED,
    bpf_iter_task_next: ITER_NEXT,
    bpf_iter_task_destroy: KF_ITER_DESTROY,
    bpf_iter_task_vma_new: KF_ITER_NEW | KF_RCU,
    bpf_iter_task_vma_next: ITER_NEXT,
    bpf_iter_task_vma_destroy: KF_ITER_DESTROY,
    bpf_iter_css_new: KF_ITER_NEW | KF_TRUSTED_ARGS | KF_RCU_PROTECTED,
    bpf_iter_css_next: ITER_NEXT,
    bpf_iter_css_destroy: KF_ITER_DESTROY,
    bpf_dynptr_adjust: 0,
    bpf_dynptr_is_null: 0,
    bpf_dynptr_is_rdonly: 0,
    bpf_dynptr_size: 0,
    bpf_dynptr_clone: 0,
    bpf_map_sum_elem_count: KF_TRUSTED_ARGS,
  }),
  ...of('arena', {
    bpf_arena_alloc_pages: KF_TRUSTED_ARGS | KF_SLEEPABLE,
    bpf_arena_free_pages: KF_TRUSTED_ARGS | KF_SLEEPABLE,
  }),
  ...of('generic', {
    bpf_task_acquire: KF_ACQUIRE | KF_RCU | KF_RET_NULL,
    bpf_task_release: KF_RELEASE,
    bpf_task_from_pid: KF_ACQUIRE | KF_RET_NULL,
    bpf_task_from_vpid: KF_ACQUIRE | KF_RET_NULL,
    bpf_cgroup_acquire: KF_ACQUIRE | KF_RCU | KF_RET_NULL,
    bpf_cgroup_release: KF_RELEASE,
    bpf_cgroup_ancestor: KF_ACQUIRE | KF_RCU | KF_RET_NULL,
    bpf_cgroup_from_id: KF_ACQUIRE | KF_RET_NULL,
    bpf_task_under_cgroup: KF_RCU,
    bpf_throw: 0,
  }),
  ...of('tcp_ca', {
    tcp_reno_ssthresh: 0,
    tcp_reno_cong_avoid: 0,
    tcp_reno_undo_cwnd: 0,
    tcp_slow_start: 0,
    tcp_cong_avoid_ai: 0,
    cubictcp_init: 0,
    cubictcp_recalc_ssthresh: 0,
    cubictcp_cong_avoid: 0,
    cubictcp_state: 0,
    cubictcp_cwnd_event: 0,
    cubictcp_acked: 0,
    bbr_init: 0,
    bbr_main: 0,
    bbr_sndbuf_expand: 0,
    bbr_undo_cwnd: 0,
    bbr_cwnd_event: 0,
    bbr_ssthresh: 0,
    bbr_min_tso_segs: 0,
    bbr_set_state: 0,
  }),
  ...of('cpumask', {
    bpf_cpumask_create: KF_ACQUIRE | KF_RET_NULL,
    bpf_cpumask_release: KF_RELEASE,
    bpf_cpumask_acquire: KF_ACQUIRE | KF_TRUSTED_ARGS,
    bpf_cpumask_first: KF_RCU,
    bpf_cpumask_first_zero: KF_RCU,
    bpf_cpumask_first_and: KF_RCU,
    bpf_cpumask_set_cpu: KF_RCU,
    bpf_cpumask_clear_cpu: KF_RCU,
    bpf_cpumask_test_cpu: KF_RCU,
    bpf_cpumask_test_and_set_cpu: KF_RCU,
    bpf_cpumask_test_and_clear_cpu: KF_RCU,
    bpf_cpumask_setall: KF_RCU,
    bpf_cpumask_clear: KF_RCU,
    bpf_cpumask_and: KF_RCU,
    bpf_cpumask_or: KF_RCU,
    bpf_cpumask_xor: KF_RCU,
    bpf_cpumask_equal: KF_RCU,
    bpf_cpumask_intersects: KF_RCU,
    bpf_cpumask_subset: KF_RCU,
    bpf_cpumask_empty: KF_RCU,
    bpf_cpumask_full: KF_RCU,
    bpf_cpumask_copy: KF_RCU,
    bpf_cpumask_any_distribute: KF_RCU,
    bpf_cpumask_any_and_distribute: KF_RCU,
    bpf_cpumask_weight: KF_RCU,
  }),
]);

/** Name of the context struct of a program type (`find_canonical_prog_ctx_type`); types without have no named one. */
export const CTX_STRUCT: Readonly<Record<number, string>> = {
  1: '__sk_buff',
  2: 'pt_regs',
  3: '__sk_buff',
  4: '__sk_buff',
  6: 'xdp_md',
  7: 'bpf_perf_event_data',
  8: '__sk_buff',
  17: 'bpf_raw_tracepoint_args',
};
