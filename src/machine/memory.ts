import { hex64 } from '../base/index.ts';
import { MachineError } from './error.ts';
import type { GuestPtr } from './types.ts';

/** What guest code may do with a page. Pages are never writable and executable at once; `none` is a guard page. */
export type Access = 'none' | 'r' | 'rw' | 'rx';

export interface Region {
  name: string;
  base: bigint;
  /** Bytes, a multiple of the page size. */
  size: number;
}

export const PAGE_SIZE = 4096;
const PAGE_SHIFT = 12;

// A page's entry in the table: where it lies in `ram`, and what may be done there.
//
//     31                    12 11        3   2   1   0
//     ┌───────────────────────┬───────────┬───┬───┬───┐
//     │ offset in ram         │     0     │ X │ W │ R │      0: not mapped
//     └───────────────────────┴───────────┴───┴───┴───┘
export const PAGE_R = 1;
export const PAGE_W = 2;
export const PAGE_X = 4;
const BITS: Record<Access, number> = { none: 0, r: PAGE_R, rw: PAGE_R | PAGE_W, rx: PAGE_R | PAGE_X };

/**
 * The guest's memory: regions of 64-bit addresses whose low halves are disjoint, so that the low 32 bits index one flat
 * page table and the high half is compared. A region is contiguous in `ram`.
 *
 * Guest code obeys the pages' permissions. The host may read and write whatever is mapped; text goes through `poke`.
 */
export class GuestMemory {
  /** All of guest RAM. */
  readonly ram: Uint8Array;
  readonly view: DataView;
  /** Per page of the low 32 bits: the entry drawn above, and the upper half of the addresses that it answers to. */
  readonly pages = new Int32Array(1 << 20);
  readonly highs = new Int32Array(1 << 20);
  readonly regions: Region[] = [];
  /** Changes whenever executable bytes may have changed: whoever keeps decoded code drops it then. */
  codeGeneration = 0;
  #used = 0;

  /** `capacity`: bytes for all regions together; the platform hands out zeroed pages as they are touched. */
  constructor(capacity = 256 << 20) {
    this.ram = new Uint8Array(capacity);
    this.view = new DataView(this.ram.buffer);
  }

