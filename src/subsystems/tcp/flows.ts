import { Random } from '../../base/index.ts';
import { type Kernel, KernelError } from '../../kernel/index.ts';
import { Bottleneck, checkLink, type LinkSpec, linkMarks, Simulator } from '../../net/index.ts';
import { Connection } from './connection.ts';
import { findCongestionControl } from './controls.ts';
import type { CcMember } from './ops.ts';
import type { DataPacket } from './packets.types.ts';
import type { FlowSpec, Hosts, OpCall, Scenario, SenderEvent } from './scenario.types.ts';
import type { CA } from './sock.ts';

/** A flow at one moment. */
export interface FlowSample {
  /** Seconds. */
  t: number;
  /** Packets; `ssthresh` is null while it is infinite. */
  cwnd: number;
  ssthresh: number | null;
  srttMs: number;
  inFlight: number;
  /** What was delivered since the sample before, in order or not, bits a second. */
  rateBps: number;
  /** Packets in front of the bottlenecks that the flow crosses. */
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

/** Something that the host does to the kernel while flows run: replace a table, delete one, read a ring buffer. */
export interface HostAction {
  /** Simulated nanoseconds since the scenario began. */
  atNs: number;
  run: () => void;
}

export interface FlowsHooks {
  /** Called after each sample of a flow; `share` of the scenario is over. */
  onSample?: (flow: string, sample: FlowSample, share: number) => void;
  /** Called after each call of a member. */
  onCall?: (call: OpCall) => void;
  /** Called for everything that happens at a sender. */
  onSender?: (event: SenderEvent) => void;
  actions?: readonly HostAction[];
}

/** (Σx)² / (n·Σx²); 1 if nothing flowed. */
export function jainIndex(shares: readonly number[]): number {
  const sum = shares.reduce((total, share) => total + share, 0);
  const squares = shares.reduce((total, share) => total + share * share, 0);
  return squares === 0 ? 1 : (sum * sum) / (shares.length * squares);
}

/** Simulated time at most, seconds: nanoseconds stay exact. */
const MAX_SECONDS = 1e6;
const MAX_SAMPLES = 1e6;

/**
 * Runs flows that share one bottleneck, or two in a row, each with its own congestion control, source, start and stop. A
 * flow that is stopped is reset: it sends nothing more, and acknowledgments that are still under way are not seen.
 * @throws KernelError -ENOENT if nobody registered a congestion control, also at the time of an event; -EINVAL for flows
 *   that start after their or the scenario's end, send nothing, or share a name, for events of no running flow, and for
 *   numbers that make no sense; NetError for such a link; KernelOops if the guest faults
 */
export function runFlows(kernel: Kernel, scenario: Scenario, hooks: FlowsHooks = {}): FlowsResult {
  const { link, second, flows, events = [], seconds, samples: count = 200 } = scenario;
  check(kernel, scenario);
  const simulator = new Simulator();
  /** By number of flow; of those that have begun. */
  const connections: Connection[] = [];
  const bottleneck = (spec: LinkSpec, seed: number, deliver: (packet: DataPacket) => void) => {
    const made = new Bottleneck<DataPacket>(simulator, spec, new Random(seed), deliver);
    made.onDrop = (packet) => void connections[packet.flow!]!.dropped++;
    made.onLoss = (packet) => void connections[packet.flow!]!.lost++;
    made.onMark = (packet) => void connections[packet.flow!]!.marked++;
    return made;
  };
  const arrive = (packet: DataPacket) => connections[packet.flow!]!.onData(packet);
  const last = second === undefined ? undefined : bottleneck(second, scenario.seed ^ SECOND_SEED, arrive);
  const first = bottleneck(link, scenario.seed, (packet) =>
    last !== undefined && flows[packet.flow!]!.crosses !== 'first' ? last.send(packet) : arrive(packet),
  );
  const path = (spec: FlowSpec) =>
    [first, last].filter((hop, i) => hop !== undefined && spec.crosses !== (i === 0 ? 'second' : 'first'));
  const epoch = kernel.now();
  simulator.onTime = (now) => kernel.setTime(epoch + now);
  kernel.timers.attach((at, fire) => void simulator.after(at - epoch - simulator.now, fire));
  try {
    flows.forEach((spec, index) => {
      const hops = path(spec) as Bottleneck<DataPacket>[];
      const options = {
        rttNs: hops.reduce((sum, hop) => sum + hop.spec.rttNs, 0),
        marks: hops.some((hop) => linkMarks(hop.spec)),
        seconds,
        send: (packet: DataPacket) => {
          packet.flow = index;
          hops[0]!.send(packet);
        },
        queued: () => hops.reduce((sum, hop) => sum + hop.queued, 0),
      };
      // A socket takes its congestion control when it is made.
      const start = () => {
        const connection = new Connection(kernel, simulator, spec, options);
        connections[index] = connection;
        if (hooks.onCall !== undefined) connection.trace(hooks.onCall);
        if (hooks.onSender !== undefined) connection.watch(hooks.onSender);
        connection.start();
      };
      if (spec.startNs === 0) start();
      else simulator.after(spec.startNs, start);
      if (spec.stopNs !== undefined) simulator.after(spec.stopNs, () => connections[index]!.stop());
    });
    for (const { atNs, flow, congestion } of events) {
      const index = flows.findIndex(({ name }) => name === flow);
      simulator.after(atNs, () => connections[index]!.setCongestion(congestion));
    }
    for (const { atNs, run } of hooks.actions ?? []) {
      if (!(atNs >= 0)) throw invalid(`an action at ${atNs} ns`);
      simulator.after(atNs, run);
    }
    for (let i = 1; i <= count; i++) {
      simulator.runUntil(Math.floor((seconds * 1e9 * i) / count));
      connections.forEach((connection) => {
        const sample = connection.sample();
        if (sample !== undefined) hooks.onSample?.(connection.spec.name, sample, i / count);
      });
    }
  } finally {
    kernel.timers.detach();
    connections.forEach((connection) => {
      connection.stop();
    });
  }
  const reports = connections.map((connection) => connection.report());
  const sum = (what: 'dropped' | 'lost' | 'marked') => first[what] + (last?.[what] ?? 0);
  return {
    flows: reports,
    fairness: jainIndex(reports.map(({ goodputBps }) => goodputBps)),
    dropped: sum('dropped'),
    lost: sum('lost'),
    marked: sum('marked'),
  };
}

/** Sets the second bottleneck's random numbers apart from the first one's. */
const SECOND_SEED = 0x5bd1e995;

const invalid = (why: string): KernelError => new KernelError(`${why}: -EINVAL`, 'EINVAL');

function check(kernel: Kernel, { link, second, flows, events = [], seconds, seed, samples = 200 }: Scenario): void {
  checkLink(link);
  if (second !== undefined) checkLink(second, 'second link');
  if (!(seconds > 0 && seconds <= MAX_SECONDS)) throw invalid(`${seconds} simulated seconds (0 … ${MAX_SECONDS})`);
  if (!Number.isInteger(seed)) throw invalid(`a seed of ${seed}`);
  if (!(Number.isInteger(samples) && samples >= 1 && samples <= MAX_SAMPLES))
    throw invalid(`${samples} samples (1 … ${MAX_SAMPLES})`);
  const named = new Map<string, FlowSpec>();
  for (const spec of flows) {
    const { name, congestion, source, startNs, stopNs = seconds * 1e9, crosses, hosts = {} } = spec;
    checkHosts(name, hosts);
    if (findCongestionControl(kernel, congestion) === undefined)
      throw new KernelError(`congestion control '${congestion}' is not registered: -ENOENT`, 'ENOENT');
    if (named.has(name)) throw invalid(`two flows are called '${name}'`);
    named.set(name, spec);
    if (
      (source.kind === 'limited' && !(source.rateBps > 0 && source.rateBps <= 100e9)) ||
      (source.kind === 'requests' &&
        !(Number.isInteger(source.bytes) && source.bytes > 0 && source.thinkNs >= 0 && source.thinkNs <= 1e18))
    )
      throw invalid(`flow '${name}' has nothing to send, or more than there is`);
    if (!(startNs >= 0 && startNs < Math.min(stopNs, seconds * 1e9)))
      throw invalid(`flow '${name}' starts at ${startNs} ns and ends at ${stopNs} ns`);
    if (crosses !== undefined && crosses !== 'first' && second === undefined)
      throw invalid(`flow '${name}' crosses a second link, and there is none`);
  }
  for (const { atNs, flow } of events) {
    const spec = named.get(flow);
    if (spec === undefined) throw invalid(`an event is for flow '${flow}', and there is none of that name`);
    if (!(atNs >= spec.startNs && atNs < Math.min(spec.stopNs ?? Number.POSITIVE_INFINITY, seconds * 1e9)))
      throw invalid(`an event of flow '${flow}' is at ${atNs} ns, when the flow is off`);
  }
}

function checkHosts(flow: string, { gsoMaxSegs = 1, receiveMemory }: Hosts): void {
  if (!(Number.isInteger(gsoMaxSegs) && gsoMaxSegs >= 1 && gsoMaxSegs <= 65535))
    throw invalid(`flow '${flow}': ${gsoMaxSegs} segments that leave together (1 … 65535)`);
  if (receiveMemory === undefined) return;
  const { initial, most } = receiveMemory;
  if (!(Number.isInteger(initial) && Number.isInteger(most) && initial >= 4096 && initial <= most && most <= 1 << 30))
    throw invalid(`flow '${flow}': a receive buffer of ${initial} to ${most} bytes (4096 … 1073741824)`);
}
