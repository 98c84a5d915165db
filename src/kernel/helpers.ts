import { helperName } from '../bpf/index.ts';
import type { GuestPtr } from '../machine/index.ts';
import { mapGates } from './helpers_map.ts';
import { memoryGates } from './helpers_memory.ts';
import { ringGates } from './helpers_ring.ts';
import type { Kernel } from './kernel.ts';
import { MAP_TYPE } from './maps.ts';
import type { GateCall, GateDef } from './types.ts';

const EINVAL = -22;

/** Symbols behind helper ids whose function is not called after the helper. */
const OTHER_SYMBOLS: Record<number, string> = { 7: 'bpf_user_rnd_u32' };

/** Symbol of a helper's function. */
export const helperSymbol = (id: number): string => OTHER_SYMBOLS[id] ?? helperName(id);

const HASH_OPERATIONS = (prefix: string): Record<number, string> => ({
  1: `${prefix}lookup_elem`,
  2: `${prefix}update_elem`,
  3: `${prefix}delete_elem`,
  164: 'bpf_for_each_hash_elem',
});
const ARRAY_OPERATIONS = (prefix: string): Record<number, string> => ({
  1: `${prefix}lookup_elem`,
  2: `${prefix}update_elem`,
  3: `${prefix}delete_elem`,
  164: 'bpf_for_each_array_elem',
});
/** By map type: the functions of its `bpf_map_ops`, by the helper that they stand for. */
const OPERATIONS: Record<number, Record<number, string>> = {
  [MAP_TYPE.ARRAY]: ARRAY_OPERATIONS('array_map_'),
  [MAP_TYPE.PERCPU_ARRAY]: {
    ...ARRAY_OPERATIONS('percpu_array_map_'),
    2: 'array_map_update_elem',
    3: 'array_map_delete_elem',
    195: 'percpu_array_map_lookup_percpu_elem',
  },
  [MAP_TYPE.HASH]: HASH_OPERATIONS('htab_map_'),
  [MAP_TYPE.PERCPU_HASH]: {
    ...HASH_OPERATIONS('htab_percpu_map_'),
    3: 'htab_map_delete_elem',
    195: 'htab_percpu_map_lookup_percpu_elem',
  },
  [MAP_TYPE.LRU_HASH]: HASH_OPERATIONS('htab_lru_map_'),
  [MAP_TYPE.LRU_PERCPU_HASH]: {
    ...HASH_OPERATIONS('htab_lru_percpu_map_'),
    3: 'htab_lru_map_delete_elem',
    195: 'htab_lru_percpu_map_lookup_percpu_elem',
  },
  [MAP_TYPE.LPM_TRIE]: { 1: 'trie_lookup_elem', 2: 'trie_update_elem', 3: 'trie_delete_elem' },
  [MAP_TYPE.ARRAY_OF_MAPS]: { 1: 'array_of_map_lookup_elem' },
  [MAP_TYPE.HASH_OF_MAPS]: { 1: 'htab_of_map_lookup_elem' },
  [MAP_TYPE.QUEUE]: { 87: 'queue_stack_map_push_elem', 88: 'queue_map_pop_elem', 89: 'queue_map_peek_elem' },
  [MAP_TYPE.STACK]: { 87: 'queue_stack_map_push_elem', 88: 'stack_map_pop_elem', 89: 'stack_map_peek_elem' },
  [MAP_TYPE.BLOOM_FILTER]: { 87: 'bloom_map_push_elem', 88: 'bloom_map_pop_elem', 89: 'bloom_map_peek_elem' },
};

/** The map's own function, which the kernel calls instead of the helper when it knows the map (do_misc_fixups, 6.18). */
export function mapOperation(id: number, type: number): string | undefined {
  return OPERATIONS[type]?.[id];
}

/** The functions behind the helpers that are modelled, and those that rewritten programs call. */
export function helperGates(kernel: () => Kernel): GateDef[] {
  const gates = new Map<string, GateDef>();
  const gate = (name: string, handler: (k: Kernel, call: GateCall) => void) =>
    void gates.set(name, { name, handler: (call) => handler(kernel(), call) });

  const byHelper = mapGates();
  for (const [id, handler] of byHelper) {
    gate(helperName(id), handler);
    for (const operations of Object.values(OPERATIONS)) {
      const own = operations[id];
      if (own !== undefined) gate(own, handler);
    }
  }
  gate('__htab_map_lookup_elem', (k, call) => {
    const found = k.mapAt(call.ptr(0));
    const key = found === undefined ? undefined : k.memory.copyNofault(call.ptr(1), found.blueprint.keySize);
    call.retPtr(found === undefined || key === undefined ? 0 : (found.element?.(key) ?? 0));
  });

  const time = (k: Kernel, call: GateCall) => call.retNumber(k.now());
  for (const name of ['bpf_ktime_get_ns', 'bpf_ktime_get_boot_ns', 'bpf_ktime_get_coarse_ns', 'bpf_ktime_get_tai_ns'])
    gate(name, time);
  gate('bpf_jiffies64', (k, call) => call.retNumber(k.jiffies()));
  gate('bpf_get_smp_processor_id', (_, call) => call.ret(0));
  gate('bpf_get_numa_node_id', (_, call) => call.ret(0));
  gate('bpf_user_rnd_u32', (k, call) => call.ret(k.random.u32() | 0));
  gate('bpf_get_current_pid_tgid', (_, call) => call.ret(1, 1));
  gate('bpf_get_current_uid_gid', (_, call) => call.ret(0));
  gate('bpf_get_current_comm', (k, call) => {
    const size = call.lo(1);
    if (size <= 0) return call.retNumber(EINVAL);
    const name = new TextEncoder().encode('trampet').subarray(0, size - 1);
    const target = k.memory.bytes(call.ptr(0), size).fill(0);
    target.set(name);
    call.ret(0);
  });
  for (const name of ['bpf_spin_lock', 'bpf_spin_unlock']) gate(name, (_, call) => call.ret(0));
  memoryGates(gate);
  ringGates(gate);

  const timerOf = (call: GateCall): GuestPtr => call.ptr(0);
  gate('bpf_timer_init', (k, call) => {
    const map = k.mapAt(call.ptr(1));
    call.retNumber(map === undefined || call.hi(2) !== 0 ? EINVAL : k.timers.init(timerOf(call), map, call.lo(2)));
  });
  gate('bpf_timer_set_callback', (k, call) => call.retNumber(k.timers.setCallback(timerOf(call), call.ptr(1))));
  gate('bpf_timer_start', (k, call) => {
    const ns = (call.lo(1) >>> 0) + (call.hi(1) >>> 0) * 0x1_0000_0000;
    call.retNumber(call.hi(2) !== 0 ? EINVAL : k.timers.start(timerOf(call), ns, call.lo(2)));
  });
  gate('bpf_timer_cancel', (k, call) => call.retNumber(k.timers.cancel(timerOf(call))));
  return [...gates.values()];
}
