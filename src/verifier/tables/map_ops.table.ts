/** A map's own functions (`struct bpf_map_ops`), by the operation that a helper stands for. */
type MapOps = Readonly<
  Partial<
    Record<'lookup' | 'update' | 'delete' | 'push' | 'pop' | 'peek' | 'redirect' | 'forEach' | 'lookupPerCpu', string>
  >
>;

const trio = (prefix: string): MapOps => ({
  lookup: `${prefix}_lookup_elem`,
  update: `${prefix}_update_elem`,
  delete: `${prefix}_delete_elem`,
});
const fdArray: MapOps = { lookup: 'fd_array_map_lookup_elem', delete: 'fd_array_map_delete_elem' };
const inArray = { forEach: 'bpf_for_each_array_elem' };
const inHash = { forEach: 'bpf_for_each_hash_elem' };
const queue = (kind: string): MapOps => ({
  ...trio('queue_stack_map'),
  push: 'queue_stack_map_push_elem',
  pop: `${kind}_map_pop_elem`,
  peek: `${kind}_map_peek_elem`,
});

/** BPF_MAP_TYPE_* → operations (include/linux/bpf_types.h and the files it names, 6.12 and 6.18). */
export const MAP_OPS: Readonly<Record<number, MapOps>> = {
  1: { ...trio('htab_map'), ...inHash },
  2: { ...trio('array_map'), ...inArray },
  3: fdArray,
  4: fdArray,
  5: {
    ...trio('htab_percpu_map'),
    delete: 'htab_map_delete_elem',
    lookupPerCpu: 'htab_percpu_map_lookup_percpu_elem',
    ...inHash,
  },
  6: {
    ...trio('array_map'),
    lookup: 'percpu_array_map_lookup_elem',
    lookupPerCpu: 'percpu_array_map_lookup_percpu_elem',
    ...inArray,
  },
  7: trio('stack_map'),
  8: fdArray,
  9: { ...trio('htab_lru_map'), ...inHash },
  10: {
    ...trio('htab_lru_percpu_map'),
    delete: 'htab_lru_map_delete_elem',
    lookupPerCpu: 'htab_lru_percpu_map_lookup_percpu_elem',
    ...inHash,
  },
  11: trio('trie'),
  12: { lookup: 'array_of_map_lookup_elem', delete: 'fd_array_map_delete_elem' },
  13: { lookup: 'htab_of_map_lookup_elem', delete: 'htab_map_delete_elem' },
  14: { ...trio('dev_map'), redirect: 'dev_map_redirect' },
  15: { lookup: 'sock_map_lookup', update: 'sock_map_update_elem', delete: 'sock_map_delete_elem' },
  16: { ...trio('cpu_map'), redirect: 'cpu_map_redirect' },
  17: { ...trio('xsk_map'), redirect: 'xsk_map_redirect' },
  18: { lookup: 'sock_hash_lookup', update: 'sock_map_update_elem', delete: 'sock_hash_delete_elem' },
  19: trio('cgroup_storage'),
  20: { lookup: 'reuseport_array_lookup_elem', delete: 'reuseport_array_delete_elem' },
  21: trio('cgroup_storage'),
  22: queue('queue'),
  23: queue('stack'),
  24: trio('bpf_fd_sk_storage'),
  25: { ...trio('dev_map_hash'), redirect: 'dev_hash_map_redirect' },
  26: trio('bpf_struct_ops_map'),
  27: trio('ringbuf_map'),
  28: trio('bpf_fd_inode_storage'),
  29: trio('bpf_pid_task_storage'),
  30: { ...trio('bloom_map'), push: 'bloom_map_push_elem', pop: 'bloom_map_pop_elem', peek: 'bloom_map_peek_elem' },
  31: trio('ringbuf_map'),
  32: trio('bpf_cgrp_storage'),
  33: { ...trio('arena_map'), push: 'arena_map_push_elem', pop: 'arena_map_pop_elem', peek: 'arena_map_peek_elem' },
};

/** Helper → the operation that is called in its place where the map is known (`do_misc_fixups`). */
export const MAP_OPERATIONS: Readonly<Record<number, keyof MapOps>> = {
  1: 'lookup',
  2: 'update',
  3: 'delete',
  51: 'redirect',
  87: 'push',
  88: 'pop',
  89: 'peek',
  164: 'forEach',
  195: 'lookupPerCpu',
};
