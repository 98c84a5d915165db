import type { GuestStruct } from './guest_struct.ts';
import type { Segment } from './segments.ts';
import type { TcpSock } from './sock.ts';

/** What an acknowledgment tells about the delivery rate: the part of struct rate_sample that is gathered on the way. */
export interface RateTally {
  priorDelivered: number;
  priorDeliveredCe: number;
  priorAt: number;
  /** The segment that decides the sample (last_end_seq): its number and the byte after it. */
  lastSeq: number;
  lastEnd: number;
  sendInterval: number;
  appLimited: boolean;
  isRetrans: boolean;
  any: boolean;
}

export const emptyTally = (): RateTally => ({
  priorDelivered: 0,
  priorDeliveredCe: 0,
  priorAt: 0,
  lastSeq: 0,
  lastEnd: 0,
  sendInterval: 0,
  appLimited: false,
  isRetrans: false,
  any: false,
});

/**
 * A segment was delivered: the newest one that was sent decides the sample, and true says it is this one
 * (tcp_rate_skb_delivered, net/ipv4/tcp_rate.c, 6.18). `newestAt`: when the newest one so far was sent (first_tx_mstamp).
 */
export function tallyDelivered(tally: RateTally, segment: Segment, newestAt: number): boolean {
  const { sentAt } = segment;
  if (tally.any && (sentAt < newestAt || (sentAt === newestAt && segment.seq <= tally.lastSeq))) return false;
  tally.any = true;
  tally.priorDelivered = segment.delivered;
  tally.priorDeliveredCe = segment.deliveredCe;
  tally.priorAt = segment.deliveredAt;
  tally.lastSeq = segment.seq;
  tally.lastEnd = segment.end;
  tally.appLimited = segment.appLimited;
  tally.isRetrans = segment.everRetransmitted;
  tally.sendInterval = sentAt - segment.firstSentAt;
  return true;
}

export interface AckFacts {
  now: number;
  minRttUs: number;
  rttUs: number;
  losses: number;
  ackedSacked: number;
  priorInFlight: number;
  delayed: boolean;
}

/** Fills `struct rate_sample` in the guest (tcp_rate_gen). */
export function writeRateSample(sample: GuestStruct, sock: TcpSock, tally: RateTally, facts: AckFacts): void {
  const us = (ns: number) => Math.floor(ns / 1000);
  const ackInterval = tally.any ? us(facts.now - tally.priorAt) : 0;
  const sendInterval = us(tally.sendInterval);
  const interval = Math.max(ackInterval, sendInterval);
  const valid = tally.any && interval >= facts.minRttUs;
  const delivered = tally.any ? sock.get('delivered') - tally.priorDelivered : -1;
  sample.set('prior_mstamp', us(tally.priorAt));
  sample.set('prior_delivered', tally.priorDelivered);
  sample.set('prior_delivered_ce', tally.priorDeliveredCe);
  sample.set('delivered', delivered);
  sample.set('delivered_ce', tally.any ? sock.get('delivered_ce') - tally.priorDeliveredCe : 0);
  sample.set('interval_us', valid ? interval : -1);
  sample.set('snd_interval_us', sendInterval);
  sample.set('rcv_interval_us', ackInterval);
  sample.set('rtt_us', facts.rttUs);
  sample.set('losses', facts.losses);
  sample.set('acked_sacked', facts.ackedSacked);
  sample.set('prior_in_flight', facts.priorInFlight);
  sample.set('last_end_seq', tally.lastEnd);
  sample.set('is_app_limited', tally.appLimited ? 1 : 0);
  sample.set('is_retrans', tally.isRetrans ? 1 : 0);
  sample.set('is_ack_delayed', facts.delayed ? 1 : 0);
  if (!valid) return;
  // The last rate that the network set, or the highest that the application did.
  if (tally.appLimited && delivered * sock.get('rate_interval_us') < sock.get('rate_delivered') * interval) return;
  sock.set('rate_delivered', delivered);
  sock.set('rate_interval_us', interval);
  sock.set('rate_app_limited', tally.appLimited ? 1 : 0);
}
