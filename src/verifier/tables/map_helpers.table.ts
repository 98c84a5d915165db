import * as P from './contexts.table.ts';

/** BPF_MAP_TYPE_*: the helpers that alone may be given such a map (`check_map_func_compatibility`, 6.18). */
export const HELPERS_OF_MAP: Readonly<Record<number, readonly string[]>> = {
  3: ['tail_call'],
  4: ['perf_event_read', 'perf_event_output', 'skb_output', 'perf_event_read_value', 'xdp_output'],
  7: ['get_stackid'],
  8: ['skb_under_cgroup', 'current_task_under_cgroup'],
  12: ['map_lookup_elem'],
  13: ['map_lookup_elem'],
  14: ['redirect_map', 'map_lookup_elem'],
  15: ['sk_redirect_map', 'sock_map_update', 'msg_redirect_map', 'sk_select_reuseport', 'map_lookup_elem'],
  16: ['redirect_map'],
  17: ['redirect_map', 'map_lookup_elem'],
  18: ['sk_redirect_hash', 'sock_hash_update', 'msg_redirect_hash', 'sk_select_reuseport', 'map_lookup_elem'],
  19: ['get_local_storage'],
  20: ['sk_select_reuseport'],
  21: ['get_local_storage'],
  22: ['map_peek_elem', 'map_pop_elem', 'map_push_elem'],
  23: ['map_peek_elem', 'map_pop_elem', 'map_push_elem'],
  24: ['sk_storage_get', 'sk_storage_delete', 'kptr_xchg'],
  25: ['redirect_map', 'map_lookup_elem'],
  27: [
    'ringbuf_output',
    'ringbuf_reserve',
    'ringbuf_query',
    'ringbuf_reserve_dynptr',
    'ringbuf_submit_dynptr',
    'ringbuf_discard_dynptr',
  ],
  28: ['inode_storage_get', 'inode_storage_delete', 'kptr_xchg'],
  29: ['task_storage_get', 'task_storage_delete', 'kptr_xchg'],
  30: ['map_peek_elem', 'map_push_elem'],
  31: ['user_ringbuf_drain'],
  32: ['cgrp_storage_get', 'cgrp_storage_delete', 'kptr_xchg'],
};

/** Helper: the map types that alone it may be given. */
export const MAPS_OF_HELPER: Readonly<Record<string, readonly number[]>> = {
  tail_call: [3],
  perf_event_read: [4],
  perf_event_output: [4],
  perf_event_read_value: [4],
  skb_output: [4],
  xdp_output: [4],
  ringbuf_output: [27],
  ringbuf_reserve: [27],
  ringbuf_query: [27],
  ringbuf_reserve_dynptr: [27],
  user_ringbuf_drain: [31],
  get_stackid: [7],
  current_task_under_cgroup: [8],
  skb_under_cgroup: [8],
  redirect_map: [14, 25, 16, 17],
  get_local_storage: [19, 21],
  map_pop_elem: [22, 23],
  map_peek_elem: [22, 23, 30],
  map_push_elem: [22, 23, 30],
  map_lookup_percpu_elem: [6, 5, 10],
  sk_redirect_map: [15],
  msg_redirect_map: [15],
  sock_map_update: [15],
  sk_redirect_hash: [18],
  msg_redirect_hash: [18],
  sock_hash_update: [18],
  sk_select_reuseport: [20, 15, 18],
  sk_storage_get: [24],
  sk_storage_delete: [24],
  inode_storage_get: [28],
  inode_storage_delete: [28],
  task_storage_get: [29],
  task_storage_delete: [29],
  cgrp_storage_get: [32],
  cgrp_storage_delete: [32],
};

/** The kernel's struct of each map type (`map_btf_id`). */
export const STRUCT_OF_MAP: Readonly<Record<number, string>> = {
  1: 'bpf_htab',
  2: 'bpf_array',
  3: 'bpf_array',
  4: 'bpf_array',
  5: 'bpf_htab',
  6: 'bpf_array',
  7: 'bpf_stack_map',
  8: 'bpf_array',
  9: 'bpf_htab',
  10: 'bpf_htab',
  11: 'lpm_trie',
  12: 'bpf_array',
  13: 'bpf_htab',
  14: 'bpf_dtab',
  15: 'bpf_stab',
  16: 'bpf_cpu_map',
  17: 'xsk_map',
  18: 'bpf_shtab',
  19: 'bpf_cgroup_storage_map',
  20: 'reuseport_array',
  21: 'bpf_cgroup_storage_map',
  22: 'bpf_queue_stack',
  23: 'bpf_queue_stack',
  24: 'bpf_local_storage_map',
  25: 'bpf_dtab',
  26: 'bpf_struct_ops_map',
  27: 'bpf_ringbuf_map',
  28: 'bpf_local_storage_map',
  29: 'bpf_local_storage_map',
  30: 'bpf_bloom_filter',
  31: 'bpf_ringbuf_map',
  32: 'bpf_local_storage_map',
  33: 'bpf_arena',
};

/** Maps of sockets. */
export const SOCK_MAPS: readonly number[] = [15, 18];

/** Program types that may change sockmaps: no socket is locked where they run (`may_update_sockmap`). */
export const SOCKMAP_UPDATERS: readonly number[] = [
  P.PROG_SOCKET_FILTER,
  P.PROG_SCHED_CLS,
  P.PROG_SCHED_ACT,
  P.PROG_XDP,
  P.PROG_SK_REUSEPORT,
  P.PROG_FLOW_DISSECTOR,
  P.PROG_SK_LOOKUP,
];

/** Map types whose elements `bpf_for_each_map_elem` walks. */
export const ITERABLE_MAPS: readonly number[] = [1, 2, 5, 6, 9, 10];

/** Helpers whose map the rewrites ask for (`record_func_map`). */
export const RECORDS_MAP: readonly string[] = [
  'tail_call',
  'map_lookup_elem',
  'map_update_elem',
  'map_delete_elem',
  'map_push_elem',
  'map_pop_elem',
  'map_peek_elem',
  'for_each_map_elem',
  'redirect_map',
  'map_lookup_percpu_elem',
];

/** Helpers that allocate, and do so by the caller's rules: they take how as an argument that no program gives. */
export const STORAGE_GET: readonly string[] = [
  'sk_storage_get',
  'inode_storage_get',
  'task_storage_get',
  'cgrp_storage_get',
];

/** Helpers that change packet data, or may through a program that they call (`bpf_helper_changes_pkt_data`). */
export const CHANGES_PACKET: readonly string[] = [
  'clone_redirect',
  'l3_csum_replace',
  'l4_csum_replace',
  'lwt_push_encap',
  'lwt_seg6_action',
  'lwt_seg6_adjust_srh',
  'lwt_seg6_store_bytes',
  'msg_pop_data',
  'msg_pull_data',
  'msg_push_data',
  'skb_adjust_room',
  'skb_change_head',
  'skb_change_proto',
  'skb_change_tail',
  'skb_pull_data',
  'skb_store_bytes',
  'skb_vlan_pop',
  'skb_vlan_push',
  'store_hdr_opt',
  'xdp_adjust_head',
  'xdp_adjust_meta',
  'xdp_adjust_tail',
  'tail_call',
];
