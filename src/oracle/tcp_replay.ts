import { readBtf } from '../btf/index.ts';
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

/** The emulator's random numbers, 0 to 1: xorshift of 64 bits. */
function emulatorRandom(seed: number): () => number {
  let state = BigInt.asUintN(64, BigInt(seed) * 0x9e3779b97f4a7c15n) ^ 0xd1b54a32d192ed03n;
  const next = () => {
    state = BigInt.asUintN(64, state ^ (state << 13n));
    state ^= state >> 7n;
    state = BigInt.asUintN(64, state ^ (state << 17n));
    return Number(state >> 32n) / 2 ** 32;
  };
  for (let i = 0; i < 8; i++) next();
  return next;
}

/** The emulator of the recorded runs (src/link.c there): a droptail queue and scripted losses. */
function emulator(simulator: Simulator, scenario: TcpScenario, deliver: (packet: DataPacket) => void) {
  const drops = new Set((scenario.drop ?? '').split(',').filter(Boolean).map(Number));
  const again = new Map<number, number>();
  const [blackFrom = 0, blackUs = 0] = (scenario.blackout ?? '').split(':').map(Number);
  const random = emulatorRandom(scenario.seed ?? 1);
  let blackUntil = -1;
  let ordinal = 0;
  let busy = 0;
  const departures: number[] = [];
  const counts = { dropped: 0, marked: 0 };
  const lost = (seq: number): boolean => {
    ordinal++;
    const unlucky = scenario.loss_ppm !== undefined && random() * 1e6 < scenario.loss_ppm;
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
    return unlucky;
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

/** Runs a scenario with one of the traced controls on our stack. */
export function replayTcp(kernel: Kernel, scenario: TcpScenario, cc: string): TcpReplay {
  const kdata = findCongestionControl(kernel, `tr_${cc}`)!;
  const simulator = new Simulator();
  const calls: TcpCall[] = [];
  const ops = new CongestionOps(kernel, kdata);
  const rtt = (scenario.fwd_us + scenario.back_us) * 1000 + 60e9 / scenario.rate_Bps;
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
