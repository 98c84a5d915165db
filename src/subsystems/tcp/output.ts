import type { Simulator, Timer } from '../../net/index.ts';
import type { Jiffies } from './jiffies.ts';
import type { CongestionOps } from './ops.ts';
import { currentSsthresh, INITIAL_CWND } from './pacing.ts';
import type { DataPacket } from './packets.types.ts';
import type { Recovery } from './recovery.ts';
import { MSS, type Scoreboard } from './scoreboard.ts';
import { Segment } from './segments.ts';
import { after, CA, CA_EVENT, type TcpSock } from './sock.ts';
import { Tso } from './tso.ts';

/** Headers on the wire: Ethernet 14, IP 20, TCP 20; TCP timestamps 12 more. */
const HEADERS = 54;
const TIMESTAMPS = 12;
const PACING_NEEDED = 1;
/** TCP_CONG_NEEDS_ECN. */
const NEEDS_ECN = 2;
/** `undo_retrans` before the first retransmission of an episode (−1). */
const NO_RETRANS = 0xffffffff;

/** A segment that was written and not sent: its length in bytes; `push`: a write ends; `fin`: the stream does. */
interface Unsent {
  bytes: number;
  push: boolean;
  fin: boolean;
}

export interface OutputOptions {
  ecn: boolean;
  /** Without TCP timestamps: round trips of what was sent again are not known, and segments are longer (tcp_timestamps 0). */
  noTimestamps?: boolean;
  /**
   * Segments of a buffer at most, as the device takes them (sk_gso_max_segs). Default 1: none are put together; more makes
   * bursts, whose size follows the pacing rate and min_tso_segs.
   */
  gsoMaxSegs?: number;
  send: (packet: DataPacket) => void;
  /** A segment, or its retransmission, is taken for lost. */
  onLost?: (seq: number) => void;
}

/** What a `write` may send: all that the windows let out, one buffer (tcp_push_one), or one segment beyond the window (a loss probe). */
export type Amount = 'all' | 'one' | 'probe';

/**
 * What leaves the sender: new segments within the window and the pacing rate, and retransmissions.
 * Mirrors net/ipv4/tcp_output.c (6.18).
 */
export class Output {
  readonly #sock: TcpSock;
  readonly #ops: CongestionOps;
  readonly #board: Scoreboard;
  readonly #recovery: Recovery;
  readonly #simulator: Simulator;
  readonly #clock: Jiffies;
  readonly #options: OutputOptions;
  readonly #headers: number;
  /** Bytes of a full segment. */
  readonly mss: number;
  readonly #tso: Tso;
  /** Written and not sent (the write queue). */
  readonly #unsent: Unsent[] = [];
  #unsentHead = 0;
  #pacingTimer: Timer | undefined;
  /** When the pacing rate lets the next segment out (tcp_wstamp_ns). */
  #pacingFrom = 0;
  #lastSmall = 0;
  /** The newest timestamp of the peer (ts_recent), nanoseconds. */
  echo = 0;
  retransmits = 0;
  /** Called after new data went out: the timers' part of tcp_event_new_data_sent, then that of tcp_write_xmit. */
  onNewData: (wasEmpty: boolean) => void = () => {};
  onBurst: () => void = () => {};
  /** Called when the pacing timer lets packets out again. */
  onPaced: () => void = () => {};
  /** Whether the application sleeps until there is room (SOCK_NOSPACE). */
  sleeps: () => boolean = () => false;

  constructor(
    sock: TcpSock,
    ops: CongestionOps,
    board: Scoreboard,
    recovery: Recovery,
    simulator: Simulator,
    clock: Jiffies,
    options: OutputOptions,
  ) {
    this.#sock = sock;
    this.#ops = ops;
    this.#board = board;
    this.#recovery = recovery;
    this.#simulator = simulator;
    this.#clock = clock;
    this.#options = options;
    this.#tso = new Tso(sock, simulator, options.gsoMaxSegs ?? 1);
    this.mss = MSS + (options.noTimestamps === true ? TIMESTAMPS : 0);
    this.#headers = HEADERS + (options.noTimestamps === true ? 0 : TIMESTAMPS);
  }

  get hasUnsent(): boolean {
    return this.#unsentHead < this.#unsent.length;
  }

  /** Segments of a buffer when it is full (tcp_xmit_size_goal). */
  get bufferSegments(): number {
    return this.#tso.goal;
  }

