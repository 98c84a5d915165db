import type { Kernel } from '../../kernel/index.ts';
import type { Simulator } from '../../net/index.ts';
import { GuestStruct } from './guest_struct.ts';
import type { CongestionOps } from './ops.ts';
import { Output, type OutputOptions } from './output.ts';
import { expandSndbuf, INITIAL_CWND, updatePacingRate } from './pacing.ts';
import { type AckFacts, emptyTally, type RateTally, writeRateSample } from './rate.ts';
import type { AckPacket } from './receiver.ts';
import { type AlertFacts, Recovery, type Resend } from './recovery.ts';
import { baseRto, RTO_MAX_US, RTO_MIN_US, updateRtt } from './rtt.ts';
import { type AckTally, DUP_THRESH, MSS, Scoreboard } from './scoreboard.ts';
import { after, CA, CA_ACK, TCP_INFINITE_SSTHRESH, TcpSock } from './sock.ts';
import { PENDING, type Pending, RetransmitTimer } from './timers.ts';
import { type Burst, Writer } from './writer.ts';

const MAX_BACKOFF = 15;
/** TCP_TIMEOUT_MIN_US, nanoseconds. */
const TIMEOUT_MIN = 2e6;
const NO_RETRANS = 0xffffffff;
/** FLAG_… of an acknowledgment that cong_control gets (net/ipv4/tcp_input.c). */
const FLAG = { DATA: 1, WIN_UPDATE: 2, DATA_ACKED: 4, RETRANS_DATA_ACKED: 8, DATA_SACKED: 0x20, ECE: 0x40 } as const;
const FLAG_MORE = { SLOWPATH: 0x100, ORIG_SACK_ACKED: 0x200, SND_UNA_ADVANCED: 0x400, DSACKING_ACK: 0x800 } as const;

export interface SenderOptions extends OutputOptions {
  /** Round-trip time of the handshake, nanoseconds. */
  handshakeRtt: number;
  /** What the application writes; without it, data without end. */
  source?: readonly Burst[];
}

/**
 * The sending half of a TCP connection. It calls the congestion control where Linux does; all state that programs may look
 * at is in the guest's `struct tcp_sock`. Packets carry segment numbers, the socket bytes. Mirrors tcp_ack and the timers
 * of net/ipv4 (6.18), with RACK loss detection and tail loss probes.
 */
export class Sender {
  readonly sock: TcpSock;
  readonly recovery: Recovery;
  readonly #ops: CongestionOps;
  readonly #simulator: Simulator;
  readonly #options: SenderOptions;
  readonly #board: Scoreboard;
  readonly #output: Output;
  readonly #writer: Writer;
  readonly #timer: RetransmitTimer;
  /** struct ack_sample and struct rate_sample in the guest. */
  readonly #ackSample: GuestStruct;
  readonly #rateSample: GuestStruct;
  /** The stream's end was sent and acknowledged. */
  closed = false;
  rtos = 0;
  /** Sum and number of RTT samples, microseconds. */
  rttSum = 0;
  rttCount = 0;

