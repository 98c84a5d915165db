import { ERRNO } from '../base/index.ts';
import type { GuestPtr } from '../machine/index.ts';
import type { MapBlueprint } from '../object/index.ts';
import type { Kernel } from './kernel.ts';
import { BPF_EXIST, BPF_NOEXIST, roundUp8, writeHeader } from './map_header.ts';
import type { BpfMap, MapParts } from './maps.ts';

/** Longest-prefix match: a key is a length in bits and as many bits as the longest one has. kernel/bpf/lpm_trie.c (6.18). */
export class LpmTrie implements BpfMap {
  readonly blueprint: MapBlueprint;
  readonly id: number;
  readonly pointer: GuestPtr;
  readonly values: GuestPtr = 0;
  readonly special = [];
  readonly #kernel: Kernel;
  readonly #most: number;
  /** For each length in use, from the prefix's bits to its value. */
  readonly #byLength = new Map<number, Map<string, GuestPtr>>();
  /** Lengths in use, the longest first. */
  #lengths: number[] = [];
  #count = 0;

  constructor({ kernel, blueprint }: MapParts) {
    this.blueprint = blueprint;
    this.#kernel = kernel;
    this.id = kernel.nextId();
    this.#most = (blueprint.keySize - 4) * 8;
    this.pointer = kernel.vmalloc.alloc(kernel.target.offsets.bpfArrayPtrs, 64);
    writeHeader(kernel, this.pointer, blueprint);
  }

  get name(): string {
    return this.blueprint.name;
  }

  lookup(key: Uint8Array): GuestPtr {
    const length = lengthOf(key);
    if (length > this.#most) return 0;
    for (const shorter of this.#lengths) {
      if (shorter > length) continue;
      const found = this.#byLength.get(shorter)!.get(prefix(key, shorter));
      if (found !== undefined) return found;
    }
    return 0;
  }

  update(key: Uint8Array, value: Uint8Array, flags: number): number {
    const length = lengthOf(key);
    if (flags > BPF_EXIST || length > this.#most) return -ERRNO.EINVAL;
    const text = prefix(key, length);
    const known = this.#byLength.get(length)?.get(text);
    if (known !== undefined && flags === BPF_NOEXIST) return -ERRNO.EEXIST;
    if (known === undefined && flags === BPF_EXIST) return -ERRNO.ENOENT;
    if (known === undefined && this.#count === this.blueprint.maxEntries) return -ERRNO.ENOSPC;
    // A new node takes the old one's place.
    const place = this.#kernel.vmalloc.alloc(roundUp8(this.blueprint.valueSize));
    this.#kernel.memory.bytes(place, value.length).set(value);
    if (known !== undefined) this.#free(known);
    else this.#count++;
    let level = this.#byLength.get(length);
    if (level === undefined) {
      level = new Map();
      this.#byLength.set(length, level);
      this.#lengths = [...this.#byLength.keys()].sort((a, b) => b - a);
    }
    level.set(text, place);
    return 0;
  }

  delete(key: Uint8Array): number {
    const length = lengthOf(key);
    if (length > this.#most) return -ERRNO.EINVAL;
    const level = this.#byLength.get(length);
    const text = prefix(key, length);
    const known = level?.get(text);
    if (known === undefined) return -ERRNO.ENOENT;
    level!.delete(text);
    if (level!.size === 0) {
      this.#byLength.delete(length);
      this.#lengths = this.#lengths.filter((other) => other !== length);
    }
    this.#count--;
    this.#free(known);
    return 0;
  }

  #free(place: GuestPtr): void {
    this.#kernel.callRcu(() => this.#kernel.vmalloc.free(place));
  }

  *keys(): Iterable<Uint8Array> {
    for (const [length, level] of [...this.#byLength])
      for (const text of [...level.keys()]) {
        const key = new Uint8Array(this.blueprint.keySize);
        new DataView(key.buffer).setUint32(0, length, true);
        for (let i = 0; i < text.length; i++) key[4 + i] = text.charCodeAt(i);
        yield key;
      }
  }

  free(): void {
    for (const level of this.#byLength.values()) for (const place of level.values()) this.#free(place);
    this.#kernel.vmalloc.free(this.pointer);
  }
}

const lengthOf = (key: Uint8Array): number => new DataView(key.buffer, key.byteOffset).getUint32(0, true);

/** The first `bits` bits of a key's data. */
function prefix(key: Uint8Array, bits: number): string {
  const bytes = key.slice(4, 4 + Math.ceil(bits / 8));
  if (bits % 8 !== 0) bytes[bytes.length - 1]! &= 0xff00 >> (bits % 8);
  return String.fromCharCode(...bytes);
}
