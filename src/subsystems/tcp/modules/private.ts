import type { Kernel } from '../../../kernel/index.ts';
import type { GuestPtr } from '../../../machine/index.ts';
import type { TcpSock } from '../sock.ts';

/** Where a member lies in the struct: word or bytes, and for bit fields the bits. */
interface Place {
  offset: number;
  size: number;
  shift: number;
  /** All ones as wide as a bit field; 0 for other members. */
  mask: number;
}

/**
 * A struct that the kernel's own congestion controls keep in `icsk_ca_priv`, at the target BTF's offsets: programs may have
 * written there what they like. Numbers are unsigned and wrap at their member's width.
 */
export class Private<Name extends string> {
  readonly #kernel: Kernel;
  readonly #places = new Map<string, Place>();
  readonly #privAt: number;
  #base: GuestPtr = 0;

  constructor(kernel: Kernel, struct: string) {
    this.#kernel = kernel;
    this.#privAt = kernel.field('inet_connection_sock', 'icsk_ca_priv').offset;
    for (const { name, type, bitOffset, bitSize } of kernel.btf.struct(struct).members) {
      const byte = Math.floor(bitOffset / 8);
      this.#places.set(
        name,
        bitSize === 0
          ? { offset: byte, size: kernel.btf.sizeOf(type), shift: 0, mask: 0 }
          : { offset: (bitOffset >> 5) * 4, size: 4, shift: bitOffset & 31, mask: 2 ** bitSize - 1 },
      );
    }
  }

  /** Makes this the state of a socket. */
  of(sock: TcpSock): this {
    this.#base = sock.pointer + this.#privAt;
    return this;
  }

  get(name: Name): number {
    const { offset, size, shift, mask } = this.#places.get(name)!;
    const { memory } = this.#kernel;
    const at = this.#base + offset;
    if (mask !== 0) return (memory.u32(at) >>> shift) & mask;
    if (size === 4) return memory.u32(at);
    if (size === 8) return memory.u32(at + 4) * 0x1_0000_0000 + memory.u32(at);
    return size === 2 ? memory.u16(at) : memory.u8(at);
  }

  set(name: Name, value: number): void {
    const { offset, size, shift, mask } = this.#places.get(name)!;
    const { memory } = this.#kernel;
    const at = this.#base + offset;
    if (mask !== 0) memory.setU32(at, ((memory.u32(at) & ~(mask << shift)) | ((value & mask) << shift)) >>> 0);
    else if (size === 4) memory.setU32(at, value >>> 0);
    else if (size === 8) memory.setU64(at, value);
    else if (size === 2) memory.view.setUint16(memory.offset(at, 2), value, true);
    else memory.setU8(at, value & 0xff);
  }

  add(name: Name, by: number): void {
    this.set(name, this.get(name) + by);
  }

  /** Address of a member. */
  at(name: Name): GuestPtr {
    return this.#base + this.#places.get(name)!.offset;
  }

  /** Clears the struct up to a member. */
  clearTo(name: Name): void {
    this.#kernel.memory.bytes(this.#base, this.#places.get(name)!.offset).fill(0);
  }
}

/** A member of a struct that a kfunc gets by pointer, with its sign. */
export function readMember(kernel: Kernel, pointer: GuestPtr, struct: string, name: string): number {
  const { offset, size, signed } = kernel.field(struct, name);
  const { memory } = kernel;
  const at = pointer + offset;
  if (size === 8) return memory.u32(at) + (signed ? memory.i32(at + 4) : memory.u32(at + 4)) * 0x1_0000_0000;
  if (size === 4) return signed ? memory.i32(at) : memory.u32(at);
  return memory.u8(at);
}

/** tcp_jiffies32. */
export const jiffies32 = (kernel: Kernel): number => kernel.jiffies() % 0x1_0000_0000;
