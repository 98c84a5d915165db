import type { GuestMemory, GuestPtr, Region } from '../machine/index.ts';
import { KernelError } from './error.ts';

/** Hands out zeroed pieces of a region; freed pieces are used again for the same size. */
export class Allocator {
  readonly #memory: GuestMemory;
  readonly #region: Region;
  #next: GuestPtr;
  readonly #sizes = new Map<GuestPtr, number>();
  readonly #free = new Map<number, GuestPtr[]>();

  constructor(memory: GuestMemory, region: Region) {
    this.#memory = memory;
    this.#region = region;
    // Nothing lies at a region's very start: a pointer just before a piece stays in the region.
    this.#next = region.start + 64;
  }

  /** @throws KernelError ENOMEM */
  alloc(size: number, align = 8): GuestPtr {
    const rounded = Math.max(8, (size + 7) & ~7);
    const reusable = this.#free.get(rounded);
    const index = reusable?.findLastIndex((pointer) => pointer % align === 0) ?? -1;
    let pointer: GuestPtr;
    if (reusable !== undefined && index >= 0) {
      pointer = reusable.splice(index, 1)[0]!;
      this.#memory.poke(pointer, new Uint8Array(rounded));
    } else {
      pointer = Math.ceil(this.#next / align) * align;
      if (pointer + rounded > this.#region.start + this.#region.size) {
        throw new KernelError(`out of memory: ${size} bytes in region '${this.#region.name}'`, 'ENOMEM');
      }
      this.#next = pointer + rounded;
    }
    this.#sizes.set(pointer, rounded);
    return pointer;
  }

  free(pointer: GuestPtr): void {
    const size = this.#sizes.get(pointer);
    if (size === undefined)
      throw new KernelError(`free of 0x${pointer.toString(16)}, which is not allocated`, 'EINVAL');
    this.#sizes.delete(pointer);
    const list = this.#free.get(size);
    if (list === undefined) this.#free.set(size, [pointer]);
    else list.push(pointer);
  }

  /** Pieces in use. */
  get count(): number {
    return this.#sizes.size;
  }
}
