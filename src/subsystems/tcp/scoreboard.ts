import { type RateTally, tallyDelivered } from './rate.ts';
import type { AckPacket } from './receiver.ts';
import { MinRtt } from './rtt.ts';
import { type Segment, SegmentQueue } from './segments.ts';
import { CA, type CaState, type TcpSock } from './sock.ts';

/** Bytes of a segment. */
export const MSS = 1448;
export const DUP_THRESH = 3;

/**
 * What is known of each segment between snd_una and snd_nxt: acknowledged selectively, lost, sent again. The counters are
 * the socket's own. Mirrors the scoreboard parts of net/ipv4/tcp_input.c and tcp_recovery.c (6.12).
 */
export class Scoreboard {
  readonly queue = new SegmentQueue();
  readonly minRtt = new MinRtt();
  /** Numbers of the first segment that is not acknowledged, and of the next new one. */
  una = 0;
  next = 0;
  readonly sock: TcpSock;
  /** Newest segment that was delivered, by time of sending (RACK). */
  #rackSentAt = -1;
  #rackRtt = 0;
  /** Of the last delivery: when it came, and when that segment was sent. */
  #deliveredAt = 0;
  #firstSentAt = 0;

  constructor(sock: TcpSock) {
    this.sock = sock;
  }

  /** tcp_sacktag_write_queue: segments that arrived out of order. */
  markSacked(packet: AckPacket, tally: RateTally, now: number): number {
    const { sock } = this;
    let count = 0;
    for (const { start, end } of packet.sacks) {
      for (let seq = Math.max(start, this.una); seq < end; seq++) {
        const segment = this.queue.at(seq);
        if (segment === undefined || segment.sacked) continue;
        segment.sacked = true;
        count++;
        sock.add('sacked_out', 1);
        if (segment.lost) sock.add('lost_out', -1);
        if (segment.retransmitted) sock.add('retrans_out', -1);
        segment.lost = false;
        segment.retransmitted = false;
        this.#delivered(segment, tally, now);
      }
    }
    return count;
  }

  /** tcp_clean_rtx_queue: segments below the acknowledgment leave. */
  clean(ack: number, tally: RateTally, now: number): { count: number; rtt: number; inFlight: number } {
    const { sock } = this;
    let count = 0;
    let rtt = -1;
    let inFlight = 0;
    while (this.queue.first !== undefined && this.queue.first.seq < ack) {
      const segment = this.queue.shift();
      count++;
      if (segment.sacked) sock.add('sacked_out', -1);
      else this.#delivered(segment, tally, now);
      if (segment.lost) sock.add('lost_out', -1);
      if (segment.retransmitted) sock.add('retrans_out', -1);
      // Karn: a segment that was sent twice says nothing about the RTT.
      if (!segment.everRetransmitted && !segment.sacked) {
        rtt = now - segment.sentAt;
        inFlight = segment.inFlight;
      }
    }
    this.una = Math.max(this.una, Math.min(ack, this.next));
    sock.add('bytes_acked', count * MSS);
    return { count, rtt, inFlight };
  }

  #delivered(segment: Segment, tally: RateTally, now: number): void {
    const { sock } = this;
    sock.add('delivered', 1);
    sock.set('delivered_mstamp', Math.floor(now / 1000));
    tallyDelivered(tally, segment);
    this.#deliveredAt = now;
    this.#firstSentAt = segment.sentAt;
    // RACK: a retransmission that was answered too fast is the answer to the original.
    const rtt = now - segment.sentAt;
    if (segment.everRetransmitted && rtt / 1000 < this.minRtt.us) return;
    this.#rackRtt = rtt;
    if (segment.sentAt > this.#rackSentAt) this.#rackSentAt = segment.sentAt;
  }

  /** tcp_rack_mark_lost: what was sent well before something that has arrived is lost. Nanoseconds until the next may be, 0 for none. */
  detectLoss(state: CaState, now: number): number {
    if (this.#rackSentAt < 0) return 0;
    const { sock } = this;
    // Without reordering seen, DUP_THRESH segments above the hole are proof enough.
    const eager = sock.get('sacked_out') >= DUP_THRESH || state >= CA.Recovery;
    const window = eager ? 0 : Math.min(this.minRtt.us * 250, (sock.get('srtt_us') >> 3) * 1000);
    let wait = 0;
    for (let i = 0; i < this.queue.length; i++) {
      const segment = this.queue.get(i);
      if (segment.sacked || (segment.lost && !segment.retransmitted)) continue;
      if (segment.sentAt >= this.#rackSentAt) {
        if (!segment.everRetransmitted) break;
        continue;
      }
      const remaining = segment.sentAt + this.#rackRtt + window - now;
      if (remaining <= 0) this.markLost(segment);
      else wait = Math.max(wait, remaining);
    }
    return wait;
  }

  markLost(segment: Segment): void {
    const { sock } = this;
    if (segment.retransmitted) {
      segment.retransmitted = false;
      sock.add('retrans_out', -1);
    }
    if (!segment.lost) sock.add('lost_out', 1);
    segment.lost = true;
    sock.add('lost', 1);
  }

  nextLost(): Segment | undefined {
    for (let i = 0; i < this.queue.length; i++) {
      const segment = this.queue.get(i);
      if (segment.lost && !segment.retransmitted && !segment.sacked) return segment;
    }
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
  }
}
