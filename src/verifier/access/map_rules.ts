import { type Env, type MapInfo, reject } from '../core/types.ts';
import * as P from '../tables/contexts.table.ts';
import { MAP_STRUCT_OPS } from '../tables/maps.table.ts';
import * as F from '../tables/special_fields.table.ts';
import { hasField } from './record.ts';

/** Maps that sleepable programs may use (`check_map_prog_compatibility`): BPF_MAP_TYPE_*. */
const SLEEPABLE_MAPS: readonly number[] = [1, 2, 5, 6, 9, 10, 12, 13, 22, 23, 24, 27, 28, 29, 31, 32, 33];

/** `is_tracing_prog_type`. */
const TRACING: readonly number[] = [
  P.PROG_KPROBE,
  P.PROG_TRACEPOINT,
  P.PROG_PERF_EVENT,
  P.PROG_RAW_TRACEPOINT,
  P.PROG_RAW_TRACEPOINT_WRITABLE,
];

function checkFields(env: Env, { record }: MapInfo): void {
  const { progType } = env.input;
  const tracing = TRACING.includes(progType);
  const refuse = (types: string, what: string): never => reject(env, 'EINVAL', `${types} progs cannot use ${what} yet`);
  if (tracing && hasField(record, F.BPF_GRAPH_ROOT)) refuse('tracing', 'bpf_{list_head,rb_root}');
  if (hasField(record, F.BPF_LOCKS)) {
    if (progType === P.PROG_SOCKET_FILTER) refuse('socket filter', 'bpf_spin_lock');
    if (tracing) refuse('tracing', 'bpf_spin_lock');
  }
  if (tracing && hasField(record, F.BPF_TIMER)) refuse('tracing', 'bpf_timer');
  if (tracing && hasField(record, F.BPF_WORKQUEUE)) refuse('tracing', 'bpf_wq');
}

function checkMap(env: Env, map: MapInfo): void {
  checkFields(env, map);
  if (map.type === MAP_STRUCT_OPS) reject(env, 'EINVAL', 'bpf_struct_ops map cannot be used in prog');
  if (env.input.sleepable && !SLEEPABLE_MAPS.includes(map.type)) {
    reject(env, 'EINVAL', 'Sleepable programs can only use array, hash, ringbuf and local storage maps');
  }
}

/** Whether the program may use the map at all (`check_map_prog_compatibility`). */
export function checkMapProgCompatibility(env: Env, mapIndex: number): void {
  const map = env.input.maps[mapIndex];
  if (map) checkMap(env, map);
}
