import { readBtf } from '../btf/index.ts';
import { type Argument, bootKernel, type Kernel, loadObject, StructOpsMap } from '../kernel/index.ts';
import { Simulator, type WirePacket } from '../net/index.ts';
import { openObject, resolveObject } from '../object/index.ts';
import {
  type Burst,
  type CcMember,
  CongestionOps,
  findCongestionControl,
  forgetSocket,
  Jiffies,
  Receiver,
  type ReceiverOptions,
  ReceivingSocket,
  registerSocket,
  Sender,
  type TcpSock,
  tcpSubsystem,
} from '../subsystems/index.ts';
import { makeTarget } from '../target/index.ts';
import { emulator } from './tcp_emulator.ts';
import { flowFigures } from './tcp_figures.ts';
import type { TcpCall, TcpScenario } from './tcp_trace.ts';

/** Longest run, seconds. */
const LONGEST = 120;
/** Simulated time between looks at the windows, nanoseconds. */
const STEP = 1e6;
/**
 * When the second flow's SYN leaves, nanoseconds: the recorded ones left between 297 and 308 ms. Which of its first segments
 * meet a full queue depends on that, and everything after on them.
 */
const STARTS = [298e6, 300e6, 302e6, 304e6, 306e6, 308e6];
/** Bytes on the wire of a SYN, and of an acknowledgment; the sequence number after the SYN. */
const SYN = 74;
const ACK = 66;
const BASE = 1;
/** Largest segment without TCP timestamps. */
const MSS_PLAIN = 1460;
/** Integer members of the structures that members of the table get, in the traces' order. */
const ACK_SAMPLE = ['pkts_acked', 'rtt_us', 'in_flight'];
const RATE_SAMPLE = [
  'delivered',
  'interval_us',
  'rtt_us',
  'losses',
  'acked_sacked',
  'prior_in_flight',
  'is_app_limited',
  'is_retrans',
  'is_ack_delayed',
  'prior_delivered',
  'snd_interval_us',
  'rcv_interval_us',
  'delivered_ce',
];

export interface TcpReplay {
  /** Of each sender by name (`s0`, `s1`), and of a receiving end where the control runs (`r0`). */
  calls: Record<string, TcpCall[]>;
  /** As summary.json calls them; with several flows each one's under its name. */
  figures: Record<string, number>;
}

function sourceOf(work: string): Burst[] {
  const [kind, rest = ''] = work.split(' ');
  if (kind === 'bytes') return [{ bytes: Number(rest), pauseNs: 0 }];
  if (kind === 'secs') return [{ bytes: Number.POSITIVE_INFINITY, pauseNs: 0 }];
  return rest.split(',').map((burst) => {
    const [bytes, ms] = burst.split(':');
    return { bytes: Number(bytes), pauseNs: Number(ms) * 1e6 };
  });
}

/** Boots a kernel with the traced controls registered. */
export function bootTraced(btf: Uint8Array, object: Uint8Array): Kernel {
  const target = makeTarget({ release: '6.18', cfi: 'off', btf: readBtf(btf) });
  const kernel = bootKernel({ target, subsystems: [tcpSubsystem] });
  const resolved = resolveObject(openObject(object, 'tr'), target);
  // The calls are seen at their sites; nobody reads the object's own 64 MB of records.
  const maps = resolved.maps.map((map) => (map.name === 'rb' ? { ...map, maxEntries: 4096 } : map));
  const controls = resolved.programs.filter(({ type }) => type === 'struct_ops');
  const loaded = loadObject(kernel, { ...resolved, maps, programs: controls });
  const programs = new Map(loaded.programs.map((program) => [program.name, program]));
  for (const table of loaded.resolved.structOps) new StructOpsMap(kernel, table).update(table, programs);
  return kernel;
}

/** Reads integer members of a structure in the guest, signed. */
function readStruct(kernel: Kernel, type: string, names: readonly string[], at: number): number[] {
  return names.map((name) => {
    const { offset, size } = kernel.field(type, name);
    if (size === 1) return kernel.memory.u8(at + offset);
    return kernel.memory.i32(at + offset);
  });
}

/** The arguments of a call as the traces have them. */
function plainArgs(kernel: Kernel, op: CcMember, args: readonly Argument[]): number[] {
  const number = (index: number) => args[index] as number;
  const pointer = (index: number) => (args[index] as { ptr: number }).ptr;
  switch (op) {
    case 'cong_avoid':
      return [number(1) - BASE, number(2)];
    case 'pkts_acked':
      return readStruct(kernel, 'ack_sample', ACK_SAMPLE, pointer(1));
    case 'cong_control':
      return [number(1) - BASE, number(2), ...readStruct(kernel, 'rate_sample', RATE_SAMPLE, pointer(3))];
    default:
      return args.slice(1).map((arg) => (typeof arg === 'number' ? arg : 0));
  }
}

const control = (size: number): WirePacket => ({ size, ecnCapable: false, ce: false });

/** One connection of a scenario. */
class ReplayedFlow {
  readonly name: string;
  readonly cc: string;
  readonly calls: TcpCall[] = [];
  /** Of the receiving end, where the control runs too if it needs ECN. */
  readonly receiverCalls: TcpCall[] = [];
  readonly #socket: ReceivingSocket | undefined;
  readonly receiver: Receiver;
  readonly sender: Sender;
  readonly #kernel: Kernel;
  readonly #simulator: Simulator;
  readonly #ops: CongestionOps;
  cwndTime = 0;
  cwndSince = 0;
  startedAt = -1;
  endedAt = -1;

