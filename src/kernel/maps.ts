import { MAP_TYPES } from '../bpf/index.ts';
import type { GuestPtr } from '../machine/index.ts';
import type { MapBlueprint } from '../object/index.ts';
import { KernelError, UnsupportedError } from './error.ts';
import type { Kernel } from './kernel.ts';

export const MAP_TYPE = {
  HASH: 1,
  ARRAY: 2,
  PROG_ARRAY: 3,
  PERCPU_HASH: 5,
  PERCPU_ARRAY: 6,
  LRU_HASH: 9,
  SK_STORAGE: 24,
  STRUCT_OPS: 26,
  RINGBUF: 27,
} as const;
const BPF_NOEXIST = 1;
const BPF_EXIST = 2;
const E2BIG = -7;
const ENOENT = -2;
const EEXIST = -17;
const EINVAL = -22;
/** More than any test needs, and little enough that a wrong number does not take the machine's memory. */
const MAX_BYTES = 64 << 20;

/** A map as programs and helpers see it. Negative numbers are errnos. */
export interface BpfMap {
  readonly id: number;
  readonly name: string;
  readonly blueprint: MapBlueprint;
  /** Address of `struct bpf_map` in the guest. */
  readonly pointer: GuestPtr;
  /** Address of the values, for types whose values lie in one block. */
  readonly values: GuestPtr;
  lookup(key: Uint8Array): GuestPtr;
  update(key: Uint8Array, value: Uint8Array, flags: number): number;
  delete(key: Uint8Array): number;
  /** What is kept about a socket is freed with it (sk_storage). */
  forgetSocket?(socket: GuestPtr): void;
  /** Keys in an order of the map's own. */
  keys(): Iterable<Uint8Array>;
  free(): void;
}

/**
 * Creates a map in the guest: its `struct bpf_map` where inlined look-ups expect it, its values in guest memory.
 * Mirrors map_alloc_check and map_alloc of kernel/bpf/{arraymap,hashtab,bpf_sk_storage,ringbuf}.c (6.12).
 * @throws KernelError with the errno, UnsupportedError for a type that is not modelled
 */
export function createMap(kernel: Kernel, blueprint: MapBlueprint): BpfMap {
  const where = `map '${blueprint.name}'`;
  const { type, keySize, valueSize, maxEntries } = blueprint;
  if (maxEntries * Math.max(8, valueSize) > MAX_BYTES)
    throw new KernelError(`${maxEntries} entries of ${valueSize} bytes are too large`, 'E2BIG', where);
  switch (type) {
    case MAP_TYPE.ARRAY:
    case MAP_TYPE.PERCPU_ARRAY:
      if (keySize !== 4 || valueSize === 0 || maxEntries === 0)
        throw new KernelError(
          `array with key of ${keySize} bytes, value of ${valueSize}, ${maxEntries} entries`,
          'EINVAL',
          where,
        );
      return new ArrayMap(kernel, blueprint);
    case MAP_TYPE.HASH:
    case MAP_TYPE.PERCPU_HASH:
    case MAP_TYPE.LRU_HASH:
      if (keySize === 0 || valueSize === 0 || maxEntries === 0)
        throw new KernelError(
          `hash with key of ${keySize} bytes, value of ${valueSize}, ${maxEntries} entries`,
          'EINVAL',
          where,
        );
      return new HashMap(kernel, blueprint);
    case MAP_TYPE.SK_STORAGE:
      if (keySize !== 4 || valueSize === 0 || maxEntries !== 0 || (blueprint.flags & 1) === 0)
        throw new KernelError('sk_storage needs an int key, no max_entries and BPF_F_NO_PREALLOC', 'EINVAL', where);
      return new HashMap(kernel, blueprint);
    case MAP_TYPE.RINGBUF:
      if (keySize !== 0 || valueSize !== 0 || maxEntries < 4096 || (maxEntries & (maxEntries - 1)) !== 0)
        throw new KernelError(`ring buffer of ${maxEntries} bytes: needs a power of 2 from a page on`, 'EINVAL', where);
      return new RingbufMap(kernel, blueprint);
    default:
      throw new UnsupportedError(`map type '${MAP_TYPES[type] ?? type}' is not modelled`, where);
  }
}

const roundUp8 = (size: number) => (size + 7) & ~7;

class ArrayMap implements BpfMap {
  readonly blueprint: MapBlueprint;
  readonly id: number;
  readonly pointer: GuestPtr;
  readonly values: GuestPtr;
  readonly #kernel: Kernel;
  readonly #element: number;

  constructor(kernel: Kernel, blueprint: MapBlueprint) {
    this.blueprint = blueprint;
    this.#kernel = kernel;
    this.id = kernel.nextId();
    this.#element = roundUp8(blueprint.valueSize);
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

  lookup(key: Uint8Array): GuestPtr {
    const index = new DataView(key.buffer, key.byteOffset).getUint32(0, true);
    return index >= this.blueprint.maxEntries ? 0 : this.values + index * this.#element;
  }

  update(key: Uint8Array, value: Uint8Array, flags: number): number {
    if (flags > BPF_EXIST) return EINVAL;
    const place = this.lookup(key);
    if (place === 0) return E2BIG;
    if (flags === BPF_NOEXIST) return EEXIST;
    this.#kernel.memory.bytes(place, this.blueprint.valueSize).set(value);
    return 0;
  }

  delete(): number {
    return EINVAL;
  }

  *keys(): Iterable<Uint8Array> {
    for (let i = 0; i < this.blueprint.maxEntries; i++) yield new Uint8Array(Uint32Array.of(i).buffer);
  }

  free(): void {
    if (this.blueprint.type === MAP_TYPE.PERCPU_ARRAY) {
      this.#kernel.percpu.free(this.values);
      this.#kernel.vmalloc.free(this.pointer);
    } else this.#kernel.vmalloc.free(this.values - 4096);
  }
}

/** Hash tables, and socket storage, whose key is the socket. Elements are `struct htab_elem` as inlined look-ups see it. */
class HashMap implements BpfMap {
  readonly blueprint: MapBlueprint;
  readonly id: number;
  readonly pointer: GuestPtr;
  readonly values: GuestPtr = 0;
  readonly #kernel: Kernel;
  readonly #keyAt: number;
  readonly #valueAt: number;
  readonly #elements = new Map<string, GuestPtr>();

