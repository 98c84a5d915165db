import type { Btf } from '../../btf/index.ts';
import { type Env, type MapInfo, reject } from '../core/types.ts';
import { isStruct, skipModifiers } from './btf_walk.ts';
import { unsupported } from './unsupported.ts';

const STRUCT_OPS_MAP = 26;

/** Maps that sleepable programs may use (`check_map_prog_compatibility`): BPF_MAP_TYPE_*. */
const SLEEPABLE_MAPS: readonly number[] = [1, 2, 5, 6, 9, 10, 12, 13, 22, 23, 24, 27, 28, 29, 31, 32, 33];

/** Structs that the kernel gives a meaning in map values. */
const SPECIAL: readonly string[] = [
  'bpf_spin_lock',
  'bpf_res_spin_lock',
  'bpf_timer',
  'bpf_wq',
  'bpf_task_work',
  'bpf_list_head',
  'bpf_list_node',
  'bpf_rb_root',
  'bpf_rb_node',
  'bpf_refcount',
];
const KPTR_TAGS: readonly string[] = ['kptr', 'kptr_untrusted', 'percpu_kptr', 'uptr'];

/** Whether a value of type `id` has a field that is more than bytes. */
function hasSpecialField(btf: Btf, id: number): boolean {
  const { type } = skipModifiers(btf, id);
  if (type.kind === 'array') return hasSpecialField(btf, type.element);
  if (type.kind === 'ptr') {
    const target = btf.type(type.type);
    return target.kind === 'type_tag' && KPTR_TAGS.includes(target.name);
  }
  if (type.kind === 'datasec') return type.entries.some((entry) => isSpecialVariable(btf, entry.type));
  if (!isStruct(type)) return false;
  return SPECIAL.includes(type.name) || type.members.some((member) => hasSpecialField(btf, member.type));
}

function isSpecialVariable(btf: Btf, id: number): boolean {
  const type = btf.type(id);
  return type.kind === 'var' && hasSpecialField(btf, type.type);
}

function checkMap(env: Env, map: MapInfo): void {
  if (map.type === STRUCT_OPS_MAP) reject(env, 'EINVAL', 'bpf_struct_ops map cannot be used in prog');
  if (env.input.sleepable && !SLEEPABLE_MAPS.includes(map.type)) {
    reject(env, 'EINVAL', 'Sleepable programs can only use array, hash, ringbuf and local storage maps');
  }
  if (map.inner) unsupported(env, 'maps of maps');
  if (!map.record && map.btf && map.btfValueTypeId && hasSpecialField(map.btf, map.btfValueTypeId)) {
    unsupported(env, `the special fields of map '${map.name}'`);
  }
}

/** Whether the program may use the map at all (`check_map_prog_compatibility`). */
export function checkMapProgCompatibility(env: Env, mapIndex: number): void {
  const map = env.input.maps[mapIndex];
  if (map) checkMap(env, map);
}
