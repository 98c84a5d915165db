import type { GuestPtr } from '../machine/index.ts';

export interface KernelSymbol {
  name: string;
  start: GuestPtr;
  size: number;
}

/** kallsyms of the guest: its text, BPF programs and trampolines. */
export class Symbols {
  readonly #byName = new Map<string, KernelSymbol>();
  #sorted: KernelSymbol[] | undefined;

  add(name: string, start: GuestPtr, size: number): void {
    this.#byName.set(name, { name, start, size });
    this.#sorted = undefined;
  }

  remove(name: string): void {
    this.#byName.delete(name);
    this.#sorted = undefined;
  }

  find(name: string): KernelSymbol | undefined {
    return this.#byName.get(name);
  }

  /** The symbol that covers `pointer`. */
  at(pointer: GuestPtr): KernelSymbol | undefined {
    this.#sorted ??= [...this.#byName.values()].sort((a, b) => a.start - b.start);
    let low = 0;
    let high = this.#sorted.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const symbol = this.#sorted[middle]!;
      if (pointer < symbol.start) high = middle - 1;
      else if (pointer >= symbol.start + symbol.size) low = middle + 1;
      else return symbol;
    }
    return undefined;
  }

  /** `name+0xoffset/0xsize`, or the bare address (printk's %pS). */
  format(pointer: GuestPtr, address: bigint): string {
    const symbol = this.at(pointer);
    return symbol === undefined
      ? `0x${address.toString(16)}`
      : `${symbol.name}+0x${(pointer - symbol.start).toString(16)}/0x${symbol.size.toString(16)}`;
  }
}