  constructor(kernel: Kernel, simulator: Simulator, ops: CongestionOps, options: SenderOptions) {
    this.#simulator = simulator;
    this.#ops = ops;
    this.#options = options;
    this.sock = new TcpSock(kernel);
    this.#board = new Scoreboard(this.sock);
    this.recovery = new Recovery(this.sock, ops, this.#board);
    this.#timer = new RetransmitTimer(this.sock, simulator, (pending) => this.#onTimer(pending));
    this.#output = new Output(this.sock, ops, this.#board, this.recovery, simulator, options);
    const source = options.source ?? [{ bytes: Number.POSITIVE_INFINITY, pauseNs: 0 }];
    this.#writer = new Writer(this.sock, ops, this.#output, this.recovery, simulator, source);
    this.#output.onNewData = (wasEmpty) => {
      if (wasEmpty || this.#timer.pending === PENDING.PROBE) this.#rearm();
      this.#writer.checkSpace();
    };
    this.#output.onBurst = () => void this.#scheduleProbe(false);
    this.#output.onPaced = () => this.#onPaced();
    this.#writer.onDone = () => this.#close();
    this.#ackSample = new GuestStruct(kernel, 'ack_sample');
    this.#rateSample = new GuestStruct(kernel, 'rate_sample');
  }

  get retransmits(): number {
    return this.#output.retransmits;
  }

  /** Calls `listener` with the number of each segment that is found to be lost. */
  set onLost(listener: (seq: number) => void) {
    this.#board.onLost = ({ seq }) => listener(seq);
  }

  /** The shortest round-trip time of late, microseconds; infinite without any. */
  get minRttUs(): number {
    return this.#board.minRtt.us;
  }

  /** The SYN-ACK arrives, and the connection is established: tcp_rcv_synsent_state_process, tcp_init_transfer. */
  start(): void {
    const { sock } = this;
    sock.set('mss_cache', MSS);
    sock.set('advmss', MSS);
    sock.set('snd_cwnd', INITIAL_CWND);
    sock.set('snd_cwnd_clamp', 0xffffffff);
    sock.set('snd_ssthresh', TCP_INFINITE_SSTHRESH);
    sock.set('reordering', DUP_THRESH);
    sock.set('sk_pacing_shift', 10);
    sock.set('sk_max_pacing_rate', Number.MAX_SAFE_INTEGER);
    sock.set('sk_sndbuf', 16384);
    sock.set('snd_wnd', 0x7fffffff);
    if (this.#options.ecn) sock.set('ecn_flags', 1);
    for (const field of ['snd_una', 'snd_nxt', 'write_seq'] as const) sock.set(field, 1);
    sock.set('delivered', 1);
    sock.set('tcp_mstamp', Math.floor(this.#simulator.now / 1000));
    const rttUs = this.#takeRtt(this.#options.handshakeRtt, this.#options.handshakeRtt);
    this.#callPktsAcked(1, rttUs, MSS);
    this.#ops.call('in_ack_event', { ptr: sock.pointer }, CA_ACK.SLOWPATH | CA_ACK.WIN_UPDATE);
    if (this.#ops.has('cong_control')) this.#callControl(1, 0, emptyTally(), rttUs, 0, 1, 1);
    updatePacingRate(sock);
    this.#ops.call('init', { ptr: sock.pointer });
    expandSndbuf(sock, this.#ops);
    this.#simulator.after(0, () => this.#writer.start());
  }

  /** The connection ends. */
  stop(): void {
    for (const part of [this.#timer, this.#output, this.#writer]) part.stop();
    this.#ops.call('release', { ptr: this.sock.pointer });
    for (const memory of [this.#ackSample, this.#rateSample, this.sock]) memory.free();
  }

  /** tcp_close: the end of the stream is sent. */
  #close(): void {
    this.#output.queue(0, true);
    this.#output.write();
  }

  /** An acknowledgment arrives: tcp_ack. */
  onAck(packet: AckPacket): void {
    const { sock, recovery } = this;
    const { now } = this.#simulator;
    const priorInFlight = sock.inFlight();
    const hadQueue = sock.get('packets_out') > 0;
    const deliveredBefore = sock.get('delivered');
    const lostBefore = sock.get('lost');
    const unaBefore = sock.get('snd_una');
    sock.set('tcp_mstamp', Math.floor(now / 1000));
    const advanced = packet.ack > this.#board.una;
    const slow = packet.sacks.length > 0 || packet.dsack || packet.ece || !advanced || packet.windowMoved;
    if (advanced) sock.set('icsk_retransmits', 0);
    const tally: AckTally = {
      rate: emptyTally(),
      acked: 0,
      sacked: 0,
      firstAcked: -1,
      lastAcked: -1,
      firstSacked: -1,
      lastSacked: -1,
      retransAcked: false,
      originalArrived: false,
    };
    this.#board.markSacked(packet, tally, now);
    this.#board.clean(packet.ack, tally, now);
    if (tally.acked > 0) this.#writer.free(sock.get('snd_una') - unaBefore + 960 * (tally.acked - 1));
    if (packet.dsack) this.#dsack();
    const acked = sock.get('delivered') - deliveredBefore;
    if (packet.ece) sock.add('delivered_ce', acked);
    if (sock.get('app_limited') !== 0 && sock.get('delivered') > sock.get('app_limited')) sock.set('app_limited', 0);
    let rttUs = -1;
    let restart = tally.acked > 0;
    if (hadQueue) {
      rttUs = this.#sampleRtt(tally, packet, now);
      this.#callPktsAcked(tally.acked, rttUs, tally.rate.any ? tally.rate.inFlight : 0);
      const head = this.#board.queue.first;
      if (tally.firstSacked >= 0 && head !== undefined && tally.firstSacked < head.sentAt) restart = true;
    }
    const moved = advanced || packet.windowMoved ? CA_ACK.WIN_UPDATE : 0;
    this.#ops.call(
      'in_ack_event',
      { ptr: sock.pointer },
      (slow ? CA_ACK.SLOWPATH : 0) | moved | (packet.ece ? CA_ACK.ECE : 0),
    );
    const facts: AlertFacts = {
      advanced,
      ece: packet.ece,
      sackedNow: tally.sacked > 0,
      duplicate: !advanced && !packet.windowMoved && !packet.dsack,
      originalArrived: tally.originalArrived,
      hasUnsent: this.#output.hasUnsent,
      echo: packet.echo,
    };
    if (sock.get('tlp_high_seq') !== 0) recovery.probeAcknowledged(sock.get('snd_una'), facts, packet.dsack);
    let resend: Resend = 'nothing';
    const news = advanced || packet.windowMoved;
    if (!news || tally.sacked > 0 || packet.ece || packet.dsack || recovery.state !== CA.Open) {
      resend = recovery.alert(facts, () => {
        const under = sock.get('retrans_out');
        if (this.#detectLoss(false)) restart = false;
        return under > sock.get('retrans_out');
      });
    }
    if (restart && !this.#scheduleProbe(true)) this.#rearm();
    const losses = sock.get('lost') - lostBefore;
    const flag =
      (packet.windowMoved ? FLAG.WIN_UPDATE : 0) |
      (tally.acked > 0 ? FLAG.DATA_ACKED : 0) |
      (tally.retransAcked ? FLAG.RETRANS_DATA_ACKED : 0) |
      (tally.sacked > 0 ? FLAG.DATA_SACKED : 0) |
      (packet.ece ? FLAG.ECE : 0) |
      (slow ? FLAG_MORE.SLOWPATH : 0) |
      (tally.originalArrived ? FLAG_MORE.ORIG_SACK_ACKED : 0) |
      (advanced ? FLAG_MORE.SND_UNA_ADVANCED : 0) |
      (packet.dsack ? FLAG_MORE.DSACKING_ACK : 0);
    if (this.#ops.has('cong_control'))
      this.#callControl(sock.get('snd_una'), flag, tally.rate, rttUs, losses, acked, priorInFlight);
    else {
      if (recovery.reducing) recovery.reduce(acked, losses, advanced);
      else if (sock.get('reordering') > DUP_THRESH ? advanced || tally.sacked > 0 : tally.acked > 0)
        this.#ops.call('cong_avoid', { ptr: sock.pointer }, sock.get('snd_una'), acked);
      updatePacingRate(sock);
    }
    this.#resend(resend);
    if (this.#output.hasUnsent) this.#output.write();
    this.#writer.checkSpace();
    if (sock.get('packets_out') === 0 && sock.get('snd_una') > sock.get('write_seq')) this.closed = true;
  }

  /** A duplicate was reported: a retransmission was not needed (tcp_check_dsack). */
  #dsack(): void {
    const { sock } = this;
    const undo = sock.get('undo_retrans');
    if (sock.get('undo_marker') !== 0 && undo !== NO_RETRANS && undo > 0) sock.add('undo_retrans', -1);
  }

  /** tcp_ack_update_rtt: what goes to pkts_acked, microseconds, −1 if there is none. */
  #sampleRtt(tally: AckTally, packet: AckPacket, now: number): number {
    const cumulative = tally.firstAcked >= 0 && !tally.retransAcked;
    let forSrtt = cumulative ? now - tally.firstAcked : -1;
    let forControl = cumulative ? now - tally.lastAcked : -1;
    if (tally.firstSacked >= 0) {
      if (forSrtt < 0) forSrtt = now - tally.firstSacked;
      forControl = now - tally.lastSacked;
    }
    // The echoed timestamp, which counts milliseconds.
    if (forSrtt < 0 && tally.acked > 0) {
      forSrtt = Math.max(1, Math.floor(now / 1e6) - Math.floor(packet.echo / 1e6)) * 1e6;
      forControl = forSrtt;
    }
    return this.#takeRtt(forSrtt, forControl);
  }

  #takeRtt(forSrtt: number, forControl: number): number {
    if (forSrtt < 0) return -1;
    const us = Math.max(1, Math.floor(forControl / 1000));
    this.#board.minRtt.update(us);
    updateRtt(this.sock, Math.max(1, Math.floor(forSrtt / 1000)));
    this.sock.set('icsk_backoff', 0);
    this.sock.set('icsk_rto', Math.ceil(Math.min(RTO_MAX_US, baseRto(this.sock)) / 1000));
    this.rttSum += us;
    this.rttCount++;
    return us;
  }

  #callPktsAcked(count: number, rttUs: number, inFlight: number): void {
    if (!this.#ops.has('pkts_acked')) return;
    const sample = this.#ackSample;
    sample.set('pkts_acked', count);
    sample.set('rtt_us', rttUs);
    sample.set('in_flight', inFlight);
    this.#ops.call('pkts_acked', { ptr: this.sock.pointer }, { ptr: this.#ackSample.pointer });
  }

  #callControl(
    ack: number,
    flag: number,
    tally: RateTally,
    rttUs: number,
    losses: number,
    ackedSacked: number,
    priorInFlight: number,
  ): void {
    const { now } = this.#simulator;
    const minRttUs = this.#board.minRtt.us;
    const facts: AckFacts = { now, minRttUs, rttUs, losses, ackedSacked, priorInFlight, delayed: false };
    writeRateSample(this.#rateSample, this.sock, tally, facts);
    this.#ops.call('cong_control', { ptr: this.sock.pointer }, ack, flag, { ptr: this.#rateSample.pointer });
  }

  /** tcp_xmit_recovery. */
  #resend(resend: Resend): void {
    const { sock } = this;
    if (resend === 'nothing') return;
    if (resend === 'new') {
      this.#output.write();
      if (after(sock.get('snd_nxt'), sock.get('high_seq'))) return;
      this.recovery.forgoFrto();
    }
    if (this.#output.writeLost() && this.#timer.pending !== PENDING.REORDER) this.#rearm();
  }

  /** Marks what is lost; true if the timer was set to look again. */
  #detectLoss(again: boolean): boolean {
    if (this.#board.queue.length === 0) return false;
    const wait = this.#board.detectLoss(this.recovery.state, this.#simulator.now, again);
    if (wait > 0 && !again) this.#timer.set(PENDING.REORDER, wait + TIMEOUT_MIN);
    return wait > 0;
  }

  /** tcp_rto_delta_us: nanoseconds until the first segment has been out for an RTO. */
  #untilRto(): number {
    const head = this.#board.queue.first;
    const rto = this.sock.get('icsk_rto') * 1e6;
    return head === undefined ? rto : head.sentAt + rto - this.#simulator.now;
  }

  /** tcp_rearm_rto. */
  #rearm(): void {
    const { pending } = this.#timer;
    if (this.#board.queue.length === 0) this.#timer.clear();
    else if (pending === PENDING.REORDER || pending === PENDING.PROBE)
      this.#timer.set(PENDING.RETRANS, Math.max(1e6, this.#untilRto()));
    else this.#timer.set(PENDING.RETRANS, this.sock.get('icsk_rto') * 1e6);
  }

  /** tcp_schedule_loss_probe. */
  #scheduleProbe(advancing: boolean): boolean {
    const { sock } = this;
    const { state } = this.recovery;
    const out = sock.get('packets_out');
    if (out === 0 || (state !== CA.Open && state !== CA.CWR)) return false;
    const timeout = (sock.get('srtt_us') >> 2) * 1000 + (out === 1 ? RTO_MIN_US * 1000 : TIMEOUT_MIN);
    const rto = advancing ? sock.get('icsk_rto') * 1e6 : this.#untilRto();
    this.#timer.set(PENDING.PROBE, rto > 0 ? Math.min(timeout, rto) : timeout);
    return true;
  }

  /** tcp_write_timer_handler. */
  #onTimer(pending: Pending): void {
    this.sock.set('tcp_mstamp', Math.floor(this.#simulator.now / 1000));
    if (this.#board.queue.length === 0) return;
    if (pending === PENDING.REORDER) this.#onReordering();
    else if (pending === PENDING.PROBE) this.#onProbe();
    else this.#onTimeout();
  }

  /** tcp_rack_reo_timeout. */
  #onReordering(): void {
    const { sock, recovery } = this;
    const inFlight = sock.inFlight();
    const lost = sock.get('lost');
    this.#detectLoss(true);
    if (inFlight !== sock.inFlight()) {
      if (recovery.state !== CA.Recovery) {
        recovery.enterRecovery(false);
        if (!this.#ops.has('cong_control')) recovery.reduce(1, sock.get('lost') - lost, false);
      }
      this.#output.writeLost();
    }
    if (this.#timer.pending !== PENDING.RETRANS) this.#rearm();
  }

  /** tcp_send_loss_probe: new data, or the last segment again. */
  #onProbe(): void {
    const { sock, recovery } = this;
    if (sock.get('tlp_high_seq') === 0) {
      recovery.probeRetransmitted = false;
      const sent = this.#output.hasUnsent ? this.#output.write(1, true) : 0;
      if (sent === 0) {
        this.#output.retransmit(this.#board.queue.last!);
        recovery.probeRetransmitted = true;
      }
      sock.set('tlp_high_seq', sock.get('snd_nxt'));
      this.#timer.clear();
    }
    this.#rearm();
  }

  /** tcp_retransmit_timer, tcp_enter_loss. */
  #onTimeout(): void {
    const { sock, recovery } = this;
    this.rtos++;
    this.#board.markAllLost(this.#simulator.now);
    recovery.enterLoss();
    sock.add('icsk_retransmits', 1);
    this.#output.retransmit(this.#board.queue.first!);
    sock.set('icsk_backoff', Math.min(MAX_BACKOFF, sock.get('icsk_backoff') + 1));
    sock.set('icsk_rto', Math.min(RTO_MAX_US / 1000, sock.get('icsk_rto') * 2));
    this.#timer.set(PENDING.RETRANS, sock.get('icsk_rto') * 1e6);
  }

  /** tcp_tsq_handler after the pacing timer: lost segments first. */
  #onPaced(): void {
    const { sock } = this;
    if (sock.get('lost_out') > sock.get('retrans_out') && sock.get('snd_cwnd') > sock.inFlight())
      this.#output.writeLost();
    this.#output.write();
  }
}
