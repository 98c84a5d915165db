import { type RateTally, tallyDelivered } from './rate.ts';
import type { AckPacket } from './receiver.ts';
import { MinRtt } from './rtt.ts';
import { type Segment, SegmentQueue, SentOrder } from './segments.ts';
import { after, CA, type CaState, type TcpSock } from './sock.ts';

/** Bytes of a segment. */
export const MSS = 1448;
export const DUP_THRESH = 3;

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
}

/**
 * What is known of each segment between snd_una and snd_nxt: acknowledged selectively, lost, sent again. The counters are
 * the socket's own. Mirrors the scoreboard parts of net/ipv4/tcp_input.c and tcp_recovery.c (6.18).
 */
export class Scoreboard {
  readonly queue = new SegmentQueue();
  readonly sent = new SentOrder();
  readonly minRtt = new MinRtt();
  /** Numbers of the first segment that is not acknowledged, and of the next new one. */
  una = 0;
  next = 0;
  readonly sock: TcpSock;
  /** Called when a segment, or its retransmission, is found to be lost. */
  onLost: ((segment: Segment) => void) | undefined;
  /** Newest segment that was delivered, by time of sending (RACK). */
  #rackSentAt = -1;
  #rackSeq = -1;
  #rackRtt = 0;
  #rackAdvanced = false;
  /** Of the last delivery: when it came, and when that segment was sent. */
  #deliveredAt = 0;
  #firstSentAt = 0;
  /** No lost segment below this number waits for its retransmission (retransmit_skb_hint). */
  #lostFrom = 0;
  /** Highest number that was acknowledged in any way: what arrives below it, sent once, was reordered. */
  #highest = -1;

  constructor(sock: TcpSock) {
    this.sock = sock;
  }

  /** tcp_sacktag_write_queue: segments that arrived out of order. */
  markSacked(packet: AckPacket, tally: AckTally, now: number): void {
    const { sock } = this;
    for (const { start, end } of packet.sacks) {
      for (let seq = Math.max(start, this.una, packet.ack); seq < end; seq++) {
        const segment = this.queue.at(seq);
        if (segment === undefined || segment.sacked) continue;
        if (!segment.everRetransmitted) {
          if (seq < this.#highest) this.#reordered(seq);
          if (!after(segment.end, sock.get('high_seq'))) tally.originalArrived = true;
          if (tally.firstSacked < 0) tally.firstSacked = segment.sentAt;
          tally.lastSacked = segment.sentAt;
        }
        this.#clear(segment);
        segment.sacked = true;
        tally.sacked++;
        sock.add('sacked_out', 1);
        this.#delivered(segment, tally.rate, now);
      }
      if (end - 1 > this.#highest) this.#highest = end - 1;
    }
  }

  /** tcp_clean_rtx_queue: segments below the acknowledgment leave. */
  clean(ack: number, tally: AckTally, now: number): void {
    const { sock } = this;
    let { una } = this;
    for (let first = this.queue.first; first !== undefined && first.seq < ack; first = this.queue.first) {
      const segment = this.queue.shift();
      tally.acked++;
      una = segment.seq + 1;
      sock.set('bytes_acked', sock.get('bytes_acked') + segment.end - segment.start);
      sock.set('snd_una', segment.end);
      if (segment.everRetransmitted) tally.retransAcked = true;
      else if (!segment.sacked) {
        if (tally.firstAcked < 0) tally.firstAcked = segment.sentAt;
        tally.lastAcked = segment.sentAt;
        if (segment.seq < this.#highest) this.#reordered(segment.seq);
        if (!after(segment.end, sock.get('high_seq'))) tally.originalArrived = true;
      }
      this.#clear(segment);
      if (segment.sacked) sock.add('sacked_out', -1);
      else this.#delivered(segment, tally.rate, now);
    }
    this.una = una;
    if (this.#highest < una - 1) this.#highest = una - 1;
    sock.set('packets_out', this.queue.length);
  }

  /** tcp_check_sack_reordering. */
  #reordered(seq: number): void {
    const { sock } = this;
    const distance = this.#highest - seq + 1;
    if (distance > sock.get('reordering')) sock.set('reordering', Math.min(distance, 300));
    sock.add('reord_seen', 1);
  }

  /** A segment is neither lost nor under way any more. */
  #clear(segment: Segment): void {
    const { sock } = this;
    if (segment.lost) sock.add('lost_out', -1);
    if (segment.retransmitted) sock.add('retrans_out', -1);
    segment.lost = false;
    segment.retransmitted = false;
    this.sent.remove(segment);
  }

  #delivered(segment: Segment, tally: RateTally, now: number): void {
    const { sock } = this;
    sock.add('delivered', 1);
    this.#deliveredAt = now;
    if (tallyDelivered(tally, segment)) this.#firstSentAt = segment.sentAt;
    // tcp_rack_advance: a retransmission that was answered too fast is the answer to the original.
    const rtt = now - segment.sentAt;
    if (segment.everRetransmitted && rtt / 1000 < this.minRtt.us) return;
    this.#rackAdvanced = true;
    this.#rackRtt = rtt;
    if (segment.sentAt > this.#rackSentAt || (segment.sentAt === this.#rackSentAt && segment.seq > this.#rackSeq)) {
      this.#rackSentAt = segment.sentAt;
      this.#rackSeq = segment.seq;
    }
  }

  /** tcp_rack_reo_wnd, nanoseconds. */
  #reorderingWindow(state: CaState): number {
    const { sock } = this;
    if (sock.get('reord_seen') === 0 && (state >= CA.Recovery || sock.get('sacked_out') >= sock.get('reordering')))
      return 0;
    return Math.min(this.minRtt.us * 250, (sock.get('srtt_us') >> 3) * 1000);
  }

