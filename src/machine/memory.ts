import { MachineError } from './error.ts';
import type { GuestPtr } from './types.ts';

export const PAGE_SIZE = 4096;
const PAGES = 1 << 20;
/** Permission bits of a page. */
export const PERM = { READ: 1, WRITE: 2, EXEC: 4 } as const;
/** What guest code may do with a page; never write and execute at once. `none` is a guard page. */
export type Access = 'none' | 'r' | 'rw' | 'rx';
const BITS: Record<Access, number> = { none: 0, r: PERM.READ, rw: PERM.READ | PERM.WRITE, rx: PERM.READ | PERM.EXEC };

export interface Region {
  name: string;
  /** Full address of the first byte, and its low half. */
  base: bigint;
  start: GuestPtr;
  /** Bytes, a multiple of the page size. */
  size: number;
}

/**
 * Guest memory: regions of the 64-bit address space whose low halves do not meet, so that the low 32 bits of an address
 * name a byte, and a page's entry tells which upper half belongs to it. Guest code obeys the pages' permissions; the host
 * may read and write whatever is mapped.
 */
export class GuestMemory {
  readonly view: DataView<ArrayBuffer>;
  readonly data: Uint8Array<ArrayBuffer>;
  /** By low page number: offset of the page in `data` (0 if unmapped), upper half of its address, permissions. */
  readonly pageOffset = new Int32Array(PAGES);
  readonly pageHigh = new Int32Array(PAGES);
  readonly pagePerm = new Uint8Array(PAGES);
  readonly regions: Region[] = [];
  /** The first page is never handed out: offset 0 means unmapped. */
  #used = PAGE_SIZE;
  readonly #codeListeners: (() => void)[] = [];

  /** @param capacity bytes for all regions together; the platform provides zeroed pages as they are touched. */
  constructor(capacity: number) {
    const buffer = new ArrayBuffer(capacity + PAGE_SIZE);
    this.view = new DataView(buffer);
    this.data = new Uint8Array(buffer);
  }

