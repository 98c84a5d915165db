import { ATTACH_ITER, ATTACH_SESSIONS, PROG_LSM } from './contexts.table.ts';

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

/** The call spares the registers that it does not need (KF_FASTCALL). */
export const KF_FASTCALL = 1 << 12;

/** Groups of program types that kfuncs are registered for (`enum btf_kfunc_hook`). */
type KfuncHook =
  | 'xdp'
  | 'tc'
  | 'struct_ops'
  | 'tracing'
  | 'syscall'
  | 'cgroup'
  | 'sched_act'
  | 'sk_skb'
  | 'socket_filter'
  | 'lwt'
  | 'netfilter'
  | 'kprobe';

/** The hook of a program type (`bpf_prog_type_to_kfunc_hook`); types without one may call common kfuncs alone. */
export const KFUNC_HOOK: Readonly<Record<number, KfuncHook>> = {
  1: 'socket_filter',
  2: 'kprobe',
  3: 'tc',
  4: 'sched_act',
  5: 'tracing',
  6: 'xdp',
  7: 'tracing',
  8: 'cgroup',
  9: 'cgroup',
  10: 'lwt',
  11: 'lwt',
  12: 'lwt',
  13: 'cgroup',
  14: 'sk_skb',
  15: 'cgroup',
  18: 'cgroup',
  19: 'lwt',
  23: 'cgroup',
  25: 'cgroup',
  26: 'tracing',
  27: 'struct_ops',
  29: 'tracing',
  31: 'syscall',
  32: 'netfilter',
};

/** Hooks that a set is registered for; 'all' is BTF_KFUNC_HOOK_COMMON. */
export const KFUNC_SETS: Readonly<Record<string, readonly KfuncHook[] | 'all'>> = {
  common: 'all',
  arena: 'all',
  generic: ['tracing', 'tc', 'xdp', 'struct_ops', 'syscall', 'cgroup'],
  tcp_ca: ['struct_ops'],
  cpumask: ['tracing', 'struct_ops', 'syscall'],
  skb: ['tc', 'sched_act', 'sk_skb', 'socket_filter', 'cgroup', 'lwt', 'netfilter', 'tracing'],
  skb_meta: ['tc', 'sched_act'],
  xdp: ['xdp'],
  sock_addr: ['cgroup'],
  sock_ops: ['cgroup'],
  tcp_reqsk: ['tc'],
  crypto_init: ['syscall'],
  crypto: ['tc', 'sched_act', 'xdp'],
  conntrack: ['xdp', 'tc'],
  key: ['tracing', 'tc', 'xdp', 'struct_ops', 'syscall', 'cgroup'],
  rstat: ['tracing'],
  iter_socket: ['tracing'],
  fs: ['tracing'],
  session: ['kprobe'],
  test: ['tc', 'tracing', 'syscall'],
};

/** Sets whose kfuncs some programs of the hook may not call: what the program must be (`filter` of a set). */
export const KFUNC_FILTERS: Readonly<Record<string, (progType: number, attachType: number) => boolean>> = {
  fs: (type) => type === PROG_LSM,
  iter_socket: (_type, attach) => attach === ATTACH_ITER,
  session: (_type, attach) => ATTACH_SESSIONS.includes(attach),
};

export interface Kfunc {
  set: string;
  flags: number;
}

const of = (set: string, flags: Readonly<Record<string, number>>): [string, Kfunc][] =>
  Object.entries(flags).map(([name, bits]) => [name, { set, flags: bits }]);

const ITER_NEXT = KF_ITER_NEXT | KF_RET_NULL;
const ACQUIRE = KF_ACQUIRE | KF_RET_NULL;

/**
 * Kfuncs that are modelled, with the set that registers them. Every other function that the kernel's BTF tags
 * `bpf_kfunc` is refused as unsupported.
 */
