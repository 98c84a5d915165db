/** BPF_PROG_TYPE_* that have rules here (include/uapi/linux/bpf.h). */
export const PROG_SOCKET_FILTER = 1;
export const PROG_KPROBE = 2;
export const PROG_SCHED_CLS = 3;
export const PROG_SCHED_ACT = 4;
export const PROG_TRACEPOINT = 5;
export const PROG_XDP = 6;
export const PROG_PERF_EVENT = 7;
export const PROG_CGROUP_SKB = 8;
export const PROG_RAW_TRACEPOINT = 17;
export const PROG_RAW_TRACEPOINT_WRITABLE = 24;
export const PROG_TRACING = 26;
export const PROG_STRUCT_OPS = 27;
export const PROG_LSM = 29;
export const PROG_SYSCALL = 31;

/** BPF_TRACE_* and BPF_LSM_* attach types. */
export const ATTACH_RAW_TP = 23;
export const ATTACH_FENTRY = 24;
export const ATTACH_FEXIT = 25;
export const ATTACH_MODIFY_RETURN = 26;
export const ATTACH_LSM_MAC = 27;
export const ATTACH_ITER = 28;
export const ATTACH_LSM_CGROUP = 43;

/** `*_func_proto` of a program type's operations; see HELPER_SETS. */
export const PROG_HELPER_SET: Readonly<Record<number, string>> = {
  [PROG_SOCKET_FILTER]: 'sk_filter_func_proto',
  [PROG_KPROBE]: 'kprobe_prog_func_proto',
  [PROG_SCHED_CLS]: 'tc_cls_act_func_proto',
  [PROG_SCHED_ACT]: 'tc_cls_act_func_proto',
  [PROG_TRACEPOINT]: 'tp_prog_func_proto',
  [PROG_XDP]: 'xdp_func_proto',
  [PROG_PERF_EVENT]: 'pe_prog_func_proto',
  [PROG_CGROUP_SKB]: 'cg_skb_func_proto',
  [PROG_RAW_TRACEPOINT]: 'raw_tp_prog_func_proto',
  [PROG_RAW_TRACEPOINT_WRITABLE]: 'raw_tp_prog_func_proto',
  [PROG_TRACING]: 'tracing_prog_func_proto',
  [PROG_LSM]: 'bpf_lsm_func_proto',
  [PROG_SYSCALL]: 'syscall_prog_func_proto',
};

/** Members of `struct __sk_buff` that need more than a plain 4-byte rule: offset, size. */
export const SKB = {
  cb: [48, 20],
  tcClassid: [72, 4],
  data: [76, 4],
  dataEnd: [80, 4],
  napiId: [84, 4],
  family: [88, 4],
  localPort: [132, 4],
  dataMeta: [140, 4],
  flowKeys: [144, 8],
  tstamp: [152, 8],
  wireLen: [160, 4],
  sk: [168, 8],
  /** The byte and the hole behind it. */
  tstampType: [180, 4],
  hwtstamp: [184, 8],
  size: 192,
} as const;

/** Members of `struct tcp_sock` that a tcp_congestion_ops program may write (`bpf_tcp_ca_btf_struct_access`). */
export const TCP_SOCK_WRITABLE: readonly string[] = [
  'inet_conn.icsk_inet.sk.sk_pacing_rate',
  'inet_conn.icsk_inet.sk.sk_pacing_status',
  'inet_conn.icsk_ca_priv',
  'inet_conn.icsk_ack.pending',
  'snd_cwnd',
  'snd_cwnd_cnt',
  'snd_cwnd_stamp',
  'snd_ssthresh',
  'ecn_flags',
  'app_limited',
];

/** Members of `struct tcp_congestion_ops` that a program may not implement. */
export const TCP_CA_UNSUPPORTED: readonly string[] = ['get_info'];

/** Members that are never null and as good as the struct within an RCU section (`BTF_TYPE_SAFE_RCU`). */
export const SAFE_RCU: Readonly<Record<string, readonly string[]>> = {
  task_struct: ['cpus_ptr', 'cgroups', 'real_parent', 'group_leader'],
  cgroup: ['kn'],
  css_set: ['dfl_cgrp'],
};
