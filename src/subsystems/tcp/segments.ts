/** A segment that was sent and is not acknowledged cumulatively. Times in nanoseconds. */
export class Segment {
  /** Its number, counted from the first data segment. */
  readonly seq: number;
  /** First byte, and the byte after the last, as the socket counts them. A FIN is one byte. */
  readonly start: number;
  readonly end: number;
  /** End of a write (PSH), and of the stream. */
  readonly push: boolean;
  readonly fin: boolean;
  sentAt = 0;
  sacked = false;
  lost = false;
  /** A retransmission of it is under way. */
  retransmitted = false;
  everRetransmitted = false;
  /** A timeout took it out of the order of sending. */
  timedOut = false;
  /** Shares the buffer of the segment before it. */
  merged = false;
  /** For rate samples, as of its last transmission (struct tcp_skb_cb.tx). */
  delivered = 0;
  deliveredCe = 0;
  deliveredAt = 0;
  firstSentAt = 0;
  appLimited = false;
  /** Neighbours by time of sending (tcp_tsorted_anchor). */
  earlier: Segment | undefined = undefined;
  later: Segment | undefined = undefined;

  constructor(seq: number, start: number, end: number, push: boolean, fin: boolean) {
    this.seq = seq;
    this.start = start;
    this.end = end;
    this.push = push;
    this.fin = fin;
  }
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

  get last(): Segment | undefined {
    return this.length === 0 ? undefined : this.#segments[this.#segments.length - 1];
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

/** Segments that may still be judged by their age, oldest transmission first (tsorted_sent_queue). */
export class SentOrder {
  first: Segment | undefined;
  #last: Segment | undefined;

  /** Puts a segment at the end, wherever it was before. */
  append(segment: Segment): void {
    this.remove(segment);
    segment.earlier = this.#last;
    if (this.#last === undefined) this.first = segment;
    else this.#last.later = segment;
    this.#last = segment;
  }

  /** Puts a segment that is not in the order before all others. */
  prepend(segment: Segment): void {
    segment.later = this.first;
    if (this.first === undefined) this.#last = segment;
    else this.first.earlier = segment;
    this.first = segment;
  }

  /** Whether it was there. */
  remove(segment: Segment): boolean {
    const { earlier, later } = segment;
    if (earlier === undefined && this.first !== segment) return false;
    if (earlier !== undefined) earlier.later = later;
    else this.first = later;
    if (later !== undefined) later.earlier = earlier;
    else this.#last = earlier;
    segment.earlier = undefined;
    segment.later = undefined;
    return true;
  }
}
