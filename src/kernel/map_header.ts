import type { GuestPtr } from '../machine/index.ts';
import type { MapBlueprint } from '../object/index.ts';
import type { Kernel } from './kernel.ts';

export const BPF_NOEXIST = 1;
export const BPF_EXIST = 2;
/** Copy under the value's own lock. */
export const BPF_F_LOCK = 4;

export const roundUp8 = (size: number): number => (size + 7) & ~7;

/** Bytes of a pointer, or of a map's value: maps of maps hold pointers. */
export const storedSize = ({ inner, valueSize }: MapBlueprint): number => (inner === undefined ? valueSize : 8);

/** The members of `struct bpf_map` that programs may read. */
export function writeHeader(kernel: Kernel, pointer: GuestPtr, blueprint: MapBlueprint): void {
  const set = (field: string, value: number) =>
    kernel.memory.setU32(pointer + kernel.field('bpf_map', field).offset, value);
  set('map_type', blueprint.type);
  set('key_size', blueprint.keySize);
  set('value_size', blueprint.valueSize);
  set('max_entries', blueprint.maxEntries);
}