export const KFUNCS: ReadonlyMap<string, Kfunc> = new Map([
  ...of('common', {
    bpf_cast_to_kern_ctx: KF_FASTCALL,
    bpf_rdonly_cast: KF_FASTCALL,
    bpf_rcu_read_lock: 0,
    bpf_rcu_read_unlock: 0,
    bpf_preempt_disable: 0,
    bpf_preempt_enable: 0,
    bpf_local_irq_save: 0,
    bpf_local_irq_restore: 0,
    bpf_res_spin_lock: KF_RET_NULL,
    bpf_res_spin_unlock: 0,
    bpf_res_spin_lock_irqsave: KF_RET_NULL,
    bpf_res_spin_unlock_irqrestore: 0,
    bpf_dynptr_slice: KF_RET_NULL,
    bpf_dynptr_slice_rdwr: KF_RET_NULL,
    bpf_dynptr_adjust: 0,
    bpf_dynptr_is_null: 0,
    bpf_dynptr_is_rdonly: 0,
    bpf_dynptr_size: 0,
    bpf_dynptr_clone: 0,
    bpf_dynptr_copy: 0,
    bpf_dynptr_memset: 0,
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
    bpf_iter_css_task_new: KF_ITER_NEW | KF_TRUSTED_ARGS,
    bpf_iter_css_task_next: ITER_NEXT,
    bpf_iter_css_task_destroy: KF_ITER_DESTROY,
    bpf_iter_kmem_cache_new: KF_ITER_NEW | KF_SLEEPABLE,
    bpf_iter_kmem_cache_next: ITER_NEXT | KF_SLEEPABLE,
    bpf_iter_kmem_cache_destroy: KF_ITER_DESTROY | KF_SLEEPABLE,
    bpf_iter_dmabuf_new: KF_ITER_NEW | KF_SLEEPABLE,
    bpf_iter_dmabuf_next: ITER_NEXT | KF_SLEEPABLE,
    bpf_iter_dmabuf_destroy: KF_ITER_DESTROY | KF_SLEEPABLE,
    bpf_map_sum_elem_count: KF_TRUSTED_ARGS,
    bpf_modify_return_test_tp: 0,
    bpf_wq_init: 0,
    bpf_wq_set_callback_impl: 0,
    bpf_wq_start: 0,
    bpf_task_work_schedule_signal_impl: KF_TRUSTED_ARGS,
    bpf_task_work_schedule_resume_impl: KF_TRUSTED_ARGS,
    bpf_copy_from_user_str: KF_SLEEPABLE,
    bpf_copy_from_user_task_str: KF_SLEEPABLE,
    bpf_get_kmem_cache: KF_RET_NULL,
    bpf_probe_read_user_dynptr: 0,
    bpf_probe_read_kernel_dynptr: 0,
    bpf_probe_read_user_str_dynptr: 0,
    bpf_probe_read_kernel_str_dynptr: 0,
    bpf_copy_from_user_dynptr: KF_SLEEPABLE,
    bpf_copy_from_user_str_dynptr: KF_SLEEPABLE,
    bpf_copy_from_user_task_dynptr: KF_SLEEPABLE | KF_TRUSTED_ARGS,
    bpf_copy_from_user_task_str_dynptr: KF_SLEEPABLE | KF_TRUSTED_ARGS,
    bpf_strcmp: 0,
    bpf_strcasecmp: 0,
    bpf_strchr: 0,
    bpf_strchrnul: 0,
    bpf_strnchr: 0,
    bpf_strrchr: 0,
    bpf_strlen: 0,
    bpf_strnlen: 0,
    bpf_strspn: 0,
    bpf_strcspn: 0,
    bpf_strstr: 0,
    bpf_strnstr: 0,
    bpf_cgroup_read_xattr: KF_RCU,
    bpf_stream_vprintk_impl: KF_TRUSTED_ARGS,
    __bpf_trap: 0,
  }),
  ...of('arena', {
    bpf_arena_alloc_pages: KF_TRUSTED_ARGS | KF_SLEEPABLE,
    bpf_arena_free_pages: KF_TRUSTED_ARGS | KF_SLEEPABLE,
    bpf_arena_reserve_pages: KF_TRUSTED_ARGS | KF_SLEEPABLE,
  }),
  ...of('generic', {
    bpf_obj_new_impl: ACQUIRE,
    bpf_obj_drop_impl: KF_RELEASE,
    bpf_percpu_obj_new_impl: ACQUIRE,
    bpf_percpu_obj_drop_impl: KF_RELEASE,
    bpf_refcount_acquire_impl: ACQUIRE | KF_RCU,
    bpf_list_push_front_impl: 0,
    bpf_list_push_back_impl: 0,
    bpf_list_pop_front: ACQUIRE,
    bpf_list_pop_back: ACQUIRE,
    bpf_list_front: KF_RET_NULL,
    bpf_list_back: KF_RET_NULL,
    bpf_rbtree_remove: ACQUIRE,
    bpf_rbtree_add_impl: 0,
    bpf_rbtree_first: KF_RET_NULL,
    bpf_rbtree_root: KF_RET_NULL,
    bpf_rbtree_left: KF_RET_NULL,
    bpf_rbtree_right: KF_RET_NULL,
    bpf_task_acquire: ACQUIRE | KF_RCU,
    bpf_task_release: KF_RELEASE,
    bpf_task_from_pid: ACQUIRE,
    bpf_task_from_vpid: ACQUIRE,
    bpf_cgroup_acquire: ACQUIRE | KF_RCU,
    bpf_cgroup_release: KF_RELEASE,
    bpf_cgroup_ancestor: ACQUIRE | KF_RCU,
    bpf_cgroup_from_id: ACQUIRE,
    bpf_task_under_cgroup: KF_RCU,
    bpf_task_get_cgroup1: ACQUIRE | KF_RCU,
    bpf_send_signal_task: KF_TRUSTED_ARGS,
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
    dctcp_init: 0,
    dctcp_update_alpha: 0,
    dctcp_cwnd_event: 0,
    dctcp_ssthresh: 0,
    dctcp_cwnd_undo: 0,
    dctcp_state: 0,
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
    bpf_cpumask_create: ACQUIRE,
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
    bpf_cpumask_populate: KF_RCU,
  }),
  ...of('skb', { bpf_dynptr_from_skb: KF_TRUSTED_ARGS }),
  ...of('skb_meta', { bpf_dynptr_from_skb_meta: KF_TRUSTED_ARGS }),
  ...of('xdp', { bpf_dynptr_from_xdp: 0, bpf_xdp_pull_data: 0 }),
  ...of('sock_addr', { bpf_sock_addr_set_sun_path: 0 }),
  ...of('sock_ops', { bpf_sock_ops_enable_tx_tstamp: KF_TRUSTED_ARGS }),
  ...of('tcp_reqsk', { bpf_sk_assign_tcp_reqsk: KF_TRUSTED_ARGS }),
  ...of('crypto_init', {
    bpf_crypto_ctx_create: ACQUIRE | KF_SLEEPABLE,
    bpf_crypto_ctx_release: KF_RELEASE,
    bpf_crypto_ctx_acquire: ACQUIRE | KF_RCU,
  }),
  ...of('crypto', { bpf_crypto_decrypt: KF_RCU, bpf_crypto_encrypt: KF_RCU }),
  ...of('conntrack', {
    bpf_xdp_ct_alloc: ACQUIRE,
    bpf_xdp_ct_lookup: ACQUIRE,
    bpf_skb_ct_alloc: ACQUIRE,
    bpf_skb_ct_lookup: ACQUIRE,
    bpf_ct_insert_entry: ACQUIRE | KF_RELEASE,
    bpf_ct_release: KF_RELEASE,
    bpf_ct_set_timeout: KF_TRUSTED_ARGS,
    bpf_ct_change_timeout: KF_TRUSTED_ARGS,
    bpf_ct_set_status: KF_TRUSTED_ARGS,
    bpf_ct_change_status: KF_TRUSTED_ARGS,
    bpf_ct_set_nat_info: KF_TRUSTED_ARGS,
  }),
  ...of('xdp', { bpf_xdp_get_xfrm_state: ACQUIRE, bpf_xdp_xfrm_state_release: KF_RELEASE }),
  ...of('key', {
    bpf_lookup_user_key: ACQUIRE | KF_SLEEPABLE,
    bpf_lookup_system_key: ACQUIRE,
    bpf_key_put: KF_RELEASE,
  }),
  ...of('rstat', { css_rstat_updated: 0, css_rstat_flush: KF_SLEEPABLE }),
  ...of('iter_socket', { bpf_sock_destroy: KF_TRUSTED_ARGS }),
  ...of('fs', {
    bpf_get_task_exe_file: ACQUIRE | KF_TRUSTED_ARGS,
    bpf_put_file: KF_RELEASE,
    bpf_path_d_path: KF_TRUSTED_ARGS,
    bpf_get_dentry_xattr: KF_SLEEPABLE | KF_TRUSTED_ARGS,
    bpf_get_file_xattr: KF_SLEEPABLE | KF_TRUSTED_ARGS,
    bpf_set_dentry_xattr: KF_SLEEPABLE | KF_TRUSTED_ARGS,
    bpf_remove_dentry_xattr: KF_SLEEPABLE | KF_TRUSTED_ARGS,
  }),
  ...of('session', { bpf_session_is_return: 0, bpf_session_cookie: 0 }),
  ...of('test', { bpf_kfunc_call_test_release: KF_RELEASE, bpf_kfunc_call_memb_release: KF_RELEASE }),
]);

