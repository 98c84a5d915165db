import type { Random } from '../base/index.ts';
import { Red } from './aqm.ts';
import type { WirePacket } from './bottleneck.ts';
import { Codel, type CodelQueue, type Fate } from './codel.ts';
import type { LinkSpec } from './link.ts';

/** Packets in order of arrival, each with the time when it came. */
export class PacketQueue<P extends WirePacket> implements CodelQueue<P> {
  #packets: P[] = [];
  #since: number[] = [];
  /** Packets at the front of the arrays that have left. */
  #gone = 0;
  shiftedSince = 0;
  bytes = 0;

  get length(): number {
    return this.#packets.length - this.#gone;
  }

  backlog(): number {
    return this.bytes;
  }

  push(packet: P, now: number): void {
    this.#packets.push(packet);
    this.#since.push(now);
    this.bytes += packet.size;
  }

  shift(): P | undefined {
    if (this.#gone === this.#packets.length) return undefined;
    const packet = this.#packets[this.#gone]!;
    this.shiftedSince = this.#since[this.#gone++]!;
    this.bytes -= packet.size;
    if (this.#gone > 1024 && this.#gone * 2 > this.#packets.length) {
      this.#packets = this.#packets.slice(this.#gone);
      this.#since = this.#since.slice(this.#gone);
      this.#gone = 0;
    }
    return packet;
  }
}

/** A packet that is being sent, or none: it counts as part of the buffer. */
export interface Sending {
  packets: number;
  bytes: number;
}

/** What waits in front of a link, and who of it goes next. */
export interface Discipline<P> {
  readonly packets: number;
  /** Takes a packet in, or drops it; `idle` packets could have been sent since the link fell idle. */
  enqueue(packet: P, now: number, sending: Sending, idle: number): void;
  dequeue(now: number): P | undefined;
}

/** One queue with limits in packets and bytes, marks from a threshold on, and RED or CoDel. */
export class Fifo<P extends WirePacket> implements Discipline<P> {
  readonly #spec: LinkSpec;
  readonly #fate: Fate<P>;
  readonly #queue = new PacketQueue<P>();
  readonly #codel: Codel<P> | undefined;
  readonly #red: Red | undefined;

  constructor(spec: LinkSpec, random: Random, fate: Fate<P>) {
    this.#spec = spec;
    this.#fate = fate;
    const { aqm } = spec;
    if (aqm?.kind === 'codel') this.#codel = new Codel(aqm, fate);
    if (aqm?.kind === 'red') this.#red = new Red(aqm.minPackets, aqm.maxPackets, aqm.probability, random);
  }

  get packets(): number {
    return this.#queue.length;
  }

  enqueue(packet: P, now: number, sending: Sending, idle: number): void {
    const { aqm, bufferPackets, bufferBytes, ecnPackets, ecnBytes } = this.#spec;
    const waiting = this.packets + sending.packets;
    const bytes = this.#queue.bytes + sending.bytes;
    const early = this.#red?.enqueue(waiting, idle) === true;
    if (
      waiting >= bufferPackets ||
      (bufferBytes !== undefined && bytes + packet.size > bufferBytes) ||
      (early && !(aqm?.ecn === true && packet.ecnCapable))
    ) {
      this.#fate.drop(packet);
      return;
    }
    const above = (ecnPackets !== undefined && waiting >= ecnPackets) || (ecnBytes !== undefined && bytes >= ecnBytes);
    if (early || above) this.#fate.mark(packet);
    this.#queue.push(packet, now);
  }

