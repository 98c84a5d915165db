import { ERRNO } from '../base/index.ts';
import type { GuestPtr } from '../machine/index.ts';
import type { MapBlueprint } from '../object/index.ts';
import type { Kernel } from './kernel.ts';
import { BPF_EXIST, BPF_NOEXIST, writeHeader } from './map_header.ts';
import { type BpfMap, MAP_TYPE, type MapParts } from './maps.ts';

/** BPF_F_ZERO_SEED. */
const ZERO_SEED = 1 << 6;
const DEFAULT_HASHES = 5;

/** What queues, stacks and filters have in common: no keys, values that programs only get copies of. */
abstract class KeylessMap implements BpfMap {
  readonly blueprint: MapBlueprint;
  readonly id: number;
  readonly pointer: GuestPtr;
  readonly values: GuestPtr = 0;
  readonly special = [];
  protected readonly kernel: Kernel;

  constructor({ kernel, blueprint }: MapParts) {
    this.blueprint = blueprint;
    this.kernel = kernel;
    this.id = kernel.nextId();
    this.pointer = kernel.vmalloc.alloc(kernel.target.offsets.bpfArrayPtrs, 64);
    writeHeader(kernel, this.pointer, blueprint);
  }

  get name(): string {
    return this.blueprint.name;
  }

  abstract push(value: Uint8Array, flags: number): number;
  abstract pop(value: Uint8Array): number;
  abstract peek(value: Uint8Array): number;

  lookup(): GuestPtr {
    return 0;
  }
  update(): number {
    return -ERRNO.EINVAL;
  }
  delete(): number {
    return -ERRNO.EINVAL;
  }
  *keys(): Iterable<Uint8Array> {}

  free(): void {
    this.kernel.vmalloc.free(this.pointer);
  }
}

/** BPF_MAP_TYPE_QUEUE and _STACK: kernel/bpf/queue_stack_maps.c (6.18). */
export class QueueMap extends KeylessMap {
  readonly #values: Uint8Array[] = [];

  push(value: Uint8Array, flags: number): number {
    if ((flags & BPF_NOEXIST) !== 0 || flags > BPF_EXIST) return -ERRNO.EINVAL;
    if (this.#values.length >= this.blueprint.maxEntries) {
      if ((flags & BPF_EXIST) === 0) return -ERRNO.E2BIG;
      // The oldest one goes.
      this.#values.shift();
    }
    this.#values.push(value.slice());
    return 0;
  }

  peek(value: Uint8Array): number {
    const next = this.blueprint.type === MAP_TYPE.QUEUE ? this.#values[0] : this.#values.at(-1);
    if (next === undefined) {
      value.fill(0);
      return -ERRNO.ENOENT;
    }
    value.set(next);
    return 0;
  }

  pop(value: Uint8Array): number {
    const err = this.peek(value);
    if (err === 0 && this.blueprint.type === MAP_TYPE.QUEUE) this.#values.shift();
    else if (err === 0) this.#values.pop();
    return err;
  }
}

/** BPF_MAP_TYPE_BLOOM_FILTER: kernel/bpf/bloom_filter.c (6.18), its false positives included. */
export class BloomMap extends KeylessMap {
  readonly #hashes: number;
  readonly #mask: number;
  readonly #bits: Uint8Array;
  readonly #seed: number;

  constructor(parts: MapParts) {
    super(parts);
    const { blueprint, kernel } = parts;
    this.#hashes = Number(blueprint.extra) || DEFAULT_HASHES;
    const wanted = Math.floor((blueprint.maxEntries * this.#hashes) / 5) * 7;
    const bits = wanted <= 64 ? 64 : 2 ** (32 - Math.clz32(wanted - 1));
    this.#mask = bits - 1;
    this.#bits = new Uint8Array(bits / 8);
    this.#seed = (blueprint.flags & ZERO_SEED) === 0 ? kernel.random.u32() : 0;
  }

  *#places(value: Uint8Array): Iterable<number> {
    for (let i = 0; i < this.#hashes; i++) yield (jhash(value, (this.#seed + i) >>> 0) & this.#mask) >>> 0;
  }

  push(value: Uint8Array, flags: number): number {
    if (flags !== 0) return -ERRNO.EINVAL;
    for (const bit of this.#places(value)) this.#bits[bit >>> 3]! |= 1 << (bit & 7);
    return 0;
  }

  peek(value: Uint8Array): number {
    for (const bit of this.#places(value)) if ((this.#bits[bit >>> 3]! & (1 << (bit & 7))) === 0) return -ERRNO.ENOENT;
    return 0;
  }

  pop(): number {
    return -ERRNO.EOPNOTSUPP;
  }
}

const rotl = (value: number, by: number): number => (value << by) | (value >>> (32 - by));

/** Bob Jenkins' lookup3 over bytes, little-endian, as the kernel seeds it (include/linux/jhash.h). */
export function jhash(bytes: Uint8Array, seed: number): number {
  const word = (at: number) => {
    let value = 0;
    for (let i = 0; i < 4 && at + i < bytes.length; i++) value |= bytes[at + i]! << (8 * i);
    return value;
  };
  let a = (0xdeadbeef + bytes.length + seed) | 0;
  let b = a;
  let c = a;
  let at = 0;
  for (; bytes.length - at > 12; at += 12) {
    a = (a + word(at)) | 0;
    b = (b + word(at + 4)) | 0;
    c = (c + word(at + 8)) | 0;
    a = (a - c) ^ rotl(c, 4);
    c = (c + b) | 0;
    b = (b - a) ^ rotl(a, 6);
    a = (a + c) | 0;
    c = (c - b) ^ rotl(b, 8);
    b = (b + a) | 0;
    a = (a - c) ^ rotl(c, 16);
    c = (c + b) | 0;
    b = (b - a) ^ rotl(a, 19);
    a = (a + c) | 0;
    c = (c - b) ^ rotl(b, 4);
    b = (b + a) | 0;
  }
  if (at === bytes.length) return c >>> 0;
  a = (a + word(at)) | 0;
  b = (b + word(at + 4)) | 0;
  c = (c + word(at + 8)) | 0;
  c = (c ^ b) - rotl(b, 14);
  a = (a ^ c) - rotl(c, 11);
  b = (b ^ a) - rotl(a, 25);
  c = (c ^ b) - rotl(b, 16);
  a = (a ^ c) - rotl(c, 4);
  b = (b ^ a) - rotl(a, 14);
  c = (c ^ b) - rotl(b, 24);
  return c >>> 0;
}
