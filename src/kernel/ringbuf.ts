import { ERRNO } from '../base/index.ts';
import type { GuestPtr } from '../machine/index.ts';
import type { MapBlueprint } from '../object/index.ts';
import type { Kernel } from './kernel.ts';
import { roundUp8, writeHeader } from './map_header.ts';
import type { BpfMap, MapParts } from './maps.ts';

/** Bytes in front of each record (BPF_RINGBUF_HDR_SZ), and bits of its length. */
const HEADER = 8;
const BUSY = 0x8000_0000;
const DISCARD = 0x4000_0000;
const MAX_RECORD = 0x3fff_ffff;
/** What bpf_ringbuf_query is asked for. */
const QUERY = { AVAIL_DATA: 0, RING_SIZE: 1, CONS_POS: 2, PROD_POS: 3 } as const;

/** A record that a program submitted. */
export interface RingRecord {
  /** Name of the ring buffer. */
  map: string;
  /** Kernel time of the submission, nanoseconds since boot. */
  ns: number;
  data: Uint8Array;
}

/**
 * BPF_MAP_TYPE_RINGBUF: kernel/bpf/ringbuf.c (6.18). Records wait for a reader: without one (`consume`, or
 * `Kernel.onRecord`, which reads each record at once) the buffer fills up, and reservations fail as they do in the kernel.
 */
export class RingbufMap implements BpfMap {
  readonly blueprint: MapBlueprint;
  readonly id: number;
  readonly pointer: GuestPtr;
  readonly values: GuestPtr = 0;
  readonly special = [];
  readonly #kernel: Kernel;
  readonly #size: number;
  /** The ring, twice as long as it is, so that every record lies in one piece. */
  readonly #data: GuestPtr;
  #producer = 0;
  #consumer = 0;
  /** The oldest record that is not committed begins here, or later. */
  #pending = 0;
  readonly #times = new Map<number, number>();

  constructor({ kernel, blueprint }: MapParts) {
    this.blueprint = blueprint;
    this.#kernel = kernel;
    this.id = kernel.nextId();
    this.#size = blueprint.maxEntries;
    this.pointer = kernel.vmalloc.alloc(kernel.target.offsets.bpfArrayPtrs, 64);
    this.#data = kernel.vmalloc.alloc(2 * this.#size, 4096);
    writeHeader(kernel, this.pointer, blueprint);
  }

  get name(): string {
    return this.blueprint.name;
  }

  /** __bpf_ringbuf_reserve: where the record is to be written, 0 if it does not fit. */
  reserve(size: number): GuestPtr {
    const length = roundUp8(size + HEADER);
    if (size > MAX_RECORD || length > this.#size) return 0;
    while (this.#pending < this.#producer && (this.#lengthAt(this.#pending) & BUSY) === 0)
      this.#pending += roundUp8((this.#lengthAt(this.#pending) & ~DISCARD) + HEADER);
    const end = this.#producer + length;
    if (end - this.#consumer > this.#size - 1 || end - this.#pending > this.#size - 1) return 0;
    const header = this.#at(this.#producer);
    this.#kernel.memory.setU32(header, (size | BUSY) >>> 0);
    this.#producer = end;
    return header + HEADER;
  }

  /** Ends a reservation; a discarded record is not seen. */
  commit(sample: GuestPtr, discard: boolean): void {
    const header = sample - HEADER;
    const length = this.#kernel.memory.u32(header) & ~BUSY;
    this.#kernel.memory.setU32(header, (discard ? length | DISCARD : length) >>> 0);
    this.#times.set(header, this.#kernel.now());
    const { onRecord } = this.#kernel;
    if (onRecord !== undefined) for (const record of this.consume()) onRecord(record);
  }

  output(bytes: Uint8Array, flags: number): number {
    // BPF_RB_NO_WAKEUP and BPF_RB_FORCE_WAKEUP.
    if ((flags & ~3) !== 0) return -ERRNO.EINVAL;
    const sample = this.reserve(bytes.length);
    if (sample === 0) return -ERRNO.EAGAIN;
    this.#kernel.memory.bytes(sample, bytes.length).set(bytes);
    this.commit(sample, false);
    return 0;
  }

  /** Reads what is committed, up to the oldest record that is not, and makes room. */
  consume(): RingRecord[] {
    const records: RingRecord[] = [];
    while (this.#consumer < this.#producer) {
      const length = this.#lengthAt(this.#consumer);
      if ((length & BUSY) !== 0) break;
      const header = this.#at(this.#consumer);
      const size = length & ~DISCARD;
      if ((length & DISCARD) === 0)
        records.push({
          map: this.name,
          ns: this.#times.get(header)!,
          data: this.#kernel.memory.bytes(header + HEADER, size).slice(),
        });
      this.#times.delete(header);
      this.#consumer += roundUp8(size + HEADER);
    }
    return records;
  }

  /** bpf_ringbuf_query. */
  query(what: number): number {
    switch (what) {
      case QUERY.AVAIL_DATA:
        return this.#producer - this.#consumer;
      case QUERY.RING_SIZE:
        return this.#size;
      case QUERY.CONS_POS:
        return this.#consumer;
      case QUERY.PROD_POS:
        return this.#producer;
      default:
        return 0;
    }
  }

  /** Whether a record lies in this ring. */
  holds(sample: GuestPtr): boolean {
    return sample > this.#data && sample < this.#data + 2 * this.#size;
  }

  #at(position: number): GuestPtr {
    return this.#data + (position % this.#size);
  }

  #lengthAt(position: number): number {
    return this.#kernel.memory.u32(this.#at(position));
  }

  lookup(): GuestPtr {
    return 0;
  }
  update(): number {
    return -ERRNO.EOPNOTSUPP;
  }
  delete(): number {
    return -ERRNO.EOPNOTSUPP;
  }
  *keys(): Iterable<Uint8Array> {}

  free(): void {
    this.#kernel.vmalloc.free(this.#data);
    this.#kernel.vmalloc.free(this.pointer);
  }
}
