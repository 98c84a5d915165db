import type { Simulator, Timer } from '../../net/index.ts';
import type { Jiffies } from './jiffies.ts';
import type { CongestionOps } from './ops.ts';
import type { Output } from './output.ts';
import { currentSsthresh, expandSndbuf, INITIAL_CWND } from './pacing.ts';
import type { Recovery } from './recovery.ts';
import { CA_EVENT, type TcpSock } from './sock.ts';

/** A burst of an application that is not always busy: bytes, then, when all are acknowledged, a pause. */
export interface Burst {
  bytes: number;
  pauseNs: number;
  /** The next burst begins `pauseNs` after the start of this one, or when it is written; nothing waits for acknowledgments. */
  periodic?: boolean;
  /** It comes again and again; the ones after it never do. */
  forever?: true;
}

/** Bytes of one write. */
const WRITE = 65536;
/** Memory that a buffer takes beside its data: struct sk_buff and a head for MAX_TCP_HEADER (256) with skb_shared_info. */
const OVERHEAD = 256 + 576;
/** How often an application looks whether all is acknowledged (SIOCOUTQ), nanoseconds. */
const POLL = 1e6;

/** The application's end: blocking writes against the send buffer. Mirrors tcp_sendmsg and sk_stream_wait_memory (6.18). */
export class Writer {
  readonly #sock: TcpSock;
  readonly #ops: CongestionOps;
  readonly #output: Output;
  readonly #recovery: Recovery;
  readonly #simulator: Simulator;
  readonly #clock: Jiffies;
  readonly #bursts: readonly Burst[];
  /** The burst that is written. */
  #at = 0;
  #last: number;
  #left = 0;
  #leftOfWrite = 0;
  #startedAt = 0;
  /** The application sleeps until there is room (SOCK_NOSPACE). */
  #waits = false;
  #timer: Timer | undefined;
  /** All was written and acknowledged. */
  onDone: () => void = () => {};

  constructor(
    sock: TcpSock,
    ops: CongestionOps,
    output: Output,
    recovery: Recovery,
    simulator: Simulator,
    clock: Jiffies,
    bursts: readonly Burst[],
  ) {
    this.#sock = sock;
    this.#ops = ops;
    this.#output = output;
    this.#recovery = recovery;
    this.#simulator = simulator;
    this.#clock = clock;
    this.#bursts = bursts;
    this.#last = bursts.length;
  }

  /** The application begins its next burst. */
  start(): void {
    const burst = this.#bursts[this.#at];
    if (burst === undefined || this.#at >= this.#last) {
      this.onDone();
      return;
    }
    this.#left = burst.bytes;
    this.#startedAt = this.#simulator.now;
    this.#write();
  }

  /** Segments were acknowledged: their memory is free. */
  free(bytes: number, buffers: number): void {
    this.#sock.add('sk_wmem_queued', -(bytes + OVERHEAD * buffers));
  }

  /** Only the write that has begun is ended. */
  finish(): void {
    this.#left = Math.min(this.#left, this.#leftOfWrite);
    this.#last = this.#at + 1;
  }

  /** The end of the stream waits to be sent; it counts as a byte. */
  queueFin(): void {
    this.#output.queue(0, true);
    this.#sock.add('sk_wmem_queued', 1 + OVERHEAD);
  }

  get sleeps(): boolean {
    return this.#waits;
  }

