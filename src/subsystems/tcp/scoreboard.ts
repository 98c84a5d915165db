import type { SackBlock } from './out_of_order.ts';
import type { AckPacket } from './packets.types.ts';
import { type RateTally, tallyDelivered } from './rate.ts';
import { MinRtt } from './rtt.ts';
import { type Segment, SegmentQueue, SentOrder } from './segments.ts';
import { after, CA, type CaState, type TcpSock } from './sock.ts';

/** Bytes of a segment with timestamps. */
export const MSS = 1448;
export const DUP_THRESH = 3;
/** sysctl_tcp_max_reordering. */
const REORDERING_MAX = 300;
/** TCP_RACK_RECOVERY_THRESH: recoveries for which a wider reordering window is kept. */
const PERSIST = 16;
const STEPS_MAX = 255;

const toMs = (ns: number): number => Math.floor(ns / 1e6);

/** What one acknowledgment told about segments. Times in nanoseconds, −1 for none. */
export interface AckTally {
  rate: RateTally;
  /** Segments that left the queue. */
  acked: number;
  sacked: number;
  /** When the first and the last of the segments that were sent once had left: cumulative, then selective. */
  firstAcked: number;
  lastAcked: number;
  firstSacked: number;
  lastSacked: number;
  /** An acknowledged segment had been sent again (FLAG_RETRANS_DATA_ACKED). */
  retransAcked: boolean;
  /** Something that was sent once, before `high_seq`, arrived (FLAG_ORIG_SACK_ACKED). */
  originalArrived: boolean;
  /** A duplicate was told of (FLAG_DSACKING_ACK), and it was the tail loss probe (FLAG_DSACK_TLP). */
  dsacked: boolean;
  dsackedProbe: boolean;
  /** Buffers of the send queue that are free again. */
  buffers: number;
}

/**
 * What is known of each segment between snd_una and snd_nxt: acknowledged selectively, lost, sent again. The counters are
 * the socket's own. Mirrors the scoreboard parts of net/ipv4/tcp_input.c and tcp_recovery.c (6.18). All times are whole
 * microseconds, in nanoseconds.
 */
export class Scoreboard {
  readonly queue = new SegmentQueue();
  readonly sent = new SentOrder();
  readonly minRtt: MinRtt;
  /** Numbers of the first segment that is not acknowledged, and of the next new one. */
  una = 0;
  next = 0;
  readonly sock: TcpSock;
  readonly #onLost: ((seq: number) => void) | undefined;
  /** Newest segment that was delivered, by time of sending (tp->rack). */
  #rackSentAt = -1;
  #rackSeq = -1;
  #rackRtt = 0;
  #rackAdvanced = false;
  #dsackSeen = false;
  #steps = 1;
  #persist = 0;
  #stepsAt = 0;
  /** When the last delivery came, and when the newest segment of a sample was sent (delivered_mstamp, first_tx_mstamp). */
  #deliveredNs = 0;
  #firstSentNs = 0;
  /** No lost segment below this number waits for its retransmission (retransmit_skb_hint). */
  #lostFrom = 0;
  /** Highest number that was acknowledged selectively. */
  #highest = -1;
  /** SACK blocks of the last acknowledgment that had any. */
  #known: readonly SackBlock[] = [];

  /** `onLost` hears of each segment, or retransmission, that is taken for lost. */
  constructor(sock: TcpSock, onLost?: (seq: number) => void) {
    this.sock = sock;
    this.#onLost = onLost;
    this.minRtt = new MinRtt(sock);
  }

