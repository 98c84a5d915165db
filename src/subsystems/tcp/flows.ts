import { Random } from '../../base/index.ts';
import { type Kernel, KernelError } from '../../kernel/index.ts';
import { Bottleneck, linkMarks, Simulator } from '../../net/index.ts';
import { Connection } from './connection.ts';
import type { CcMember } from './ops.ts';
import type { DataPacket } from './packets.types.ts';
import type { OpCall, Scenario } from './scenario.types.ts';
import type { CA } from './sock.ts';
import { findCongestionControl } from './tcp_ca.ts';

/** A flow at one moment. */
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

/** One flow, from its start to its stop. */
export interface FlowReport {
  name: string;
  congestion: string;
  /** Bits a second of data that arrived in order, over the time that the flow was on. */
  goodputBps: number;
  /** Of the samples that the sender took; 0 without any. */
  rttMsMean: number;
  rttMsP95: number;
  retransmits: number;
  rtos: number;
  /** Its packets that the queue dropped, that were lost on the way, that were marked. */
  dropped: number;
  lost: number;
  marked: number;
  /** Segments that arrived in order. */
  segments: number;
  /** Calls of each member of its congestion control. */
  calls: Partial<Record<CcMember, number>>;
  /** Simulated seconds in each congestion state. */
  secondsInState: Record<keyof typeof CA, number>;
  samples: FlowSample[];
}

export interface FlowsResult {
  /** In the scenario's order. */
  flows: FlowReport[];
  /** Jain's index of the goodputs: 1 if all are equal, 1/n if one flow has everything. */
  fairness: number;
  /** Packets at the bottleneck, of all flows. */
  dropped: number;
  lost: number;
  marked: number;
}

export interface FlowsHooks {
  /** Called after each sample of a flow; `share` of the scenario is over. */
  onSample?: (flow: string, sample: FlowSample, share: number) => void;
  /** Called after each call of a member. */
  onCall?: (call: OpCall) => void;
}

/** (Σx)² / (n·Σx²); 1 if nothing flowed. */
export function jainIndex(shares: readonly number[]): number {
  const sum = shares.reduce((total, share) => total + share, 0);
  const squares = shares.reduce((total, share) => total + share * share, 0);
  return squares === 0 ? 1 : (sum * sum) / (shares.length * squares);
}

/**
 * Runs flows that share one bottleneck, each with its own congestion control, source, start and stop. A flow that is
 * stopped is reset: it sends nothing more, and acknowledgments that are still under way are not seen.
 * @throws KernelError -ENOENT if nobody registered a congestion control, -EINVAL for flows that start after their
 *   or the scenario's end, send nothing, or share a name; KernelOops if the guest faults
 */
export function runFlows(kernel: Kernel, scenario: Scenario, hooks: FlowsHooks = {}): FlowsResult {
  const { link, flows, seconds, samples: count = 200 } = scenario;
  check(kernel, scenario);
  const simulator = new Simulator();
  const connections: Connection[] = [];
  const bottleneck = new Bottleneck<DataPacket>(simulator, link, new Random(scenario.seed), (packet) =>
    connections[packet.flow!]!.receiver.receive(packet),
  );
  bottleneck.onDrop = (packet) => void connections[packet.flow!]!.dropped++;
  bottleneck.onLoss = (packet) => void connections[packet.flow!]!.lost++;
  bottleneck.onMark = (packet) => void connections[packet.flow!]!.marked++;
  const epoch = kernel.now();
  simulator.onTime = (now) => kernel.setTime(epoch + now);
  try {
    flows.forEach((spec, index) => {
      const connection = new Connection(kernel, simulator, spec, {
        link,
        marks: linkMarks(link),
        seconds,
        send: (packet) => {
          packet.flow = index;
          bottleneck.send(packet);
        },
      });
      connections.push(connection);
      if (hooks.onCall !== undefined) connection.trace(hooks.onCall);
      if (spec.startNs === 0) connection.start();
      else simulator.after(spec.startNs, () => connection.start());
      if (spec.stopNs !== undefined) simulator.after(spec.stopNs, () => connection.stop());
    });
    for (let i = 1; i <= count; i++) {
      simulator.runUntil((seconds * 1e9 * i) / count);
      for (const connection of connections) {
        const sample = connection.sample(bottleneck.queued);
        if (sample !== undefined) hooks.onSample?.(connection.spec.name, sample, i / count);
      }
    }
  } finally {
    for (const connection of connections) connection.stop();
  }
  const reports = connections.map((connection) => connection.report());
  return {
    flows: reports,
    fairness: jainIndex(reports.map(({ goodputBps }) => goodputBps)),
    dropped: bottleneck.dropped,
    lost: bottleneck.lost,
    marked: bottleneck.marked,
  };
}

function check(kernel: Kernel, { flows, seconds }: Scenario): void {
  const names = new Set<string>();
  for (const { name, congestion, source, startNs, stopNs = seconds * 1e9 } of flows) {
    if (findCongestionControl(kernel, congestion) === undefined)
      throw new KernelError(`congestion control '${congestion}' is not registered: -ENOENT`, 'ENOENT');
    if (names.has(name)) throw new KernelError(`two flows are called '${name}': -EINVAL`, 'EINVAL');
    names.add(name);
    if (
      (source.kind === 'limited' && !(source.rateBps > 0)) ||
      (source.kind === 'requests' && !(Number.isInteger(source.bytes) && source.bytes > 0 && source.thinkNs >= 0))
    )
      throw new KernelError(`flow '${name}' has nothing to send: -EINVAL`, 'EINVAL');
    if (!(startNs >= 0 && startNs < Math.min(stopNs, seconds * 1e9)))
      throw new KernelError(`flow '${name}' starts at ${startNs} ns and ends at ${stopNs} ns: -EINVAL`, 'EINVAL');
  }
}
