import { MAP_TYPES } from '../bpf/index.ts';
import type { Btf } from '../btf/index.ts';
import type { GuestPtr } from '../machine/index.ts';
import type { MapBlueprint } from '../object/index.ts';
import { KernelError, UnsupportedError } from './error.ts';
import type { Kernel } from './kernel.ts';
import { type SpecialField, specialFields } from './map_fields.ts';
import { ArrayMap } from './maps_array.ts';
import { HashMap, SkStorage } from './maps_hash.ts';
import { ProgramArrayMap } from './maps_prog.ts';
import { BloomMap, QueueMap } from './maps_queue.ts';
import { LpmTrie } from './maps_trie.ts';
import { RingbufMap } from './ringbuf.ts';

/** enum bpf_map_type, as far as maps are modelled. */
export const MAP_TYPE = {
  HASH: 1,
  ARRAY: 2,
  PROG_ARRAY: 3,
  PERCPU_HASH: 5,
  PERCPU_ARRAY: 6,
  LRU_HASH: 9,
  LRU_PERCPU_HASH: 10,
  LPM_TRIE: 11,
  ARRAY_OF_MAPS: 12,
  HASH_OF_MAPS: 13,
  QUEUE: 22,
  STACK: 23,
  SK_STORAGE: 24,
  STRUCT_OPS: 26,
  RINGBUF: 27,
  BLOOM_FILTER: 30,
} as const;
const NO_PREALLOC = 1;
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
  /** Parts of each value that belong to the kernel. */
  readonly special: readonly SpecialField[];
  lookup(key: Uint8Array): GuestPtr;
  update(key: Uint8Array, value: Uint8Array, flags: number): number;
  delete(key: Uint8Array): number;
  /** A hash table's `struct htab_elem`. */
  element?(key: Uint8Array): GuestPtr;
  /** Address of a key, from that of its value: what a timer's callback gets. */
  keyOf?(value: GuestPtr): GuestPtr;
  /** Queues, stacks and Bloom filters. `peek` and `pop` fill `value`; a filter's `peek` says whether it is in there. */
  push?(value: Uint8Array, flags: number): number;
  pop?(value: Uint8Array): number;
  peek?(value: Uint8Array): number;
  /** What is kept about a socket is freed with it (sk_storage). */
  forgetSocket?(socket: GuestPtr): void;
  /** Keys in an order of the map's own. */
  keys(): Iterable<Uint8Array>;
  free(): void;
}

/** What each kind of map is made of. */
export interface MapParts {
  kernel: Kernel;
  blueprint: MapBlueprint;
  special: readonly SpecialField[];
}

/**
 * Creates a map in the guest: its `struct bpf_map` where inlined look-ups expect it, its values in guest memory. `btf`
 * describes the object's types. Mirrors map_alloc_check and map_alloc of kernel/bpf/{arraymap,hashtab,map_in_map,
 * queue_stack_maps,bloom_filter,lpm_trie,bpf_sk_storage,ringbuf}.c (6.18).
 * @throws KernelError with the errno, UnsupportedError for what is not modelled
 */
