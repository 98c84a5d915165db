import type { Random } from '../base/index.ts';
import { Codel, Red } from './aqm.ts';
import type { LinkSpec } from './link.ts';
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

/** The bottleneck: one queue, served at the link's rate, then half of the propagation delay. */
export class Bottleneck<P extends WirePacket> {
  readonly #simulator: Simulator;
  readonly #spec: LinkSpec;
  readonly #random: Random;
  readonly #deliver: (packet: P) => void;
  readonly #codel: Codel | undefined;
  readonly #red: Red | undefined;
  readonly #dropList: ReadonlySet<number>;
  #queue: P[] = [];
  /** When each of them came, nanoseconds. */
  #since: number[] = [];
  /** Packets at the front of the arrays that have left. */
  #gone = 0;
  #busy = false;
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

  constructor(simulator: Simulator, spec: LinkSpec, random: Random, deliver: (packet: P) => void) {
    this.#simulator = simulator;
    this.#spec = spec;
    this.#random = random;
    this.#deliver = deliver;
    this.#dropList = new Set(spec.dropList);
    const { aqm } = spec;
    if (aqm?.kind === 'codel') this.#codel = new Codel(aqm.targetNs, aqm.intervalNs);
    if (aqm?.kind === 'red') this.#red = new Red(aqm.minPackets, aqm.maxPackets, aqm.probability, random);
  }

  /** Packets that wait, the one being sent included. */
  get queued(): number {
    return this.#queue.length - this.#gone + (this.#busy ? 1 : 0);
  }

  send(packet: P): void {
    const { loss, bufferPackets, ecnPackets } = this.#spec;
    const number = this.sent++;
    if (this.#dropList.has(number) || (loss > 0 && this.#random.unit() < loss)) {
      this.lost++;
      this.onLoss(packet);
      return;
    }
    const waiting = this.queued;
    const early = this.#red?.enqueue(waiting, this.#idlePackets(packet.size)) === true;
    if (waiting >= bufferPackets || (early && !this.#mayMark(packet))) {
      this.#drop(packet);
      return;
    }
    if (early || (ecnPackets !== undefined && packet.ecnCapable && waiting >= ecnPackets)) this.#mark(packet);
    this.#queue.push(packet);
    this.#since.push(this.#simulator.now);
    if (!this.#busy) this.#serve();
  }

  #drop(packet: P): void {
    this.dropped++;
    this.onDrop(packet);
  }

  #mark(packet: P): void {
    packet.ce = true;
    this.marked++;
    this.onMark(packet);
  }

  /** Whether the queue discipline marks this packet where it would drop others. */
  #mayMark(packet: P): boolean {
    return packet.ecnCapable && this.#spec.aqm?.ecn === true;
  }

  #idlePackets(size: number): number {
    return this.#busy ? 0 : ((this.#simulator.now - this.#idleSince) * this.#spec.rateBps) / (size * 8e9);
  }

  /** Time until a stall that is going on ends. */
  #stalledFor(): number {
    const stall = this.#spec.stall;
    if (stall === undefined) return 0;
    const into = this.#simulator.now - stall.atNs;
    return into >= 0 && into < stall.forNs ? stall.forNs - into : 0;
  }

  /** The next packet that is not dropped on leaving the queue. */
  #next(): P | undefined {
    for (;;) {
      const packet = this.#queue[this.#gone];
      if (packet === undefined) return undefined;
      const since = this.#since[this.#gone++]!;
      if (this.#gone > 1024 && this.#gone * 2 > this.#queue.length) {
        this.#queue = this.#queue.slice(this.#gone);
        this.#since = this.#since.slice(this.#gone);
        this.#gone = 0;
      }
      const left = this.#queue.length - this.#gone;
      if (this.#codel?.dequeue(this.#simulator.now, since, left) !== true) return packet;
      if (this.#mayMark(packet)) {
        this.#mark(packet);
        return packet;
      }
      this.#drop(packet);
    }
  }

  #serve(): void {
    const packet = this.#next();
    this.#busy = packet !== undefined;
    if (packet === undefined) {
      this.#idleSince = this.#simulator.now;
      return;
    }
    this.#simulator.after(this.#stalledFor() + (packet.size * 8e9) / this.#spec.rateBps, () => {
      this.travelling++;
      this.#simulator.after(this.#travelTime(), () => {
        this.travelling--;
        this.delivered++;
        this.#deliver(packet);
      });
      this.#serve();
    });
  }

  /** Propagation delay, jitter, and what makes a packet late. */
  #travelTime(): number {
    const { rttNs, jitterNs, reorder } = this.#spec;
    const { now } = this.#simulator;
    if (reorder !== undefined && this.#random.unit() < reorder.share) return rttNs / 2 + reorder.byNs;
    if (jitterNs === undefined) return rttNs / 2;
    this.#lastArrival = Math.max(this.#lastArrival, now + rttNs / 2 + this.#random.unit() * jitterNs);
    return this.#lastArrival - now;
  }
}
