import { Random } from '../../base/index.ts';
import { type Kernel, KernelError } from '../../kernel/index.ts';
import { Bottleneck, type LinkSpec, linkMarks, Simulator } from '../../net/index.ts';
import { CongestionOps } from './ops.ts';
import type { AckPacket, DataPacket } from './packets.types.ts';
import { Receiver } from './receiver.ts';
import type { OpCall } from './scenario.types.ts';
import { MSS } from './scoreboard.ts';
import { Sender } from './sender.ts';
import { findCongestionControl, forgetSocket, registerSocket } from './tcp_ca.ts';
import { traceCalls } from './trace_calls.ts';

/** TCP_CONG_NEEDS_ECN. */
const NEEDS_ECN = 2;

export interface FlowOptions {
  /** Name of a registered congestion control. */
  congestion: string;
  link: LinkSpec;
  /** Simulated seconds. */
  seconds: number;
  /** For random loss. */
  seed: number;
  /** Samples to take, evenly spaced (default 200). */
  samples?: number;
  /** Called after each sample, e.g. to show progress. */
  onSample?: (sample: FlowSample, share: number) => void;
  /** Called after each call of a member. */
  onCall?: (call: OpCall) => void;
}

/** The flow at one moment. */
export interface FlowSample {
  /** Seconds. */
  t: number;
  /** Packets; `ssthresh` is null while it is infinite. */
  cwnd: number;
  ssthresh: number | null;
  srttMs: number;
  inFlight: number;
  /** Goodput since the sample before, bits a second. */
  rateBps: number;
  queuePackets: number;
}

export interface FlowResult {
  flow: {
    goodputBps: number;
    rttMsMean: number;
    retransmits: number;
    rtos: number;
    /** Packets that the buffer refused, that were lost at random, that were marked. */
    dropped: number;
    lost: number;
    marked: number;
    segments: number;
  };
  samples: FlowSample[];
}

/**
 * Runs one bulk flow over a link with the given congestion control.
 * @throws KernelError -ENOENT if nobody registered it; KernelOops if the guest faults
 */
export function runFlow(kernel: Kernel, options: FlowOptions): FlowResult {
  const kdata = findCongestionControl(kernel, options.congestion);
  if (kdata === undefined)
    throw new KernelError(`congestion control '${options.congestion}' is not registered: -ENOENT`, 'ENOENT');
  const flags = kernel.memory.u32(kdata + kernel.field('tcp_congestion_ops', 'flags').offset);
  const simulator = new Simulator();
  const ops = new CongestionOps(kernel, kdata);
  const random = new Random(options.seed);
  const half = options.link.rttNs / 2;
  // Acknowledgments see the delay, but neither queue nor loss.
  const receiver = new Receiver(
    simulator,
    (flags & NEEDS_ECN) !== 0,
    (ack: AckPacket) => void simulator.after(half, () => sender.onAck(ack)),
  );
  const bottleneck = new Bottleneck<DataPacket>(simulator, options.link, random, (packet) => receiver.receive(packet));
  const sender = new Sender(kernel, simulator, ops, {
    ecn: linkMarks(options.link),
    handshakeRtt: options.link.rttNs,
    send: (packet) => bottleneck.send(packet),
  });
  registerSocket(kernel, sender.sock);
  if (options.onCall !== undefined)
    traceCalls(kernel, ops, sender.sock, options.congestion, () => simulator.now, options.onCall);
  const epoch = kernel.now();
  simulator.onTime = (now) => kernel.setTime(epoch + now);
  try {
    sender.start();
    const samples = takeSamples(options, simulator, sender, receiver, () => bottleneck.queued);
    const { rttCount, rttSum, retransmits, rtos } = sender;
    return {
      flow: {
        goodputBps: (receiver.delivered * MSS * 8) / options.seconds,
        rttMsMean: rttCount === 0 ? 0 : rttSum / rttCount / 1000,
        retransmits,
        rtos,
        dropped: bottleneck.dropped,
        lost: bottleneck.lost,
        marked: bottleneck.marked,
        segments: receiver.delivered,
      },
      samples,
    };
  } finally {
    sender.stop();
    forgetSocket(kernel, sender.sock);
    ops.release();
  }
}

function takeSamples(
  options: FlowOptions,
  simulator: Simulator,
  sender: Sender,
  receiver: Receiver,
  queued: () => number,
): FlowSample[] {
  const count = options.samples ?? 200;
  const samples: FlowSample[] = [];
  let before = 0;
  for (let i = 1; i <= count; i++) {
    simulator.runUntil((options.seconds * 1e9 * i) / count);
    const { sock } = sender;
    const ssthresh = sock.get('snd_ssthresh');
    const sample: FlowSample = {
      t: (options.seconds * i) / count,
      cwnd: sock.get('snd_cwnd'),
      ssthresh: ssthresh >= 0x7fffffff ? null : ssthresh,
      srttMs: (sock.get('srtt_us') >> 3) / 1000,
      inFlight: sock.inFlight(),
      rateBps: ((receiver.delivered - before) * MSS * 8 * count) / options.seconds,
      queuePackets: queued(),
    };
    before = receiver.delivered;
    samples.push(sample);
    options.onSample?.(sample, i / count);
  }
  return samples;
}
