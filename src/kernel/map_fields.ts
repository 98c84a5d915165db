import type { Btf } from '../btf/index.ts';
import type { GuestPtr } from '../machine/index.ts';
import { UnsupportedError } from './error.ts';
import type { Kernel } from './kernel.ts';

/** A part of a map's value that belongs to the kernel: copying a value leaves it alone. */
export interface SpecialField {
  kind: 'spin_lock' | 'timer' | 'kptr' | 'kptr_untrusted';
  offset: number;
  size: number;
}

const MODELLED: Readonly<Record<string, SpecialField['kind']>> = { bpf_spin_lock: 'spin_lock', bpf_timer: 'timer' };
const REFUSED = [
  'bpf_res_spin_lock',
  'bpf_wq',
  'bpf_task_work',
  'bpf_list_head',
  'bpf_list_node',
  'bpf_rb_root',
  'bpf_rb_node',
  'bpf_refcount',
];
const REFUSED_TAGS = ['percpu_kptr', 'uptr'];

/**
 * The special fields of a value type, outermost first: btf_parse_fields (kernel/bpf/btf.c, 6.18).
 * @throws UnsupportedError for kinds that are not modelled
 */
export function specialFields(btf: Btf | undefined, valueType: number, where: string): SpecialField[] {
  const fields: SpecialField[] = [];
  const visit = (id: number, offset: number): void => {
    const type = btf!.resolve(id);
    if (type.kind === 'datasec') {
      for (const entry of type.entries) visit(entry.type, offset + entry.offset);
      return;
    }
    if (type.kind === 'ptr') {
      const target = btf!.type(type.type);
      if (target.kind !== 'type_tag') return;
      const { name } = target;
      if (name === 'kptr' || name === 'kptr_untrusted') fields.push({ kind: name, offset, size: 8 });
      else if (REFUSED_TAGS.includes(name))
        throw new UnsupportedError(`pointers of kind '${name}' in values are not modelled`, where);
      return;
    }
    if (type.kind === 'var') {
      visit(type.type, offset);
      return;
    }
    if (type.kind === 'array') {
      const size = btf!.sizeOf(type.element);
      // One element tells whether there is anything; then each has its own.
      const before = fields.length;
      if (type.length > 0) visit(type.element, offset);
      if (fields.length > before) for (let i = 1; i < type.length; i++) visit(type.element, offset + i * size);
      return;
    }
    if (type.kind !== 'struct' && type.kind !== 'union') return;
    const kind = MODELLED[type.name];
    if (kind !== undefined) fields.push({ kind, offset, size: type.size });
    else if (REFUSED.includes(type.name))
      throw new UnsupportedError(`'struct ${type.name}' in values is not modelled`, where);
    else for (const member of type.members) if (member.bitSize === 0) visit(member.type, offset + member.bitOffset / 8);
  };
  if (btf !== undefined && valueType !== 0) visit(valueType, 0);
  return fields.sort((a, b) => a.offset - b.offset);
}

/** Copies a value, special fields excepted (copy_map_value). */
export function copyValue(kernel: Kernel, place: GuestPtr, value: Uint8Array, fields: readonly SpecialField[]): void {
  let from = 0;
  for (const { offset, size } of fields) {
    kernel.memory.bytes(place + from, offset - from).set(value.subarray(from, offset));
    from = offset + size;
  }
  kernel.memory.bytes(place + from, value.length - from).set(value.subarray(from));
}

/** What the kernel keeps in a value's special fields is let go of (bpf_obj_free_fields). */
export function freeFields(kernel: Kernel, place: GuestPtr, fields: readonly SpecialField[]): void {
  for (const { kind, offset } of fields) {
    if (kind === 'timer') kernel.timers.free(place + offset);
    if (kind !== 'kptr' && kind !== 'kptr_untrusted') continue;
    const object = kernel.memory.ptr(place + offset);
    kernel.memory.setPtr(place + offset, 0);
    // Objects are those of bpf_obj_new: no kernel function that gives others is modelled.
    if (kind === 'kptr' && object !== 0) kernel.heap.free(object);
  }
}
