import type { Kernel } from '../../kernel/index.ts';
import type { LinkSpec, Simulator } from '../../net/index.ts';
import type { FlowReport, FlowSample } from './flows.ts';
import { type CcMember, CongestionOps } from './ops.ts';
import type { AckPacket, DataPacket } from './packets.types.ts';
import { Quantiles } from './quantiles.ts';
import { Receiver } from './receiver.ts';
import type { FlowSource, FlowSpec, OpCall } from './scenario.types.ts';
import { MSS } from './scoreboard.ts';
import { Sender } from './sender.ts';
import { CA, type CaState } from './sock.ts';
import { findCongestionControl, forgetSocket, registerSocket } from './tcp_ca.ts';
import { traceCalls } from './trace_calls.ts';
import type { Burst } from './writer.ts';

/** TCP_CONG_NEEDS_ECN. */
const NEEDS_ECN = 2;
/** How often a rate-limited application writes, nanoseconds. */
const WRITE_EVERY = 10e6;
const STATES = Object.keys(CA) as (keyof typeof CA)[];

/** What a connection runs on. */
export interface ConnectionOptions {
  link: LinkSpec;
  /** Whether the link marks ECN-capable packets. */
  marks: boolean;
  /** Simulated seconds that the scenario lasts. */
  seconds: number;
  send: (packet: DataPacket) => void;
}

/** Both ends of one flow, and what is counted about it. */
export class Connection {
  readonly spec: FlowSpec;
  readonly receiver: Receiver;
  readonly sender: Sender;
  readonly #kernel: Kernel;
  readonly #simulator: Simulator;
  readonly #ops: CongestionOps;
  readonly #endNs: number;
  #phase: 'new' | 'on' | 'over' = 'new';
  /** Microseconds, of the samples that the sender took. */
  readonly #rtts = new Quantiles();
  #rttCount = 0;
  #rttSum = 0;
  #state: CaState = CA.Open;
  #stateSince = 0;
  readonly #nsInState = [0, 0, 0, 0, 0];
  readonly #calls: Partial<Record<CcMember, number>> = {};
  readonly #samples: FlowSample[] = [];
  #sampledAt = 0;
  #sampledSegments = 0;
  dropped = 0;
  lost = 0;
  marked = 0;

