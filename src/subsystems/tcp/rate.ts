import type { Kernel } from '../../kernel/index.ts';
import type { GuestPtr } from '../../machine/index.ts';
import type { Segment } from './segments.ts';
import type { TcpSock } from './sock.ts';

/** What an acknowledgment tells about the delivery rate: the part of struct rate_sample that is gathered on the way. */
export interface RateTally {
  priorDelivered: number;
  priorDeliveredCe: number;
  priorAt: number;
  lastSentAt: number;
  sendInterval: number;
  /** Bytes in flight when that segment was sent. */
  inFlight: number;
  appLimited: boolean;
  isRetrans: boolean;
  any: boolean;
}

export const emptyTally = (): RateTally => ({
  priorDelivered: 0,
  priorDeliveredCe: 0,
  priorAt: 0,
  lastSentAt: 0,
  sendInterval: 0,
  inFlight: 0,
  appLimited: false,
  isRetrans: false,
  any: false,
});

/** A segment was delivered: the newest one that was sent decides the sample, and true says it is this one (tcp_rate_skb_delivered, net/ipv4/tcp_rate.c). */
export function tallyDelivered(tally: RateTally, segment: Segment): boolean {
  if (
    tally.any &&
    (segment.delivered < tally.priorDelivered ||
      (segment.delivered === tally.priorDelivered && segment.sentAt < tally.lastSentAt))
  )
    return false;
  tally.any = true;
  tally.priorDelivered = segment.delivered;
  tally.priorDeliveredCe = segment.deliveredCe;
  tally.priorAt = segment.deliveredAt;
  tally.lastSentAt = segment.sentAt;
  tally.appLimited = segment.appLimited;
  tally.isRetrans = segment.everRetransmitted;
  tally.sendInterval = segment.sentAt - segment.firstSentAt;
  tally.inFlight = segment.inFlight;
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
export function writeRateSample(kernel: Kernel, at: GuestPtr, sock: TcpSock, tally: RateTally, facts: AckFacts): void {
  const put = (name: string, value: number) => {
    const { offset, size } = kernel.field('rate_sample', name);
    if (size === 8) kernel.memory.setU64(at + offset, value);
    else if (size === 4) kernel.memory.setU32(at + offset, value | 0);
    else kernel.memory.setU8(at + offset, value);
  };
  const us = (ns: number) => Math.floor(ns / 1000);
  const ackInterval = tally.any ? us(facts.now - tally.priorAt) : 0;
  const sendInterval = us(tally.sendInterval);
  const interval = Math.max(ackInterval, sendInterval);
  const valid = tally.any && interval >= facts.minRttUs;
  const delivered = tally.any ? sock.get('delivered') - tally.priorDelivered : -1;
  put('prior_mstamp', us(tally.priorAt));
  put('prior_delivered', tally.priorDelivered);
  put('prior_delivered_ce', tally.priorDeliveredCe);
  put('delivered', delivered);
  put('delivered_ce', tally.any ? sock.get('delivered_ce') - tally.priorDeliveredCe : 0);
  put('interval_us', valid ? interval : -1);
  put('snd_interval_us', sendInterval);
  put('rcv_interval_us', ackInterval);
  put('rtt_us', facts.rttUs);
  put('losses', facts.losses);
  put('acked_sacked', facts.ackedSacked);
  put('prior_in_flight', facts.priorInFlight);
  put('last_end_seq', 0);
  put('is_app_limited', tally.appLimited ? 1 : 0);
  put('is_retrans', tally.isRetrans ? 1 : 0);
  put('is_ack_delayed', facts.delayed ? 1 : 0);
  if (valid && !tally.appLimited) {
    sock.set('rate_delivered', delivered);
    sock.set('rate_interval_us', interval);
  }
}