  /**
   * tcp_rack_mark_lost: what was sent well before something that has arrived is lost.
   * Gives nanoseconds until more may be, 0 for none. `again`: judge even if nothing was delivered since.
   */
  detectLoss(state: CaState, now: number, again = false): number {
    if (!this.#rackAdvanced && !again) return 0;
    this.#rackAdvanced = false;
    const window = this.#reorderingWindow(state);
    let wait = 0;
    for (let segment = this.sent.first; segment !== undefined; ) {
      const { later } = segment;
      if (segment.sentAt > this.#rackSentAt || (segment.sentAt === this.#rackSentAt && segment.seq >= this.#rackSeq))
        break;
      const remaining = segment.sentAt + this.#rackRtt + window - now;
      if (remaining <= 0) this.markLost(segment);
      else wait = Math.max(wait, remaining);
      segment = later;
    }
    return wait;
  }

  /** tcp_timeout_mark_lost: all of it, save what was sent too recently. */
  markAllLost(now: number): void {
    for (let i = 0; i < this.queue.length; i++) {
      const segment = this.queue.get(i);
      if (i > 0 && segment.sentAt + this.#rackRtt > now) continue;
      this.markLost(segment);
    }
  }

  /** tcp_mark_skb_lost. */
  markLost(segment: Segment): void {
    const { sock } = this;
    if (segment.sacked) return;
    if (segment.seq < this.#lostFrom) this.#lostFrom = segment.seq;
    this.sent.remove(segment);
    if (segment.lost && !segment.retransmitted) return;
    if (segment.retransmitted) {
      segment.retransmitted = false;
      sock.add('retrans_out', -1);
    }
    if (!segment.lost) sock.add('lost_out', 1);
    segment.lost = true;
    sock.add('lost', 1);
    this.onLost?.(segment);
  }

  /** Nothing was lost after all: the part of tcp_undo_cwnd_reduction that unmarks. */
  unmarkLost(): void {
    for (let i = 0; i < this.queue.length; i++) {
      const segment = this.queue.get(i);
      if (segment.lost && !segment.retransmitted && !segment.sacked) this.sent.append(segment);
      segment.lost = false;
    }
    this.sock.set('lost_out', 0);
    this.#rackAdvanced = true;
  }

  nextLost(): Segment | undefined {
    if (this.sock.get('lost_out') === 0) return undefined;
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
    segment.inFlight = (sock.inFlight() + 1) * MSS;
    this.sent.append(segment);
  }
}
