import { ERRNO } from '../base/index.ts';
import type { GuestPtr } from '../machine/index.ts';
import type { MapBlueprint } from '../object/index.ts';
import type { Kernel } from './kernel.ts';
import { copyValue, freeFields, type SpecialField } from './map_fields.ts';
import { BPF_EXIST, BPF_F_LOCK, BPF_NOEXIST, roundUp8, storedSize, writeHeader } from './map_header.ts';
import { type BpfMap, MAP_TYPE, type MapParts } from './maps.ts';

const keyText = (key: Uint8Array): string => String.fromCharCode(...key);

/**
 * Hash tables, also for each CPU (of which there is one), least-recently-used ones, and tables of maps. Elements are
 * `struct htab_elem` as inlined look-ups see it: those for each CPU hold a per-CPU pointer, those of LRU tables a mark that
 * every use leaves. A full LRU table drops the oldest element without the mark, and takes the marks of those it passes; the
 * kernel may choose another one of the old ones.
 */
export class HashMap implements BpfMap {
  readonly blueprint: MapBlueprint;
  readonly id: number;
  readonly pointer: GuestPtr;
  readonly values: GuestPtr = 0;
  readonly special: readonly SpecialField[];
  protected readonly kernel: Kernel;
  readonly #keyAt: number;
  readonly #valueAt: number;
  readonly #size: number;
  readonly #isLru: boolean;
  readonly #usedAt: number;
  readonly #perCpu: boolean;
  readonly #elements = new Map<string, GuestPtr>();

  constructor({ kernel, blueprint, special }: MapParts) {
    this.blueprint = blueprint;
    this.special = special;
    this.kernel = kernel;
    this.id = kernel.nextId();
    this.#size = storedSize(blueprint);
    this.#isLru = blueprint.type === MAP_TYPE.LRU_HASH || blueprint.type === MAP_TYPE.LRU_PERCPU_HASH;
    this.#usedAt = kernel.field('htab_elem', 'lru_node').offset + kernel.field('bpf_lru_node', 'ref').offset;
    this.#perCpu = blueprint.type === MAP_TYPE.PERCPU_HASH || blueprint.type === MAP_TYPE.LRU_PERCPU_HASH;
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
    if (element === 0) return 0;
    this.#markUsed(element);
    return this.blueprint.inner === undefined ? this.#value(element) : this.kernel.memory.ptr(element + this.#valueAt);
  }

  #value(element: GuestPtr): GuestPtr {
    const place = element + this.#valueAt;
    return this.#perCpu ? this.kernel.percpuBase + this.kernel.memory.u32(place) : place;
  }

  #markUsed(element: GuestPtr): void {
    if (this.#isLru) this.kernel.memory.setU8(element + this.#usedAt, 1);
  }

  update(key: Uint8Array, value: Uint8Array, flags: number): number {
    if ((flags & ~BPF_F_LOCK) > BPF_EXIST) return -ERRNO.EINVAL;
    if ((flags & BPF_F_LOCK) !== 0 && !this.special.some(({ kind }) => kind === 'spin_lock')) return -ERRNO.EINVAL;
    const text = keyText(key);
    const known = this.#elements.get(text);
    if (known !== undefined && (flags & BPF_NOEXIST) !== 0) return -ERRNO.EEXIST;
    if (known === undefined && (flags & BPF_EXIST) !== 0) return -ERRNO.ENOENT;
    const bytes = value.subarray(0, this.#size);
    if (known !== undefined && (this.#perCpu || (flags & BPF_F_LOCK) !== 0)) {
      this.#markUsed(known);
      copyValue(this.kernel, this.#value(known), bytes, this.special);
      return 0;
    }
    if (known === undefined && !this.#makeRoom()) return -ERRNO.E2BIG;
    // A new element takes the old one's place: who looks at the old one sees the old value.
    const { memory, vmalloc, percpu, percpuBase } = this.kernel;
    const size = roundUp8(this.#size);
    const element = vmalloc.alloc(this.#valueAt + (this.#perCpu ? 8 : size));
    if (this.#perCpu) memory.setU64(element + this.#valueAt, percpu.alloc(size) - percpuBase);
    memory.bytes(element + this.#keyAt, key.length).set(key);
    copyValue(this.kernel, this.#value(element), bytes, this.special);
    if (known !== undefined) {
      this.#markUsed(element);
      this.#remove(text);
    }
    this.#elements.set(text, element);
    return 0;
  }

  /** Whether one more element fits. */
  #makeRoom(): boolean {
    const { maxEntries } = this.blueprint;
    if (maxEntries === 0 || this.#elements.size < maxEntries) return true;
    if (!this.#isLru) return false;
    for (const [text, element] of this.#elements) {
      const used = element + this.#usedAt;
      if (this.kernel.memory.u8(used) === 0) {
        this.#remove(text);
        return true;
      }
      // Passed over once; it comes to the end of the line, where this walk meets it again.
      this.kernel.memory.setU8(used, 0);
      this.#elements.delete(text);
      this.#elements.set(text, element);
    }
    return true;
  }

  #remove(text: string): void {
    const element = this.#elements.get(text)!;
    this.#elements.delete(text);
    const value = this.#value(element);
    freeFields(this.kernel, value, this.special);
    this.kernel.callRcu(() => {
      if (this.#perCpu) this.kernel.percpu.free(value);
      this.kernel.vmalloc.free(element);
    });
  }

  delete(key: Uint8Array): number {
    const text = keyText(key);
    if (!this.#elements.has(text)) return -ERRNO.ENOENT;
    this.#remove(text);
    return 0;
  }

  keyOf(value: GuestPtr): GuestPtr {
    return value - roundUp8(this.blueprint.keySize);
  }

  *keys(): Iterable<Uint8Array> {
    for (const element of [...this.#elements.values()])
      yield this.kernel.memory.bytes(element + this.#keyAt, this.blueprint.keySize).slice();
  }

  free(): void {
    for (const text of [...this.#elements.keys()]) this.#remove(text);
    this.kernel.vmalloc.free(this.pointer);
  }
}

/** Storage of sockets: the key is the socket, and what is kept ends with it. */
export class SkStorage extends HashMap {
  forgetSocket(socket: GuestPtr): void {
    this.delete(socketKey(socket));
  }
}

/** A socket as key of its storage. */
export function socketKey(socket: GuestPtr): Uint8Array {
  return new Uint8Array(Uint32Array.of(socket).buffer);
}
