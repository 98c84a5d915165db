import type { Random } from '../base/index.ts';
import { NetError } from './error.ts';
import type { Simulator } from './simulator.ts';

/** A link with a bottleneck: rate, delay, buffer, and what it does to packets. */
export interface LinkSpec {
  /** Bits a second. */
  rateBps: number;
  /** Round-trip propagation delay in nanoseconds; half of it each way. */
  rttNs: number;
  /** Buffer in front of the bottleneck, in packets. */
  bufferPackets: number;
  /** Probability that a data packet is lost at random. */
  loss: number;
  /** Packets in the queue from which on ECN-capable packets are marked; undefined: never. */
  ecnPackets?: number;
  /** The bottleneck sends nothing for a while, as a radio link does: provokes spurious timeouts. */
  stall?: { atNs: number; forNs: number };
}

const RATES: Record<string, number> = { bit: 1, kbit: 1e3, mbit: 1e6, gbit: 1e9 };
const TIMES: Record<string, number> = { us: 1e3, ms: 1e6, s: 1e9 };
const MTU = 1500;

/**
 * Reads `20mbit,40ms,100p,loss=0.1%,ecn=20p,stall=5s:600ms`: rate and round-trip time, then, in any order, buffer
 * (packets `p`, or `KB`), loss, ECN threshold, and a stall (when, how long). The buffer defaults to the bandwidth-delay product.
 * @throws NetError naming the part that does not fit
 */
export function parseLink(text: string): LinkSpec {
  const spec: {
    rate?: number;
    rtt?: number;
    buffer?: number;
    loss: number;
    ecn?: number;
    stall?: { atNs: number; forNs: number };
  } = { loss: 0 };
  for (const part of text.split(',').map((piece) => piece.trim().toLowerCase())) {
    const bad = (why: string) => new NetError(`'${part}' ${why}`, `link '${text}'`);
    const stall = /^stall=(\d+(?:\.\d+)?)(us|ms|s):(\d+(?:\.\d+)?)(us|ms|s)$/.exec(part);
    if (stall !== null) {
      spec.stall = { atNs: Number(stall[1]) * TIMES[stall[2]!]!, forNs: Number(stall[3]) * TIMES[stall[4]!]! };
      continue;
    }
    const match = /^(?:(loss|ecn)=)?(\d+(?:\.\d+)?)([a-z%]*)$/.exec(part);
    if (match === null) throw bad('is no rate, time, buffer, loss=…, ecn=… or stall=…');
    const [, key, digits, unit = ''] = match;
    const value = Number(digits);
    if (key === 'loss') {
      const share = unit === '%' ? value / 100 : unit === '' ? value : Number.NaN;
      if (!(share >= 0 && share < 1)) throw bad('is no probability below 100%');
      spec.loss = share;
    } else if (key === 'ecn') {
      if (unit !== 'p' || !Number.isInteger(value)) throw bad('is no number of packets');
      spec.ecn = value;
    } else if (unit in RATES) spec.rate = value * RATES[unit]!;
    else if (unit in TIMES) spec.rtt = value * TIMES[unit]!;
    else if (unit === 'p') spec.buffer = value;
    else if (unit === 'kb') spec.buffer = Math.floor((value * 1000) / MTU);
    else throw bad('has no unit that is known (bit, kbit, mbit, gbit; us, ms, s; p, KB)');
  }
  const bad = (why: string) => new NetError(why, `link '${text}'`);
  if (spec.rate === undefined) throw bad('the rate is missing (e.g. 20mbit)');
  if (spec.rtt === undefined) throw bad('the round-trip time is missing (e.g. 40ms)');
  if (!(spec.rate >= 1000 && spec.rate <= 100e9))
    throw bad(`a rate of ${spec.rate} bit/s is out of bounds (1 kbit … 100 gbit)`);
  if (!(spec.rtt >= 1000 && spec.rtt <= 100e9)) throw bad('the round-trip time is out of bounds (1 us … 100 s)');
  const buffer = spec.buffer ?? Math.max(10, Math.ceil((spec.rate * spec.rtt) / 1e9 / 8 / MTU));
  if (!(Number.isInteger(buffer) && buffer >= 1 && buffer <= 1_000_000))
    throw bad(`a buffer of ${buffer} packets is out of bounds (1 … 1000000)`);
  return {
    rateBps: spec.rate,
    rttNs: spec.rtt,
    bufferPackets: buffer,
    loss: spec.loss,
    ...(spec.ecn === undefined ? {} : { ecnPackets: spec.ecn }),
    ...(spec.stall === undefined ? {} : { stall: spec.stall }),
  };
}