  constructor(kernel: Kernel, blueprint: MapBlueprint) {
    this.blueprint = blueprint;
    this.#kernel = kernel;
    this.id = kernel.nextId();
    this.#keyAt = kernel.field('htab_elem', 'key').offset;
    this.#valueAt = this.#keyAt + roundUp8(blueprint.keySize);
    this.pointer = kernel.vmalloc.alloc(kernel.target.offsets.bpfArrayPtrs, 64);
    writeHeader(kernel, this.pointer, blueprint);
  }

  get name(): string {
    return this.blueprint.name;
  }

  /** The element, as `__htab_map_lookup_elem` returns it. */
  element(key: Uint8Array): GuestPtr {
    return this.#elements.get(keyText(key)) ?? 0;
  }

  lookup(key: Uint8Array): GuestPtr {
    const element = this.element(key);
    return element === 0 ? 0 : element + this.#valueAt;
  }

  update(key: Uint8Array, value: Uint8Array, flags: number): number {
    if (flags > BPF_EXIST) return EINVAL;
    const known = this.lookup(key);
    if (known !== 0 && flags === BPF_NOEXIST) return EEXIST;
    if (known === 0 && flags === BPF_EXIST) return ENOENT;
    const place = known !== 0 ? known : this.#insert(key);
    if (place === 0) return E2BIG;
    this.#kernel.memory.bytes(place, this.blueprint.valueSize).set(value);
    return 0;
  }

  #insert(key: Uint8Array): GuestPtr {
    const limit = this.blueprint.maxEntries;
    if (limit > 0 && this.#elements.size >= limit) {
      if (this.blueprint.type !== MAP_TYPE.LRU_HASH) return 0;
      const [oldest] = this.#elements.keys();
      this.#remove(oldest!);
    }
    const element = this.#kernel.vmalloc.alloc(this.#valueAt + roundUp8(this.blueprint.valueSize));
    this.#kernel.memory.bytes(element + this.#keyAt, key.length).set(key);
    this.#elements.set(keyText(key), element);
    return element + this.#valueAt;
  }

  #remove(text: string): void {
    this.#kernel.vmalloc.free(this.#elements.get(text)!);
    this.#elements.delete(text);
  }

  delete(key: Uint8Array): number {
    const text = keyText(key);
    if (!this.#elements.has(text)) return ENOENT;
    this.#remove(text);
    return 0;
  }

  *keys(): Iterable<Uint8Array> {
    for (const element of this.#elements.values())
      yield this.#kernel.memory.bytes(element + this.#keyAt, this.blueprint.keySize).slice();
  }

  free(): void {
    for (const text of [...this.#elements.keys()]) this.#remove(text);
    this.#kernel.vmalloc.free(this.pointer);
  }
}

/** A ring buffer: records that were submitted, in order. */
export class RingbufMap implements BpfMap {
  readonly blueprint: MapBlueprint;
  readonly id: number;
  readonly pointer: GuestPtr;
  readonly values: GuestPtr = 0;
  readonly records: Uint8Array[] = [];
  readonly #kernel: Kernel;
  readonly #reserved = new Map<GuestPtr, number>();

  constructor(kernel: Kernel, blueprint: MapBlueprint) {
    this.blueprint = blueprint;
    this.#kernel = kernel;
    this.id = kernel.nextId();
    this.pointer = kernel.vmalloc.alloc(kernel.target.offsets.bpfArrayPtrs, 64);
    writeHeader(kernel, this.pointer, blueprint);
  }

  get name(): string {
    return this.blueprint.name;
  }

  reserve(size: number): GuestPtr {
    if (size > this.blueprint.maxEntries) return 0;
    const sample = this.#kernel.vmalloc.alloc(size);
    this.#reserved.set(sample, size);
    return sample;
  }

  /** Ends a reservation; a discarded record is not seen. */
  commit(sample: GuestPtr, discard: boolean): void {
    const size = this.#reserved.get(sample);
    if (size === undefined) return;
    if (!discard) this.records.push(this.#kernel.memory.bytes(sample, size).slice());
    this.#reserved.delete(sample);
    this.#kernel.vmalloc.free(sample);
  }

  output(bytes: Uint8Array): number {
    if (bytes.length > this.blueprint.maxEntries) return EINVAL;
    this.records.push(bytes.slice());
    return 0;
  }

  holds(sample: GuestPtr): boolean {
    return this.#reserved.has(sample);
  }

  lookup(): GuestPtr {
    return 0;
  }
  update(): number {
    return EINVAL;
  }
  delete(): number {
    return EINVAL;
  }
  *keys(): Iterable<Uint8Array> {}

  free(): void {
    this.#kernel.vmalloc.free(this.pointer);
  }
}

const keyText = (key: Uint8Array): string => String.fromCharCode(...key);

function writeHeader(kernel: Kernel, pointer: GuestPtr, blueprint: MapBlueprint): void {
  const set = (field: string, value: number) =>
    kernel.memory.setU32(pointer + kernel.field('bpf_map', field).offset, value);
  set('map_type', blueprint.type);
  set('key_size', blueprint.keySize);
  set('value_size', blueprint.valueSize);
  set('max_entries', blueprint.maxEntries);
}
