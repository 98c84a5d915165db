import type { Simulator, WirePacket } from '../net/index.ts';
import type { DataPacket } from '../subsystems/index.ts';
import type { TcpScenario } from './tcp_trace.ts';

/** Bytes of the link layer, which the emulator's IP link has not. */
const ETHERNET = 14;
/** Sequence number of the stream's first byte. */
const FIRST_BYTE = 1;

/** Random numbers of the emulator, 0 to 1: xorshift of 64 bits. */
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

const pair = (text: string | undefined): [number, number] => {
  const [first = 0, second = 0] = (text ?? '').split(':').filter(Boolean).map(Number);
  return [first, second];
};

/** What decides that a data packet is lost, whatever the queue is like. */
function lossRule(simulator: Simulator, scenario: TcpScenario, random: () => number) {
  const drops = new Set((scenario.drop ?? '').split(',').filter(Boolean).map(Number));
  const again = new Map<string, number>();
  const [blackFrom, blackUs] = pair(scenario.blackout);
  const tails = [scenario.tail ?? []].flat().map((tail) => {
    const [from, left] = pair(tail);
    return { from: from + FIRST_BYTE, left };
  });
  let blackUntil = -1;
  return (packet: DataPacket, ordinal: number): boolean => {
    // The numbers are drawn for each packet, whether they decide or not.
    const unlucky = scenario.loss_ppm !== undefined && random() * 1e6 < scenario.loss_ppm;
    const name = `${packet.flow} ${packet.seq}`;
    if (drops.has(ordinal)) {
      again.set(name, scenario.drop_rtx ?? 0);
      return true;
    }
    const left = again.get(name) ?? 0;
    if (left > 0) {
      again.set(name, left - 1);
      return true;
    }
    const tail = tails.find(({ from, left }) => left > 0 && packet.endByte - packet.bytes >= from);
    if (tail !== undefined) {
      tail.left--;
      return true;
    }
    if (blackFrom > 0 && ordinal >= blackFrom) {
      if (blackUntil < 0) blackUntil = simulator.now + blackUs * 1000;
      if (simulator.now < blackUntil) return true;
    }
    return unlucky;
  };
}

/** How late the recorded emulator delivered at the median, microseconds: more after a pause of that many. */
const LATE: readonly (readonly [pauseUs: number, lateUs: number])[] = [
  [20_000, 57],
  [5_000, 30],
  [0, 15],
];

/** The emulator of the recorded runs (src/link.c there): a droptail queue, scripted losses, and what makes packets late. */
export function emulator(simulator: Simulator, scenario: TcpScenario) {
  const random = emulatorRandom(scenario.seed ?? 1);
  const lost = lossRule(simulator, scenario, random);
  const [every, extraUs] = pair(scenario.reorder);
  let ordinal = 0;
  let busy = 0;
  const departures: number[] = [];
  const counts = { dropped: 0, marked: 0 };
  let deliveredAt = 0;
  /** Hands something over at `due`, as late as the recorded emulator was. */
  const handOver = (due: number, action: () => void) => {
    simulator.after(due - simulator.now, () => {
      const pause = (simulator.now - deliveredAt) / 1000;
      deliveredAt = simulator.now;
      simulator.after(LATE.find(([us]) => pause >= us)![1] * 1000, action);
    });
  };
  const send = <P extends WirePacket>(packet: P, deliver: (packet: P) => void, data?: DataPacket) => {
    while (departures.length > 0 && departures[0]! <= simulator.now) departures.shift();
    const queued = departures.length;
    const carries = data !== undefined && data.bytes > 0;
    if (carries) ordinal++;
    if ((carries && lost(data, ordinal)) || queued > scenario.buf_pkts) {
      counts.dropped++;
      return;
    }
    if (scenario.mark !== undefined && queued > scenario.mark && packet.ecnCapable) {
      packet.ce = true;
      counts.marked++;
    }
    busy = Math.max(busy, simulator.now) + Math.floor(((packet.size - ETHERNET) * 1e9) / scenario.rate_Bps);
    departures.push(busy);
    let late = 0;
    if (carries && every > 0 && ordinal % every === 0) late += extraUs * 1000;
    if (carries && scenario.jitter_us !== undefined) late += Math.floor(random() * scenario.jitter_us * 1000);
    handOver(busy + scenario.fwd_us * 1000 + late, () => deliver(packet));
  };
  /** The way back: delay only. */
  const sendBack = (action: () => void) => handOver(simulator.now + scenario.back_us * 1000, action);
  return {
    send,
    sendData: (packet: DataPacket, deliver: (packet: DataPacket) => void) => send(packet, deliver, packet),
    sendBack,
    counts,
  };
}
