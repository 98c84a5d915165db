import type { Simulator } from '../../net/index.ts';
import { JIFFY, usToJiffies } from './jiffies.ts';
import type { CongestionOps } from './ops.ts';
import type { Output } from './output.ts';
import type { Recovery } from './recovery.ts';
import { RTO_MAX_US, RTO_MIN_US } from './rtt.ts';
import type { Scoreboard } from './scoreboard.ts';
import { CA, type TcpSock } from './sock.ts';
import { PENDING, type Pending, RetransmitTimer } from './timers.ts';

/** TCP_TIMEOUT_MIN_US. */
const TIMEOUT_MIN_US = 2000;
const RTO_MAX = usToJiffies(RTO_MAX_US);
const US_PER_JIFFY = JIFFY / 1000;
const MAX_BACKOFF = 255;

/** What happens when acknowledgments do not come: retransmission, tail loss probe, RACK's reordering timer (net/ipv4/tcp_timer.c, 6.18). */
export class Timeouts {
  readonly #sock: TcpSock;
  readonly #ops: CongestionOps;
  readonly #board: Scoreboard;
  readonly #recovery: Recovery;
  readonly #output: Output;
  readonly #simulator: Simulator;
  readonly #timer: RetransmitTimer;
  /** Retransmission timeouts so far. */
  count = 0;

  constructor(
    sock: TcpSock,
    ops: CongestionOps,
    board: Scoreboard,
    recovery: Recovery,
    output: Output,
    simulator: Simulator,
  ) {
    this.#sock = sock;
    this.#ops = ops;
    this.#board = board;
    this.#recovery = recovery;
    this.#output = output;
    this.#simulator = simulator;
    this.#timer = new RetransmitTimer(sock, simulator, (pending) => this.#onTimer(pending));
  }

  get pending(): Pending {
    return this.#timer.pending;
  }

  stop(): void {
    this.#timer.stop();
  }

  /** Whole microseconds, in nanoseconds. */
  get #now(): number {
    return Math.floor(this.#simulator.now / 1000) * 1000;
  }

  /** tcp_identify_packet_loss: marks what is lost; true if the timer was set to look again. */
  detectLoss(): boolean {
    if (this.#board.queue.length === 0) return false;
    const wait = this.#board.detectLoss(this.#recovery.state, this.#now);
    if (wait > 0)
      this.#timer.set(PENDING.REORDER, Math.min(usToJiffies(wait / 1000 + TIMEOUT_MIN_US), this.#sock.get('icsk_rto')));
    return wait > 0;
  }

  /** tcp_rto_delta_us: microseconds until the first segment has been out for an RTO. */
  #untilRto(): number {
    const head = this.#board.queue.first;
    const rto = this.#sock.get('icsk_rto') * US_PER_JIFFY;
    return head === undefined ? rto : (head.sentAt - this.#now) / 1000 + rto;
  }

  /** tcp_rearm_rto. */
  rearm(): void {
    const { pending } = this.#timer;
    if (this.#board.queue.length === 0) this.#timer.clear();
    else if (pending === PENDING.REORDER || pending === PENDING.PROBE)
      this.#timer.set(PENDING.RETRANS, usToJiffies(Math.max(1, this.#untilRto())));
    else this.restart();
  }

  /** The retransmission timeout counts from now. */
  restart(): void {
    this.#timer.set(PENDING.RETRANS, this.#sock.get('icsk_rto'));
  }

  /** tcp_schedule_loss_probe; `advancing`: the timeout would count from now. */
  scheduleProbe(advancing: boolean): boolean {
    const sock = this.#sock;
    const { state } = this.#recovery;
    const out = this.#board.queue.length;
    if (out === 0 || (state !== CA.Open && state !== CA.CWR)) return false;
    let timeout = usToJiffies((sock.get('srtt_us') >>> 2) + (out === 1 ? RTO_MIN_US : TIMEOUT_MIN_US));
    const rto = advancing ? sock.get('icsk_rto') * US_PER_JIFFY : this.#untilRto();
    if (rto > 0) timeout = Math.min(timeout, usToJiffies(rto));
    this.#timer.set(PENDING.PROBE, timeout);
    return true;
  }

  /** tcp_write_timer_handler. */
  #onTimer(pending: Pending): void {
    this.#sock.set('tcp_mstamp', Math.floor(this.#simulator.now / 1000));
    if (this.#board.queue.length === 0) return;
    if (pending === PENDING.REORDER) this.#onReordering();
    else if (pending === PENDING.PROBE) this.#onProbe();
    else this.#onTimeout();
  }

  /** tcp_rack_reo_timeout. */
  #onReordering(): void {
    const sock = this.#sock;
    const recovery = this.#recovery;
    const inFlight = sock.inFlight();
    const lost = sock.get('lost');
    this.#board.detectLoss(recovery.state, this.#now, true);
    if (inFlight !== sock.inFlight()) {
      if (recovery.state !== CA.Recovery) {
        recovery.enterRecovery(false);
        if (!this.#ops.has('cong_control')) recovery.reduce(1, sock.get('lost') - lost, false);
      }
      if (this.#output.writeLost() && this.pending !== PENDING.REORDER) this.restart();
    }
    if (this.pending !== PENDING.RETRANS) this.rearm();
  }

  /** tcp_send_loss_probe: new data, or the last segment again. */
  #onProbe(): void {
    const sock = this.#sock;
    if (sock.get('tlp_high_seq') === 0) {
      this.#recovery.probeRetransmitted = false;
      let sent = true;
      if (this.#output.fits) sent = this.#output.write('probe') > 0;
      else {
        this.#output.probe(this.#board.queue.last!);
        this.#recovery.probeRetransmitted = true;
      }
      if (sent) {
        sock.set('tlp_high_seq', sock.get('snd_nxt'));
        this.#timer.clear();
      }
    }
    this.rearm();
  }

  /** tcp_retransmit_timer, tcp_enter_loss. */
  #onTimeout(): void {
    const sock = this.#sock;
    this.count++;
    this.#board.markAllLost(this.#now);
    this.#recovery.enterLoss();
    sock.set('icsk_retransmits', Math.min(255, sock.get('icsk_retransmits') + 1));
    this.#output.retransmit(this.#board.queue.first!);
    sock.set('icsk_backoff', Math.min(MAX_BACKOFF, sock.get('icsk_backoff') + 1));
    sock.set('icsk_rto', Math.min(RTO_MAX, sock.get('icsk_rto') * 2));
    this.restart();
  }
}