  constructor(kernel: Kernel, simulator: Simulator, spec: FlowSpec, options: ConnectionOptions) {
    const kdata = findCongestionControl(kernel, spec.congestion)!;
    const flags = kernel.memory.u32(kdata + kernel.field('tcp_congestion_ops', 'flags').offset);
    this.#kernel = kernel;
    this.#simulator = simulator;
    this.spec = spec;
    this.#endNs = Math.min(spec.stopNs ?? Number.POSITIVE_INFINITY, options.seconds * 1e9);
    this.#ops = new CongestionOps(kernel, kdata);
    this.#ops.onCall = (member) => {
      this.#calls[member] = (this.#calls[member] ?? 0) + 1;
    };
    // Acknowledgments see the delay, but neither queue nor loss.
    this.receiver = new Receiver(simulator, (flags & NEEDS_ECN) !== 0, (ack) => {
      simulator.after(options.link.rttNs / 2, () => this.#onAck(ack));
    });
    const source = burstsOf(spec.source, (this.#endNs - spec.startNs) / 1e9);
    this.sender = new Sender(kernel, simulator, this.#ops, {
      ecn: options.marks,
      handshakeRtt: options.link.rttNs,
      send: options.send,
      ...(source === undefined ? {} : { source }),
    });
    this.sender.recovery.onState = (state) => this.#enter(state);
    registerSocket(kernel, this.sender.sock);
  }

  /** Tells `listener` of every call of a member. */
  trace(listener: (call: OpCall) => void): void {
    traceCalls(this.#kernel, this.#ops, this.sender.sock, this.spec.name, () => this.#simulator.now, listener);
  }

  /** The connection is established, and the application begins to write. */
  start(): void {
    this.#phase = 'on';
    this.#stateSince = this.#simulator.now;
    this.#sampledAt = this.#simulator.now;
    this.sender.start();
    this.#noteRtt();
  }

  /** The connection is reset, and its memory is free. */
  stop(): void {
    if (this.#phase === 'over') return;
    const started = this.#phase === 'on';
    this.#phase = 'over';
    if (started) this.#enter(this.#state);
    this.sender.stop();
    forgetSocket(this.#kernel, this.sender.sock);
    this.#ops.release();
  }

  #onAck(ack: AckPacket): void {
    if (this.#phase !== 'on') return;
    this.sender.onAck(ack);
    this.#noteRtt();
  }

  /** An acknowledgment gives one sample of the round-trip time or none. */
  #noteRtt(): void {
    const { rttCount, rttSum } = this.sender;
    if (rttCount > this.#rttCount) this.#rtts.add(rttSum - this.#rttSum);
    this.#rttCount = rttCount;
    this.#rttSum = rttSum;
  }

  #enter(state: CaState): void {
    this.#nsInState[this.#state]! += this.#simulator.now - this.#stateSince;
    this.#state = state;
    this.#stateSince = this.#simulator.now;
  }

  /** The flow at this moment; undefined while it is off. */
  sample(queuePackets: number): FlowSample | undefined {
    if (this.#phase !== 'on') return undefined;
    const { sock } = this.sender;
    const { now } = this.#simulator;
    const ssthresh = sock.get('snd_ssthresh');
    const segments = this.receiver.delivered;
    const sample: FlowSample = {
      t: now / 1e9,
      cwnd: sock.get('snd_cwnd'),
      ssthresh: ssthresh >= 0x7fffffff ? null : ssthresh,
      srttMs: (sock.get('srtt_us') >> 3) / 1000,
      inFlight: sock.inFlight(),
      rateBps: now > this.#sampledAt ? ((segments - this.#sampledSegments) * MSS * 8e9) / (now - this.#sampledAt) : 0,
      queuePackets,
    };
    this.#sampledAt = now;
    this.#sampledSegments = segments;
    this.#samples.push(sample);
    return sample;
  }

  report(): FlowReport {
    const { rttCount, rttSum, retransmits, rtos } = this.sender;
    const segments = this.receiver.delivered;
    return {
      name: this.spec.name,
      congestion: this.spec.congestion,
      goodputBps: (segments * MSS * 8e9) / (this.#endNs - this.spec.startNs),
      rttMsMean: rttCount === 0 ? 0 : rttSum / rttCount / 1000,
      rttMsP95: this.#rtts.at(0.95) / 1000,
      retransmits,
      rtos,
      dropped: this.dropped,
      lost: this.lost,
      marked: this.marked,
      segments,
      calls: this.#calls,
      secondsInState: Object.fromEntries(
        STATES.map((name) => [name, this.#nsInState[CA[name]]! / 1e9]),
      ) as FlowReport['secondsInState'],
      samples: this.#samples,
    };
  }
}

/** What the application writes in `seconds`; undefined: data without end. */
function burstsOf(source: FlowSource, seconds: number): Burst[] | undefined {
  if (source.kind === 'bulk') return undefined;
  if (source.kind === 'limited') {
    const bytes = Math.max(1, Math.floor((source.rateBps * WRITE_EVERY) / 8e9));
    const burst = { bytes, pauseNs: WRITE_EVERY, periodic: true };
    return Array<Burst>(Math.ceil((seconds * 1e9) / WRITE_EVERY) + 1).fill(burst);
  }
  // Waiting for acknowledgments takes a millisecond or more.
  const atMost = Math.ceil((seconds * 1e9) / (source.thinkNs + 1e6)) + 1;
  return Array<Burst>(atMost).fill({ bytes: source.bytes, pauseNs: source.thinkNs });
}
