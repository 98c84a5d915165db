/** BPF_PROG_TYPE_* that have rules here (include/uapi/linux/bpf.h). */
export const PROG_SOCKET_FILTER = 1;
export const PROG_KPROBE = 2;
export const PROG_SCHED_CLS = 3;
export const PROG_SCHED_ACT = 4;
export const PROG_TRACEPOINT = 5;
export const PROG_XDP = 6;
export const PROG_PERF_EVENT = 7;
export const PROG_CGROUP_SKB = 8;
export const PROG_CGROUP_SOCK = 9;
export const PROG_LWT_IN = 10;
export const PROG_LWT_OUT = 11;
export const PROG_LWT_XMIT = 12;
export const PROG_SOCK_OPS = 13;
export const PROG_SK_SKB = 14;
export const PROG_CGROUP_DEVICE = 15;
export const PROG_SK_MSG = 16;
export const PROG_RAW_TRACEPOINT = 17;
export const PROG_CGROUP_SOCK_ADDR = 18;
export const PROG_LWT_SEG6LOCAL = 19;
export const PROG_SK_REUSEPORT = 21;
export const PROG_FLOW_DISSECTOR = 22;
export const PROG_CGROUP_SYSCTL = 23;
export const PROG_RAW_TRACEPOINT_WRITABLE = 24;
export const PROG_CGROUP_SOCKOPT = 25;
export const PROG_TRACING = 26;
export const PROG_STRUCT_OPS = 27;
export const PROG_LSM = 29;
export const PROG_SK_LOOKUP = 30;
export const PROG_SYSCALL = 31;
export const PROG_NETFILTER = 32;

/** BPF_TRACE_* and BPF_LSM_* attach types. */
export const ATTACH_RAW_TP = 23;
export const ATTACH_FENTRY = 24;
export const ATTACH_FEXIT = 25;
export const ATTACH_MODIFY_RETURN = 26;
export const ATTACH_LSM_MAC = 27;
export const ATTACH_ITER = 28;
export const ATTACH_XDP_DEVMAP = 33;
export const ATTACH_LSM_CGROUP = 43;
/** What runs from a trampoline beside LSM programs. */
export const ATTACH_TRAMPOLINES: readonly number[] = [ATTACH_FENTRY, ATTACH_FEXIT, ATTACH_MODIFY_RETURN];
/** BPF_TRACE_KPROBE_SESSION, BPF_TRACE_UPROBE_SESSION. */
export const ATTACH_SESSIONS: readonly number[] = [56, 57];

/** BPF_CGROUP_* attach types. */
export const POST_BIND4 = 12;
export const POST_BIND6 = 13;
export const UDP4_SENDMSG = 14;
export const UDP6_SENDMSG = 15;
export const CGROUP_GETSOCKOPT = 21;
export const CGROUP_SETSOCKOPT = 22;
/** INET_SOCK_CREATE, INET_SOCK_RELEASE. */
export const SOCK_CREATE_RELEASE: readonly number[] = [2, 34];
/** At sockets of IPv4: bind, connect, sendmsg, recvmsg, getpeername, getsockname; then of IPv6 and Unix. */
export const SOCK_ADDR_IP4: readonly number[] = [8, 10, 14, 19, 29, 31];
export const SOCK_ADDR_IP6: readonly number[] = [9, 11, 15, 20, 30, 32];
/** Unix sockets: connect, sendmsg, recvmsg. */
export const SOCK_ADDR_UNIX: readonly number[] = [49, 50, 51];
export const SOCK_ADDR_BIND: readonly number[] = [8, 9];
export const SOCK_ADDR_CONNECT: readonly number[] = [10, 11];
/** Where only 1 may be returned: recvmsg, getpeername, getsockname. */
export const SOCK_ADDR_ALLOW_ONLY: readonly number[] = [19, 20, 51, 29, 30, 52, 31, 32, 53];
/** Where there is no return value to get or set. */
export const NO_RETVAL: readonly number[] = [0, 1, 3, ...SOCK_ADDR_ALLOW_ONLY];

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
  [PROG_CGROUP_SOCK]: 'sock_filter_func_proto',
  [PROG_CGROUP_SOCK_ADDR]: 'sock_addr_func_proto',
  [PROG_SOCK_OPS]: 'sock_ops_func_proto',
  [PROG_SK_SKB]: 'sk_skb_func_proto',
  [PROG_SK_MSG]: 'sk_msg_func_proto',
  [PROG_FLOW_DISSECTOR]: 'flow_dissector_func_proto',
  [PROG_LWT_IN]: 'lwt_in_func_proto',
  [PROG_LWT_OUT]: 'lwt_out_func_proto',
  [PROG_LWT_XMIT]: 'lwt_xmit_func_proto',
  [PROG_SK_REUSEPORT]: 'sk_reuseport_func_proto',
  [PROG_SK_LOOKUP]: 'sk_lookup_func_proto',
  [PROG_CGROUP_DEVICE]: 'cgroup_dev_func_proto',
  [PROG_CGROUP_SYSCTL]: 'sysctl_func_proto',
  [PROG_CGROUP_SOCKOPT]: 'cg_sockopt_func_proto',
  [PROG_NETFILTER]: 'bpf_base_func_proto',
};

