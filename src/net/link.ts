import type { AqmSpec } from './aqm.ts';
import { NetError } from './error.ts';
import { checkSchedule } from './schedule.ts';

/** More packets than any buffer holds. */
export const MAX_BUFFER = 1_000_000;

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

/**
 * The buffer's limit in packets of 1514 bytes, whichever of its two limits is the lower: for pictures.
 */
export function bufferInPackets({ bufferPackets, bufferBytes }: LinkSpec): number {
  return bufferBytes === undefined ? bufferPackets : Math.min(bufferPackets, bufferBytes / 1514);
}

/** @throws NetError for a link that makes no sense: a number that is none, or is out of bounds */
export function checkLink(spec: LinkSpec, where = 'link'): void {
  const bad = (why: string) => new NetError(why, where);
  const within = (value: number | undefined, least: number, most: number, what: string, whole = false) => {
    if (value !== undefined && !(value >= least && value <= most && (!whole || Number.isInteger(value))))
      throw bad(`${what} of ${value} is out of bounds (${least} … ${most})`);
  };
  within(spec.rateBps, 1000, 100e9, 'a rate in bit/s');
  within(spec.rttNs, 1000, 100e9, 'a round-trip time in ns');
  within(spec.bufferPackets, 1, MAX_BUFFER, 'a buffer in packets', true);
  within(spec.bufferBytes, 1514, 1e12, 'a buffer in bytes', true);
  within(spec.loss, 0, 1 - Number.EPSILON, 'a probability of loss');
  within(spec.ecnPackets, 0, MAX_BUFFER, 'an ECN threshold in packets', true);
  within(spec.ecnBytes, 0, 1e12, 'an ECN threshold in bytes', true);
  within(spec.jitterNs, 0, 100e9, 'a jitter in ns');
  within(spec.stall?.atNs, 0, 1e18, "a stall's time in ns");
  within(spec.stall?.forNs, 0, 1e18, "a stall's length in ns");
  within(spec.reorder?.share, 0, 1 - Number.EPSILON, 'a share of late packets');
  within(spec.reorder?.byNs, 0, 100e9, 'a lateness in ns');
  for (const number of spec.dropList ?? []) within(number, 0, 1e12, 'the number of a lost packet', true);
  const { aqm, schedule } = spec;
  if (aqm?.kind === 'red') {
    within(aqm.probability, 0, 1, 'a probability of RED');
    within(aqm.minPackets, 0, MAX_BUFFER, 'a threshold of RED');
    within(aqm.maxPackets, aqm.minPackets + Number.EPSILON, MAX_BUFFER, 'the upper threshold of RED');
  } else if (aqm !== undefined) {
    within(aqm.targetNs, 1024, 100e9, "CoDel's target in ns");
    within(aqm.intervalNs, 1024, 100e9, "CoDel's interval in ns");
  }
  if (schedule !== undefined) checkSchedule(schedule, where);
}
