import { errnoName } from '../../base/index.ts';
import { type Kernel, KernelError } from '../../kernel/index.ts';
import type { Simulator } from '../../net/index.ts';
import { findCongestionControl } from './controls.ts';
import type { FlowReport, FlowSample } from './flows.ts';
import { Jiffies } from './jiffies.ts';
import { type CcMember, CongestionOps } from './ops.ts';
import type { AckPacket, DataPacket, ReceiverOptions } from './packets.types.ts';
import { Quantiles } from './quantiles.ts';
import { Receiver } from './receiver.ts';
import { ReceivingSocket } from './receiving_socket.ts';
import type { FlowSource, FlowSpec, OpCall, SenderEvent } from './scenario.types.ts';
import { Sender } from './sender.ts';
import { CA, type CaState, TCP_INFINITE_SSTHRESH } from './sock.ts';
import { forgetSocket, registerSocket, setCongestionControl } from './sockets.ts';
import { traceCalls } from './trace_calls.ts';
import type { Burst } from './writer.ts';

/** TCP_CONG_NEEDS_ECN. */
const NEEDS_ECN = 2;
/** How often a rate-limited application writes, nanoseconds. */
const WRITE_EVERY = 10e6;
const STATES = Object.keys(CA) as (keyof typeof CA)[];

/** An event before it is said of which flow it is, and when it happened. */
type WithoutPlace<E> = E extends unknown ? Omit<E, 'flow' | 'ns'> : never;

/** What a connection runs on. */
export interface ConnectionOptions {
  /** Round-trip time without queues, nanoseconds. */
  rttNs: number;
  /** Whether a link on the way marks ECN-capable packets. */
  marks: boolean;
  /** Simulated seconds that the scenario lasts. */
  seconds: number;
  send: (packet: DataPacket) => void;
  /** Packets that wait on the way. */
  queued: () => number;
}

/** Both ends of one flow, and what is counted about it. */
export class Connection {
  readonly spec: FlowSpec;
  readonly receiver: Receiver;
  readonly sender: Sender;
  readonly #kernel: Kernel;
  readonly #simulator: Simulator;
  readonly #ops: CongestionOps;
  /** Of the receiving end, if the congestion control runs there too. */
  readonly #socket: ReceivingSocket | undefined;
  readonly #endNs: number;
  readonly #queued: () => number;
  #on = true;
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
  #watcher: ((event: SenderEvent) => void) | undefined;
  dropped = 0;
  lost = 0;
  marked = 0;