  /** Maps `size` zeroed bytes (rounded up to pages) at `base`. Throws MachineError on overlap or when RAM is full. */
  mapRegion(name: string, base: bigint, size: number, access: Access = 'rw'): Region {
    const low = Number(base & 0xffffffffn);
    const length = Math.ceil(size / PAGE_SIZE) * PAGE_SIZE;
    if (length <= 0 || low % PAGE_SIZE !== 0) throw new MachineError('not whole pages', 'refused', `region ${name}`);
    if (low + length > 2 ** 32) throw new MachineError('crosses a 4 GiB boundary', 'refused', `region ${name}`);
    if (low < PAGE_SIZE) throw new MachineError('covers NULL in the low half', 'refused', `region ${name}`);
    if (this.#used + length > this.ram.length) throw new MachineError('guest RAM is full', 'refused', `region ${name}`);
    for (const other of this.regions) {
      const start = Number(other.base & 0xffffffffn);
      if (low < start + other.size && start < low + length) {
        throw new MachineError(`low half overlaps region ${other.name}`, 'refused', `region ${name}`);
      }
    }
    const first = low >>> PAGE_SHIFT;
    for (let i = 0; i < length / PAGE_SIZE; i++) {
      this.pages[first + i] = (this.#used + i * PAGE_SIZE) | BITS[access];
      this.highs[first + i] = Number(base >> 32n) | 0;
    }
    this.#used += length;
    const region = { name, base: BigInt.asUintN(64, base), size: length };
    this.regions.push(region);
    return region;
  }

  /** Sets the permissions of the pages that `[pointer, pointer + length)` touches, which lie in one region. */
  protect(pointer: GuestPtr, length: number, access: Access): void {
    const region = this.#region(pointer);
    const start = Number(region.base & 0xffffffffn);
    if (length <= 0 || pointer + length > start + region.size) throw this.#unmapped(pointer, length);
    for (let page = pointer >>> PAGE_SHIFT; page <= (pointer + length - 1) >>> PAGE_SHIFT; page++) {
      this.pages[page] = (this.pages[page]! & ~(PAGE_SIZE - 1)) | BITS[access];
    }
    this.codeGeneration++;
  }

  /** The permissions of the page at `pointer`; undefined outside of every region. */
  access(pointer: GuestPtr): Access | undefined {
    if (this.#find(pointer) === undefined) return undefined;
    const bits = this.pages[pointer >>> PAGE_SHIFT]! & 7;
    return bits & PAGE_X ? 'rx' : bits & PAGE_W ? 'rw' : bits & PAGE_R ? 'r' : 'none';
  }

  /** Where `[pointer, pointer + length)` lies in `ram`. Throws MachineError unless all of it is mapped in one region. */
  offset(pointer: GuestPtr, length: number): number {
    const first = this.pages[pointer >>> PAGE_SHIFT]!;
    const at = (first & ~(PAGE_SIZE - 1)) + (pointer & (PAGE_SIZE - 1));
    if ((first & 7) === 0) throw this.#unmapped(pointer, length);
    for (let page = PAGE_SIZE - (pointer & (PAGE_SIZE - 1)); page < length; page += PAGE_SIZE) {
      const entry = this.pages[(pointer + page) >>> PAGE_SHIFT]!;
      if ((entry & 7) === 0 || (entry & ~(PAGE_SIZE - 1)) !== at + page) throw this.#unmapped(pointer, length);
    }
    return at;
  }

  u8(pointer: GuestPtr): number {
    return this.ram[this.offset(pointer, 1)]!;
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

  u64(pointer: GuestPtr): bigint {
    return this.view.getBigUint64(this.offset(pointer, 8), true);
  }

  setU8(pointer: GuestPtr, value: number): void {
    this.view.setUint8(this.#writable(pointer, 1), value);
  }

  setU16(pointer: GuestPtr, value: number): void {
    this.view.setUint16(this.#writable(pointer, 2), value, true);
  }

  setU32(pointer: GuestPtr, value: number): void {
    this.view.setUint32(this.#writable(pointer, 4), value, true);
  }

  setU64(pointer: GuestPtr, value: bigint): void {
    this.view.setBigUint64(this.#writable(pointer, 8), value, true);
  }

  /** Reads a pointer field: NULL gives 0, an address outside of every region throws MachineError. */
  ptr(pointer: GuestPtr): GuestPtr {
    const at = this.offset(pointer, 8);
    return this.#checked(this.view.getUint32(at, true), this.view.getInt32(at + 4, true));
  }

  /** Writes a pointer field. */
  setPtr(pointer: GuestPtr, value: GuestPtr): void {
    const at = this.#writable(pointer, 8);
    this.view.setUint32(at, value, true);
    this.view.setInt32(at + 4, this.high(value), true);
  }

  /** A live view of guest memory. Writing executable bytes through it is wrong: `poke` does that. */
  bytes(pointer: GuestPtr, length: number): Uint8Array {
    const at = this.offset(pointer, length);
    return this.ram.subarray(at, at + length);
  }

  /** A copy, or undefined where the kernel's copy_from_kernel_nofault would say -EFAULT. */
  copyNofault(pointer: GuestPtr, length: number): Uint8Array | undefined {
    for (let page = pointer >>> PAGE_SHIFT; page <= (pointer + length - 1) >>> PAGE_SHIFT; page++) {
      if ((this.pages[page]! & PAGE_R) === 0) return undefined;
    }
    return this.bytes(pointer, length).slice();
  }

  /** Writes text as text_poke does, whatever the page's permissions, and drops decoded code. */
  poke(pointer: GuestPtr, bytes: Uint8Array): void {
    this.ram.set(bytes, this.offset(pointer, bytes.length));
    this.codeGeneration++;
  }

  /** The upper half of the addresses of `pointer`'s region, signed; 0 for NULL. */
  high(pointer: GuestPtr): number {
    if (pointer === 0) return 0;
    if (this.pages[pointer >>> PAGE_SHIFT] === 0 && this.#find(pointer) === undefined) throw this.#unmapped(pointer, 1);
    return this.highs[pointer >>> PAGE_SHIFT]!;
  }

  /** The full 64-bit address. */
  address(pointer: GuestPtr): bigint {
    return BigInt.asUintN(64, (BigInt(this.high(pointer)) << 32n) | BigInt(pointer >>> 0));
  }

  /** The pointer that names a full address. Throws MachineError outside of every region. */
  pointer(address: bigint): GuestPtr {
    return this.#checked(Number(address & 0xffffffffn), Number((address >> 32n) & 0xffffffffn) | 0);
  }

  #checked(low: number, high: number): GuestPtr {
    if (low === 0 && high === 0) return 0;
    if (this.highs[low >>> PAGE_SHIFT] !== high || this.#find(low) === undefined) {
      const address = (BigInt(high) << 32n) | BigInt(low);
      throw new MachineError(`${hex64(address)} is not in guest memory`);
    }
    return low;
  }

  #writable(pointer: GuestPtr, length: number): number {
    const at = this.offset(pointer, length);
    if ((this.pages[pointer >>> PAGE_SHIFT]! & PAGE_X) !== 0) this.codeGeneration++;
    return at;
  }

  #find(pointer: GuestPtr): Region | undefined {
    return this.regions.find((region) => {
      const start = Number(region.base & 0xffffffffn);
      return pointer >= start && pointer < start + region.size;
    });
  }

  #region(pointer: GuestPtr): Region {
    const region = this.#find(pointer);
    if (region === undefined) throw this.#unmapped(pointer, 1);
    return region;
  }

  #unmapped(pointer: GuestPtr, length: number): MachineError {
    const low = `0x${(pointer >>> 0).toString(16)}`;
    return new MachineError(`host access of ${length} bytes at …${low}: not mapped`);
  }
}
