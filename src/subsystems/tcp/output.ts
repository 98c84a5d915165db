import type { Simulator, Timer } from '../../net/index.ts';
import type { CongestionOps } from './ops.ts';
import type { DataPacket } from './receiver.ts';
import type { Recovery } from './recovery.ts';
import { MSS, type Scoreboard } from './scoreboard.ts';
import { newSegment, type Segment } from './segments.ts';
import { after, CA_EVENT, type TcpSock } from './sock.ts';

/** Headers on the wire: Ethernet 14, IP 20, TCP 20 and 12 of options. */
export const HEADERS = 66;
const PACING_NEEDED = 1;
/** `undo_retrans` before the first retransmission of an episode (−1). */
const NO_RETRANS = 0xffffffff;
/** The packet with which pacing begins (TCP_INIT_CWND). */
const UNPACED = 10;

/** A segment that was written and not sent: its length in bytes; `fin` for the end of the stream. */
interface Unsent {
  bytes: number;
  fin: boolean;
}

export interface OutputOptions {
  ecn: boolean;
  send: (packet: DataPacket) => void;
}

/**
 * What leaves the sender: new segments within the window and the pacing rate, and retransmissions.
 * Mirrors net/ipv4/tcp_output.c (6.18) with one segment a buffer (gso_max_segs 1).
 */
export class Output {
  readonly #sock: TcpSock;
  readonly #ops: CongestionOps;
  readonly #board: Scoreboard;
  readonly #recovery: Recovery;
  readonly #simulator: Simulator;
  readonly #options: OutputOptions;
  /** Written and not sent (the write queue). */
  readonly #unsent: Unsent[] = [];
  #unsentHead = 0;
  #pacingTimer: Timer | undefined;
  #pacingFrom = 0;
  #sent = 0;
  #lastSmall = 0;
  #lastSentAt = 0;
  retransmits = 0;
  /** Called after new data went out: the timers' part of tcp_event_new_data_sent, then that of tcp_write_xmit. */
  onNewData: (wasEmpty: boolean) => void = () => {};
  onBurst: () => void = () => {};
  /** Called when the pacing timer lets packets out again. */
  onPaced: () => void = () => {};
  /** The window's right edge in bytes, as the socket counts. */
  windowEnd = 0x7fffffff;

  constructor(
    sock: TcpSock,
    ops: CongestionOps,
    board: Scoreboard,
    recovery: Recovery,
    simulator: Simulator,
    options: OutputOptions,
  ) {
    this.#sock = sock;
    this.#ops = ops;
    this.#board = board;
    this.#recovery = recovery;
    this.#simulator = simulator;
    this.#options = options;
  }

  get hasUnsent(): boolean {
    return this.#unsentHead < this.#unsent.length;
  }

  /** Segments that wait. */
  get unsent(): number {
    return this.#unsent.length - this.#unsentHead;
  }

  /** The last segment that waits and is not full, to be filled up. */
  get open(): Unsent | undefined {
    const last = this.hasUnsent ? this.#unsent[this.#unsent.length - 1] : undefined;
    return last !== undefined && last.bytes < MSS && !last.fin ? last : undefined;
  }

  queue(bytes: number, fin: boolean): void {
    this.#unsent.push({ bytes, fin });
  }