  get #deliveredAt(): number {
    return this.#deliveredNs;
  }

  /** Programs see it in microseconds. */
  set #deliveredAt(now: number) {
    this.#deliveredNs = now;
    this.sock.set('delivered_mstamp', Math.floor(now / 1000));
  }

  get #firstSentAt(): number {
    return this.#firstSentNs;
  }

  set #firstSentAt(now: number) {
    this.#firstSentNs = now;
    this.sock.set('first_tx_mstamp', Math.floor(now / 1000));
  }

  /** Number of the segment after the highest one that was SACKed (tcp_highest_sack_seq). */
  get forward(): number {
    return this.sock.get('sacked_out') === 0 ? this.una : this.#highest + 1;
  }

  /** tcp_sacktag_write_queue: what arrived out of order, and what arrived twice. `state`: the congestion state. */
  markSacked(packet: AckPacket, tally: AckTally, state: CaState, now: number): void {
    const { sock } = this;
    if (packet.dsack === undefined && packet.sacks.length === 0) return;
    // snd_una has moved already; what it passes is still in the queue.
    const acked = this.una;
    this.una = Math.max(acked, packet.ack);
    let reordered = this.next;
    let delivered = 0;
    if (packet.dsack !== undefined) delivered += this.#duplicate(packet.dsack, acked, tally);
    for (const { start, end } of [...packet.sacks].sort((a, b) => a.start - b.start)) {
      for (let seq = Math.max(start, this.una); seq < end; seq++) {
        // What the last acknowledgment told of is known (recv_sack_cache).
        seq = this.#afterKnown(seq);
        if (seq >= end) break;
        const segment = this.queue.at(seq);
        if (segment === undefined || segment.sacked) continue;
        if (!segment.everRetransmitted) {
          if (seq < this.forward) reordered = Math.min(reordered, seq);
          if (!after(segment.end, sock.get('high_seq'))) tally.originalArrived = true;
          if (tally.firstSacked < 0) tally.firstSacked = segment.sentAt;
          tally.lastSacked = segment.sentAt;
        }
        this.#advanceRack(segment, now);
        if (segment.lost) sock.add('lost_out', -1);
        // A retransmission of what was not lost is believed to be still under way.
        if (segment.retransmitted && segment.lost) {
          segment.retransmitted = false;
          sock.add('retrans_out', -1);
        }
        segment.lost = segment.lost && segment.retransmitted;
        segment.sacked = true;
        this.sent.remove(segment);
        tally.sacked++;
        delivered++;
        sock.add('sacked_out', 1);
        if (seq > this.#highest) this.#highest = seq;
        this.#tally(segment, tally.rate);
        tally.buffers += this.#merge(segment, this.queue.at(seq - 1)) + this.#merge(this.queue.at(seq + 1), segment);
      }
    }
    this.una = acked;
    this.#known = packet.sacks;
    if (delivered > 0) {
      sock.add('delivered', delivered);
      this.#deliveredAt = now;
    }
    if (reordered < this.next && (state !== CA.Loss || sock.get('undo_marker') !== 0)) this.reordered(reordered);
  }

  /** The first number from `seq` on that the last acknowledgment's blocks did not tell of. */
  #afterKnown(seq: number): number {
    let next = seq;
    for (const { start, end } of this.#known) if (next >= start && next < end) next = end;
    return next;
  }

  /** tcp_shift_skb_data: SACKed neighbours share one buffer. How many buffers that frees. */
  #merge(segment: Segment | undefined, before: Segment | undefined): number {
    if (segment === undefined || before === undefined || !segment.sacked || segment.merged) return 0;
    if (!before.sacked || before.retransmitted || segment.retransmitted || before.seq < this.una) return 0;
    if (((segment.end - segment.start) | 0) !== ((before.end - before.start) | 0)) return 0;
    segment.merged = true;
    return 1;
  }

  /** tcp_check_dsack, and what tcp_sacktag_one does for a duplicate; how many deliveries it tells of. */
  #duplicate(dsack: NonNullable<AckPacket['dsack']>, acked: number, tally: AckTally): number {
    const { sock } = this;
    const count = dsack.end - dsack.start;
    const high = sock.get('tlp_high_seq');
    if (count === 1 && high !== 0 && high === dsack.endByte) tally.dsackedProbe = true;
    sock.add('dsack_dups', count);
    // The network duplicated it: nothing was sent again.
    if (sock.get('dsack_dups') > sock.get('total_retrans')) return 0;
    if (sock.get('reord_seen') > 0 && !tally.dsackedProbe) this.#dsackSeen = true;
    tally.dsacked = true;
    const undo = sock.get('undo_retrans') | 0;
    const counts = sock.get('undo_marker') !== 0 && undo > 0 && after(dsack.endByte, sock.get('undo_marker'));
    if (dsack.end <= acked) {
      if (counts) sock.set('undo_retrans', Math.max(0, undo - count));
      return count;
    }
    const segment = this.queue.at(dsack.start);
    if (segment === undefined) return count;
    if (counts && segment.everRetransmitted) sock.set('undo_retrans', Math.max(0, undo - count));
    if (dsack.start >= this.una && segment.retransmitted) {
      segment.retransmitted = false;
      sock.add('retrans_out', -1);
    }
    return count;
  }

  /**
   * tcp_clean_rtx_queue: segments below the acknowledgment leave. `forward` as it was before the acknowledgment; `echo`: the
   * timestamp that came back, if any.
   */
  clean(ack: number, forward: number, echo: number | undefined, tally: AckTally, now: number): void {
    const { sock } = this;
    let { una } = this;
    let reordered = this.next;
    for (let first = this.queue.first; first !== undefined && first.seq < ack; first = this.queue.first) {
      const segment = this.queue.shift();
      tally.acked++;
      if (!segment.merged) tally.buffers++;
      una = segment.seq + 1;
      sock.set('bytes_acked', sock.get('bytes_acked') + segment.end - segment.start);
      sock.set('snd_una', segment.end);
      if (segment.everRetransmitted) {
        tally.retransAcked = true;
        if (segment.retransmitted) sock.add('retrans_out', -1);
      } else if (!segment.sacked) {
        if (tally.firstAcked < 0) tally.firstAcked = segment.sentAt;
        tally.lastAcked = segment.sentAt;
        if (segment.seq < reordered) reordered = segment.seq;
        if (!after(segment.end, sock.get('high_seq'))) tally.originalArrived = true;
      }
      if (segment.lost) sock.add('lost_out', -1);
      if (segment.sacked) {
        sock.add('sacked_out', -1);
        continue;
      }
      this.sent.remove(segment);
      sock.add('delivered', 1);
      this.#deliveredAt = now;
      // The echo is older than the retransmission: the original arrived (tcp_skb_spurious_retrans).
      const spurious = segment.everRetransmitted && echo !== undefined && toMs(echo) < toMs(segment.sentAt);
      if (!spurious) this.#advanceRack(segment, now);
      this.#tally(segment, tally.rate);
    }
    this.una = una;
    sock.set('packets_out', this.queue.length);
    // A hole that no retransmission filled.
    if (reordered < forward) this.reordered(reordered);
  }

  /** tcp_check_sack_reordering: segment `seq` arrived after later ones. */
  reordered(seq: number): void {
    const { sock } = this;
    const distance = this.forward - seq;
    if (distance <= 0) return;
    if (distance > sock.get('reordering')) sock.set('reordering', Math.min(distance, REORDERING_MAX));
    sock.add('reord_seen', 1);
  }

  #tally(segment: Segment, tally: RateTally): void {
    if (tallyDelivered(tally, segment, this.#firstSentAt)) this.#firstSentAt = segment.sentAt;
  }

  /** tcp_rack_advance: a retransmission that was answered too fast is the answer to the original. */
  #advanceRack(segment: Segment, now: number): void {
    const rtt = now - segment.sentAt;
    if (segment.everRetransmitted && rtt / 1000 < this.minRtt.us) return;
    this.#rackAdvanced = true;
    this.#rackRtt = rtt;
    if (segment.sentAt > this.#rackSentAt || (segment.sentAt === this.#rackSentAt && segment.seq > this.#rackSeq)) {
      this.#rackSentAt = segment.sentAt;
      this.#rackSeq = segment.seq;
    }
  }

  /** tcp_rack_update_reo_wnd; `priorDelivered`: that of the rate sample, 0 without one. */
  updateReorderingWindow(priorDelivered: number): void {
    if (priorDelivered === 0) return;
    if (priorDelivered < this.#stepsAt) this.#dsackSeen = false;
    if (this.#dsackSeen) {
      this.#steps = Math.min(STEPS_MAX, this.#steps + 1);
      this.#dsackSeen = false;
      this.#stepsAt = this.sock.get('delivered');
      this.#persist = PERSIST;
    } else if (this.#persist === 0) this.#steps = 1;
  }

  /** A recovery ended: undone because of duplicates, or because it was over. */
  notePersistence(undone: boolean): void {
    if (undone) this.#persist = Math.min(PERSIST, this.#persist + 1);
    else if (this.#persist > 0) this.#persist--;
  }

  /** tcp_rack_reo_wnd, nanoseconds. */
  #reorderingWindow(state: CaState): number {
    const { sock } = this;
    if (sock.get('reord_seen') === 0 && (state >= CA.Recovery || sock.get('sacked_out') >= sock.get('reordering')))
      return 0;
    return Math.min((this.minRtt.us >>> 2) * this.#steps, sock.get('srtt_us') >>> 3) * 1000;
  }

  /**
   * tcp_rack_detect_loss: what was sent well before something that has arrived is lost.
   * Gives nanoseconds until more may be, 0 for none. `again`: judge even if nothing was delivered since.
   */
  detectLoss(state: CaState, now: number, again = false): number {
    if (!this.#rackAdvanced && !again) return 0;
    if (!again) this.#rackAdvanced = false;
    const window = this.#reorderingWindow(state);
    let wait = 0;
    for (let segment = this.sent.first; segment !== undefined; ) {
      const { later } = segment;
      if (segment.sentAt > this.#rackSentAt || (segment.sentAt === this.#rackSentAt && segment.seq >= this.#rackSeq))
        break;
      const remaining = segment.sentAt + this.#rackRtt + window - now;
      if (remaining <= 0) {
        this.#markLost(segment);
        this.sent.remove(segment);
      } else wait = Math.max(wait, remaining);
      segment = later;
    }
    return wait;
  }

  /** An undo asks for another look at what is lost. */
  reexamine(): void {
    this.#rackAdvanced = true;
  }

  /** tcp_timeout_mark_lost: all of it, save what was sent too recently. */
  markAllLost(now: number): void {
    for (let i = 0; i < this.queue.length; i++) {
      const segment = this.queue.get(i);
      if (segment.sacked || (i > 0 && segment.sentAt + this.#rackRtt > now)) continue;
      this.#markLost(segment);
      segment.timedOut = this.sent.remove(segment);
    }
    this.#lostFrom = this.una;
  }

  /** tcp_mark_skb_lost. */
  #markLost(segment: Segment): void {
    const { sock } = this;
    if (segment.seq < this.#lostFrom) this.#lostFrom = segment.seq;
    if (!segment.lost) sock.add('lost_out', 1);
    else if (segment.retransmitted) {
      segment.retransmitted = false;
      sock.add('retrans_out', -1);
    } else return;
    segment.lost = true;
    sock.add('lost', 1);
    this.#onLost?.(segment.seq);
  }

  /** Nothing was lost after all: the part of tcp_undo_cwnd_reduction that unmarks. */
  unmarkLost(): void {
    for (let i = this.queue.length - 1; i >= 0; i--) {
      const segment = this.queue.get(i);
      if (segment.lost && segment.timedOut && !segment.retransmitted) this.sent.prepend(segment);
      segment.lost = false;
      segment.timedOut = false;
    }
    this.sock.set('lost_out', 0);
    this.#lostFrom = this.una;
  }

  nextLost(): Segment | undefined {
    const { sock } = this;
    if (sock.get('retrans_out') >= sock.get('lost_out')) return undefined;
    for (let seq = Math.max(this.#lostFrom, this.una); seq < this.next; seq++) {
      const segment = this.queue.at(seq)!;
      if (!segment.lost || segment.retransmitted || segment.sacked) continue;
      this.#lostFrom = seq;
      return segment;
    }
    this.#lostFrom = this.next;
    return undefined;
  }

  /** tcp_rate_skb_sent. */
  stamp(segment: Segment, now: number): void {
    const { sock } = this;
    if (sock.get('packets_out') === 0) {
      this.#firstSentAt = now;
      this.#deliveredAt = now;
    }
    segment.sentAt = now;
    segment.firstSentAt = this.#firstSentAt;
    segment.deliveredAt = this.#deliveredAt;
    segment.delivered = sock.get('delivered');
    segment.deliveredCe = sock.get('delivered_ce');
    segment.appLimited = sock.get('app_limited') !== 0;
    segment.timedOut = false;
    this.sent.append(segment);
  }
}