  constructor(
    kernel: Kernel,
    simulator: Simulator,
    scenario: TcpScenario,
    cc: string,
    index: number,
    synAt: number,
    link: ReturnType<typeof emulator>,
  ) {
    const noTimestamps = scenario.mss === MSS_PLAIN || scenario.timestamps === 0;
    this.name = `s${index}`;
    this.cc = cc;
    this.#kernel = kernel;
    this.#simulator = simulator;
    this.#ops = new CongestionOps(kernel, findCongestionControl(kernel, `tr_${cc}`)!);
    const host: ReceiverOptions = { timestamps: !noTimestamps };
    if (cc === 'dctcp') {
      const ops = new CongestionOps(kernel, this.#ops.kdata);
      const socket = new ReceivingSocket(kernel, ops, new Jiffies(kernel, simulator));
      ops.onCall = (op, args) => this.#note(this.receiverCalls, socket.sock, op, args, 0);
      host.socket = socket;
      this.#socket = socket;
    }
    this.receiver = new Receiver(simulator, false, (ack) => link.sendBack(() => this.sender.onAck(ack)), host);
    this.sender = new Sender(kernel, simulator, this.#ops, {
      ecn: scenario.ecn === 1 || cc === 'dctcp',
      handshakeRtt: () => simulator.now - synAt,
      noTimestamps,
      send: (packet) => {
        packet.flow = index;
        link.sendData(packet, (arrived) => this.receiver.receive(arrived));
      },
      source: sourceOf(scenario.work),
    });
    const { sock } = this.sender;
    registerSocket(kernel, sock);
    this.#ops.onCall = (op, args) => this.#note(this.calls, sock, op, args, synAt);
    simulator.after(synAt, () => {
      link.send(control(SYN), () => link.sendBack(() => this.#start(scenario, link)));
    });
  }

  /** Times are told from the flow's SYN. */
  #note(calls: TcpCall[], sock: TcpSock, op: CcMember, args: readonly Argument[], since: number): void {
    const at = (this.#simulator.now - since) / 1000;
    calls.push({ op, args: plainArgs(this.#kernel, op, args), state: sock.get('icsk_ca_state'), at });
  }

  /** The SYN-ACK is here. */
  #start(scenario: TcpScenario, link: ReturnType<typeof emulator>): void {
    this.startedAt = this.#simulator.now;
    link.send(control(ACK), () => {});
    this.sender.start();
    const [kind, seconds] = scenario.work.split(' ');
    if (kind === 'secs') this.#simulator.after(Number(seconds) * 1e9, () => this.sender.finish());
  }

  get over(): boolean {
    return this.endedAt >= 0;
  }

  /** A look at the window after each step. */
  look(): void {
    const { now } = this.#simulator;
    if (this.over || this.startedAt < 0) return;
    this.cwndTime += this.sender.sock.get('snd_cwnd') * STEP;
    this.cwndSince += STEP;
    if (this.sender.closed) this.endedAt = now;
  }

  figures(): Record<string, number> {
    const end = this.endedAt < 0 ? this.#simulator.now : this.endedAt;
    return {
      ...flowFigures(this.calls, end / 1000),
      goodput_Bps: (this.sender.sock.get('bytes_acked') / (end - this.startedAt)) * 1e9,
      retransmits: this.sender.retransmits,
      mean_cwnd: this.cwndTime / this.cwndSince,
      seconds: (end - this.startedAt) / 1e9,
    };
  }

  stop(): void {
    this.#socket?.stop();
    this.sender.stop();
    forgetSocket(this.#kernel, this.sender.sock);
    this.#ops.release();
  }
}

/**
 * Runs a scenario on our stack; `cc`: the traced control, or two that share the link (`reno_cubic`), whose figures are means
 * over several starts of the second.
 */
export function replayTcp(kernel: Kernel, scenario: TcpScenario, cc: string): TcpReplay {
  if (!cc.includes('_')) return replayOnce(kernel, scenario, cc, 0);
  const replays = STARTS.map((start) => replayOnce(kernel, scenario, cc, start));
  const figures: Record<string, number> = {};
  for (const replay of replays)
    for (const [name, value] of Object.entries(replay.figures))
      figures[name] = (figures[name] ?? 0) + value / replays.length;
  return { calls: replays[0]!.calls, figures };
}

function replayOnce(kernel: Kernel, scenario: TcpScenario, cc: string, secondAt: number): TcpReplay {
  const simulator = new Simulator();
  const flows: ReplayedFlow[] = [];
  const link = emulator(simulator, scenario);
  const epoch = kernel.now();
  simulator.onTime = (now) => kernel.setTime(epoch + now);
  for (const [index, name] of cc.split('_').entries())
    flows.push(new ReplayedFlow(kernel, simulator, scenario, name, index, index * secondAt, link));
  while (flows.some(({ over }) => !over) && simulator.now < LONGEST * 1e9) {
    simulator.runUntil(simulator.now + STEP);
    for (const flow of flows) flow.look();
  }
  const figures: Record<string, number> = { drops: link.counts.dropped, ce_marks: link.counts.marked };
  for (const flow of flows) {
    flow.stop();
    const prefix = flows.length === 1 ? '' : `${flow.name}.`;
    for (const [name, value] of Object.entries(flow.figures())) figures[prefix + name] = value;
  }
  const calls = Object.fromEntries(flows.map((flow) => [flow.name, flow.calls]));
  for (const { receiverCalls } of flows) if (receiverCalls.length > 0) calls.r0 = receiverCalls;
  return { calls, figures };
}