  #take(): Unsent {
    const unsent = this.#unsent[this.#unsentHead++]!;
    if (this.#unsentHead > 256 && this.#unsentHead * 2 > this.#unsent.length) {
      this.#unsent.splice(0, this.#unsentHead);
      this.#unsentHead = 0;
    }
    return unsent;
  }

  /** tcp_pacing_check; sets the timer if it is too early. */
  #tooEarly(): boolean {
    if (this.#sock.get('sk_pacing_status') !== PACING_NEEDED) return false;
    const { now } = this.#simulator;
    if (this.#pacingFrom <= now) return false;
    if (this.#pacingTimer === undefined || this.#pacingTimer.cancelled || this.#pacingTimer.at <= now)
      this.#pacingTimer = this.#simulator.after(this.#pacingFrom - now, () => this.onPaced());
    return true;
  }

  /** Nagle's algorithm as Minshall changed it: at most one small segment is under way. */
  #heldBack({ bytes, fin }: Unsent): boolean {
    return !fin && bytes < MSS && this.#lastSmall !== 0 && after(this.#lastSmall, this.#sock.get('snd_una'));
  }

  /**
   * tcp_write_xmit: sends what the windows let out. `limit`: segments at most (tcp_push_one: 1); `probe`: one goes out even
   * if the congestion window is full. Returns how many went out.
   */
  write(limit = Number.POSITIVE_INFINITY, probe = false): number {
    const sock = this.#sock;
    this.#ops.call('min_tso_segs', { ptr: sock.pointer });
    let sent = 0;
    while (this.hasUnsent && sent < limit) {
      if (!probe && this.#tooEarly()) break;
      if (!probe && sock.inFlight() >= sock.get('snd_cwnd')) break;
      const next = this.#unsent[this.#unsentHead]!;
      if (after(sock.get('snd_nxt') + next.bytes, this.windowEnd)) break;
      if (limit === Number.POSITIVE_INFINITY && this.#heldBack(next)) break;
      this.#sendNew(this.#take());
      sent++;
    }
    const limited = sock.inFlight() >= sock.get('snd_cwnd');
    if (sent > 0 || limited) this.#validateCwnd(limited);
    if (sent > 0) {
      if (this.#recovery.reducing) sock.add('prr_out', sent);
      if (!probe) this.onBurst();
    }
    return sent;
  }

  /** tcp_xmit_retransmit_queue. Whether the first segment of the queue was among them. */
  writeLost(): boolean {
    const sock = this.#sock;
    if (sock.get('packets_out') === 0) return false;
    this.#ops.call('min_tso_segs', { ptr: sock.pointer });
    let head = false;
    while (sock.inFlight() < sock.get('snd_cwnd') && !this.#tooEarly()) {
      const segment = this.#board.nextLost();
      if (segment === undefined) break;
      this.retransmit(segment);
      if (this.#recovery.reducing) sock.add('prr_out', 1);
      if (segment === this.#board.queue.first) head = true;
    }
    return head;
  }

  /** tcp_retransmit_skb. */
  retransmit(segment: Segment): void {
    const sock = this.#sock;
    this.#put(segment, false);
    if (!segment.retransmitted) sock.add('retrans_out', 1);
    segment.retransmitted = true;
    segment.everRetransmitted = true;
    sock.add('total_retrans', 1);
    sock.set('undo_retrans', sock.get('undo_retrans') === NO_RETRANS ? 1 : sock.get('undo_retrans') + 1);
    this.retransmits++;
    if (this.#recovery.retransStamp === 0) this.#recovery.retransStamp = this.#simulator.now;
  }

  #sendNew({ bytes, fin }: Unsent): void {
    const sock = this.#sock;
    const start = sock.get('snd_nxt');
    const segment = newSegment(this.#board.next++, start, (start + bytes + (fin ? 1 : 0)) >>> 0);
    const wasEmpty = sock.get('packets_out') === 0;
    this.#board.queue.push(segment);
    this.#put(segment, fin);
    if (bytes < MSS && bytes > 0) this.#lastSmall = segment.end;
    sock.set('snd_nxt', segment.end);
    sock.set('packets_out', this.#board.queue.length);
    sock.set('bytes_sent', sock.get('bytes_sent') + bytes);
    this.onNewData(wasEmpty);
  }

  /** __tcp_transmit_skb. */
  #put(segment: Segment, fin: boolean): void {
    const sock = this.#sock;
    const { now } = this.#simulator;
    const again = segment.everRetransmitted || segment.lost || sock.get('snd_nxt') !== segment.start;
    sock.set('tcp_mstamp', Math.floor(now / 1000));
    const bytes = segment.end - segment.start - (fin ? 1 : 0);
    this.#board.stamp(segment, now);
    if (bytes > 0 && sock.inFlight() === 0) this.#recovery.event(CA_EVENT.TX_START);
    const cwr = this.#recovery.queueCwr && !again && bytes > 0;
    if (cwr) this.#recovery.queueCwr = false;
    this.#sent++;
    if (sock.get('sk_pacing_status') === PACING_NEEDED && this.#sent >= UNPACED) this.#pace(bytes, now);
    this.#lastSentAt = now;
    this.#options.send({
      seq: segment.seq,
      size: bytes + HEADERS,
      ecnCapable: this.#options.ecn && !again,
      ce: false,
      cwr,
      sentAt: now,
    });
  }

  /** tcp_update_skb_after_send: time that was left unused buys back up to half of a segment's. */
  #pace(bytes: number, now: number): void {
    const time = (bytes * 1e9) / Math.max(1, this.#sock.get('sk_pacing_rate'));
    const credit = Math.max(0, now - this.#pacingFrom);
    this.#pacingFrom = Math.max(now, this.#pacingFrom) + time - Math.min(time / 2, credit);
  }

  /** When anything was sent last (lsndtime), nanoseconds. */
  get lastSentAt(): number {
    return this.#lastSentAt;
  }

  /** tcp_cwnd_validate: whether the window, and not the application, holds the flow back. */
  #validateCwnd(limited: boolean): void {
    const sock = this.#sock;
    const out = sock.get('packets_out');
    if (
      !after(sock.get('cwnd_usage_seq'), sock.get('snd_una')) ||
      limited ||
      (sock.get('is_cwnd_limited') === 0 && out > sock.get('max_packets_out'))
    ) {
      sock.set('is_cwnd_limited', limited ? 1 : 0);
      sock.set('max_packets_out', out);
      sock.set('cwnd_usage_seq', sock.get('snd_nxt'));
    }
  }

  stop(): void {
    if (this.#pacingTimer !== undefined) this.#pacingTimer.cancelled = true;
  }
}
