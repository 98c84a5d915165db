import type { Random } from '../base/index.ts';
import type { Fate } from './codel.ts';
import { checkLink, type LinkSpec } from './link.ts';
import { type Discipline, Fifo, FqCodel, type Sending } from './queue.ts';
import { type Pace, paceOf } from './schedule.ts';
import type { Simulator } from './simulator.ts';

/** A packet on the wire. `ce` may be set on the way. */
export interface WirePacket {
  /** Bytes on the wire, headers included. */
  size: number;
  ecnCapable: boolean;
  ce: boolean;
  /** Which of several flows it belongs to. */
  flow?: number;
}

/** The bottleneck: what waits, served at the link's rate, then half of the propagation delay. */
export class Bottleneck<P extends WirePacket> {
  readonly #simulator: Simulator;
  readonly spec: LinkSpec;
  readonly #random: Random;
  readonly #deliver: (packet: P) => void;
  readonly #queue: Discipline<P>;
  readonly #pace: Pace;
  readonly #dropList: ReadonlySet<number>;
  /** The packet that is being sent. */
  readonly #sending: Sending = { packets: 0, bytes: 0 };
  #idleSince = 0;
  #lastArrival = 0;
  /** Packets that were offered, and that came out at the other end. */
  sent = 0;
  delivered = 0;
  /** Packets that are past the queue, on their way. */
  travelling = 0;
  /** Packets that the full buffer or the queue discipline refused, that were lost on the way, that were marked. */
  dropped = 0;
  lost = 0;
  marked = 0;
  /** Called for each of them. */
  onDrop: (packet: P) => void = () => {};
  onLoss: (packet: P) => void = () => {};
  onMark: (packet: P) => void = () => {};

  /** @throws NetError for a description that makes no sense */
  constructor(simulator: Simulator, spec: LinkSpec, random: Random, deliver: (packet: P) => void) {
    checkLink(spec);
    this.#simulator = simulator;
    this.spec = spec;
    this.#random = random;
    this.#deliver = deliver;
    this.#dropList = new Set(spec.dropList);
    this.#pace = paceOf(spec);
    const fate: Fate<P> = { drop: (packet) => this.#drop(packet), mark: (packet) => this.#mark(packet) };
    this.#queue = spec.aqm?.kind === 'fq_codel' ? new FqCodel(spec, fate) : new Fifo(spec, random, fate);
  }

  /** Packets that wait, the one being sent included. */
  get queued(): number {
    return this.#queue.packets + this.#sending.packets;
  }

  send(packet: P): void {
    const { loss } = this.spec;
    const number = this.sent++;
    if (this.#dropList.has(number) || (loss > 0 && this.#random.unit() < loss)) {
      this.lost++;
      this.onLoss(packet);
      return;
    }
    this.#queue.enqueue(packet, this.#simulator.now, this.#sending, this.#idlePackets(packet.size));
    if (this.#sending.packets === 0) this.#serve(true);
  }

  #drop(packet: P): void {
    this.dropped++;
    this.onDrop(packet);
  }

  #mark(packet: P): boolean {
    if (!packet.ecnCapable) return false;
    packet.ce = true;
    this.marked++;
    this.onMark(packet);
    return true;
  }

  #idlePackets(size: number): number {
    const busy = this.#sending.packets > 0;
    return busy ? 0 : ((this.#simulator.now - this.#idleSince) * this.spec.rateBps) / (size * 8e9);
  }

  /** When a stall that is going on ends, now if there is none. */
  #stalledUntil(): number {
    const { stall } = this.spec;
    const { now } = this.#simulator;
    return stall !== undefined && now >= stall.atNs && now < stall.atNs + stall.forNs ? stall.atNs + stall.forNs : now;
  }

  #serve(fresh: boolean): void {
    const sending = this.#sending;
    const { now } = this.#simulator;
    const packet = this.#queue.dequeue(now);
    sending.packets = packet === undefined ? 0 : 1;
    sending.bytes = packet?.size ?? 0;
    if (packet === undefined) {
      this.#idleSince = now;
      return;
    }
    const start = this.#stalledUntil();
    const until = this.#pace.until(start, packet.size, fresh || start > now);
    if (until === Number.POSITIVE_INFINITY) return;
    this.#simulator.after(until - now, () => {
      this.travelling++;
      this.#simulator.after(this.#travelTime(), () => {
        this.travelling--;
        this.delivered++;
        this.#deliver(packet);
      });
      this.#serve(false);
    });
  }

  /** Propagation delay, jitter, and what makes a packet late. */
  #travelTime(): number {
    const { rttNs, jitterNs, reorder } = this.spec;
    const { now } = this.#simulator;
    if (reorder !== undefined && this.#random.unit() < reorder.share) return rttNs / 2 + reorder.byNs;
    if (jitterNs === undefined) return rttNs / 2;
    this.#lastArrival = Math.max(this.#lastArrival, now + rttNs / 2 + this.#random.unit() * jitterNs);
    return this.#lastArrival - now;
  }
}
