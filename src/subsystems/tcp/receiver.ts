import type { Simulator, Timer, WirePacket } from '../../net/index.ts';

/** A data segment; sequence numbers count segments. */
export interface DataPacket extends WirePacket {
  seq: number;
  /** Congestion window reduced: answers ECE. */
  cwr: boolean;
  /** TCP timestamp: when it was sent, in nanoseconds. */
  sentAt: number;
}

/** An acknowledgment. */
export interface AckPacket {
  /** First segment that is missing. */
  ack: number;
  /** Ranges above `ack` that have arrived, the newest first, ends exclusive; at most three. */
  sacks: { start: number; end: number }[];
  /** Segments that arrived twice, reported once (D-SACK). */
  dsack: boolean;
  ece: boolean;
  /** The advertised window is another one than before. */
  windowMoved: boolean;
  /** Echoed timestamp. */
  echo: number;
}

const DELAYED_ACK = 40e6;
/** Acknowledge each segment at the start (tcp_enter_quickack_mode). */
const QUICK_ACKS = 16;
/** Bytes by which the window opens for a segment (tcp_grow_window: twice advmss), where it starts and where it ends: half and five eighths of tcp_rmem[1]. */
const WINDOW_STEP = 2 * 1448;
const WINDOW_START = 2_097_152;
const WINDOW_END = 2_621_440;

/** The receiving end: cumulative and selective acknowledgments, delayed as Linux delays them, and ECN echoes. */
export class Receiver {
  readonly #simulator: Simulator;
  readonly #send: (ack: AckPacket) => void;
  /** Echo each packet's CE, as DCTCP wants it, instead of holding ECE until CWR. */
  readonly #exactEcn: boolean;
  #next = 0;
  #ranges: { start: number; end: number }[] = [];
  #pending = 0;
  #timer: Timer | undefined;
  #quick = QUICK_ACKS;
  #ece = false;
  #echo = 0;
  #window = 0;
  /** Segments that arrived in all, and first-time ones. */
  received = 0;
  distinct = 0;

  constructor(simulator: Simulator, exactEcn: boolean, send: (ack: AckPacket) => void) {
    this.#simulator = simulator;
    this.#exactEcn = exactEcn;
    this.#send = send;
  }

  /** Segments that the application has got, in order. */
  get delivered(): number {
    return this.#next;
  }

  receive(packet: DataPacket): void {
    this.received++;
    const ce = packet.ce;
    if (this.#exactEcn) {
      // A change of CE must not hide behind a delayed ACK: what was pending goes out with the old value.
      if (ce !== this.#ece && this.#pending > 0) this.#acknowledge(false);
      this.#ece = ce;
    } else {
      if (packet.cwr) this.#ece = false;
      if (ce) this.#ece = true;
    }
    const known =
      packet.seq < this.#next || this.#ranges.some(({ start, end }) => packet.seq >= start && packet.seq < end);
    if (known) {
      this.#acknowledge(true);
      return;
    }
    this.distinct++;
    // tcp_grow_window: a window that opens is told at once.
    if (WINDOW_START + WINDOW_STEP * (this.distinct - 1) < WINDOW_END) this.#quick |= 1;
    const inOrder = packet.seq === this.#next;
    const hadHoles = this.#ranges.length > 0;
    if (inOrder) {
      this.#next++;
      if (this.#pending === 0) this.#echo = packet.sentAt;
      const first = this.#ranges.findIndex(({ start }) => start === this.#next);
      if (first >= 0) this.#next = this.#ranges.splice(first, 1)[0]!.end;
    } else this.#insert(packet.seq);
    if (!inOrder || hadHoles) {
      this.#acknowledge(false);
      return;
    }
    this.#pending++;
    if (this.#quick > 0 || this.#pending >= 2) {
      this.#acknowledge(false);
      return;
    }
    this.#timer = this.#simulator.after(DELAYED_ACK, () => this.#acknowledge(false));
  }

  /** Adds a segment above the hole; its range moves to the front, as the newest. */
  #insert(seq: number): void {
    const range = { start: seq, end: seq + 1 };
    this.#ranges = this.#ranges.filter((other) => {
      if (other.end !== range.start && other.start !== range.end) return true;
      range.start = Math.min(range.start, other.start);
      range.end = Math.max(range.end, other.end);
      return false;
    });
    this.#ranges.unshift(range);
  }

  /** Whether the window grew since the last acknowledgment. */
  #growWindow(): boolean {
    const before = this.#window;
    this.#window = Math.min(WINDOW_END, WINDOW_START + WINDOW_STEP * this.distinct);
    return before !== this.#window;
  }

  #acknowledge(dsack: boolean): void {
    if (this.#timer !== undefined) this.#timer.cancelled = true;
    this.#timer = undefined;
    this.#pending = 0;
    if (this.#quick > 0) this.#quick--;
    this.#send({
      ack: this.#next,
      sacks: this.#ranges.slice(0, 3).map((range) => ({ ...range })),
      dsack,
      ece: this.#ece,
      windowMoved: this.#growWindow(),
      echo: this.#echo,
    });
  }
}
