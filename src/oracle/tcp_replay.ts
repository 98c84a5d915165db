import { Random } from '../base/index.ts';
import { bootKernel, type Kernel, loadObject, StructOpsMap } from '../kernel/index.ts';
import { Simulator } from '../net/index.ts';
import { openObject, resolveObject } from '../object/index.ts';
import {
  type Burst,
  CongestionOps,
  type DataPacket,
  findCongestionControl,
  forgetSocket,
  Receiver,
  registerSocket,
  Sender,
  tcpSubsystem,
} from '../subsystems/index.ts';
import { makeTarget } from '../target/index.ts';
import type { TcpCall, TcpScenario } from './tcp_trace.ts';

/** Bytes of the link layer, which the emulator's IP link has not. */
const ETHERNET = 14;
/** Longest run, seconds. */
const LONGEST = 120;

export interface TcpReplay {
  calls: TcpCall[];
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

/** The emulator of the recorded runs (src/link.c there): a droptail queue and scripted losses. */
function emulator(simulator: Simulator, scenario: TcpScenario, deliver: (packet: DataPacket) => void) {
  const drops = new Set((scenario.drop ?? '').split(',').filter(Boolean).map(Number));
  const again = new Map<number, number>();
  const [blackFrom = 0, blackUs = 0] = (scenario.blackout ?? '').split(':').map(Number);
  const random = new Random(scenario.seed ?? 1);
  let blackUntil = -1;
  let ordinal = 0;
  let busy = 0;
  const departures: number[] = [];
  const counts = { dropped: 0, marked: 0 };
  const lost = (seq: number): boolean => {
    ordinal++;
    if (drops.has(ordinal)) {
      again.set(seq, scenario.drop_rtx ?? 0);
      return true;
    }
    const left = again.get(seq) ?? 0;
    if (left > 0) {
      again.set(seq, left - 1);
      return true;
    }
    if (blackFrom > 0 && ordinal >= blackFrom) {
      if (blackUntil < 0) blackUntil = simulator.now + blackUs * 1000;
      if (simulator.now < blackUntil) return true;
    }
    return random.unit() * 1e6 < (scenario.loss_ppm ?? 0);
  };
  const send = (packet: DataPacket) => {
    while (departures.length > 0 && departures[0]! <= simulator.now) departures.shift();
    const queued = departures.length;
    if ((packet.size > 66 && lost(packet.seq)) || queued > scenario.buf_pkts) {
      counts.dropped++;
      return;
    }
    if (scenario.mark !== undefined && queued > scenario.mark && packet.ecnCapable) {
      packet.ce = true;
      counts.marked++;
    }
    busy = Math.max(busy, simulator.now) + ((packet.size - ETHERNET) * 1e9) / scenario.rate_Bps;
    departures.push(busy);
    simulator.after(busy + scenario.fwd_us * 1000 - simulator.now, () => deliver(packet));
  };
  return { send, counts };
}

/** Boots a kernel with the traced controls registered. */
export function bootTraced(btf: Uint8Array, object: Uint8Array): Kernel {
  const target = makeTarget({ release: '6.18', cfi: 'off', btf });
  const kernel = bootKernel({ target, subsystems: [tcpSubsystem] });
  const loaded = loadObject(kernel, resolveObject(openObject(object, 'tr'), target));
  const programs = new Map(loaded.programs.map((program) => [program.name, program]));
  for (const table of loaded.resolved.structOps) new StructOpsMap(kernel, table).update(table, programs);
  return kernel;
}

/** Runs a scenario with one of the traced controls on our stack. */
export function replayTcp(kernel: Kernel, scenario: TcpScenario, cc: string): TcpReplay {
  const kdata = findCongestionControl(kernel, `tr_${cc}`)!;
  const simulator = new Simulator();
  const calls: TcpCall[] = [];
  const ops = new CongestionOps(kernel, kdata);
  const rtt = (scenario.fwd_us + scenario.back_us) * 1000 + (60e9 / scenario.rate_Bps);
  const receiver = new Receiver(simulator, cc === 'dctcp', (ack) => {
    simulator.after(scenario.back_us * 1000, () => sender.onAck(ack));
  });
  const { send, counts } = emulator(simulator, scenario, (packet) => receiver.receive(packet));
  const sender = new Sender(kernel, simulator, ops, {
    ecn: scenario.ecn === 1 || cc === 'dctcp',
    handshakeRtt: rtt,
    send,
    source: sourceOf(scenario.work),
  });
  const { sock } = sender;
  const base = 1;
  ops.onCall = (op, args) => {
    const plain = args.slice(1).map((arg) => (typeof arg === 'number' ? arg : 0));
    if (op === 'cong_avoid' || op === 'cong_control') plain[0]! -= base;
    calls.push({ op, args: plain, state: sock.get('icsk_ca_state') });
  };
  registerSocket(kernel, sock);
  const epoch = kernel.now();
  simulator.onTime = (now) => kernel.setTime(epoch + now);
  simulator.after(rtt, () => sender.start());
  const states = [0, 0, 0, 0, 0];
  let cwndTime = 0;
  let begun = -1;
  const end = scenario.work.startsWith('secs') ? Number(scenario.work.split(' ')[1]) : LONGEST;
  const STEP = 1e6;
  while (!sender.closed && simulator.now < end * 1e9) {
    simulator.runUntil(simulator.now + STEP);
    if (simulator.now < rtt) continue;
    if (begun < 0) begun = simulator.now;
    states[sock.get('icsk_ca_state')]! += STEP / 1e9;
    cwndTime += sock.get('snd_cwnd') * STEP;
  }
  const seconds = (simulator.now - rtt) / 1e9;
  const figures: Record<string, number> = {
    goodput_Bps: sock.get('bytes_acked') / seconds,
    rtt_mean_us: sender.rttSum / sender.rttCount,
    retransmits: sender.retransmits,
    rtos: sender.rtos,
    mean_cwnd: cwndTime / (simulator.now - begun + STEP),
    seconds,
    drops: counts.dropped,
    ce_marks: counts.marked,
    recoveries: calls.filter(({ op, args }) => op === 'set_state' && args[0] === 3).length,
  };
  sender.stop();
  for (const { op } of calls) figures[`calls.${op}`] = (figures[`calls.${op}`] ?? 0) + 1;
  forgetSocket(kernel, sock);
  ops.release();
  return { calls, figures };
}