  constructor(kernel: Kernel, simulator: Simulator, spec: FlowSpec, options: ConnectionOptions) {
    const kdata = findCongestionControl(kernel, spec.congestion);
    if (kdata === undefined)
      throw new KernelError(
        `congestion control '${spec.congestion}' is not registered: -ENOENT`,
        'ENOENT',
        `flow '${spec.name}'`,
      );
    this.#kernel = kernel;
    this.#simulator = simulator;
    this.spec = spec;
    this.#queued = options.queued;
    this.#endNs = Math.min(spec.stopNs ?? Number.POSITIVE_INFINITY, options.seconds * 1e9);
    this.#ops = new CongestionOps(kernel, kdata);
    this.#ops.onCall = (member) => {
      this.#calls[member] = (this.#calls[member] ?? 0) + 1;
    };
    // Acknowledgments see the delay, but neither queue nor loss.
    const { gsoMaxSegs = 1, receiveMemory, noTimestamps = false, bothEnds = false } = spec.hosts ?? {};
    if (bothEnds)
      this.#socket = new ReceivingSocket(kernel, new CongestionOps(kernel, kdata), new Jiffies(kernel, simulator));
    const host: ReceiverOptions = { timestamps: !noTimestamps };
    if (receiveMemory !== undefined) host.memory = receiveMemory;
    if (this.#socket !== undefined) host.socket = this.#socket;
    const back = (ack: AckPacket) => void simulator.after(options.rttNs / 2, () => this.#onAck(ack));
    this.receiver = new Receiver(simulator, (this.#ops.flags & NEEDS_ECN) !== 0, back, host);
    const source = burstsOf(spec.source);
    this.sender = new Sender(kernel, simulator, this.#ops, {
      ecn: options.marks,
      handshakeRtt: options.rttNs,
      gsoMaxSegs,
      noTimestamps,
      window: Receiver.initialWindow(host),
      send: (packet) => {
        if (this.#watcher !== undefined) {
          const { seq, size, bytes, endByte } = packet;
          this.#tell({ kind: 'sent', seq, bytes: size, from: endByte - bytes - 1, data: bytes });
        }
        options.send(packet);
      },
      onLost: (seq) => this.#tell({ kind: 'lost', seq }),
      ...(source === undefined ? {} : { source }),
    });
    this.sender.recovery.onState = (state) => this.#enter(state);
    registerSocket(kernel, this.sender.sock, this.#ops);
  }

  /** Tells `listener` of every call of a member. */
  trace(listener: (call: OpCall) => void): void {
    traceCalls(this.#kernel, this.#ops, this.sender.sock, this.spec.name, () => this.#simulator.now, listener);
  }

  /** Tells `listener` of everything that happens at the sender. */
  watch(listener: (event: SenderEvent) => void): void {
    this.#watcher = listener;
  }

  #tell(event: WithoutPlace<SenderEvent>): void {
    this.#watcher?.({ flow: this.spec.name, ns: this.#simulator.now, ...event });
  }

  #tellMetrics(): void {
    if (this.#watcher === undefined) return;
    const { sock } = this.sender;
    const ssthresh = sock.get('snd_ssthresh');
    this.#tell({
      kind: 'metrics',
      cwnd: sock.get('snd_cwnd'),
      ssthresh: ssthresh >= TCP_INFINITE_SSTHRESH ? null : ssthresh,
      inFlight: sock.inFlight(),
      srttUs: sock.get('srtt_us') >>> 3,
      minRttUs: sock.minRtt(),
      pacingBps: sock.get('sk_pacing_status') === 0 ? null : 8 * sock.get('sk_pacing_rate'),
    });
  }

  /** The connection is established, and the application begins to write. */
  start(): void {
    this.#stateSince = this.#simulator.now;
    this.#sampledAt = this.#simulator.now;
    this.sender.start();
    this.#noteRtt();
    this.#tellMetrics();
  }

  /** The connection is reset, and its memory is free. */
  stop(): void {
    if (!this.#on) return;
    this.#on = false;
    this.#enter(this.#state);
    this.#socket?.stop();
    this.sender.stop();
    forgetSocket(this.#kernel, this.sender.sock);
    this.#ops.release();
  }

  /** The application asks for another congestion control. @throws KernelError with the errno that it gets */
  setCongestion(name: string): void {
    const err = setCongestionControl(this.#kernel, this.sender.sock.pointer, name);
    if (err !== 0)
      throw new KernelError(
        `setsockopt(TCP_CONGESTION, '${name}'): ${errnoName(err)}`,
        errnoName(err).slice(1),
        `flow '${this.spec.name}'`,
      );
  }

  /** A packet arrives at the other end; after a reset nobody takes it. */
  onData(packet: DataPacket): void {
    if (this.#on) this.receiver.receive(packet);
  }

  #onAck(ack: AckPacket): void {
    if (!this.#on) return;
    if (this.#watcher !== undefined) this.#tell({ kind: 'acked', ack: ack.ack, sacks: ack.sacks });
    this.sender.onAck(ack);
    this.#noteRtt();
    this.#tellMetrics();
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
    if (state !== this.#state) this.#tell({ kind: 'state', from: STATES[this.#state]!, to: STATES[state]! });
    this.#state = state;
    this.#stateSince = this.#simulator.now;
  }

  /** The flow at this moment; undefined while it is off. */
  sample(): FlowSample | undefined {
    if (!this.#on) return undefined;
    const { sock } = this.sender;
    const { now } = this.#simulator;
    const ssthresh = sock.get('snd_ssthresh');
    const segments = sock.get('delivered');
    const sample: FlowSample = {
      t: now / 1e9,
      cwnd: sock.get('snd_cwnd'),
      ssthresh: ssthresh >= 0x7fffffff ? null : ssthresh,
      srttMs: (sock.get('srtt_us') >> 3) / 1000,
      inFlight: sock.inFlight(),
      rateBps:
        now > this.#sampledAt
          ? ((segments - this.#sampledSegments) * this.#meanSegment() * 8e9) / (now - this.#sampledAt)
          : 0,
      queuePackets: this.#queued(),
    };
    this.#sampledAt = now;
    this.#sampledSegments = segments;
    this.#samples.push(sample);
    return sample;
  }

  /** Bytes of data in a segment, on average: an application that writes little fills few of them. */
  #meanSegment(): number {
    const { sock, mss } = this.sender;
    const count = sock.get('data_segs_out');
    return count === 0 ? mss : sock.get('bytes_sent') / count;
  }

  report(): FlowReport {
    const { rttCount, rttSum, retransmits, rtos } = this.sender;
    const segments = this.receiver.delivered;
    return {
      name: this.spec.name,
      congestion: this.spec.congestion,
      goodputBps: (this.receiver.deliveredBytes * 8e9) / (this.#endNs - this.spec.startNs),
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

/** What the application writes; undefined: data without end. */
function burstsOf(source: FlowSource): Burst[] | undefined {
  if (source.kind === 'bulk') return undefined;
  if (source.kind === 'requests') return [{ bytes: source.bytes, pauseNs: source.thinkNs, forever: true }];
  const bytes = Math.max(1, Math.floor((source.rateBps * WRITE_EVERY) / 8e9));
  return [{ bytes, pauseNs: WRITE_EVERY, periodic: true, forever: true }];
}
