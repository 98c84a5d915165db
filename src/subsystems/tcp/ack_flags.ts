import { emptyTally } from './rate.ts';
import type { AckTally } from './scoreboard.ts';
import type { TcpSock } from './sock.ts';

/** FLAG_… of an acknowledgment that cong_control gets (net/ipv4/tcp_input.c). */
export const FLAG = {
  DATA: 1,
  WIN_UPDATE: 2,
  DATA_ACKED: 4,
  RETRANS_DATA_ACKED: 8,
  SYN_ACKED: 0x10,
  DATA_SACKED: 0x20,
  ECE: 0x40,
  LOST_RETRANS: 0x80,
  SLOWPATH: 0x100,
  ORIG_SACK_ACKED: 0x200,
  SND_UNA_ADVANCED: 0x400,
  DSACKING_ACK: 0x800,
  SET_XMIT_TIMER: 0x1000,
  UPDATE_TS_RECENT: 0x4000,
  ACK_MAYBE_DELAYED: 0x10000,
  DSACK_TLP: 0x20000,
  TS_PROGRESS: 0x40000,
} as const;
/** What never passes unnoticed (FLAG_CA_ALERT). */
export const ALERTS = FLAG.DATA_SACKED | FLAG.ECE | FLAG.DSACKING_ACK;
/** The flags of a SYN-ACK. */
export const SYN_ACK_FLAGS =
  FLAG.DATA | FLAG.WIN_UPDATE | FLAG.SYN_ACKED | FLAG.SLOWPATH | FLAG.SND_UNA_ADVANCED | FLAG.SET_XMIT_TIMER;

/** An acknowledgment of which nothing is known yet. */
export const newTally = (): AckTally => ({
  rate: emptyTally(),
  acked: 0,
  sacked: 0,
  firstAcked: -1,
  lastAcked: -1,
  firstSacked: -1,
  lastSacked: -1,
  retransAcked: false,
  originalArrived: false,
  dsacked: false,
  dsackedProbe: false,
  buffers: 0,
});

/** Forgets what the last acknowledgment told. */
export function resetTally(tally: AckTally): AckTally {
  tally.rate.any = false;
  tally.rate.priorDelivered = tally.rate.priorDeliveredCe = tally.rate.priorAt = 0;
  tally.rate.lastSeq = tally.rate.lastEnd = tally.rate.sendInterval = 0;
  tally.rate.appLimited = tally.rate.isRetrans = false;
  tally.acked = tally.sacked = tally.buffers = 0;
  tally.firstAcked = tally.lastAcked = tally.firstSacked = tally.lastSacked = -1;
  tally.retransAcked = tally.originalArrived = tally.dsacked = tally.dsackedProbe = false;
  return tally;
}

/** The flags that the segments' part of an acknowledgment gives. */
export function flagsOf(tally: AckTally): number {
  return (
    (tally.acked > 0 ? FLAG.DATA_ACKED : 0) |
    (tally.retransAcked ? FLAG.RETRANS_DATA_ACKED : 0) |
    (tally.sacked > 0 ? FLAG.DATA_SACKED : 0) |
    (tally.originalArrived ? FLAG.ORIG_SACK_ACKED : 0) |
    (tally.dsacked ? FLAG.DSACKING_ACK : 0) |
    (tally.dsackedProbe ? FLAG.DSACK_TLP : 0)
  );
}

/** A lone small segment, with nothing else that told of the path: its acknowledgment was probably delayed. */
export function maybeDelayed(
  sock: TcpSock,
  flag: number,
  tally: AckTally,
  prior: { una: number; sacked: number },
): boolean {
  return (
    tally.firstAcked >= 0 &&
    !tally.retransAcked &&
    tally.acked === 1 &&
    prior.sacked === 0 &&
    (sock.get('snd_una') - prior.una) >>> 0 < sock.get('mss_cache') &&
    tally.rate.priorDelivered + 1 === sock.get('delivered') &&
    (flag & ALERTS) === 0
  );
}