  /** Segments that wait. */
  get unsent(): number {
    return this.#unsent.length - this.#unsentHead;
  }

  /** The last segment that waits and is not full, to be filled up. */
  get open(): Unsent | undefined {
    const last = this.#tail;
    return last !== undefined && last.bytes < this.mss && !last.fin ? last : undefined;
  }

  get #tail(): Unsent | undefined {
    return this.hasUnsent ? this.#unsent[this.#unsent.length - 1] : undefined;
  }

  /** Whether the receiver's window has room for the first segment that waits. */
  get fits(): boolean {
    if (!this.hasUnsent) return false;
    const sock = this.#sock;
    const end = sock.get('snd_nxt') + this.#unsent[this.#unsentHead]!.bytes;
    return !after(end, sock.get('snd_una') + sock.get('snd_wnd'));
  }

  /** Whether the receiver's window is not used up. */
  get windowOpen(): boolean {
    const sock = this.#sock;
    return after(sock.get('snd_una') + sock.get('snd_wnd'), sock.get('snd_nxt'));
  }

  queue(bytes: number, fin: boolean): void {
    this.#unsent.push({ bytes, push: false, fin });
  }

  /** tcp_mark_push: the last segment that waits ends a write. */
  markPush(): void {
    const tail = this.#tail;
    if (tail !== undefined) tail.push = true;
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
    const sock = this.#sock;
    if (fin || bytes >= this.mss || this.unsent > 1) return false;
    return this.#lastSmall !== 0 && after(this.#lastSmall, sock.get('snd_una'));
  }

  /** tcp_write_xmit: sends what the windows let out; `push`: small segments too (TCP_NAGLE_PUSH). Returns how many went out. */
  write(amount: Amount = 'all', push = amount === 'probe'): number {
    const sock = this.#sock;
    const most = this.#tso.segments(this.#ops.call('min_tso_segs', { ptr: sock.pointer }));
    let sent = 0;
    let limited = false;
    while (this.hasUnsent && !this.#tooEarly()) {
      const room = amount === 'probe' ? 1 : sock.get('snd_cwnd') - sock.inFlight();
      if (room <= 0 || !this.fits) break;
      const burst = Math.min(room, most, this.unsent);
      if (most > 1 && amount === 'all' && this.#tso.defers(this.unsent, room, most, this.#board.queue.first)) {
        limited = room <= this.unsent;
        break;
      }
      const before = sent;
      while (sent - before < burst && this.fits && (push || !this.#heldBack(this.#unsent[this.#unsentHead]!))) {
        this.#sendNew(this.#take());
        sent++;
      }
      if (sent === before || amount !== 'all') break;
    }
    limited ||= sock.inFlight() >= sock.get('snd_cwnd');
    if (sent > 0 || limited) this.#validateCwnd(limited);
    if (sent > 0) {
      if (this.#recovery.reducing) sock.add('prr_out', sent);
      if (amount !== 'probe') this.onBurst();
    }
    return sent;
  }

  /** tcp_xmit_retransmit_queue. Whether the first segment of the queue was among them. */
  writeLost(): boolean {
    const sock = this.#sock;
    if (this.#board.queue.length === 0) return false;
    this.#ops.call('min_tso_segs', { ptr: sock.pointer });
    let head = false;
    while (!this.#tooEarly() && sock.inFlight() < sock.get('snd_cwnd')) {
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
    this.#putAgain(segment);
    if (!segment.retransmitted) sock.add('retrans_out', 1);
    segment.retransmitted = true;
    sock.set('undo_retrans', sock.get('undo_retrans') === NO_RETRANS ? 1 : sock.get('undo_retrans') + 1);
    if (this.#recovery.retransStamp === 0) this.#recovery.retransStamp = segment.sentAt;
  }

  /** The last segment goes out again as a loss probe: no retransmission of the recovery's. */
  probe(segment: Segment): void {
    this.#putAgain(segment);
  }

  /** __tcp_retransmit_skb. */
  #putAgain(segment: Segment): void {
    this.#put(segment, true);
    segment.everRetransmitted = true;
    this.#sock.add('total_retrans', 1);
    this.retransmits++;
  }

  #sendNew({ bytes, push, fin }: Unsent): void {
    const sock = this.#sock;
    const start = sock.get('snd_nxt');
    const end = (start + bytes + (fin ? 1 : 0)) >>> 0;
    const segment = new Segment(this.#board.next++, start, end, push, fin);
    const wasEmpty = this.#board.queue.length === 0;
    this.#board.queue.push(segment);
    this.#put(segment, false);
    if (bytes < this.mss && bytes > 0) this.#lastSmall = segment.end;
    sock.set('snd_nxt', segment.end);
    sock.set('packets_out', this.#board.queue.length);
    sock.set('bytes_sent', sock.get('bytes_sent') + bytes);
    this.onNewData(wasEmpty);
  }

  /** __tcp_transmit_skb. */
  #put(segment: Segment, again: boolean): void {
    const sock = this.#sock;
    const { now } = this.#simulator;
    const us = Math.floor(now / 1000);
    sock.set('tcp_mstamp', us);
    sock.set('tcp_clock_cache', now);
    const bytes = (segment.end - segment.start - (segment.fin ? 1 : 0)) >>> 0;
    if (bytes > 0) {
      if (sock.inFlight() === 0) this.#recovery.event(CA_EVENT.TX_START);
      sock.set('lsndtime', this.#clock.now);
      sock.add('data_segs_out', 1);
    }
    const cwr = this.#recovery.queueCwr && !again && bytes > 0;
    if (cwr) this.#recovery.queueCwr = false;
    this.#pace(bytes, now);
    sock.set('tcp_wstamp_ns', this.#pacingFrom);
    this.#board.stamp(segment, us * 1000);
    this.#options.send({
      seq: segment.seq,
      endByte: segment.end,
      bytes,
      fin: segment.fin,
      push: segment.push,
      size: bytes + this.#headers,
      // tcp_ecn_send: what is sent again is ECT only for controls that need ECN.
      ecnCapable: this.#options.ecn && ((!again && bytes > 0) || (this.#ops.flags & NEEDS_ECN) !== 0),
      ce: false,
      cwr,
      sentAt: now,
      echo: this.echo,
    });
  }

  /** tcp_update_skb_after_send: time that was left unused buys back up to half of a segment's. */
  #pace(bytes: number, now: number): void {
    const sock = this.#sock;
    const credit = Math.max(0, now - this.#pacingFrom);
    this.#pacingFrom = Math.max(now, this.#pacingFrom);
    this.#tso.lastAt = now;
    if (sock.get('sk_pacing_status') === 0 || sock.get('data_segs_out') < INITIAL_CWND) return;
    const rate = sock.get('sk_pacing_rate');
    if (rate === 0) return;
    const time = Math.floor((bytes * 1e9) / rate);
    this.#pacingFrom += time - Math.min(Math.floor(time / 2), credit);
  }

  /** tcp_cwnd_validate: whether the window, and not the application, holds the flow back. */
  #validateCwnd(limited: boolean): void {
    const sock = this.#sock;
    const out = this.#board.queue.length;
    if (
      !after(sock.get('cwnd_usage_seq'), sock.get('snd_una')) ||
      limited ||
      (sock.get('is_cwnd_limited') === 0 && out > sock.get('max_packets_out'))
    ) {
      sock.set('is_cwnd_limited', limited ? 1 : 0);
      sock.set('max_packets_out', out);
      sock.set('cwnd_usage_seq', sock.get('snd_nxt'));
    }
    if (sock.isCwndLimited()) {
      sock.set('snd_cwnd_used', 0);
      this.#recovery.stampCwnd();
      return;
    }
    if (out > sock.get('snd_cwnd_used')) sock.set('snd_cwnd_used', out);
    if (this.#clock.since(sock.get('snd_cwnd_stamp')) >= sock.get('icsk_rto') && !this.#ops.has('cong_control'))
      this.#limitByApplication();
  }

  /** tcp_cwnd_application_limited: a window that was not used for an RTO decays. */
  #limitByApplication(): void {
    const sock = this.#sock;
    if (this.#recovery.state === CA.Open && !this.sleeps()) {
      const used = Math.max(sock.get('snd_cwnd_used'), INITIAL_CWND);
      const cwnd = sock.get('snd_cwnd');
      if (used < cwnd) {
        sock.set('snd_ssthresh', currentSsthresh(sock, this.#recovery.reducing));
        sock.set('snd_cwnd', (cwnd + used) >>> 1);
      }
      sock.set('snd_cwnd_used', 0);
    }
    this.#recovery.stampCwnd();
  }

  stop(): void {
    if (this.#pacingTimer !== undefined) this.#pacingTimer.cancelled = true;
  }
}
