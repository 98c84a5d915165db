import * as T from '../core/reg_types.table.ts';
import * as A from './arg_types.table.ts';

/** BPF_FUNC_* of calls that are more than calls. */
export const FUNC_TAIL_CALL = 12;
export const FUNC_SPIN_UNLOCK = 94;
export const FUNC_LOOP = 181;

/** `struct bpf_func_proto`. */
export interface HelperProto {
  ret: number;
  /** Types of R1… that are used. */
  args: readonly number[];
  gplOnly?: true;
  mightSleep?: true;
  pktAccess?: true;
  allowFastcall?: true;
  /** Argument number → struct that its BTF pointer must be of. */
  argBtf?: Readonly<Record<number, string>>;
  /** Argument number → bytes of its ARG_PTR_TO_FIXED_SIZE_MEM. */
  argSize?: Readonly<Record<number, number>>;
  retBtf?: string;
}

/** Every prototype that a program type of this project may be given, by the kernel's name of it without `_proto`. */
export const HELPER_PROTOS: Readonly<Record<string, HelperProto>> = {
  bpf_map_lookup_elem: {
    ret: T.PTR_MAYBE_NULL | A.RET_PTR_TO_MAP_VALUE,
    args: [A.ARG_CONST_MAP_PTR, A.ARG_PTR_TO_MAP_KEY],
    pktAccess: true,
  },
  bpf_map_update_elem: {
    ret: A.RET_INTEGER,
    args: [A.ARG_CONST_MAP_PTR, A.ARG_PTR_TO_MAP_KEY, A.ARG_PTR_TO_MAP_VALUE, A.ARG_ANYTHING],
    pktAccess: true,
  },
  bpf_map_delete_elem: { ret: A.RET_INTEGER, args: [A.ARG_CONST_MAP_PTR, A.ARG_PTR_TO_MAP_KEY], pktAccess: true },
  bpf_probe_read_compat: {
    ret: A.RET_INTEGER,
    args: [T.MEM_UNINIT | T.MEM_WRITE | A.ARG_PTR_TO_MEM, A.ARG_CONST_SIZE_OR_ZERO, A.ARG_ANYTHING],
    gplOnly: true,
  },
  bpf_ktime_get_ns: { ret: A.RET_INTEGER, args: [] },
  bpf_get_prandom_u32: { ret: A.RET_INTEGER, args: [] },
  bpf_get_raw_smp_processor_id: { ret: A.RET_INTEGER, args: [] },
  bpf_get_smp_processor_id: { ret: A.RET_INTEGER, args: [], allowFastcall: true },
  bpf_skb_store_bytes: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING, A.ARG_PTR_TO_MEM | T.MEM_RDONLY, A.ARG_CONST_SIZE, A.ARG_ANYTHING],
  },
  bpf_l3_csum_replace: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING, A.ARG_ANYTHING, A.ARG_ANYTHING, A.ARG_ANYTHING],
  },
  bpf_l4_csum_replace: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING, A.ARG_ANYTHING, A.ARG_ANYTHING, A.ARG_ANYTHING],
  },
  bpf_tail_call: { ret: A.RET_VOID, args: [A.ARG_PTR_TO_CTX, A.ARG_CONST_MAP_PTR, A.ARG_ANYTHING] },
  bpf_clone_redirect: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING, A.ARG_ANYTHING] },
  bpf_get_current_pid_tgid: { ret: A.RET_INTEGER, args: [] },
  bpf_get_current_uid_gid: { ret: A.RET_INTEGER, args: [] },
  bpf_get_current_comm: { ret: A.RET_INTEGER, args: [T.MEM_UNINIT | T.MEM_WRITE | A.ARG_PTR_TO_MEM, A.ARG_CONST_SIZE] },
  bpf_get_cgroup_classid: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_CTX] },
  bpf_skb_vlan_push: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING, A.ARG_ANYTHING] },
  bpf_skb_vlan_pop: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_CTX] },
  bpf_skb_get_tunnel_key: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, T.MEM_UNINIT | T.MEM_WRITE | A.ARG_PTR_TO_MEM, A.ARG_CONST_SIZE, A.ARG_ANYTHING],
  },
  bpf_perf_event_read: { ret: A.RET_INTEGER, args: [A.ARG_CONST_MAP_PTR, A.ARG_ANYTHING], gplOnly: true },
  bpf_redirect: { ret: A.RET_INTEGER, args: [A.ARG_ANYTHING, A.ARG_ANYTHING] },
  bpf_xdp_redirect: { ret: A.RET_INTEGER, args: [A.ARG_ANYTHING, A.ARG_ANYTHING] },
  bpf_get_route_realm: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_CTX] },
  bpf_event_output_data: {
    ret: A.RET_INTEGER,
    args: [
      A.ARG_PTR_TO_CTX,
      A.ARG_CONST_MAP_PTR,
      A.ARG_ANYTHING,
      A.ARG_PTR_TO_MEM | T.MEM_RDONLY,
      A.ARG_CONST_SIZE_OR_ZERO,
    ],
    gplOnly: true,
  },
  bpf_perf_event_output: {
    ret: A.RET_INTEGER,
    args: [
      A.ARG_PTR_TO_CTX,
      A.ARG_CONST_MAP_PTR,
      A.ARG_ANYTHING,
      A.ARG_PTR_TO_MEM | T.MEM_RDONLY,
      A.ARG_CONST_SIZE_OR_ZERO,
    ],
    gplOnly: true,
  },
  bpf_skb_event_output: {
    ret: A.RET_INTEGER,
    args: [
      A.ARG_PTR_TO_CTX,
      A.ARG_CONST_MAP_PTR,
      A.ARG_ANYTHING,
      A.ARG_PTR_TO_MEM | T.MEM_RDONLY,
      A.ARG_CONST_SIZE_OR_ZERO,
    ],
    gplOnly: true,
  },
  bpf_xdp_event_output: {
    ret: A.RET_INTEGER,
    args: [
      A.ARG_PTR_TO_CTX,
      A.ARG_CONST_MAP_PTR,
      A.ARG_ANYTHING,
      A.ARG_PTR_TO_MEM | T.MEM_RDONLY,
      A.ARG_CONST_SIZE_OR_ZERO,
    ],
    gplOnly: true,
  },
  bpf_skb_load_bytes: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING, T.MEM_UNINIT | T.MEM_WRITE | A.ARG_PTR_TO_MEM, A.ARG_CONST_SIZE],
  },
  bpf_get_stackid: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_CTX, A.ARG_CONST_MAP_PTR, A.ARG_ANYTHING], gplOnly: true },
  bpf_csum_diff: {
    ret: A.RET_INTEGER,
    args: [
      A.ARG_PTR_TO_MEM | T.PTR_MAYBE_NULL | T.MEM_RDONLY,
      A.ARG_CONST_SIZE_OR_ZERO,
      A.ARG_PTR_TO_MEM | T.PTR_MAYBE_NULL | T.MEM_RDONLY,
      A.ARG_CONST_SIZE_OR_ZERO,
      A.ARG_ANYTHING,
    ],
    pktAccess: true,
  },
  bpf_skb_get_tunnel_opt: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, T.MEM_UNINIT | T.MEM_WRITE | A.ARG_PTR_TO_MEM, A.ARG_CONST_SIZE],
  },
  bpf_skb_change_proto: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING, A.ARG_ANYTHING] },
  bpf_skb_change_type: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING] },
  bpf_skb_under_cgroup: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_CTX, A.ARG_CONST_MAP_PTR, A.ARG_ANYTHING] },
  bpf_get_hash_recalc: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_CTX] },
  bpf_get_current_task: { ret: A.RET_INTEGER, args: [], gplOnly: true },
  bpf_current_task_under_cgroup: { ret: A.RET_INTEGER, args: [A.ARG_CONST_MAP_PTR, A.ARG_ANYTHING] },
  bpf_skb_change_tail: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING, A.ARG_ANYTHING] },
  bpf_skb_pull_data: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING] },
  bpf_csum_update: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING] },
  bpf_set_hash_invalid: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_CTX] },
  bpf_get_numa_node_id: { ret: A.RET_INTEGER, args: [] },
  bpf_skb_change_head: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING, A.ARG_ANYTHING] },
  bpf_xdp_adjust_head: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING] },
  bpf_probe_read_compat_str: {
    ret: A.RET_INTEGER,
    args: [T.MEM_UNINIT | T.MEM_WRITE | A.ARG_PTR_TO_MEM, A.ARG_CONST_SIZE_OR_ZERO, A.ARG_ANYTHING],
    gplOnly: true,
  },
  bpf_get_socket_cookie: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_CTX] },
  bpf_get_socket_cookie_sock_ops: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_CTX] },
  bpf_get_socket_ptr_cookie: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_BTF_ID_SOCK_COMMON | T.PTR_MAYBE_NULL] },
  bpf_get_socket_uid: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_CTX] },
  bpf_set_hash: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING] },
  bpf_sk_setsockopt: {
    ret: A.RET_INTEGER,
    args: [
      A.ARG_PTR_TO_BTF_ID_SOCK_COMMON,
      A.ARG_ANYTHING,
      A.ARG_ANYTHING,
      A.ARG_PTR_TO_MEM | T.MEM_RDONLY,
      A.ARG_CONST_SIZE,
    ],
  },
  bpf_unlocked_sk_setsockopt: {
    ret: A.RET_INTEGER,
    args: [
      A.ARG_PTR_TO_BTF_ID_SOCK_COMMON,
      A.ARG_ANYTHING,
      A.ARG_ANYTHING,
      A.ARG_PTR_TO_MEM | T.MEM_RDONLY,
      A.ARG_CONST_SIZE,
    ],
  },
  bpf_sock_ops_setsockopt: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING, A.ARG_ANYTHING, A.ARG_PTR_TO_MEM | T.MEM_RDONLY, A.ARG_CONST_SIZE],
  },
  bpf_skb_adjust_room: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING, A.ARG_ANYTHING, A.ARG_ANYTHING] },
  bpf_xdp_redirect_map: { ret: A.RET_INTEGER, args: [A.ARG_CONST_MAP_PTR, A.ARG_ANYTHING, A.ARG_ANYTHING] },
  bpf_sk_redirect_map: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, A.ARG_CONST_MAP_PTR, A.ARG_ANYTHING, A.ARG_ANYTHING],
  },
  bpf_sock_map_update: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, A.ARG_CONST_MAP_PTR, A.ARG_PTR_TO_MAP_KEY, A.ARG_ANYTHING],
    pktAccess: true,
  },
  bpf_xdp_adjust_meta: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING] },
  bpf_perf_event_read_value: {
    ret: A.RET_INTEGER,
    args: [A.ARG_CONST_MAP_PTR, A.ARG_ANYTHING, T.MEM_UNINIT | T.MEM_WRITE | A.ARG_PTR_TO_MEM, A.ARG_CONST_SIZE],
    gplOnly: true,
  },
  bpf_perf_prog_read_value: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, T.MEM_UNINIT | T.MEM_WRITE | A.ARG_PTR_TO_MEM, A.ARG_CONST_SIZE],
    gplOnly: true,
  },
  bpf_sk_getsockopt: {
    ret: A.RET_INTEGER,
    args: [
      A.ARG_PTR_TO_BTF_ID_SOCK_COMMON,
      A.ARG_ANYTHING,
      A.ARG_ANYTHING,
      T.MEM_UNINIT | T.MEM_WRITE | A.ARG_PTR_TO_MEM,
      A.ARG_CONST_SIZE,
    ],
  },
  bpf_unlocked_sk_getsockopt: {
    ret: A.RET_INTEGER,
    args: [
      A.ARG_PTR_TO_BTF_ID_SOCK_COMMON,
      A.ARG_ANYTHING,
      A.ARG_ANYTHING,
      T.MEM_UNINIT | T.MEM_WRITE | A.ARG_PTR_TO_MEM,
      A.ARG_CONST_SIZE,
    ],
  },
  bpf_sock_ops_getsockopt: {
    ret: A.RET_INTEGER,
    args: [
      A.ARG_PTR_TO_CTX,
      A.ARG_ANYTHING,
      A.ARG_ANYTHING,
      T.MEM_UNINIT | T.MEM_WRITE | A.ARG_PTR_TO_MEM,
      A.ARG_CONST_SIZE,
    ],
  },
  bpf_override_return: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING], gplOnly: true },
  bpf_sock_ops_cb_flags_set: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING] },
  bpf_xdp_adjust_tail: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING] },
  bpf_skb_get_xfrm_state: {
    ret: A.RET_INTEGER,
    args: [
      A.ARG_PTR_TO_CTX,
      A.ARG_ANYTHING,
      T.MEM_UNINIT | T.MEM_WRITE | A.ARG_PTR_TO_MEM,
      A.ARG_CONST_SIZE,
      A.ARG_ANYTHING,
    ],
  },
  bpf_get_stack: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, T.MEM_UNINIT | T.MEM_WRITE | A.ARG_PTR_TO_MEM, A.ARG_CONST_SIZE_OR_ZERO, A.ARG_ANYTHING],
    gplOnly: true,
  },
  bpf_get_stack_sleepable: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, T.MEM_UNINIT | T.MEM_WRITE | A.ARG_PTR_TO_MEM, A.ARG_CONST_SIZE_OR_ZERO, A.ARG_ANYTHING],
    gplOnly: true,
    mightSleep: true,
  },
  bpf_skb_load_bytes_relative: {
    ret: A.RET_INTEGER,
    args: [
      A.ARG_PTR_TO_CTX,
      A.ARG_ANYTHING,
      T.MEM_UNINIT | T.MEM_WRITE | A.ARG_PTR_TO_MEM,
      A.ARG_CONST_SIZE,
      A.ARG_ANYTHING,
    ],
  },
  bpf_skb_fib_lookup: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, A.ARG_PTR_TO_MEM, A.ARG_CONST_SIZE, A.ARG_ANYTHING],
    gplOnly: true,
  },
  bpf_xdp_fib_lookup: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, A.ARG_PTR_TO_MEM, A.ARG_CONST_SIZE, A.ARG_ANYTHING],
    gplOnly: true,
  },
  bpf_sock_hash_update: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, A.ARG_CONST_MAP_PTR, A.ARG_PTR_TO_MAP_KEY, A.ARG_ANYTHING],
    pktAccess: true,
  },
  bpf_sk_redirect_hash: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, A.ARG_CONST_MAP_PTR, A.ARG_PTR_TO_MAP_KEY, A.ARG_ANYTHING],
  },
  bpf_skb_cgroup_id: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_CTX] },
  bpf_get_current_cgroup_id: { ret: A.RET_INTEGER, args: [] },
  bpf_get_local_storage: { ret: A.RET_PTR_TO_MAP_VALUE, args: [A.ARG_CONST_MAP_PTR, A.ARG_ANYTHING] },
  bpf_skb_ancestor_cgroup_id: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING] },
  bpf_sk_lookup_tcp: {
    ret: T.PTR_MAYBE_NULL | A.RET_PTR_TO_SOCKET,
    args: [A.ARG_PTR_TO_CTX, A.ARG_PTR_TO_MEM | T.MEM_RDONLY, A.ARG_CONST_SIZE_OR_ZERO, A.ARG_ANYTHING, A.ARG_ANYTHING],
    pktAccess: true,
  },
  bpf_tc_sk_lookup_tcp: {
    ret: T.PTR_MAYBE_NULL | A.RET_PTR_TO_SOCKET,
    args: [A.ARG_PTR_TO_CTX, A.ARG_PTR_TO_MEM | T.MEM_RDONLY, A.ARG_CONST_SIZE_OR_ZERO, A.ARG_ANYTHING, A.ARG_ANYTHING],
    pktAccess: true,
  },
  bpf_xdp_sk_lookup_tcp: {
    ret: T.PTR_MAYBE_NULL | A.RET_PTR_TO_SOCKET,
    args: [A.ARG_PTR_TO_CTX, A.ARG_PTR_TO_MEM | T.MEM_RDONLY, A.ARG_CONST_SIZE_OR_ZERO, A.ARG_ANYTHING, A.ARG_ANYTHING],
    pktAccess: true,
  },
  bpf_sk_lookup_udp: {
    ret: T.PTR_MAYBE_NULL | A.RET_PTR_TO_SOCKET,
    args: [A.ARG_PTR_TO_CTX, A.ARG_PTR_TO_MEM | T.MEM_RDONLY, A.ARG_CONST_SIZE_OR_ZERO, A.ARG_ANYTHING, A.ARG_ANYTHING],
    pktAccess: true,
  },
  bpf_tc_sk_lookup_udp: {
    ret: T.PTR_MAYBE_NULL | A.RET_PTR_TO_SOCKET,
    args: [A.ARG_PTR_TO_CTX, A.ARG_PTR_TO_MEM | T.MEM_RDONLY, A.ARG_CONST_SIZE_OR_ZERO, A.ARG_ANYTHING, A.ARG_ANYTHING],
    pktAccess: true,
  },
  bpf_xdp_sk_lookup_udp: {
    ret: T.PTR_MAYBE_NULL | A.RET_PTR_TO_SOCKET,
    args: [A.ARG_PTR_TO_CTX, A.ARG_PTR_TO_MEM | T.MEM_RDONLY, A.ARG_CONST_SIZE_OR_ZERO, A.ARG_ANYTHING, A.ARG_ANYTHING],
    pktAccess: true,
  },
  bpf_sk_release: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_BTF_ID_SOCK_COMMON | T.OBJ_RELEASE] },
  bpf_map_push_elem: {
    ret: A.RET_INTEGER,
    args: [A.ARG_CONST_MAP_PTR, A.ARG_PTR_TO_MAP_VALUE, A.ARG_ANYTHING],
    pktAccess: true,
  },
  bpf_map_pop_elem: {
    ret: A.RET_INTEGER,
    args: [A.ARG_CONST_MAP_PTR, A.ARG_PTR_TO_MAP_VALUE | T.MEM_UNINIT | T.MEM_WRITE],
  },
  bpf_map_peek_elem: {
    ret: A.RET_INTEGER,
    args: [A.ARG_CONST_MAP_PTR, A.ARG_PTR_TO_MAP_VALUE | T.MEM_UNINIT | T.MEM_WRITE],
  },
  bpf_spin_lock: { ret: A.RET_VOID, args: [A.ARG_PTR_TO_SPIN_LOCK], argBtf: { 1: '' } },
  bpf_spin_unlock: { ret: A.RET_VOID, args: [A.ARG_PTR_TO_SPIN_LOCK], argBtf: { 1: '' } },
  bpf_sk_fullsock: { ret: T.PTR_MAYBE_NULL | A.RET_PTR_TO_SOCKET, args: [A.ARG_PTR_TO_SOCK_COMMON] },
  bpf_tcp_sock: { ret: T.PTR_MAYBE_NULL | A.RET_PTR_TO_TCP_SOCK, args: [A.ARG_PTR_TO_SOCK_COMMON] },
  bpf_skb_ecn_set_ce: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_CTX] },
  bpf_get_listener_sock: { ret: T.PTR_MAYBE_NULL | A.RET_PTR_TO_SOCKET, args: [A.ARG_PTR_TO_SOCK_COMMON] },
  bpf_skc_lookup_tcp: {
    ret: T.PTR_MAYBE_NULL | A.RET_PTR_TO_SOCK_COMMON,
    args: [A.ARG_PTR_TO_CTX, A.ARG_PTR_TO_MEM | T.MEM_RDONLY, A.ARG_CONST_SIZE_OR_ZERO, A.ARG_ANYTHING, A.ARG_ANYTHING],
    pktAccess: true,
  },
  bpf_tc_skc_lookup_tcp: {
    ret: T.PTR_MAYBE_NULL | A.RET_PTR_TO_SOCK_COMMON,
    args: [A.ARG_PTR_TO_CTX, A.ARG_PTR_TO_MEM | T.MEM_RDONLY, A.ARG_CONST_SIZE_OR_ZERO, A.ARG_ANYTHING, A.ARG_ANYTHING],
    pktAccess: true,
  },
  bpf_xdp_skc_lookup_tcp: {
    ret: T.PTR_MAYBE_NULL | A.RET_PTR_TO_SOCK_COMMON,
    args: [A.ARG_PTR_TO_CTX, A.ARG_PTR_TO_MEM | T.MEM_RDONLY, A.ARG_CONST_SIZE_OR_ZERO, A.ARG_ANYTHING, A.ARG_ANYTHING],
    pktAccess: true,
  },
  bpf_tcp_check_syncookie: {
    ret: A.RET_INTEGER,
    args: [
      A.ARG_PTR_TO_BTF_ID_SOCK_COMMON,
      A.ARG_PTR_TO_MEM | T.MEM_RDONLY,
      A.ARG_CONST_SIZE,
      A.ARG_PTR_TO_MEM | T.MEM_RDONLY,
      A.ARG_CONST_SIZE,
    ],
    gplOnly: true,
    pktAccess: true,
  },
  bpf_strtol: {
    ret: A.RET_INTEGER,
    args: [
      A.ARG_PTR_TO_MEM | T.MEM_RDONLY,
      A.ARG_CONST_SIZE,
      A.ARG_ANYTHING,
      T.MEM_FIXED_SIZE | A.ARG_PTR_TO_MEM | T.MEM_UNINIT | T.MEM_WRITE | T.MEM_ALIGNED,
    ],
    argSize: { 4: 8 },
  },
  bpf_strtoul: {
    ret: A.RET_INTEGER,
    args: [
      A.ARG_PTR_TO_MEM | T.MEM_RDONLY,
      A.ARG_CONST_SIZE,
      A.ARG_ANYTHING,
      T.MEM_FIXED_SIZE | A.ARG_PTR_TO_MEM | T.MEM_UNINIT | T.MEM_WRITE | T.MEM_ALIGNED,
    ],
    argSize: { 4: 8 },
  },
  bpf_sk_storage_get: {
    ret: T.PTR_MAYBE_NULL | A.RET_PTR_TO_MAP_VALUE,
    args: [
      A.ARG_CONST_MAP_PTR,
      A.ARG_PTR_TO_BTF_ID_SOCK_COMMON,
      T.PTR_MAYBE_NULL | A.ARG_PTR_TO_MAP_VALUE,
      A.ARG_ANYTHING,
    ],
  },
  bpf_sk_storage_get_tracing: {
    ret: T.PTR_MAYBE_NULL | A.RET_PTR_TO_MAP_VALUE,
    args: [
      A.ARG_CONST_MAP_PTR,
      T.PTR_MAYBE_NULL | A.ARG_PTR_TO_BTF_ID,
      T.PTR_MAYBE_NULL | A.ARG_PTR_TO_MAP_VALUE,
      A.ARG_ANYTHING,
    ],
    argBtf: { 2: 'sock_common' },
  },
  bpf_inode_storage_get: {
    ret: T.PTR_MAYBE_NULL | A.RET_PTR_TO_MAP_VALUE,
    args: [
      A.ARG_CONST_MAP_PTR,
      T.PTR_MAYBE_NULL | A.ARG_PTR_TO_BTF_ID,
      T.PTR_MAYBE_NULL | A.ARG_PTR_TO_MAP_VALUE,
      A.ARG_ANYTHING,
    ],
    argBtf: { 2: 'inode' },
  },
  bpf_inode_storage_delete: {
    ret: A.RET_INTEGER,
    args: [A.ARG_CONST_MAP_PTR, T.PTR_MAYBE_NULL | A.ARG_PTR_TO_BTF_ID],
    argBtf: { 2: 'inode' },
  },
  bpf_bprm_opts_set: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_BTF_ID, A.ARG_ANYTHING],
    argBtf: { 1: 'linux_binprm' },
  },
  bpf_ima_inode_hash: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_BTF_ID, A.ARG_PTR_TO_MEM | T.MEM_UNINIT | T.MEM_WRITE, A.ARG_CONST_SIZE],
    mightSleep: true,
    argBtf: { 1: 'inode' },
  },
  bpf_ima_file_hash: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_BTF_ID, A.ARG_PTR_TO_MEM | T.MEM_UNINIT | T.MEM_WRITE, A.ARG_CONST_SIZE],
    mightSleep: true,
    argBtf: { 1: 'file' },
  },
  bpf_sk_storage_delete: { ret: A.RET_INTEGER, args: [A.ARG_CONST_MAP_PTR, A.ARG_PTR_TO_BTF_ID_SOCK_COMMON] },
  bpf_sk_storage_delete_tracing: {
    ret: A.RET_INTEGER,
    args: [A.ARG_CONST_MAP_PTR, T.PTR_MAYBE_NULL | A.ARG_PTR_TO_BTF_ID],
    argBtf: { 2: 'sock_common' },
  },
  bpf_send_signal: { ret: A.RET_INTEGER, args: [A.ARG_ANYTHING] },
  bpf_tcp_gen_syncookie: {
    ret: A.RET_INTEGER,
    args: [
      A.ARG_PTR_TO_BTF_ID_SOCK_COMMON,
      A.ARG_PTR_TO_MEM | T.MEM_RDONLY,
      A.ARG_CONST_SIZE,
      A.ARG_PTR_TO_MEM | T.MEM_RDONLY,
      A.ARG_CONST_SIZE,
    ],
    gplOnly: true,
    pktAccess: true,
  },
  bpf_skb_output: {
    ret: A.RET_INTEGER,
    args: [
      A.ARG_PTR_TO_BTF_ID,
      A.ARG_CONST_MAP_PTR,
      A.ARG_ANYTHING,
      A.ARG_PTR_TO_MEM | T.MEM_RDONLY,
      A.ARG_CONST_SIZE_OR_ZERO,
    ],
    gplOnly: true,
    argBtf: { 1: 'sk_buff' },
  },
  bpf_probe_read_user: {
    ret: A.RET_INTEGER,
    args: [T.MEM_UNINIT | T.MEM_WRITE | A.ARG_PTR_TO_MEM, A.ARG_CONST_SIZE_OR_ZERO, A.ARG_ANYTHING],
    gplOnly: true,
  },
  bpf_probe_read_kernel: {
    ret: A.RET_INTEGER,
    args: [T.MEM_UNINIT | T.MEM_WRITE | A.ARG_PTR_TO_MEM, A.ARG_CONST_SIZE_OR_ZERO, A.ARG_ANYTHING],
    gplOnly: true,
  },
  bpf_probe_read_user_str: {
    ret: A.RET_INTEGER,
    args: [T.MEM_UNINIT | T.MEM_WRITE | A.ARG_PTR_TO_MEM, A.ARG_CONST_SIZE_OR_ZERO, A.ARG_ANYTHING],
    gplOnly: true,
  },
  bpf_probe_read_kernel_str: {
    ret: A.RET_INTEGER,
    args: [T.MEM_UNINIT | T.MEM_WRITE | A.ARG_PTR_TO_MEM, A.ARG_CONST_SIZE_OR_ZERO, A.ARG_ANYTHING],
    gplOnly: true,
  },
  bpf_tcp_send_ack: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_BTF_ID, A.ARG_ANYTHING], argBtf: { 1: 'tcp_sock' } },
  bpf_send_signal_thread: { ret: A.RET_INTEGER, args: [A.ARG_ANYTHING] },
  bpf_jiffies64: { ret: A.RET_INTEGER, args: [] },
  bpf_read_branch_records: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, T.PTR_MAYBE_NULL | A.ARG_PTR_TO_MEM, A.ARG_CONST_SIZE_OR_ZERO, A.ARG_ANYTHING],
    gplOnly: true,
  },
  bpf_get_ns_current_pid_tgid: {
    ret: A.RET_INTEGER,
    args: [A.ARG_ANYTHING, A.ARG_ANYTHING, T.MEM_UNINIT | T.MEM_WRITE | A.ARG_PTR_TO_MEM, A.ARG_CONST_SIZE],
  },
  bpf_xdp_output: {
    ret: A.RET_INTEGER,
    args: [
      A.ARG_PTR_TO_BTF_ID,
      A.ARG_CONST_MAP_PTR,
      A.ARG_ANYTHING,
      A.ARG_PTR_TO_MEM | T.MEM_RDONLY,
      A.ARG_CONST_SIZE_OR_ZERO,
    ],
    gplOnly: true,
    argBtf: { 1: 'xdp_buff' },
  },
  bpf_get_netns_cookie: { ret: A.RET_INTEGER, args: [T.PTR_MAYBE_NULL | A.ARG_PTR_TO_CTX] },
  bpf_get_netns_cookie_sock_ops: { ret: A.RET_INTEGER, args: [T.PTR_MAYBE_NULL | A.ARG_PTR_TO_CTX] },
  bpf_get_current_ancestor_cgroup_id: { ret: A.RET_INTEGER, args: [A.ARG_ANYTHING] },
  bpf_sk_assign: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_CTX, A.ARG_PTR_TO_BTF_ID_SOCK_COMMON, A.ARG_ANYTHING] },
  bpf_ktime_get_boot_ns: { ret: A.RET_INTEGER, args: [] },
  bpf_seq_printf: {
    ret: A.RET_INTEGER,
    args: [
      A.ARG_PTR_TO_BTF_ID,
      A.ARG_PTR_TO_MEM | T.MEM_RDONLY,
      A.ARG_CONST_SIZE,
      A.ARG_PTR_TO_MEM | T.PTR_MAYBE_NULL | T.MEM_RDONLY,
      A.ARG_CONST_SIZE_OR_ZERO,
    ],
    gplOnly: true,
    argBtf: { 1: 'seq_file' },
  },
  bpf_seq_write: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_BTF_ID, A.ARG_PTR_TO_MEM | T.MEM_RDONLY, A.ARG_CONST_SIZE_OR_ZERO],
    gplOnly: true,
    argBtf: { 1: 'seq_file' },
  },
  bpf_sk_cgroup_id: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_BTF_ID_SOCK_COMMON] },
  bpf_sk_ancestor_cgroup_id: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_BTF_ID_SOCK_COMMON, A.ARG_ANYTHING] },
  bpf_ringbuf_output: {
    ret: A.RET_INTEGER,
    args: [A.ARG_CONST_MAP_PTR, A.ARG_PTR_TO_MEM | T.MEM_RDONLY, A.ARG_CONST_SIZE_OR_ZERO, A.ARG_ANYTHING],
  },
  bpf_ringbuf_reserve: {
    ret: T.PTR_MAYBE_NULL | T.MEM_RINGBUF | A.RET_PTR_TO_MEM,
    args: [A.ARG_CONST_MAP_PTR, A.ARG_CONST_ALLOC_SIZE_OR_ZERO, A.ARG_ANYTHING],
  },
  bpf_ringbuf_submit: { ret: A.RET_VOID, args: [A.ARG_PTR_TO_RINGBUF_MEM | T.OBJ_RELEASE, A.ARG_ANYTHING] },
  bpf_ringbuf_discard: { ret: A.RET_VOID, args: [A.ARG_PTR_TO_RINGBUF_MEM | T.OBJ_RELEASE, A.ARG_ANYTHING] },
  bpf_ringbuf_query: { ret: A.RET_INTEGER, args: [A.ARG_CONST_MAP_PTR, A.ARG_ANYTHING] },
  bpf_csum_level: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING] },
  bpf_skc_to_tcp6_sock: {
    ret: T.PTR_MAYBE_NULL | A.RET_PTR_TO_BTF_ID,
    args: [A.ARG_PTR_TO_BTF_ID_SOCK_COMMON],
    retBtf: 'tcp6_sock',
  },
  bpf_skc_to_tcp_sock: {
    ret: T.PTR_MAYBE_NULL | A.RET_PTR_TO_BTF_ID,
    args: [A.ARG_PTR_TO_BTF_ID_SOCK_COMMON],
    retBtf: 'tcp_sock',
  },
  bpf_skc_to_tcp_timewait_sock: {
    ret: T.PTR_MAYBE_NULL | A.RET_PTR_TO_BTF_ID,
    args: [A.ARG_PTR_TO_BTF_ID_SOCK_COMMON],
    retBtf: 'tcp_timewait_sock',
  },
  bpf_skc_to_tcp_request_sock: {
    ret: T.PTR_MAYBE_NULL | A.RET_PTR_TO_BTF_ID,
    args: [A.ARG_PTR_TO_BTF_ID_SOCK_COMMON],
    retBtf: 'tcp_request_sock',
  },
  bpf_skc_to_udp6_sock: {
    ret: T.PTR_MAYBE_NULL | A.RET_PTR_TO_BTF_ID,
    args: [A.ARG_PTR_TO_BTF_ID_SOCK_COMMON],
    retBtf: 'udp6_sock',
  },
  bpf_get_task_stack: {
    ret: A.RET_INTEGER,
    args: [
      A.ARG_PTR_TO_BTF_ID,
      T.MEM_UNINIT | T.MEM_WRITE | A.ARG_PTR_TO_MEM,
      A.ARG_CONST_SIZE_OR_ZERO,
      A.ARG_ANYTHING,
    ],
    argBtf: { 1: 'task_struct' },
  },
  bpf_get_task_stack_sleepable: {
    ret: A.RET_INTEGER,
    args: [
      A.ARG_PTR_TO_BTF_ID,
      T.MEM_UNINIT | T.MEM_WRITE | A.ARG_PTR_TO_MEM,
      A.ARG_CONST_SIZE_OR_ZERO,
      A.ARG_ANYTHING,
    ],
    mightSleep: true,
    argBtf: { 1: 'task_struct' },
  },
  bpf_sock_ops_load_hdr_opt: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, A.ARG_PTR_TO_MEM | T.MEM_WRITE, A.ARG_CONST_SIZE, A.ARG_ANYTHING],
  },
  bpf_sock_ops_store_hdr_opt: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, A.ARG_PTR_TO_MEM | T.MEM_RDONLY, A.ARG_CONST_SIZE, A.ARG_ANYTHING],
  },
  bpf_sock_ops_reserve_hdr_opt: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING, A.ARG_ANYTHING] },
  bpf_d_path: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_BTF_ID, A.ARG_PTR_TO_MEM, A.ARG_CONST_SIZE_OR_ZERO],
    argBtf: { 1: 'path' },
  },
  bpf_copy_from_user: {
    ret: A.RET_INTEGER,
    args: [T.MEM_UNINIT | T.MEM_WRITE | A.ARG_PTR_TO_MEM, A.ARG_CONST_SIZE_OR_ZERO, A.ARG_ANYTHING],
    mightSleep: true,
  },
  bpf_snprintf_btf: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_MEM, A.ARG_CONST_SIZE, A.ARG_PTR_TO_MEM | T.MEM_RDONLY, A.ARG_CONST_SIZE, A.ARG_ANYTHING],
  },
  bpf_seq_printf_btf: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_BTF_ID, A.ARG_PTR_TO_MEM | T.MEM_RDONLY, A.ARG_CONST_SIZE_OR_ZERO, A.ARG_ANYTHING],
    gplOnly: true,
    argBtf: { 1: 'seq_file' },
  },
  bpf_skb_cgroup_classid: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_CTX] },
  bpf_redirect_neigh: {
    ret: A.RET_INTEGER,
    args: [
      A.ARG_ANYTHING,
      A.ARG_PTR_TO_MEM | T.PTR_MAYBE_NULL | T.MEM_RDONLY,
      A.ARG_CONST_SIZE_OR_ZERO,
      A.ARG_ANYTHING,
    ],
  },
  bpf_per_cpu_ptr: {
    ret: A.RET_PTR_TO_MEM_OR_BTF_ID | T.PTR_MAYBE_NULL | T.MEM_RDONLY,
    args: [A.ARG_PTR_TO_PERCPU_BTF_ID, A.ARG_ANYTHING],
  },
  bpf_this_cpu_ptr: { ret: A.RET_PTR_TO_MEM_OR_BTF_ID | T.MEM_RDONLY, args: [A.ARG_PTR_TO_PERCPU_BTF_ID] },
  bpf_redirect_peer: { ret: A.RET_INTEGER, args: [A.ARG_ANYTHING, A.ARG_ANYTHING] },
  bpf_task_storage_get: {
    ret: T.PTR_MAYBE_NULL | A.RET_PTR_TO_MAP_VALUE,
    args: [
      A.ARG_CONST_MAP_PTR,
      T.PTR_MAYBE_NULL | A.ARG_PTR_TO_BTF_ID,
      T.PTR_MAYBE_NULL | A.ARG_PTR_TO_MAP_VALUE,
      A.ARG_ANYTHING,
    ],
    argBtf: { 2: 'task_struct' },
  },
  bpf_task_storage_get_recur: {
    ret: T.PTR_MAYBE_NULL | A.RET_PTR_TO_MAP_VALUE,
    args: [
      A.ARG_CONST_MAP_PTR,
      T.PTR_MAYBE_NULL | A.ARG_PTR_TO_BTF_ID,
      T.PTR_MAYBE_NULL | A.ARG_PTR_TO_MAP_VALUE,
      A.ARG_ANYTHING,
    ],
    argBtf: { 2: 'task_struct' },
  },
  bpf_task_storage_delete: {
    ret: A.RET_INTEGER,
    args: [A.ARG_CONST_MAP_PTR, T.PTR_MAYBE_NULL | A.ARG_PTR_TO_BTF_ID],
    argBtf: { 2: 'task_struct' },
  },
  bpf_task_storage_delete_recur: {
    ret: A.RET_INTEGER,
    args: [A.ARG_CONST_MAP_PTR, T.PTR_MAYBE_NULL | A.ARG_PTR_TO_BTF_ID],
    argBtf: { 2: 'task_struct' },
  },
  bpf_get_current_task_btf: {
    ret: T.PTR_TRUSTED | A.RET_PTR_TO_BTF_ID,
    args: [],
    gplOnly: true,
    retBtf: 'task_struct',
  },
  bpf_ktime_get_coarse_ns: { ret: A.RET_INTEGER, args: [] },
  bpf_sock_from_file: {
    ret: T.PTR_MAYBE_NULL | A.RET_PTR_TO_BTF_ID,
    args: [A.ARG_PTR_TO_BTF_ID],
    argBtf: { 1: 'file' },
    retBtf: 'socket',
  },
  bpf_skb_check_mtu: {
    ret: A.RET_INTEGER,
    args: [
      A.ARG_PTR_TO_CTX,
      A.ARG_ANYTHING,
      T.MEM_FIXED_SIZE | A.ARG_PTR_TO_MEM | T.MEM_WRITE | T.MEM_ALIGNED,
      A.ARG_ANYTHING,
      A.ARG_ANYTHING,
    ],
    gplOnly: true,
    argSize: { 3: 4 },
  },
  bpf_xdp_check_mtu: {
    ret: A.RET_INTEGER,
    args: [
      A.ARG_PTR_TO_CTX,
      A.ARG_ANYTHING,
      T.MEM_FIXED_SIZE | A.ARG_PTR_TO_MEM | T.MEM_WRITE | T.MEM_ALIGNED,
      A.ARG_ANYTHING,
      A.ARG_ANYTHING,
    ],
    gplOnly: true,
    argSize: { 3: 4 },
  },
  bpf_for_each_map_elem: {
    ret: A.RET_INTEGER,
    args: [A.ARG_CONST_MAP_PTR, A.ARG_PTR_TO_FUNC, T.PTR_MAYBE_NULL | A.ARG_PTR_TO_STACK, A.ARG_ANYTHING],
  },
  bpf_snprintf: {
    ret: A.RET_INTEGER,
    args: [
      T.PTR_MAYBE_NULL | A.ARG_PTR_TO_MEM,
      A.ARG_CONST_SIZE_OR_ZERO,
      A.ARG_PTR_TO_CONST_STR,
      A.ARG_PTR_TO_MEM | T.PTR_MAYBE_NULL | T.MEM_RDONLY,
      A.ARG_CONST_SIZE_OR_ZERO,
    ],
    gplOnly: true,
  },
  bpf_sys_bpf: {
    ret: A.RET_INTEGER,
    args: [A.ARG_ANYTHING, A.ARG_PTR_TO_MEM | T.MEM_RDONLY, A.ARG_CONST_SIZE],
    mightSleep: true,
  },
  bpf_btf_find_by_name_kind: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_MEM | T.MEM_RDONLY, A.ARG_CONST_SIZE, A.ARG_ANYTHING, A.ARG_ANYTHING],
    mightSleep: true,
  },
  bpf_sys_close: { ret: A.RET_INTEGER, args: [A.ARG_ANYTHING], mightSleep: true },
  bpf_timer_init: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_TIMER, A.ARG_CONST_MAP_PTR, A.ARG_ANYTHING],
    gplOnly: true,
  },
  bpf_timer_set_callback: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_TIMER, A.ARG_PTR_TO_FUNC], gplOnly: true },
  bpf_timer_start: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_TIMER, A.ARG_ANYTHING, A.ARG_ANYTHING], gplOnly: true },
  bpf_timer_cancel: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_TIMER], gplOnly: true },
  bpf_get_attach_cookie: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_CTX] },
  bpf_task_pt_regs: {
    ret: A.RET_PTR_TO_BTF_ID,
    args: [A.ARG_PTR_TO_BTF_ID],
    gplOnly: true,
    argBtf: { 1: 'task_struct' },
    retBtf: 'pt_regs',
  },
  bpf_get_branch_snapshot: {
    ret: A.RET_INTEGER,
    args: [T.MEM_UNINIT | T.MEM_WRITE | A.ARG_PTR_TO_MEM, A.ARG_CONST_SIZE_OR_ZERO],
    gplOnly: true,
  },
  bpf_skc_to_unix_sock: {
    ret: T.PTR_MAYBE_NULL | A.RET_PTR_TO_BTF_ID,
    args: [A.ARG_PTR_TO_BTF_ID_SOCK_COMMON],
    retBtf: 'unix_sock',
  },
  bpf_kallsyms_lookup_name: {
    ret: A.RET_INTEGER,
    args: [
      A.ARG_PTR_TO_MEM,
      A.ARG_CONST_SIZE_OR_ZERO,
      A.ARG_ANYTHING,
      T.MEM_FIXED_SIZE | A.ARG_PTR_TO_MEM | T.MEM_UNINIT | T.MEM_WRITE | T.MEM_ALIGNED,
    ],
    argSize: { 4: 8 },
  },
  bpf_find_vma: {
    ret: A.RET_INTEGER,
    args: [
      A.ARG_PTR_TO_BTF_ID,
      A.ARG_ANYTHING,
      A.ARG_PTR_TO_FUNC,
      T.PTR_MAYBE_NULL | A.ARG_PTR_TO_STACK,
      A.ARG_ANYTHING,
    ],
    argBtf: { 1: 'task_struct' },
  },
  bpf_loop: {
    ret: A.RET_INTEGER,
    args: [A.ARG_ANYTHING, A.ARG_PTR_TO_FUNC, T.PTR_MAYBE_NULL | A.ARG_PTR_TO_STACK, A.ARG_ANYTHING],
  },
  bpf_strncmp: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_MEM | T.MEM_RDONLY, A.ARG_CONST_SIZE, A.ARG_PTR_TO_CONST_STR],
  },
  bpf_get_func_arg: {
    ret: A.RET_INTEGER,
    args: [
      A.ARG_PTR_TO_CTX,
      A.ARG_ANYTHING,
      T.MEM_FIXED_SIZE | A.ARG_PTR_TO_MEM | T.MEM_UNINIT | T.MEM_WRITE | T.MEM_ALIGNED,
    ],
    argSize: { 3: 8 },
  },
  bpf_get_func_ret: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, T.MEM_FIXED_SIZE | A.ARG_PTR_TO_MEM | T.MEM_UNINIT | T.MEM_WRITE | T.MEM_ALIGNED],
    argSize: { 2: 8 },
  },
  bpf_get_func_arg_cnt: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_CTX] },
  bpf_get_retval: { ret: A.RET_INTEGER, args: [] },
  bpf_set_retval: { ret: A.RET_INTEGER, args: [A.ARG_ANYTHING] },
  bpf_xdp_get_buff_len: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_CTX] },
  bpf_xdp_get_buff_len_trace: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_BTF_ID], argBtf: { 1: 'xdp_buff' } },
  bpf_xdp_load_bytes: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING, T.MEM_UNINIT | T.MEM_WRITE | A.ARG_PTR_TO_MEM, A.ARG_CONST_SIZE],
  },
  bpf_xdp_store_bytes: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING, A.ARG_PTR_TO_MEM | T.MEM_RDONLY, A.ARG_CONST_SIZE],
  },
  bpf_copy_from_user_task: {
    ret: A.RET_INTEGER,
    args: [
      T.MEM_UNINIT | T.MEM_WRITE | A.ARG_PTR_TO_MEM,
      A.ARG_CONST_SIZE_OR_ZERO,
      A.ARG_ANYTHING,
      A.ARG_PTR_TO_BTF_ID,
      A.ARG_ANYTHING,
    ],
    gplOnly: true,
    mightSleep: true,
    argBtf: { 4: 'task_struct' },
  },
  bpf_skb_set_tstamp: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING, A.ARG_ANYTHING] },
  bpf_kptr_xchg: {
    ret: T.PTR_MAYBE_NULL | A.RET_PTR_TO_BTF_ID,
    args: [A.ARG_KPTR_XCHG_DEST, T.PTR_MAYBE_NULL | A.ARG_PTR_TO_BTF_ID | T.OBJ_RELEASE],
    argBtf: { 2: '' },
    retBtf: '',
  },
  bpf_map_lookup_percpu_elem: {
    ret: T.PTR_MAYBE_NULL | A.RET_PTR_TO_MAP_VALUE,
    args: [A.ARG_CONST_MAP_PTR, A.ARG_PTR_TO_MAP_KEY, A.ARG_ANYTHING],
    pktAccess: true,
  },
  bpf_skc_to_mptcp_sock: {
    ret: T.PTR_MAYBE_NULL | A.RET_PTR_TO_BTF_ID,
    args: [A.ARG_PTR_TO_SOCK_COMMON],
    retBtf: 'mptcp_sock',
  },
  bpf_dynptr_from_mem: {
    ret: A.RET_INTEGER,
    args: [
      T.MEM_UNINIT | T.MEM_WRITE | A.ARG_PTR_TO_MEM,
      A.ARG_CONST_SIZE_OR_ZERO,
      A.ARG_ANYTHING,
      A.ARG_PTR_TO_DYNPTR | T.DYNPTR_TYPE_LOCAL | T.MEM_UNINIT | T.MEM_WRITE,
    ],
  },
  bpf_ringbuf_reserve_dynptr: {
    ret: A.RET_INTEGER,
    args: [
      A.ARG_CONST_MAP_PTR,
      A.ARG_ANYTHING,
      A.ARG_ANYTHING,
      A.ARG_PTR_TO_DYNPTR | T.DYNPTR_TYPE_RINGBUF | T.MEM_UNINIT | T.MEM_WRITE,
    ],
  },
  bpf_ringbuf_submit_dynptr: {
    ret: A.RET_VOID,
    args: [A.ARG_PTR_TO_DYNPTR | T.DYNPTR_TYPE_RINGBUF | T.OBJ_RELEASE, A.ARG_ANYTHING],
  },
  bpf_ringbuf_discard_dynptr: {
    ret: A.RET_VOID,
    args: [A.ARG_PTR_TO_DYNPTR | T.DYNPTR_TYPE_RINGBUF | T.OBJ_RELEASE, A.ARG_ANYTHING],
  },
  bpf_dynptr_read: {
    ret: A.RET_INTEGER,
    args: [
      T.MEM_UNINIT | T.MEM_WRITE | A.ARG_PTR_TO_MEM,
      A.ARG_CONST_SIZE_OR_ZERO,
      A.ARG_PTR_TO_DYNPTR | T.MEM_RDONLY,
      A.ARG_ANYTHING,
      A.ARG_ANYTHING,
    ],
  },
  bpf_dynptr_write: {
    ret: A.RET_INTEGER,
    args: [
      A.ARG_PTR_TO_DYNPTR | T.MEM_RDONLY,
      A.ARG_ANYTHING,
      A.ARG_PTR_TO_MEM | T.MEM_RDONLY,
      A.ARG_CONST_SIZE_OR_ZERO,
      A.ARG_ANYTHING,
    ],
  },
  bpf_dynptr_data: {
    ret: T.PTR_MAYBE_NULL | A.RET_PTR_TO_MEM,
    args: [A.ARG_PTR_TO_DYNPTR | T.MEM_RDONLY, A.ARG_ANYTHING, A.ARG_CONST_ALLOC_SIZE_OR_ZERO],
  },
  bpf_tcp_raw_gen_syncookie_ipv4: {
    ret: A.RET_INTEGER,
    args: [T.MEM_FIXED_SIZE | A.ARG_PTR_TO_MEM, A.ARG_PTR_TO_MEM, A.ARG_CONST_SIZE_OR_ZERO],
    gplOnly: true,
    pktAccess: true,
    argSize: { 1: 20 },
  },
  bpf_tcp_raw_gen_syncookie_ipv6: {
    ret: A.RET_INTEGER,
    args: [T.MEM_FIXED_SIZE | A.ARG_PTR_TO_MEM, A.ARG_PTR_TO_MEM, A.ARG_CONST_SIZE_OR_ZERO],
    gplOnly: true,
    pktAccess: true,
    argSize: { 1: 40 },
  },
  bpf_tcp_raw_check_syncookie_ipv4: {
    ret: A.RET_INTEGER,
    args: [T.MEM_FIXED_SIZE | A.ARG_PTR_TO_MEM, T.MEM_FIXED_SIZE | A.ARG_PTR_TO_MEM],
    gplOnly: true,
    pktAccess: true,
    argSize: { 1: 20, 2: 20 },
  },
  bpf_tcp_raw_check_syncookie_ipv6: {
    ret: A.RET_INTEGER,
    args: [T.MEM_FIXED_SIZE | A.ARG_PTR_TO_MEM, T.MEM_FIXED_SIZE | A.ARG_PTR_TO_MEM],
    gplOnly: true,
    pktAccess: true,
    argSize: { 1: 40, 2: 20 },
  },
  bpf_ktime_get_tai_ns: { ret: A.RET_INTEGER, args: [] },
  bpf_user_ringbuf_drain: {
    ret: A.RET_INTEGER,
    args: [A.ARG_CONST_MAP_PTR, A.ARG_PTR_TO_FUNC, T.PTR_MAYBE_NULL | A.ARG_PTR_TO_STACK, A.ARG_ANYTHING],
  },
  bpf_cgrp_storage_get: {
    ret: T.PTR_MAYBE_NULL | A.RET_PTR_TO_MAP_VALUE,
    args: [
      A.ARG_CONST_MAP_PTR,
      T.PTR_MAYBE_NULL | A.ARG_PTR_TO_BTF_ID,
      T.PTR_MAYBE_NULL | A.ARG_PTR_TO_MAP_VALUE,
      A.ARG_ANYTHING,
    ],
    argBtf: { 2: 'cgroup' },
  },
  bpf_cgrp_storage_delete: {
    ret: A.RET_INTEGER,
    args: [A.ARG_CONST_MAP_PTR, T.PTR_MAYBE_NULL | A.ARG_PTR_TO_BTF_ID],
    argBtf: { 2: 'cgroup' },
  },
  bpf_get_func_ip: { ret: A.RET_INTEGER, args: [A.ARG_PTR_TO_CTX], gplOnly: true },
  bpf_trace_printk: { ret: A.RET_INTEGER, args: [T.MEM_RDONLY | A.ARG_PTR_TO_MEM, A.ARG_CONST_SIZE], gplOnly: true },
  bpf_trace_vprintk: {
    ret: A.RET_INTEGER,
    args: [
      T.MEM_RDONLY | A.ARG_PTR_TO_MEM,
      A.ARG_CONST_SIZE,
      T.MEM_RDONLY | T.PTR_MAYBE_NULL | A.ARG_PTR_TO_MEM,
      A.ARG_CONST_SIZE_OR_ZERO,
    ],
    gplOnly: true,
  },
  bpf_bind: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, A.ARG_PTR_TO_MEM | T.MEM_RDONLY, A.ARG_CONST_SIZE],
  },
  bpf_flow_dissector_load_bytes: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING, A.ARG_PTR_TO_MEM | T.MEM_UNINIT | T.MEM_WRITE, A.ARG_CONST_SIZE],
  },
  bpf_get_cgroup_classid_curr: {
    ret: A.RET_INTEGER,
    args: [],
  },
  bpf_get_netns_cookie_sk_msg: {
    ret: A.RET_INTEGER,
    args: [T.PTR_MAYBE_NULL | A.ARG_PTR_TO_CTX],
  },
  bpf_get_netns_cookie_sock: {
    ret: A.RET_INTEGER,
    args: [T.PTR_MAYBE_NULL | A.ARG_PTR_TO_CTX],
  },
  bpf_get_netns_cookie_sock_addr: {
    ret: A.RET_INTEGER,
    args: [T.PTR_MAYBE_NULL | A.ARG_PTR_TO_CTX],
  },
  bpf_get_netns_cookie_sockopt: {
    ret: A.RET_INTEGER,
    args: [T.PTR_MAYBE_NULL | A.ARG_PTR_TO_CTX],
  },
  bpf_get_socket_cookie_sock: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX],
  },
  bpf_get_socket_cookie_sock_addr: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX],
  },
  bpf_lwt_in_push_encap: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING, A.ARG_PTR_TO_MEM | T.MEM_RDONLY, A.ARG_CONST_SIZE],
  },
  bpf_lwt_xmit_push_encap: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING, A.ARG_PTR_TO_MEM | T.MEM_RDONLY, A.ARG_CONST_SIZE],
  },
  bpf_msg_apply_bytes: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING],
  },
  bpf_msg_cork_bytes: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING],
  },
  bpf_msg_pop_data: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING, A.ARG_ANYTHING, A.ARG_ANYTHING],
  },
  bpf_msg_pull_data: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING, A.ARG_ANYTHING, A.ARG_ANYTHING],
  },
  bpf_msg_push_data: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING, A.ARG_ANYTHING, A.ARG_ANYTHING],
  },
  bpf_msg_redirect_hash: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, A.ARG_CONST_MAP_PTR, A.ARG_PTR_TO_MAP_KEY, A.ARG_ANYTHING],
  },
  bpf_msg_redirect_map: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, A.ARG_CONST_MAP_PTR, A.ARG_ANYTHING, A.ARG_ANYTHING],
  },
  bpf_sk_lookup_assign: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, T.PTR_MAYBE_NULL | A.ARG_PTR_TO_SOCKET, A.ARG_ANYTHING],
  },
  bpf_sk_storage_get_cg_sock: {
    ret: T.PTR_MAYBE_NULL | A.RET_PTR_TO_MAP_VALUE,
    args: [A.ARG_CONST_MAP_PTR, A.ARG_PTR_TO_CTX, T.PTR_MAYBE_NULL | A.ARG_PTR_TO_MAP_VALUE, A.ARG_ANYTHING],
  },
  bpf_skb_set_tunnel_key: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, A.ARG_PTR_TO_MEM | T.MEM_RDONLY, A.ARG_CONST_SIZE, A.ARG_ANYTHING],
  },
  bpf_skb_set_tunnel_opt: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, A.ARG_PTR_TO_MEM | T.MEM_RDONLY, A.ARG_CONST_SIZE],
  },
  bpf_sock_addr_getsockopt: {
    ret: A.RET_INTEGER,
    args: [
      A.ARG_PTR_TO_CTX,
      A.ARG_ANYTHING,
      A.ARG_ANYTHING,
      A.ARG_PTR_TO_MEM | T.MEM_UNINIT | T.MEM_WRITE,
      A.ARG_CONST_SIZE,
    ],
  },
  bpf_sock_addr_setsockopt: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING, A.ARG_ANYTHING, A.ARG_PTR_TO_MEM | T.MEM_RDONLY, A.ARG_CONST_SIZE],
  },
  bpf_sock_addr_sk_lookup_tcp: {
    ret: T.PTR_MAYBE_NULL | A.RET_PTR_TO_SOCKET,
    args: [A.ARG_PTR_TO_CTX, A.ARG_PTR_TO_MEM | T.MEM_RDONLY, A.ARG_CONST_SIZE_OR_ZERO, A.ARG_ANYTHING, A.ARG_ANYTHING],
  },
  bpf_sock_addr_sk_lookup_udp: {
    ret: T.PTR_MAYBE_NULL | A.RET_PTR_TO_SOCKET,
    args: [A.ARG_PTR_TO_CTX, A.ARG_PTR_TO_MEM | T.MEM_RDONLY, A.ARG_CONST_SIZE_OR_ZERO, A.ARG_ANYTHING, A.ARG_ANYTHING],
  },
  bpf_sock_addr_skc_lookup_tcp: {
    ret: T.PTR_MAYBE_NULL | A.RET_PTR_TO_SOCK_COMMON,
    args: [A.ARG_PTR_TO_CTX, A.ARG_PTR_TO_MEM | T.MEM_RDONLY, A.ARG_CONST_SIZE_OR_ZERO, A.ARG_ANYTHING, A.ARG_ANYTHING],
  },
  bpf_sysctl_get_current_value: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, A.ARG_PTR_TO_MEM | T.MEM_UNINIT | T.MEM_WRITE, A.ARG_CONST_SIZE],
  },
  bpf_sysctl_get_name: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, A.ARG_PTR_TO_MEM | T.MEM_WRITE, A.ARG_CONST_SIZE, A.ARG_ANYTHING],
  },
  bpf_sysctl_get_new_value: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, A.ARG_PTR_TO_MEM | T.MEM_UNINIT | T.MEM_WRITE, A.ARG_CONST_SIZE],
  },
  bpf_sysctl_set_new_value: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, A.ARG_PTR_TO_MEM | T.MEM_RDONLY, A.ARG_CONST_SIZE],
  },
  sk_reuseport_load_bytes: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING, A.ARG_PTR_TO_MEM | T.MEM_UNINIT | T.MEM_WRITE, A.ARG_CONST_SIZE],
  },
  sk_reuseport_load_bytes_relative: {
    ret: A.RET_INTEGER,
    args: [
      A.ARG_PTR_TO_CTX,
      A.ARG_ANYTHING,
      A.ARG_PTR_TO_MEM | T.MEM_UNINIT | T.MEM_WRITE,
      A.ARG_CONST_SIZE,
      A.ARG_ANYTHING,
    ],
  },
  sk_select_reuseport: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, A.ARG_CONST_MAP_PTR, A.ARG_PTR_TO_MAP_KEY, A.ARG_ANYTHING],
  },
  sk_skb_adjust_room: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING, A.ARG_ANYTHING, A.ARG_ANYTHING],
  },
  sk_skb_change_head: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING, A.ARG_ANYTHING],
  },
  sk_skb_change_tail: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING, A.ARG_ANYTHING],
  },
  sk_skb_pull_data: {
    ret: A.RET_INTEGER,
    args: [A.ARG_PTR_TO_CTX, A.ARG_ANYTHING],
  },
  bpf_probe_write_user: {
    ret: A.RET_INTEGER,
    args: [A.ARG_ANYTHING, A.ARG_PTR_TO_MEM | T.MEM_RDONLY, A.ARG_CONST_SIZE],
    gplOnly: true,
  },
};