export function createMap(kernel: Kernel, blueprint: MapBlueprint, btf?: Btf): BpfMap {
  const where = `map '${blueprint.name}'`;
  const { type, keySize, valueSize, maxEntries } = blueprint;
  const isRing = type === MAP_TYPE.RINGBUF;
  if (maxEntries * (isRing ? 2 : Math.max(8, valueSize)) > MAX_BYTES)
    throw new KernelError(`${maxEntries} entries of ${valueSize} bytes are too large`, 'E2BIG', where);
  const needs = (holds: boolean, what: string) => {
    if (holds) return;
    const shape = `key of ${keySize} bytes, value of ${valueSize}, ${maxEntries} entries, flags ${blueprint.flags}`;
    throw new KernelError(`${MAP_TYPES[type]} with ${shape}: needs ${what}`, 'EINVAL', where);
  };
  const flag = (bits: number) => (blueprint.flags & bits) !== 0;
  const parts: MapParts = { kernel, blueprint, special: specialFields(btf, blueprint.valueTypeId, where) };
  switch (type) {
    case MAP_TYPE.ARRAY:
    case MAP_TYPE.PERCPU_ARRAY:
    case MAP_TYPE.ARRAY_OF_MAPS:
      needs(keySize === 4 && valueSize > 0 && maxEntries > 0, 'an int key, values, entries');
      if (type === MAP_TYPE.ARRAY_OF_MAPS) checkInner(blueprint, where);
      return new ArrayMap(parts);
    case MAP_TYPE.PROG_ARRAY:
      needs(keySize === 4 && valueSize === 4 && maxEntries > 0, 'an int key, an int value, entries');
      return new ProgramArrayMap(parts);
    case MAP_TYPE.LRU_HASH:
    case MAP_TYPE.LRU_PERCPU_HASH:
      if (flag(NO_PREALLOC)) throw new KernelError('an LRU map is always preallocated', 'ENOTSUPP', where);
      needs(keySize > 0 && valueSize > 0 && maxEntries > 0, 'a key, values, entries');
      return new HashMap(parts);
    case MAP_TYPE.HASH:
    case MAP_TYPE.PERCPU_HASH:
    case MAP_TYPE.HASH_OF_MAPS:
      needs(keySize > 0 && valueSize > 0 && maxEntries > 0, 'a key, values, entries');
      if (type === MAP_TYPE.HASH_OF_MAPS) checkInner(blueprint, where);
      return new HashMap(parts);
    case MAP_TYPE.QUEUE:
    case MAP_TYPE.STACK:
      needs(
        keySize === 0 && valueSize > 0 && maxEntries > 0 && !flag(NO_PREALLOC),
        'no key, values, entries, no flags',
      );
      return new QueueMap(parts);
    case MAP_TYPE.BLOOM_FILTER:
      needs(
        keySize === 0 && valueSize > 0 && maxEntries > 0 && !flag(NO_PREALLOC) && blueprint.extra <= 15n,
        'no key, values, entries, at most 15 hashes',
      );
      return new BloomMap(parts);
    case MAP_TYPE.LPM_TRIE:
      needs(
        keySize >= 5 && keySize <= 260 && valueSize > 0 && maxEntries > 0 && flag(NO_PREALLOC),
        'a key of 5 to 260 bytes, values, entries, and BPF_F_NO_PREALLOC',
      );
      return new LpmTrie(parts);
    case MAP_TYPE.SK_STORAGE:
      needs(
        keySize === 4 && valueSize > 0 && maxEntries === 0 && flag(NO_PREALLOC),
        'an int key, values, no entries, and BPF_F_NO_PREALLOC',
      );
      return new SkStorage(parts);
    case MAP_TYPE.RINGBUF:
      needs(
        keySize === 0 && valueSize === 0 && maxEntries >= 4096 && (maxEntries & (maxEntries - 1)) === 0,
        'no key, no value, and a power of two from a page on',
      );
      return new RingbufMap(parts);
    default:
      throw new UnsupportedError(`map type '${MAP_TYPES[type] ?? type}' is not modelled`, where);
  }
}

/** bpf_map_meta_alloc: what a map of maps may hold. */
function checkInner({ inner, valueSize }: MapBlueprint, where: string): void {
  if (inner === undefined) throw new KernelError('a map of maps needs a definition of its inner maps', 'EBADF', where);
  if (valueSize !== 4) throw new KernelError('a map of maps has values of 4 bytes', 'EINVAL', where);
  if (inner.inner !== undefined) throw new KernelError('an inner map cannot be a map of maps', 'EINVAL', where);
}

/**
 * Puts maps into maps of maps, as libbpf does after all are created.
 * @throws KernelError if the definition of an element is another one than that of inner maps
 */
export function fillMapSlots(kernel: Kernel, maps: readonly BpfMap[]): void {
  for (const outer of maps) {
    const { inner, slots, type, name } = outer.blueprint;
    if (type !== MAP_TYPE.ARRAY_OF_MAPS && type !== MAP_TYPE.HASH_OF_MAPS) continue;
    for (const { index, name: wanted } of slots) {
      const where = `map '${name}'[${index}]`;
      const found = maps.find((map) => map.name === wanted);
      if (found === undefined) throw new KernelError(`there is no map '${wanted}'`, 'EBADF', where);
      const { blueprint } = found;
      // bpf_map_meta_equal; arrays may differ in length unless told otherwise by their look-ups.
      if (
        blueprint.type !== inner!.type ||
        blueprint.keySize !== inner!.keySize ||
        blueprint.valueSize !== inner!.valueSize ||
        blueprint.flags !== inner!.flags ||
        (blueprint.type === MAP_TYPE.ARRAY && blueprint.maxEntries !== inner!.maxEntries)
      )
        throw new KernelError(`map '${wanted}' is not as the definition of inner maps says`, 'EINVAL', where);
      const value = new Uint8Array(8);
      const view = new DataView(value.buffer);
      view.setUint32(0, found.pointer, true);
      view.setInt32(4, kernel.memory.high(found.pointer), true);
      const key = new Uint8Array(outer.blueprint.keySize);
      new DataView(key.buffer).setUint32(0, index, true);
      const err = outer.update(key, value, 0);
      if (err !== 0) throw new KernelError(`element ${index} does not fit`, 'E2BIG', where);
    }
  }
}