/** The same link in words: `20 Mbit/s · RTT 40 ms · buffer 100 packets`. */
export function formatLink(spec: LinkSpec): string {
  const rate =
    spec.rateBps >= 1e9
      ? `${spec.rateBps / 1e9} Gbit/s`
      : spec.rateBps >= 1e6
        ? `${spec.rateBps / 1e6} Mbit/s`
        : `${spec.rateBps / 1e3} kbit/s`;
  const parts = [rate, `RTT ${spec.rttNs / 1e6} ms`, `buffer ${spec.bufferPackets} packets`];
  if (spec.loss > 0) parts.push(`loss ${spec.loss * 100} %`);
  if (spec.ecnPackets !== undefined) parts.push(`ECN from ${spec.ecnPackets} packets`);
  if (spec.stall !== undefined) parts.push(`stalls at ${spec.stall.atNs / 1e9} s for ${spec.stall.forNs / 1e6} ms`);
  return parts.join(' · ');
}

/** A packet on the wire. `ce` may be set on the way. */
export interface WirePacket {
  /** Bytes on the wire, headers included. */
  size: number;
  ecnCapable: boolean;
  ce: boolean;
  /** Which of several flows it belongs to. */
  flow?: number;
}

/** The bottleneck: a droptail queue, served at the link's rate, then half of the propagation delay. */
export class Bottleneck<P extends WirePacket> {
  readonly #simulator: Simulator;
  readonly #spec: LinkSpec;
  readonly #random: Random;
  readonly #deliver: (packet: P) => void;
  #queue: P[] = [];
  /** Packets at the front of the array that have left. */
  #gone = 0;
  #busy = false;
  /** Packets that the full buffer refused, that were lost at random, that were marked. */
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
  }

  /** Packets that wait, the one being sent included. */
  get queued(): number {
    return this.#queue.length - this.#gone;
  }

  send(packet: P): void {
    if (this.#spec.loss > 0 && this.#random.unit() < this.#spec.loss) {
      this.lost++;
      this.onLoss(packet);
      return;
    }
    if (this.queued >= this.#spec.bufferPackets) {
      this.dropped++;
      this.onDrop(packet);
      return;
    }
    const threshold = this.#spec.ecnPackets;
    if (threshold !== undefined && packet.ecnCapable && this.queued >= threshold) {
      packet.ce = true;
      this.marked++;
      this.onMark(packet);
    }
    this.#queue.push(packet);
    if (!this.#busy) this.#serve();
  }

  /** Time until a stall that is going on ends. */
  #stalledFor(): number {
    const stall = this.#spec.stall;
    if (stall === undefined) return 0;
    const into = this.#simulator.now - stall.atNs;
    return into >= 0 && into < stall.forNs ? stall.forNs - into : 0;
  }

  #serve(): void {
    const packet = this.#queue[this.#gone];
    this.#busy = packet !== undefined;
    if (packet === undefined) return;
    this.#simulator.after(this.#stalledFor() + (packet.size * 8e9) / this.#spec.rateBps, () => {
      this.#gone++;
      if (this.#gone > 1024 && this.#gone * 2 > this.#queue.length) {
        this.#queue = this.#queue.slice(this.#gone);
        this.#gone = 0;
      }
      this.#simulator.after(this.#spec.rttNs / 2, () => this.#deliver(packet));
      this.#serve();
    });
  }
}
