import { ERRNO } from '../base/index.ts';
import type { GuestPtr } from '../machine/index.ts';
import type { MapBlueprint } from '../object/index.ts';
import type { Kernel } from './kernel.ts';
import { copyValue, freeFields, type SpecialField } from './map_fields.ts';
import { BPF_EXIST, BPF_F_LOCK, BPF_NOEXIST, roundUp8, storedSize, writeHeader } from './map_header.ts';
import { type BpfMap, MAP_TYPE, type MapParts } from './maps.ts';

/** Arrays, arrays for each CPU, and arrays of maps, whose elements are pointers of `struct bpf_map`. */
export class ArrayMap implements BpfMap {
  readonly blueprint: MapBlueprint;
  readonly id: number;
  readonly pointer: GuestPtr;
  readonly values: GuestPtr;
  readonly special: readonly SpecialField[];
  readonly #kernel: Kernel;
  readonly #element: number;
  readonly #size: number;
  /** What a callback gets for the index that it is called for. */
  #key: GuestPtr = 0;

  constructor({ kernel, blueprint, special }: MapParts) {
    this.blueprint = blueprint;
    this.special = special;
    this.#kernel = kernel;
    this.id = kernel.nextId();
    this.#size = storedSize(blueprint);
    this.#element = roundUp8(this.#size);
    const header = kernel.target.offsets.bpfArrayPtrs;
    const bytes = this.#element * blueprint.maxEntries;
    if (blueprint.type === MAP_TYPE.PERCPU_ARRAY) {
      // The table holds per-CPU addresses: offsets from this CPU's area.
      this.values = kernel.percpu.alloc(bytes);
      this.pointer = kernel.vmalloc.alloc(header + 8 * blueprint.maxEntries, 64);
      for (let i = 0; i < blueprint.maxEntries; i++)
        kernel.memory.setU64(this.pointer + header + 8 * i, this.values + i * this.#element - kernel.percpuBase);
    } else {
      const place = kernel.vmalloc.alloc(4096 + bytes, 4096);
      this.values = place + 4096;
      this.pointer = this.values - header;
    }
    writeHeader(kernel, this.pointer, blueprint);
    if (blueprint.initial !== undefined)
      kernel.memory.bytes(this.values, blueprint.initial.length).set(blueprint.initial);
  }

  get name(): string {
    return this.blueprint.name;
  }

  #place(key: Uint8Array): GuestPtr {
    const index = new DataView(key.buffer, key.byteOffset).getUint32(0, true);
    return index >= this.blueprint.maxEntries ? 0 : this.values + index * this.#element;
  }

  lookup(key: Uint8Array): GuestPtr {
    const place = this.#place(key);
    return place === 0 || this.blueprint.inner === undefined ? place : this.#kernel.memory.ptr(place);
  }

  update(key: Uint8Array, value: Uint8Array, flags: number): number {
    if ((flags & ~BPF_F_LOCK) > BPF_EXIST) return -ERRNO.EINVAL;
    const place = this.#place(key);
    if (place === 0) return -ERRNO.E2BIG;
    if ((flags & BPF_NOEXIST) !== 0) return -ERRNO.EEXIST;
    if ((flags & BPF_F_LOCK) !== 0 && !this.special.some(({ kind }) => kind === 'spin_lock')) return -ERRNO.EINVAL;
    copyValue(this.#kernel, place, value.subarray(0, this.#size), this.special);
    if ((flags & BPF_F_LOCK) === 0) freeFields(this.#kernel, place, this.special);
    return 0;
  }

  delete(): number {
    return -ERRNO.EINVAL;
  }

  keyOf(value: GuestPtr): GuestPtr {
    if (this.#key === 0) this.#key = this.#kernel.heap.alloc(8);
    this.#kernel.memory.setU32(this.#key, Math.floor((value - this.values) / this.#element));
    return this.#key;
  }

  *keys(): Iterable<Uint8Array> {
    for (let i = 0; i < this.blueprint.maxEntries; i++) yield new Uint8Array(Uint32Array.of(i).buffer);
  }

  free(): void {
    const { percpu, vmalloc, heap } = this.#kernel;
    for (let i = 0; i < this.blueprint.maxEntries && this.special.length > 0; i++)
      freeFields(this.#kernel, this.values + i * this.#element, this.special);
    if (this.#key !== 0) heap.free(this.#key);
    if (this.blueprint.type === MAP_TYPE.PERCPU_ARRAY) {
      percpu.free(this.values);
      vmalloc.free(this.pointer);
    } else vmalloc.free(this.values - 4096);
  }
}
