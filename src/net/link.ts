import type { AqmSpec } from './aqm.ts';
import { NetError } from './error.ts';

/** A link with a bottleneck: rate, delay, buffer, and what it does to packets. */
export interface LinkSpec {
  /** Bits a second. */
  rateBps: number;
  /** Round-trip propagation delay in nanoseconds; half of it each way. */
  rttNs: number;
  /** Buffer in front of the bottleneck, in packets. */
  bufferPackets: number;
  /** The buffer's limit in bytes on the wire, besides that in packets. */
  bufferBytes?: number;
  /** Probability that a data packet is lost at random. */
  loss: number;
  /** Packets in the queue from which on ECN-capable packets are marked; undefined: never. */
  ecnPackets?: number;
  /** Bytes in the queue from which on ECN-capable packets are marked. */
  ecnBytes?: number;
  /** When the link sends, instead of always at `rateBps`, which then is the mean. */
  schedule?: RateSchedule;
  /** The bottleneck sends nothing for a while, as a radio link does: provokes spurious timeouts. */
  stall?: { atNs: number; forNs: number };
  /** What drops or marks packets before the buffer is full. */
  aqm?: AqmSpec;
  /** The data packets that are lost whatever else happens, by their number on the link, from 0. */
  dropList?: readonly number[];
  /** Up to this much is added to the delay of each data packet, which keeps its place. */
  jitterNs?: number;
  /** A share of the data packets is late by `byNs`, and overtaken. */
  reorder?: { share: number; byNs: number };
}

/** A rate that changes. */
export type RateSchedule =
  /** From `atNs` on the rate is `rateBps` (0: nothing is sent); ascending, from 0 on. After `periodNs` it begins again. */
  | { kind: 'steps'; steps: readonly { atNs: number; rateBps: number }[]; periodNs?: number }
  /** A mahimahi trace: at each of these milliseconds up to 1504 bytes may leave; ascending. After the last it begins again. */
  | { kind: 'opportunities'; ms: readonly number[] };

/** Whether packets may be marked instead of dropped. */
export function linkMarks(spec: LinkSpec): boolean {
  return spec.ecnPackets !== undefined || spec.ecnBytes !== undefined || spec.aqm?.ecn === true;
}

const RATES: Record<string, number> = { bit: 1, kbit: 1e3, mbit: 1e6, gbit: 1e9 };
const TIMES: Record<string, number> = { us: 1e3, ms: 1e6, s: 1e9 };
const MTU = 1500;

/**
 * Reads `20mbit,40ms,100p,loss=0.1%,ecn=20p,stall=5s:600ms`: rate and round-trip time, then, in any order, buffer
 * (packets `p`, or `KB`), loss, ECN threshold, and a stall (when, how long). Further: `codel=5ms:100ms`, `red=20p:60p:10%`
 * (with `:ecn`: packets are marked), `drop=10;11;40` (by number, from 0), `jitter=2ms`, `reorder=1%:5ms`. The buffer defaults to the bandwidth-delay product.
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
  const extra: Extra = {};
  for (const part of text.split(',').map((piece) => piece.trim().toLowerCase())) {
    const bad = (why: string) => new NetError(`'${part}' ${why}`, `link '${text}'`);
    const stall = /^stall=(\d+(?:\.\d+)?)(us|ms|s):(\d+(?:\.\d+)?)(us|ms|s)$/.exec(part);
    if (stall !== null) {
      spec.stall = { atNs: Number(stall[1]) * TIMES[stall[2]!]!, forNs: Number(stall[3]) * TIMES[stall[4]!]! };
      continue;
    }
    const more = parseExtra(part);
    if (more !== undefined) {
      Object.assign(extra, more);
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
    ...extra,
  };
}

type Extra = Partial<Pick<LinkSpec, 'aqm' | 'dropList' | 'jitterNs' | 'reorder'>>;

/** The parts of a description that have a syntax of their own; undefined for others. */
function parseExtra(part: string): Extra | undefined {
  const time = '(\\d+(?:\\.\\d+)?)(us|ms|s)';
  const match = (pattern: string) => new RegExp(`^${pattern}$`).exec(part);
  const ns = (found: RegExpExecArray, at: number) => Number(found[at]) * TIMES[found[at + 1]!]!;
  const codel = match(`codel=${time}:${time}(:ecn)?`);
  if (codel !== null)
    return { aqm: { kind: 'codel', targetNs: ns(codel, 1), intervalNs: ns(codel, 3), ecn: codel[5] !== undefined } };
  const red = match('red=(\\d{1,6})p:(\\d{1,6})p:(\\d{1,2}(?:\\.\\d+)?)%(:ecn)?');
  if (red !== null && Number(red[1]) < Number(red[2])) {
    const [minPackets, maxPackets, percent] = [Number(red[1]), Number(red[2]), Number(red[3])];
    return { aqm: { kind: 'red', minPackets, maxPackets, probability: percent / 100, ecn: red[4] !== undefined } };
  }
  const drop = match('drop=(\\d{1,9}(?:;\\d{1,9}){0,9999})');
  if (drop !== null) return { dropList: drop[1]!.split(';').map(Number) };
  const jitter = match(`jitter=${time}`);
  if (jitter !== null) return { jitterNs: ns(jitter, 1) };
  const reorder = match(`reorder=(\\d{1,2}(?:\\.\\d+)?)%:${time}`);
  if (reorder !== null) return { reorder: { share: Number(reorder[1]) / 100, byNs: ns(reorder, 2) } };
  return undefined;
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
  const { aqm, dropList, jitterNs, reorder } = spec;
  const marks = aqm?.ecn === true ? ' with ECN' : '';
  if (aqm?.kind === 'codel') parts.push(`CoDel ${aqm.targetNs / 1e6} ms in ${aqm.intervalNs / 1e6} ms${marks}`);
  if (aqm?.kind === 'red')
    parts.push(`RED ${aqm.minPackets}–${aqm.maxPackets} packets, ${aqm.probability * 100} %${marks}`);
  if (dropList !== undefined) parts.push(`loses packets ${dropList.join(', ')}`);
  if (jitterNs !== undefined) parts.push(`jitter ${jitterNs / 1e6} ms`);
  if (reorder !== undefined) parts.push(`${reorder.share * 100} % late by ${reorder.byNs / 1e6} ms`);
  return parts.join(' · ');
}
