import type { Kernel } from '../../kernel/index.ts';
import type { Simulator } from '../../net/index.ts';
import { ALERTS, FLAG, flagsOf, maybeDelayed, newTally, resetTally, SYN_ACK_FLAGS } from './ack_flags.ts';
import { GuestStruct } from './guest_struct.ts';
import { JIFFY, Jiffies, usToJiffies } from './jiffies.ts';
import type { CongestionOps } from './ops.ts';
import { Output } from './output.ts';
import { expandSndbuf, INITIAL_CWND, updatePacingRate } from './pacing.ts';
import type { AckPacket } from './packets.types.ts';
import { emptyTally, type RateTally, writeRateSample } from './rate.ts';
import { type AlertFacts, Recovery, type Resend } from './recovery.ts';
import { baseRto, updateRtt } from './rtt.ts';
import { type AckTally, DUP_THRESH, Scoreboard } from './scoreboard.ts';
import type { Sample, SenderOptions } from './sender.types.ts';
import { after, CA, CA_ACK, TCP_INFINITE_SSTHRESH, TcpSock } from './sock.ts';
import { Timeouts } from './timeouts.ts';
import { PENDING } from './timers.ts';
import { Writer } from './writer.ts';

/** tcp_wmem[1]. */
const SNDBUF_START = 16384;

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
  readonly #timeouts: Timeouts;
  readonly #clock: Jiffies;
  /** struct ack_sample and struct rate_sample in the guest. */
  readonly #ackSample: GuestStruct;
  readonly #rateSample: GuestStruct;
  readonly #tally = newTally();
  /** The stream's end was sent and acknowledged. */
  closed = false;
  /** Sum and number of RTT samples, microseconds. */
  rttSum = 0;
  rttCount = 0;

  constructor(kernel: Kernel, simulator: Simulator, ops: CongestionOps, options: SenderOptions) {
    this.#simulator = simulator;
    this.#ops = ops;
    this.#options = options;
    this.sock = new TcpSock(kernel);
    this.#board = new Scoreboard(this.sock, options.onLost);
    this.#clock = new Jiffies(kernel, simulator);
    this.recovery = new Recovery(this.sock, ops, this.#board, this.#clock);
    const parts = [this.sock, ops, this.#board, this.recovery] as const;
    this.#output = new Output(...parts, simulator, this.#clock, options);
    this.#timeouts = new Timeouts(...parts, this.#output, simulator);
    const source = options.source ?? [{ bytes: Number.POSITIVE_INFINITY, pauseNs: 0 }];
    this.#writer = new Writer(this.sock, ops, this.#output, this.recovery, simulator, this.#clock, source);
    this.#output.onNewData = (wasEmpty) => {
      if (wasEmpty || this.#timeouts.pending === PENDING.PROBE) this.#timeouts.rearm();
      this.#writer.checkSpace();
    };
    this.#output.onBurst = () => void this.#timeouts.scheduleProbe(false);
    this.#output.onPaced = () => this.#onPaced();
    this.#output.sleeps = () => this.#writer.sleeps;
    this.#writer.onDone = () => this.#close();
    this.#ackSample = new GuestStruct(kernel, 'ack_sample');
    this.#rateSample = new GuestStruct(kernel, 'rate_sample');
  }

  get retransmits(): number {
    return this.#output.retransmits;
  }

  /** Bytes of a full segment. */
  get mss(): number {
    return this.#output.mss;
  }

  get rtos(): number {
    return this.#timeouts.count;
  }

  /** The SYN-ACK arrives, and the connection is established: tcp_rcv_synsent_state_process, tcp_init_transfer. */
  start(): void {
    const { sock } = this;
    const { mss } = this;
    sock.set('mss_cache', mss);
    sock.set('advmss', mss);
    sock.set('snd_cwnd', INITIAL_CWND);
    sock.set('snd_cwnd_clamp', 0xffffffff);
    sock.set('snd_ssthresh', TCP_INFINITE_SSTHRESH);
    sock.set('reordering', DUP_THRESH);
    sock.set('sk_pacing_shift', 10);
    sock.set('sk_max_pacing_rate', Number.MAX_SAFE_INTEGER);
    sock.set('sk_sndbuf', SNDBUF_START);
    sock.set('snd_wnd', this.#options.window ?? 65535);
    sock.set('max_window', sock.get('snd_wnd'));
    sock.set('lsndtime', this.#clock.now);
    sock.set('snd_cwnd_stamp', this.#clock.now);
    const { handshakeRtt } = this.#options;
    const rtt = typeof handshakeRtt === 'number' ? handshakeRtt : handshakeRtt();
    this.#output.echo = this.#simulator.now - rtt / 2;
    if (this.#options.ecn) sock.set('ecn_flags', 1);
    for (const field of ['snd_una', 'snd_nxt', 'write_seq'] as const) sock.set(field, 1);
    sock.set('delivered', 1);
    sock.set('tcp_mstamp', Math.floor(this.#simulator.now / 1000));
    const rttUs = this.#takeRtt(rtt, rtt);
    this.#callPktsAcked(1, rttUs, mss);
    this.#ops.call('in_ack_event', { ptr: sock.pointer }, CA_ACK.SLOWPATH | CA_ACK.WIN_UPDATE);
    if (this.#ops.has('cong_control'))
      this.#callControl(SYN_ACK_FLAGS, emptyTally(), {
        rttUs,
        losses: 0,
        ackedSacked: 1,
        priorInFlight: 1,
        delayed: false,
      });
    updatePacingRate(sock);
    this.#ops.call('init', { ptr: sock.pointer });
    expandSndbuf(sock, this.#ops);
    this.#simulator.after(0, () => this.#writer.start());
  }

  /** The connection ends. */
  stop(): void {
    for (const part of [this.#timeouts, this.#output, this.#writer]) part.stop();
    this.#ops.call('release', { ptr: this.sock.pointer });
    for (const memory of [this.#ackSample, this.#rateSample, this.sock]) memory.free();
  }

  /** The application writes no more than the write that it is in. */
  finish(): void {
    this.#writer.finish();
  }

  /** tcp_close: the end of the stream is sent. */
  #close(): void {
    this.#writer.queueFin();
    this.#output.write();
  }

  /** An acknowledgment arrives: tcp_ack. */
  onAck(packet: AckPacket): void {
    const { sock, recovery } = this;
    const board = this.#board;
    const us = Math.floor(this.#simulator.now / 1000);
    const now = us * 1000;
    const prior = {
      inFlight: sock.inFlight(),
      packets: board.queue.length,
      delivered: sock.get('delivered'),
      lost: sock.get('lost'),
      una: sock.get('snd_una'),
      sacked: sock.get('sacked_out'),
      first: board.una,
      forward: board.forward,
    };
    sock.set('tcp_mstamp', us);
    sock.set('tcp_clock_cache', now);
    if (packet.ack < board.una) {
      this.#onOldAck(packet, now);
      return;
    }
    const advanced = packet.ack > board.una;
    const told = packet.sacks.length > 0 || packet.dsack !== undefined || packet.ece;
    const slow = told || packet.window !== sock.get('snd_wnd');
    let flag = slow ? FLAG.SLOWPATH | FLAG.UPDATE_TS_RECENT : 0;
    if (this.#options.noTimestamps !== true && this.#progresses(packet)) flag |= FLAG.TS_PROGRESS;
    this.#output.echo = packet.sentAt;
    if (advanced) {
      flag |= FLAG.SND_UNA_ADVANCED;
      sock.set('icsk_retransmits', 0);
    }
    if (advanced || packet.window > sock.get('snd_wnd') || packet.window === 0) {
      flag |= FLAG.WIN_UPDATE;
      this.#updateWindow(packet.window);
    }
    const tally = resetTally(this.#tally);
    board.markSacked(packet, tally, recovery.state, now);
    board.clean(packet.ack, prior.forward, this.#echoOf(packet), tally, now);
    this.#writer.free((sock.get('snd_una') - prior.una) >>> 0, tally.buffers);
    const acked = sock.get('delivered') - prior.delivered;
    if (packet.ece) sock.add('delivered_ce', acked);
    flag |= flagsOf(tally) | (packet.ece ? FLAG.ECE : 0);
    let rttUs = -1;
    if (prior.packets > 0) {
      if (maybeDelayed(sock, flag, tally, prior)) flag |= FLAG.ACK_MAYBE_DELAYED;
      rttUs = this.#sampleRtt(tally, packet, flag, now);
      if (tally.acked > 0 || this.#sackedAfterHead(tally, rttUs)) flag |= FLAG.SET_XMIT_TIMER;
      const since = sock.get('delivered') - (tally.rate.any ? tally.rate.priorDelivered : 0);
      this.#callPktsAcked(tally.acked, rttUs, this.mss * since);
      board.updateReorderingWindow(tally.rate.any ? tally.rate.priorDelivered : 0);
    }
    this.#ops.call(
      'in_ack_event',
      { ptr: sock.pointer },
      (slow ? CA_ACK.SLOWPATH : 0) |
        ((flag & FLAG.WIN_UPDATE) !== 0 ? CA_ACK.WIN_UPDATE : 0) |
        (packet.ece ? CA_ACK.ECE : 0),
    );
    const probing = sock.get('tlp_high_seq') !== 0;
    if (prior.packets === 0) {
      const facts = this.#factsOf(packet, tally, flag, prior.first);
      if (tally.dsacked) recovery.alert(facts, () => false);
      if (probing) recovery.probeAcknowledged(sock.get('snd_una'), facts);
      this.#afterAck('nothing');
      return;
    }
    let resend: Resend = 'nothing';
    // tcp_ack_is_dubious
    const dubious = (flag & (FLAG.WIN_UPDATE | FLAG.DATA_ACKED)) === 0 || (flag & ALERTS) !== 0;
    if (probing || dubious || recovery.state !== CA.Open) {
      const facts = this.#factsOf(packet, tally, flag, prior.first);
      if (probing) recovery.probeAcknowledged(sock.get('snd_una'), facts);
      const detect = () => {
        const under = sock.get('retrans_out');
        if (this.#timeouts.detectLoss()) flag &= ~FLAG.SET_XMIT_TIMER;
        if (under > sock.get('retrans_out')) flag |= FLAG.LOST_RETRANS;
        return (flag & FLAG.LOST_RETRANS) !== 0;
      };
      if (dubious || recovery.state !== CA.Open) resend = recovery.alert(facts, detect);
    }
    if ((flag & FLAG.SET_XMIT_TIMER) !== 0 && !this.#timeouts.scheduleProbe(true)) this.#timeouts.rearm();
    if (sock.get('app_limited') !== 0 && after(sock.get('delivered'), sock.get('app_limited')))
      sock.set('app_limited', 0);
    const ackedSacked = sock.get('delivered') - prior.delivered;
    const losses = sock.get('lost') - prior.lost;
    const delayed = (flag & FLAG.ACK_MAYBE_DELAYED) !== 0;
    this.#control(flag, tally, { rttUs, losses, ackedSacked, priorInFlight: prior.inFlight, delayed });
    this.#afterAck(resend);
  }

  /** tcp_cong_control. */
  #control(flag: number, tally: AckTally, sample: Sample): void {
    const { sock, recovery } = this;
    if (this.#ops.has('cong_control')) {
      this.#callControl(flag, tally.rate, sample);
      return;
    }
    const raises = sock.get('reordering') > DUP_THRESH ? FLAG.DATA_ACKED | FLAG.DATA_SACKED : FLAG.DATA_ACKED;
    if (recovery.reducing) recovery.reduce(sample.ackedSacked, sample.losses, (flag & FLAG.SND_UNA_ADVANCED) !== 0);
    else if ((flag & raises) !== 0) {
      this.#ops.call('cong_avoid', { ptr: sock.pointer }, sock.get('snd_una'), sample.ackedSacked);
      recovery.stampCwnd();
    }
    updatePacingRate(sock);
  }

  /** What is sent because of an acknowledgment: tcp_xmit_recovery, tcp_data_snd_check. */
  #afterAck(resend: Resend): void {
    const { sock } = this;
    this.#resend(resend);
    if (this.#output.hasUnsent) this.#output.write();
    this.#writer.checkSpace();
    if (this.#board.queue.length === 0 && after(sock.get('snd_una'), sock.get('write_seq'))) this.closed = true;
  }

  /** An acknowledgment that others have overtaken may still tell of segments. */
  #onOldAck(packet: AckPacket, now: number): void {
    if (packet.sacks.length === 0 && packet.dsack === undefined) return;
    const tally = newTally();
    this.#board.markSacked(packet, tally, this.recovery.state, now);
    const facts = this.#factsOf(packet, tally, flagsOf(tally), this.#board.una);
    const resend = this.recovery.alert(facts, () => {
      const under = this.sock.get('retrans_out');
      this.#timeouts.detectLoss();
      return under > this.sock.get('retrans_out');
    });
    this.#resend(resend);
  }

  #factsOf(packet: AckPacket, tally: AckTally, flag: number, priorUna: number): AlertFacts {
    const anything = FLAG.SND_UNA_ADVANCED | FLAG.WIN_UPDATE | FLAG.DATA_ACKED | FLAG.DSACKING_ACK;
    return {
      advanced: (flag & FLAG.SND_UNA_ADVANCED) !== 0,
      ece: packet.ece,
      sackedNow: tally.sacked > 0,
      duplicate: (flag & anything) === 0,
      originalArrived: tally.originalArrived,
      hasUnsent: this.#output.hasUnsent && this.#output.windowOpen,
      echo: this.#echoOf(packet),
      dsackedProbe: tally.dsackedProbe,
      priorUna,
    };
  }

  #echoOf(packet: AckPacket): number | undefined {
    return this.#options.noTimestamps === true ? undefined : packet.echo;
  }

  /** The peer's timestamp, which counts milliseconds, is newer than the last one (__tcp_replace_ts_recent). */
  #progresses(packet: AckPacket): boolean {
    return Math.floor(packet.sentAt / 1e6) > Math.floor(this.#output.echo / 1e6);
  }

  /** tcp_ack_update_window. */
  #updateWindow(window: number): void {
    const { sock } = this;
    if (window === sock.get('snd_wnd')) return;
    sock.set('snd_wnd', window);
    if (this.#output.hasUnsent) this.#writer.restartAfterIdle();
    if (window > sock.get('max_window')) sock.set('max_window', window);
  }

  /** What was SACKed had been sent after the first segment of the queue: the timer need not wait for that one. */
  #sackedAfterHead(tally: AckTally, rttUs: number): boolean {
    const head = this.#board.queue.first;
    return rttUs >= 0 && tally.firstSacked >= 0 && head !== undefined && tally.firstSacked < head.sentAt;
  }

  /** tcp_ack_update_rtt: what goes to pkts_acked, microseconds, −1 if there is none. */
  #sampleRtt(tally: AckTally, packet: AckPacket, flag: number, now: number): number {
    const cumulative = tally.firstAcked >= 0 && !tally.retransAcked;
    let forSrtt = cumulative ? now - tally.firstAcked : -1;
    let forControl = cumulative ? now - tally.lastAcked : -1;
    if (tally.firstSacked >= 0) {
      if (forSrtt < 0) forSrtt = now - tally.firstSacked;
      forControl = now - tally.lastSacked;
    }
    const echo = this.#echoOf(packet);
    // The echoed timestamp, which counts milliseconds.
    if (forSrtt < 0 && tally.acked > 0 && echo !== undefined) {
      forSrtt = Math.max(1, Math.floor(now / 1e6) - Math.floor(echo / 1e6)) * 1e6;
      forControl = forSrtt;
    }
    const delayed = (flag & FLAG.ACK_MAYBE_DELAYED) !== 0;
    return this.#takeRtt(forSrtt, forControl, delayed);
  }

  /** Times in nanoseconds; `delayed`: the least RTT does not rise because of this one. */
  #takeRtt(forSrtt: number, forControl: number, delayed = false): number {
    if (forSrtt < 0) return -1;
    const { sock } = this;
    const us = Math.floor(forControl / 1000);
    if (!delayed || us <= this.#board.minRtt.us)
      this.#board.minRtt.update(us === 0 ? JIFFY / 1000 : us, this.#simulator.now / 1e9);
    updateRtt(sock, Math.floor(forSrtt / 1000));
    sock.set('icsk_rto', usToJiffies(baseRto(sock)));
    sock.set('icsk_backoff', 0);
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

  #callControl(flag: number, tally: RateTally, sample: Sample): void {
    const { sock } = this;
    const now = Math.floor(this.#simulator.now / 1000) * 1000;
    writeRateSample(this.#rateSample, sock, tally, { ...sample, now, minRttUs: this.#board.minRtt.us });
    this.#ops.call('cong_control', { ptr: sock.pointer }, sock.get('snd_una'), flag, { ptr: this.#rateSample.pointer });
  }

  /** tcp_xmit_recovery. */
  #resend(resend: Resend): void {
    const { sock } = this;
    if (resend === 'nothing') return;
    if (resend === 'new') {
      this.#output.write('all', true);
      if (after(sock.get('snd_nxt'), sock.get('high_seq'))) return;
      this.recovery.forgoFrto();
    }
    if (this.#output.writeLost() && this.#timeouts.pending !== PENDING.REORDER) this.#timeouts.restart();
  }

  /** tcp_tsq_handler after the pacing timer: lost segments first. */
  #onPaced(): void {
    const { sock } = this;
    if (sock.get('lost_out') > sock.get('retrans_out') && sock.get('snd_cwnd') > sock.inFlight())
      this.#output.writeLost();
    this.#output.write();
  }
}