  dequeue(now: number): P | undefined {
    return this.#codel === undefined ? this.#queue.shift() : this.#codel.dequeue(this.#queue, now);
  }
}

/** Bytes that a flow may send in its turn: one packet of Ethernet (psched_mtu). */
const QUANTUM = 1514;
/** Packets that are dropped at once from the longest queue (drop_batch_size). */
const DROP_BATCH = 64;

/** A flow's own queue. */
interface FlowQueue<P extends WirePacket> {
  queue: PacketQueue<P>;
  codel: Codel<P>;
  view: CodelQueue<P>;
  deficit: number;
  /** In one of the two lists. */
  listed: boolean;
}

/**
 * FQ-CoDel: net/sched/sch_fq_codel.c (6.18) with its defaults (quantum of a packet, batches of 64). Each flow has a queue of
 * its own; that the kernel's hash may put two flows into one is not modelled. `bufferPackets` is its limit, `bufferBytes`
 * its memory limit (in bytes on the wire, not in memory of socket buffers).
 */
export class FqCodel<P extends WirePacket> implements Discipline<P> {
  readonly #spec: LinkSpec;
  readonly #fate: Fate<P>;
  readonly #flows = new Map<number, FlowQueue<P>>();
  readonly #new = new List<FlowQueue<P>>();
  readonly #old = new List<FlowQueue<P>>();
  packets = 0;
  #bytes = 0;

  constructor(spec: LinkSpec, fate: Fate<P>) {
    this.#spec = spec;
    this.#fate = fate;
  }

  enqueue(packet: P, now: number): void {
    const flow = this.#flowOf(packet.flow ?? 0);
    flow.queue.push(packet, now);
    this.packets++;
    this.#bytes += packet.size;
    if (!flow.listed) {
      flow.listed = true;
      flow.deficit = QUANTUM;
      this.#new.push(flow);
    }
    const { bufferPackets, bufferBytes } = this.#spec;
    if (this.packets > bufferPackets || (bufferBytes !== undefined && this.#bytes > bufferBytes)) this.#dropFattest();
  }

  dequeue(now: number): P | undefined {
    for (;;) {
      const list = this.#new.length > 0 ? this.#new : this.#old;
      const flow = list.first;
      if (flow === undefined) return undefined;
      if (flow.deficit <= 0) {
        flow.deficit += QUANTUM;
        this.#old.push(list.shift());
        continue;
      }
      const packet = flow.codel.dequeue(flow.view, now);
      if (packet !== undefined) {
        flow.deficit -= packet.size;
        return packet;
      }
      list.shift();
      // A new flow that ran dry waits behind the old ones, so that it cannot be new again at once.
      if (list === this.#new && this.#old.length > 0) this.#old.push(flow);
      else flow.listed = false;
    }
  }

  #flowOf(number: number): FlowQueue<P> {
    let flow = this.#flows.get(number);
    if (flow !== undefined) return flow;
    const queue = new PacketQueue<P>();
    const view: CodelQueue<P> = {
      shift: () => this.#take(queue),
      get shiftedSince() {
        return queue.shiftedSince;
      },
      backlog: () => this.#bytes,
    };
    const codel = new Codel(this.#spec.aqm as Extract<LinkSpec['aqm'], { kind: 'fq_codel' }>, this.#fate);
    flow = { queue, codel, view, deficit: 0, listed: false };
    this.#flows.set(number, flow);
    return flow;
  }

  #take(queue: PacketQueue<P>): P | undefined {
    const packet = queue.shift();
    if (packet !== undefined) {
      this.packets--;
      this.#bytes -= packet.size;
    }
    return packet;
  }

  /** fq_codel_drop: up to half of the longest queue goes, from its front. */
  #dropFattest(): void {
    let fattest: FlowQueue<P> | undefined;
    for (const flow of this.#flows.values()) if (flow.queue.bytes > (fattest?.queue.bytes ?? 0)) fattest = flow;
    const threshold = Math.floor(fattest!.queue.bytes / 2);
    let bytes = 0;
    let dropped = 0;
    do {
      const packet = this.#take(fattest!.queue)!;
      bytes += packet.size;
      this.#fate.drop(packet);
    } while (++dropped < DROP_BATCH && bytes < threshold);
    fattest!.codel.strengthen(dropped);
  }
}

/** A list that is taken from its front. */
class List<T> {
  #items: T[] = [];
  #gone = 0;

  get length(): number {
    return this.#items.length - this.#gone;
  }

  get first(): T | undefined {
    return this.#items[this.#gone];
  }

  push(item: T): void {
    this.#items.push(item);
  }

  shift(): T {
    const item = this.#items[this.#gone++]!;
    if (this.#gone > 1024 && this.#gone * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#gone);
      this.#gone = 0;
    }
    return item;
  }
}
