import { NetError } from './error.ts';
import { checkLink, type LinkSpec, MAX_BUFFER, type RateSchedule } from './link.ts';
import { checkSchedule, meanRate, parseMahimahi } from './schedule.ts';

const RATES: Record<string, number> = { bit: 1, kbit: 1e3, mbit: 1e6, gbit: 1e9 };
const TIMES: Record<string, number> = { us: 1e3, ms: 1e6, s: 1e9 };
const BYTES: Record<string, number> = { b: 1, kb: 1e3, mb: 1e6 };
const MTU = 1500;
/** What FQ-CoDel holds if nothing else is said. */
const FQ_LIMIT = 10_240;

export interface LinkTextOptions {
  /** Reads the file that `trace=FILE` names; without it traces are refused. */
  readTrace?: (path: string) => string;
}

/**
 * Reads `20mbit,40ms,100p,loss=0.1%,ecn=20p,stall=5s:600ms`: rate and round-trip time, then, in any order, buffer
 * (packets `p`, or bytes on the wire `KB`, `MB`; both may be given), loss, ECN threshold (`p` or `KB`), and a stall (when,
 * how long). Further: `codel`, `fq_codel` (`=5ms:100ms`, target and interval; `:ecn`: packets are marked),
 * `red=20p:60p:10%` (`:ecn` too), `drop=10;11;40` (by number, from 0), `jitter=2ms`, `reorder=1%:5ms`. Instead of a rate:
 * `rates=0s:20mbit;5s:2mbit;8s:again`, or `trace=FILE`, a mahimahi trace. The buffer defaults to the bandwidth-delay product.
 * @throws NetError naming the part that does not fit
 */
export function parseLink(text: string, options: LinkTextOptions = {}): LinkSpec {
  const where = `link '${text}'`;
  let spec: Partial<LinkSpec> = {};
  for (const part of text.split(',').map((piece) => piece.trim())) {
    const found = readPart(part, options);
    if (typeof found === 'string') throw new NetError(`'${part}' ${found}`, where);
    spec = { ...spec, ...found };
  }
  const { schedule } = spec;
  if (schedule !== undefined) checkSchedule(schedule, where);
  const rateBps = schedule === undefined ? spec.rateBps : meanRate(schedule);
  if (rateBps === undefined) throw new NetError('the rate is missing (e.g. 20mbit)', where);
  const { rttNs, bufferBytes, aqm } = spec;
  if (rttNs === undefined) throw new NetError('the round-trip time is missing (e.g. 40ms)', where);
  const least = aqm?.kind === 'fq_codel' ? FQ_LIMIT : Math.max(10, Math.ceil((rateBps * rttNs) / 1e9 / 8 / MTU));
  const bufferPackets = spec.bufferPackets ?? (bufferBytes === undefined ? Math.min(MAX_BUFFER, least) : MAX_BUFFER);
  const link: LinkSpec = { loss: 0, ...spec, rateBps, rttNs, bufferPackets };
  checkLink(link, where);
  return link;
}

/** What one part says, or what is wrong with it. */
function readPart(part: string, options: LinkTextOptions): Partial<LinkSpec> | string {
  const trace = /^trace=(.+)$/i.exec(part);
  if (trace !== null) {
    if (options.readTrace === undefined) return 'names a file, and files are not read here';
    return { schedule: parseMahimahi(options.readTrace(trace[1]!), trace[1]!) };
  }
  const match = /^(?:([a-z_]+)=)?(\d+(?:\.\d+)?)([a-z%]*)$/.exec(part.toLowerCase());
  if (match === null || (match[1] !== undefined && match[1] !== 'loss' && match[1] !== 'ecn'))
    return readPattern(part.toLowerCase());
  const [, key, digits, unit = ''] = match;
  const value = Number(digits);
  if (key === 'loss') {
    const share = unit === '%' ? value / 100 : unit === '' ? value : Number.NaN;
    return share >= 0 && share < 1 ? { loss: share } : 'is no probability below 100%';
  }
  if (key === 'ecn') {
    if (unit in BYTES) return { ecnBytes: Math.round(value * BYTES[unit]!) };
    return unit === 'p' && Number.isInteger(value)
      ? { ecnPackets: value }
      : 'is no number of packets (p) or bytes (KB)';
  }
  if (unit in RATES) return { rateBps: value * RATES[unit]! };
  if (unit in TIMES) return { rttNs: value * TIMES[unit]! };
  if (unit === 'p') return { bufferPackets: value };
  if (unit in BYTES) return { bufferBytes: Math.round(value * BYTES[unit]!) };
  return 'has no unit that is known (bit, kbit, mbit, gbit; us, ms, s; p, KB, MB)';
}