  /** Maps `size` bytes (rounded up to pages) of zeroes at `base`. @throws MachineError on overlap or without room. */
  mapRegion(name: string, base: bigint, size: number, access: Access = 'rw'): Region {
    const pages = Math.ceil(size / PAGE_SIZE);
    const start = Number(base & 0xffffffffn);
    if (pages === 0 || start < PAGE_SIZE || start % PAGE_SIZE !== 0 || start + pages * PAGE_SIZE > 0x1_0000_0000)
      throw new MachineError(`region '${name}' does not fit at its base`);
    if (this.#used + pages * PAGE_SIZE > this.data.length)
      throw new MachineError(`no room for region '${name}' of ${size} bytes`);
    const first = start >>> 12;
    if (this.pageOffset.subarray(first, first + pages).some((offset) => offset !== 0))
      throw new MachineError(`region '${name}' meets another one in its low 32 bits`);
    for (let i = 0; i < pages; i++) this.pageOffset[first + i] = this.#used + i * PAGE_SIZE;
    this.pageHigh.fill(Number(BigInt.asIntN(32, base >> 32n)), first, first + pages);
    this.pagePerm.fill(BITS[access], first, first + pages);
    this.#used += pages * PAGE_SIZE;
    const region = { name, base, start, size: pages * PAGE_SIZE };
    this.regions.push(region);
    return region;
  }

  /** Sets the permissions of all pages that `[pointer, pointer + length)` touches. */
  protect(pointer: GuestPtr, length: number, access: Access): void {
    const last = (pointer + Math.max(length, 1) - 1) >>> 12;
    for (let page = pointer >>> 12; page <= last; page++) {
      if (this.pageOffset[page] === 0) throw new MachineError(`protect: page 0x${page.toString(16)} is not mapped`);
      this.pagePerm[page] = BITS[access];
    }
    this.#codeChanged();
  }

  /** Calls `listener` whenever executable bytes or permissions may have changed. */
  onCodeChange(listener: () => void): void {
    this.#codeListeners.push(listener);
  }

  #codeChanged(): void {
    for (const listener of this.#codeListeners) listener();
  }

  /** Offset of `pointer` in `data`. @throws MachineError unless `length` bytes from there lie in one region. */
  offset(pointer: GuestPtr, length = 1): number {
    const first = pointer >>> 12;
    const last = (pointer + length - 1) >>> 12;
    const offset = this.pageOffset[first]!;
    if (offset === 0 || this.pageOffset[last] !== offset + (last - first) * PAGE_SIZE) {
      throw new MachineError(`guest pointer 0x${(pointer >>> 0).toString(16)} (${length} bytes) is not mapped`);
    }
    return offset + (pointer & 0xfff);
  }

  u8(pointer: GuestPtr): number {
    return this.data[this.offset(pointer)]!;
  }
  u16(pointer: GuestPtr): number {
    return this.view.getUint16(this.offset(pointer, 2), true);
  }
  u32(pointer: GuestPtr): number {
    return this.view.getUint32(this.offset(pointer, 4), true);
  }
  i32(pointer: GuestPtr): number {
    return this.view.getInt32(this.offset(pointer, 4), true);
  }
  /** A 64-bit value as a number: exact below 2⁵³. */
  u64(pointer: GuestPtr): number {
    const at = this.offset(pointer, 8);
    return this.view.getUint32(at + 4, true) * 0x1_0000_0000 + this.view.getUint32(at, true);
  }
  setU8(pointer: GuestPtr, value: number): void {
    this.data[this.offset(pointer)] = value;
  }
  setU16(pointer: GuestPtr, value: number): void {
    this.view.setUint16(this.offset(pointer, 2), value, true);
  }
  setU32(pointer: GuestPtr, value: number): void {
    this.view.setUint32(this.offset(pointer, 4), value, true);
  }
  /** Stores an integer of magnitude below 2⁵³ as 64 bits. */
  setU64(pointer: GuestPtr, value: number): void {
    const at = this.offset(pointer, 8);
    this.view.setUint32(at, value % 0x1_0000_0000, true);
    this.view.setInt32(at + 4, Math.floor(value / 0x1_0000_0000), true);
  }

  /** Reads a pointer field: the low half; 0 for NULL. */
  ptr(pointer: GuestPtr): GuestPtr {
    return this.u32(pointer);
  }

  /** Writes a pointer field with the upper half that belongs to `value`; 0 writes NULL. */
  setPtr(pointer: GuestPtr, value: GuestPtr): void {
    const at = this.offset(pointer, 8);
    this.view.setInt32(at, value | 0, true);
    this.view.setInt32(at + 4, value === 0 ? 0 : this.high(value), true);
  }

  /** A live view of guest bytes. */
  bytes(pointer: GuestPtr, length: number): Uint8Array {
    if (length === 0) return new Uint8Array(0);
    const at = this.offset(pointer, length);
    return this.data.subarray(at, at + length);
  }

  /** Upper half of a mapped pointer's address, signed. */
  high(pointer: GuestPtr): number {
    if (this.pageOffset[pointer >>> 12] === 0)
      throw new MachineError(`guest pointer 0x${(pointer >>> 0).toString(16)} is not mapped`);
    return this.pageHigh[pointer >>> 12]!;
  }

  /** The full address; 0 for NULL. */
  address(pointer: GuestPtr): bigint {
    return pointer === 0 ? 0n : (BigInt(this.high(pointer) >>> 0) << 32n) | BigInt(pointer >>> 0);
  }

  /** The pointer to a full address. @throws MachineError if nothing is mapped there. */
  pointer(address: bigint): GuestPtr {
    if (address === 0n) return 0;
    const low = Number(address & 0xffffffffn);
    if (BigInt(this.high(low) >>> 0) !== address >> 32n)
      throw new MachineError(`guest address 0x${address.toString(16)} is not mapped`);
    return low;
  }

  /** Writes bytes whatever the permissions, as text_poke does, and drops decoded code. */
  poke(pointer: GuestPtr, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.data.set(bytes, this.offset(pointer, bytes.length));
    this.#codeChanged();
  }

  /** Reads with copy_from_kernel_nofault's semantics: undefined where a page is not readable. */
  copyNofault(pointer: GuestPtr, length: number): Uint8Array | undefined {
    for (let page = pointer >>> 12; page <= (pointer + length - 1) >>> 12; page++) {
      if ((this.pagePerm[page]! & PERM.READ) === 0) return undefined;
    }
    return this.bytes(pointer, length).slice();
  }
}
