import type { Kernel } from '../../kernel/index.ts';
import type { GuestPtr } from '../../machine/index.ts';

/** A struct in guest memory that the stack fills before a call (`ack_sample`, `rate_sample`), at the target BTF's offsets. */
export class GuestStruct {
  readonly pointer: GuestPtr;
  readonly #kernel: Kernel;
  readonly #view: DataView;
  readonly #places = new Map<string, { at: number; size: number }>();

  constructor(kernel: Kernel, type: string) {
    this.#kernel = kernel;
    this.#view = kernel.memory.view;
    const { size, members } = kernel.btf.struct(type);
    this.pointer = kernel.heap.alloc(size);
    const start = kernel.memory.offset(this.pointer, size);
    for (const { name } of members) {
      const place = kernel.field(type, name);
      this.#places.set(name, { at: start + place.offset, size: place.size });
    }
  }

  /** Sets a member of one, four or eight bytes; negative numbers in two's complement. */
  set(name: string, value: number): void {
    const { at, size } = this.#places.get(name)!;
    if (size === 1) {
      this.#view.setUint8(at, value);
      return;
    }
    this.#view.setInt32(at, value, true);
    if (size === 8) this.#view.setInt32(at + 4, Math.floor(value / 0x1_0000_0000), true);
  }

  free(): void {
    this.#kernel.heap.free(this.pointer);
  }
}