  /** tcp_check_space: a sleeping application may have room again. */
  checkSpace(): void {
    if (!this.#waits) return;
    const sock = this.#sock;
    if (sock.inFlight() < sock.get('snd_cwnd')) {
      expandSndbuf(sock, this.#ops);
      this.#recovery.stampCwnd();
    }
    if (this.#timer !== undefined) return;
    if (sock.get('sk_wmem_queued') * 3 > sock.get('sk_sndbuf') * 2) return;
    this.#waits = false;
    this.#timer = this.#simulator.after(0, () => {
      this.#timer = undefined;
      this.#write();
    });
  }

  #write(): void {
    const sock = this.#sock;
    while (this.#left > 0) {
      if (this.#leftOfWrite === 0) {
        this.#leftOfWrite = Math.min(WRITE, this.#left);
        this.#checkAppLimited();
      }
      const open = this.#output.open;
      if (open === undefined && sock.get('sk_wmem_queued') >= sock.get('sk_sndbuf')) {
        this.#waits = true;
        // What was written so far goes out, small segments too (TCP_NAGLE_PUSH).
        if (this.#output.hasUnsent) {
          this.#output.markPush();
          this.#output.write('all', true);
        }
        return;
      }
      this.#fill(open);
      const full = this.#output.open === undefined && this.#output.unsent === this.#output.bufferSegments;
      if (this.#leftOfWrite > 0 && full) this.#output.write('one');
      else if (this.#leftOfWrite === 0 && this.#output.hasUnsent) {
        this.#output.markPush();
        this.#output.write();
      }
    }
    if (this.#bursts[this.#at]!.periodic === true)
      this.#next(this.#startedAt + this.#bursts[this.#at]!.pauseNs - this.#simulator.now);
    else this.#timer = this.#simulator.after(POLL, () => this.#poll());
  }

  #fill(open: { bytes: number; push: boolean } | undefined): void {
    const sock = this.#sock;
    const bytes = Math.min(this.#output.mss - (open?.bytes ?? 0), this.#leftOfWrite);
    if (open === undefined) {
      this.restartAfterIdle();
      this.#output.queue(bytes, false);
      sock.add('sk_wmem_queued', bytes + OVERHEAD);
    } else {
      open.bytes += bytes;
      open.push = false;
      sock.add('sk_wmem_queued', bytes);
    }
    sock.set('write_seq', sock.get('write_seq') + bytes);
    this.#left -= bytes;
    this.#leftOfWrite -= bytes;
  }

  #poll(): void {
    if (this.#sock.get('packets_out') > 0 || this.#output.hasUnsent) {
      this.#timer = this.#simulator.after(POLL, () => this.#poll());
      return;
    }
    this.#next(this.#bursts[this.#at]!.pauseNs);
  }

  /** The next burst begins after `delay` nanoseconds. */
  #next(delay: number): void {
    if (this.#bursts[this.#at]!.forever !== true) this.#at++;
    this.#timer = this.#simulator.after(delay, () => {
      this.#timer = undefined;
      this.start();
    });
  }

  /** tcp_rate_check_app_limited: the application had left the network idle. */
  #checkAppLimited(): void {
    const sock = this.#sock;
    const inFlight = sock.inFlight();
    const unsent = (sock.get('write_seq') - sock.get('snd_nxt')) >>> 0;
    if (
      unsent >= this.#output.mss ||
      inFlight >= sock.get('snd_cwnd') ||
      sock.get('lost_out') > sock.get('retrans_out')
    )
      return;
    sock.set('app_limited', Math.max(1, sock.get('delivered') + inFlight));
  }

  /** tcp_slow_start_after_idle_check, tcp_cwnd_restart: the window that was right before a pause may not be after it. */
  restartAfterIdle(): void {
    const sock = this.#sock;
    if (sock.get('packets_out') > 0 || this.#ops.has('cong_control')) return;
    const rto = sock.get('icsk_rto');
    let idle = this.#clock.since(sock.get('lsndtime'));
    if (idle <= rto) return;
    const before = sock.get('snd_cwnd');
    this.#recovery.event(CA_EVENT.CWND_RESTART);
    sock.set('snd_ssthresh', currentSsthresh(sock, this.#recovery.reducing));
    const least = Math.min(INITIAL_CWND, before);
    let cwnd = before;
    for (idle -= rto; idle > 0 && cwnd > least; idle -= rto) cwnd >>= 1;
    sock.set('snd_cwnd', Math.max(cwnd, least));
    this.#recovery.stampCwnd();
    sock.set('snd_cwnd_used', 0);
  }

  stop(): void {
    if (this.#timer !== undefined) this.#timer.cancelled = true;
  }
}