/** Types whose programs may store to the packet, and those that may only load (`may_access_direct_pkt_data`). */
export const PACKET_WRITERS: readonly number[] = [
  PROG_SCHED_CLS,
  PROG_SCHED_ACT,
  PROG_XDP,
  PROG_LWT_XMIT,
  PROG_SK_SKB,
  PROG_SK_MSG,
  PROG_CGROUP_SOCKOPT,
];
export const PACKET_READERS: readonly number[] = [
  PROG_LWT_IN,
  PROG_LWT_OUT,
  PROG_LWT_SEG6LOCAL,
  PROG_SK_REUSEPORT,
  PROG_FLOW_DISSECTOR,
  PROG_CGROUP_SKB,
];

/** Members of `struct __sk_buff` that need more than a plain 4-byte rule: offset, size. */
export const SKB = {
  mark: [8, 4],
  queueMapping: [12, 4],
  priority: [32, 4],
  tcIndex: [44, 4],
  cb: [48, 20],
  tcClassid: [72, 4],
  data: [76, 4],
  dataEnd: [80, 4],
  /** From family to local_port. */
  addresses: [88, 52],
  remoteIp4: [92, 4],
  localIp4: [96, 4],
  remoteIp6: [100, 16],
  localIp6: [116, 16],
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

/** Members that are never null and as good as the struct within an RCU section (`BTF_TYPE_SAFE_RCU`, 6.18). */
export const SAFE_RCU: Readonly<Record<string, readonly string[]>> = {
  task_struct: ['cpus_ptr', 'cgroups', 'real_parent', 'group_leader'],
  cgroup_subsys_state: ['cgroup'],
  cgroup: ['kn'],
  css_set: ['dfl_cgrp'],
};

/** The same, but that they may be null (`BTF_TYPE_SAFE_RCU_OR_NULL`). */
export const SAFE_RCU_OR_NULL: Readonly<Record<string, readonly string[]>> = {
  mm_struct: ['exe_file'],
  sk_buff: ['sk'],
  request_sock: ['sk'],
};

/** Members as trusted as the struct, never null (`BTF_TYPE_SAFE_TRUSTED`). */
export const SAFE_TRUSTED: Readonly<Record<string, readonly string[]>> = {
  bpf_iter_meta: ['seq'],
  bpf_iter__task: ['meta', 'task'],
  linux_binprm: ['file'],
  file: ['f_inode'],
};

/** Members as trusted as the struct that may be null (`BTF_TYPE_SAFE_TRUSTED_OR_NULL`). */
export const SAFE_TRUSTED_OR_NULL: Readonly<Record<string, readonly string[]>> = {
  dentry: ['d_inode'],
  socket: ['sk'],
};