/** Kfuncs that are only for attaching to (`register_btf_fmodret_id_set`): no program may call them. */
export const NOT_CALLABLE: ReadonlySet<string> = new Set([
  'bpf_fentry_test1',
  'bpf_modify_return_test',
  'bpf_modify_return_test2',
]);

/** Kfuncs whose callback runs later, on its own. */
export const ASYNC_CALLBACKS: readonly string[] = [
  'bpf_wq_set_callback_impl',
  'bpf_task_work_schedule_signal_impl',
  'bpf_task_work_schedule_resume_impl',
];

/** The one kfunc that moves packet data. */
export const PULL_DATA = 'bpf_xdp_pull_data';

/** Kfuncs that only programs bound to a device may call (`xdp_metadata_kfunc_ids`). */
export const DEVICE_BOUND: readonly string[] = [
  'bpf_xdp_metadata_rx_timestamp',
  'bpf_xdp_metadata_rx_hash',
  'bpf_xdp_metadata_rx_vlan_tag',
];

/** The kernel's own struct of a context (`bpf_ctx_convert`); types without have none. */
export const KERNEL_CTX: Readonly<Record<number, string>> = {
  1: 'sk_buff',
  2: 'pt_regs',
  3: 'sk_buff',
  4: 'sk_buff',
  6: 'xdp_buff',
  7: 'bpf_perf_event_data_kern',
  8: 'sk_buff',
  9: 'sock',
  10: 'sk_buff',
  11: 'sk_buff',
  12: 'sk_buff',
  13: 'bpf_sock_ops_kern',
  14: 'sk_buff',
  15: 'bpf_cgroup_dev_ctx',
  16: 'sk_msg',
  18: 'bpf_sock_addr_kern',
  19: 'sk_buff',
  21: 'sk_reuseport_kern',
  22: 'bpf_flow_dissector',
  23: 'bpf_sysctl_kern',
  25: 'bpf_sockopt_kern',
  30: 'bpf_sk_lookup_kern',
  32: 'bpf_nf_ctx',
};

/** Name of the context struct of a program type (`find_canonical_prog_ctx_type`); types without have no named one. */
export const CTX_STRUCT: Readonly<Record<number, string>> = {
  1: '__sk_buff',
  2: 'pt_regs',
  3: '__sk_buff',
  4: '__sk_buff',
  6: 'xdp_md',
  7: 'bpf_perf_event_data',
  8: '__sk_buff',
  9: 'bpf_sock',
  10: '__sk_buff',
  11: '__sk_buff',
  12: '__sk_buff',
  13: 'bpf_sock_ops',
  14: '__sk_buff',
  15: 'bpf_cgroup_dev_ctx',
  16: 'sk_msg_md',
  17: 'bpf_raw_tracepoint_args',
  18: 'bpf_sock_addr',
  19: '__sk_buff',
  21: 'sk_reuseport_md',
  22: '__sk_buff',
  23: 'bpf_sysctl',
  24: 'bpf_raw_tracepoint_args',
  25: 'bpf_sockopt',
  30: 'bpf_sk_lookup',
  32: 'bpf_nf_ctx',
};
