/** A segment that was sent and is not acknowledged cumulatively. Times in nanoseconds. */
export interface Segment {
  seq: number;
  sentAt: number;
  sacked: boolean;
  lost: boolean;
  /** A retransmission of it is under way. */
  retransmitted: boolean;
  everRetransmitted: boolean;
  /** For rate samples, as of its last transmission (struct tcp_skb_cb.tx). */
  delivered: number;
  deliveredCe: number;
  deliveredAt: number;
  firstSentAt: number;
  appLimited: boolean;
  inFlight: number;
}

/** The retransmission queue: segments from snd_una to snd_nxt, by number. */
export class SegmentQueue {
  #segments: Segment[] = [];
  #head = 0;

  get length(): number {
    return this.#segments.length - this.#head;
  }

  /** First segment that is not acknowledged. */
  get first(): Segment | undefined {
    return this.#segments[this.#head];
  }

  push(segment: Segment): void {
    this.#segments.push(segment);
  }

  shift(): Segment {
    const segment = this.#segments[this.#head++]!;
    if (this.#head > 512 && this.#head * 2 > this.#segments.length) {
      this.#segments = this.#segments.slice(this.#head);
      this.#head = 0;
    }
    return segment;
  }

  /** The segment with number `seq`. */
  at(seq: number): Segment | undefined {
    const first = this.first;
    return first === undefined || seq < first.seq ? undefined : this.#segments[this.#head + seq - first.seq];
  }

  /** The segment `index` places after the first. */
  get(index: number): Segment {
    return this.#segments[this.#head + index]!;
  }
}