/** Parts that have a syntax of their own. */
function readPattern(part: string): Partial<LinkSpec> | string {
  const time = '(\\d+(?:\\.\\d+)?)(us|ms|s)';
  const match = (pattern: string) => new RegExp(`^${pattern}$`).exec(part);
  const ns = (found: RegExpExecArray, at: number) => Number(found[at]) * TIMES[found[at + 1]!]!;
  const stall = match(`stall=${time}:${time}`);
  if (stall !== null) return { stall: { atNs: ns(stall, 1), forNs: ns(stall, 3) } };
  const codel = match(`(fq_)?codel(?:=${time}:${time})?(:ecn)?`);
  if (codel !== null) {
    const kind = codel[1] === undefined ? 'codel' : 'fq_codel';
    const [targetNs, intervalNs] = codel[2] === undefined ? [5e6, 100e6] : [ns(codel, 2), ns(codel, 4)];
    return { aqm: { kind, targetNs, intervalNs, ecn: codel[6] !== undefined } };
  }
  const red = match('red=(\\d{1,6})p:(\\d{1,6})p:(\\d{1,2}(?:\\.\\d+)?)%(:ecn)?');
  if (red !== null) {
    const [minPackets, maxPackets, percent] = [Number(red[1]), Number(red[2]), Number(red[3])];
    return { aqm: { kind: 'red', minPackets, maxPackets, probability: percent / 100, ecn: red[4] !== undefined } };
  }
  const drop = match('drop=(\\d{1,9}(?:;\\d{1,9}){0,9999})');
  if (drop !== null) return { dropList: drop[1]!.split(';').map(Number) };
  const jitter = match(`jitter=${time}`);
  if (jitter !== null) return { jitterNs: ns(jitter, 1) };
  const reorder = match(`reorder=(\\d{1,2}(?:\\.\\d+)?)%:${time}`);
  if (reorder !== null) return { reorder: { share: Number(reorder[1]) / 100, byNs: ns(reorder, 2) } };
  const rates = match('rates=(.+)');
  return rates === null ? 'is no rate, time, buffer, loss=…, ecn=… or stall=…' : readRates(rates[1]!);
}

/** `0s:20mbit;5s:2mbit;8s:again`. */
function readRates(text: string): Partial<LinkSpec> | string {
  const steps: { atNs: number; rateBps: number }[] = [];
  let periodNs: number | undefined;
  for (const step of text.split(';')) {
    const found = /^(\d+(?:\.\d+)?)(us|ms|s):(?:(\d+(?:\.\d+)?)(bit|kbit|mbit|gbit)|(again))$/.exec(step);
    if (found === null || periodNs !== undefined) return `has '${step}', which is no 5s:2mbit, or 8s:again at its end`;
    const atNs = Number(found[1]) * TIMES[found[2]!]!;
    if (found[5] !== undefined) periodNs = atNs;
    else steps.push({ atNs, rateBps: Number(found[3]) * RATES[found[4]!]! });
  }
  const schedule: RateSchedule = { kind: 'steps', steps, ...(periodNs === undefined ? {} : { periodNs }) };
  return { schedule };
}

/** The same link in words: `20 Mbit/s · RTT 40 ms · buffer 100 packets`. */
export function formatLink(spec: LinkSpec): string {
  const rate =
    spec.rateBps >= 1e9
      ? `${round(spec.rateBps / 1e9)} Gbit/s`
      : spec.rateBps >= 1e6
        ? `${round(spec.rateBps / 1e6)} Mbit/s`
        : `${round(spec.rateBps / 1e3)} kbit/s`;
  const parts = [spec.schedule === undefined ? rate : `${rate} on the mean`, `RTT ${spec.rttNs / 1e6} ms`];
  if (spec.bufferBytes === undefined || spec.bufferPackets < MAX_BUFFER)
    parts.push(`buffer ${spec.bufferPackets} packets`);
  if (spec.bufferBytes !== undefined) parts.push(`buffer ${spec.bufferBytes / 1000} KB`);
  if (spec.loss > 0) parts.push(`loss ${spec.loss * 100} %`);
  if (spec.ecnPackets !== undefined) parts.push(`ECN from ${spec.ecnPackets} packets`);
  if (spec.ecnBytes !== undefined) parts.push(`ECN from ${spec.ecnBytes / 1000} KB`);
  if (spec.stall !== undefined) parts.push(`stalls at ${spec.stall.atNs / 1e9} s for ${spec.stall.forNs / 1e6} ms`);
  const { aqm, dropList, jitterNs, reorder } = spec;
  const marks = aqm?.ecn === true ? ' with ECN' : '';
  if (aqm?.kind === 'codel' || aqm?.kind === 'fq_codel')
    parts.push(
      `${aqm.kind === 'codel' ? 'CoDel' : 'FQ-CoDel'} ${aqm.targetNs / 1e6} ms in ${aqm.intervalNs / 1e6} ms${marks}`,
    );
  if (aqm?.kind === 'red')
    parts.push(`RED ${aqm.minPackets}–${aqm.maxPackets} packets, ${aqm.probability * 100} %${marks}`);
  if (dropList !== undefined) parts.push(`loses packets ${dropList.join(', ')}`);
  if (jitterNs !== undefined) parts.push(`jitter ${jitterNs / 1e6} ms`);
  if (reorder !== undefined) parts.push(`${reorder.share * 100} % late by ${reorder.byNs / 1e6} ms`);
  return parts.join(' · ');
}

const round = (value: number): number => Math.round(value * 1000) / 1000;
