import type { Kernel } from '../../kernel/index.ts';
import type { GuestPtr } from '../../machine/index.ts';
import type { Simulator, Timer } from '../../net/index.ts';
import type { CongestionOps } from './ops.ts';
import { expandSndbuf, INITIAL_CWND, updatePacingRate } from './pacing.ts';
import { type AckFacts, emptyTally, type RateTally, writeRateSample } from './rate.ts';
import type { AckPacket, DataPacket } from './receiver.ts';
import { Recovery } from './recovery.ts';
import { baseRto, RTO_MAX_US, updateRtt } from './rtt.ts';
import { DUP_THRESH, MSS, Scoreboard } from './scoreboard.ts';
import type { Segment } from './segments.ts';
import { after, CA, CA_ACK, CA_EVENT, TCP_INFINITE_SSTHRESH, TcpSock } from './sock.ts';

/** Headers on the wire: Ethernet 14, IP 20, TCP 20 and 12 of options. */
const HEADERS = 66;
const PACING_NEEDED = 1;
const MAX_BACKOFF = 15;
/** `undo_retrans` before the first retransmission of an episode (−1). */
const NO_RETRANS = 0xffffffff;

export interface SenderOptions {
  ecn: boolean;
  /** Round-trip time of the handshake, nanoseconds. */
  handshakeRtt: number;
  send: (packet: DataPacket) => void;
}

/**
 * The sending half of a TCP connection with data without end. It calls the congestion control where Linux does; all state
 * that programs may look at is in the guest's `struct tcp_sock`. Sequence numbers count segments of MSS bytes inside; the
 * socket's are in bytes. Mirrors tcp_ack, tcp_write_xmit and the timers of net/ipv4 (6.12), with RACK loss detection.
 */
export class Sender {
  readonly sock: TcpSock;
  readonly recovery: Recovery;
  readonly #kernel: Kernel;
  readonly #ops: CongestionOps;
  readonly #simulator: Simulator;
  readonly #options: SenderOptions;
  readonly #board: Scoreboard;
  /** struct ack_sample and struct rate_sample in the guest. */
  readonly #ackSample: GuestPtr;
  readonly #rateSample: GuestPtr;
  #retransmitTimer: Timer | undefined;
  #reorderTimer: Timer | undefined;
  #pacingTimer: Timer | undefined;
  #pacingFrom = 0;
  /** When the first retransmission of this episode went out, for the timestamp test. */
  #retransStamp = 0;
  retransmits = 0;
  rtos = 0;
  /** Sum and number of RTT samples, microseconds. */
  rttSum = 0;
  rttCount = 0;

  constructor(kernel: Kernel, simulator: Simulator, ops: CongestionOps, options: SenderOptions) {
    this.#kernel = kernel;
    this.#simulator = simulator;
    this.#ops = ops;
    this.#options = options;
    this.sock = new TcpSock(kernel);
    this.#board = new Scoreboard(this.sock);
    this.recovery = new Recovery(this.sock, ops);
    this.#ackSample = kernel.heap.alloc(kernel.btf.struct('ack_sample').size);
    this.#rateSample = kernel.heap.alloc(kernel.btf.struct('rate_sample').size);
  }

  /** The connection is established: tcp_init_transfer. */
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
    sock.set('sk_sndbuf', 87380);
    sock.set('snd_wnd', 0x7fffffff);
    if (this.#options.ecn) sock.set('ecn_flags', 1);
    this.#publish();
    const rtt = Math.floor(this.#options.handshakeRtt / 1000);
    updateRtt(sock, rtt);
    this.#board.minRtt.update(rtt);
    this.#setRto();
    this.#ops.call('init', { ptr: sock.pointer });
    expandSndbuf(this.sock, this.#ops);
    updatePacingRate(this.sock);
    this.transmit();
  }

  /** The connection ends. */
  stop(): void {
    for (const timer of [this.#retransmitTimer, this.#reorderTimer, this.#pacingTimer])
      if (timer !== undefined) timer.cancelled = true;
    this.#ops.call('release', { ptr: this.sock.pointer });
    this.#kernel.heap.free(this.#ackSample);
    this.#kernel.heap.free(this.#rateSample);
    this.sock.free();
  }

  /** Sequence numbers in bytes, as the socket has them. */
  #publish(): void {
    const { sock } = this;
    sock.set('snd_una', 1 + this.#board.una * MSS);
    sock.set('snd_nxt', 1 + this.#board.next * MSS);
    sock.set('packets_out', this.#board.queue.length);
    sock.set('tcp_mstamp', Math.floor(this.#simulator.now / 1000));
  }

  #setRto(): void {
    const rto = Math.min(RTO_MAX_US, baseRto(this.sock) * 2 ** this.sock.get('icsk_backoff'));
    this.sock.set('icsk_rto', Math.ceil(rto / 1000));
  }

  #armRto(): void {
    if (this.#retransmitTimer !== undefined) this.#retransmitTimer.cancelled = true;
    this.#retransmitTimer =
      this.#board.queue.length === 0
        ? undefined
        : this.#simulator.after(this.sock.get('icsk_rto') * 1e6, () => this.#onTimeout());
  }

  /** An acknowledgment arrives: tcp_ack. */
  onAck(packet: AckPacket): void {
    const { sock, recovery } = this;
    const { now } = this.#simulator;
    const priorInFlight = sock.inFlight();
    const deliveredBefore = sock.get('delivered');
    const lostBefore = sock.get('lost');
    const advanced = packet.ack > this.#board.una;
    const slow = packet.sacks.length > 0 || packet.dsack || packet.ece || !advanced || recovery.state !== CA.Open;
    this.#publish();
    this.#ops.call(
      'in_ack_event',
      { ptr: sock.pointer },
      slow ? CA_ACK.SLOWPATH | (packet.ece ? CA_ACK.ECE : 0) : CA_ACK.WIN_UPDATE,
    );
    const tally = emptyTally();
    const newlySacked = this.#board.markSacked(packet, tally, now);
    const cleaned = this.#board.clean(packet.ack, tally, now);
    if (
      packet.dsack &&
      sock.get('undo_marker') !== 0 &&
      sock.get('undo_retrans') !== NO_RETRANS &&
      sock.get('undo_retrans') > 0
    )
      sock.add('undo_retrans', -1);
    if (packet.ece) sock.add('delivered_ce', sock.get('delivered') - deliveredBefore);
    this.#publish();
    const rttUs = this.#takeRtt(cleaned.rtt);
    this.#callPktsAcked(cleaned.count, rttUs, cleaned.inFlight);
    if (advanced) {
      sock.set('icsk_backoff', 0);
      sock.set('icsk_retransmits', 0);
      this.#setRto();
      this.#armRto();
    }
    this.#alert(packet, advanced, newlySacked > 0);
    const acked = sock.get('delivered') - deliveredBefore;
    const newlyLost = sock.get('lost') - lostBefore;
    const facts: AckFacts = {
      now,
      minRttUs: this.#board.minRtt.us,
      rttUs,
      losses: newlyLost,
      ackedSacked: acked,
      priorInFlight,
      delayed: false,
    };
    this.#control(packet, acked, newlyLost, advanced, tally, facts);
    this.transmit();
  }

  /** A sample of the RTT in microseconds, −1 if there is none (tcp_ack_update_rtt). */
  #takeRtt(rttNs: number): number {
    if (rttNs < 0) return -1;
    const us = Math.max(1, Math.floor(rttNs / 1000));
    this.#board.minRtt.update(us);
    updateRtt(this.sock, us);
    this.rttSum += us;
    this.rttCount++;
    return us;
  }

  #callPktsAcked(count: number, rttUs: number, inFlight: number): void {
    if (!this.#ops.has('pkts_acked')) return;
    const { memory } = this.#kernel;
    const put = (name: string, value: number) =>
      memory.setU32(this.#ackSample + this.#kernel.field('ack_sample', name).offset, value | 0);
    put('pkts_acked', count);
    put('rtt_us', rttUs);
    put('in_flight', inFlight);
    this.#ops.call('pkts_acked', { ptr: this.sock.pointer }, { ptr: this.#ackSample });
  }

  /** tcp_fastretrans_alert. */
  #alert(packet: AckPacket, advanced: boolean, sackedNow: boolean): void {
    const { sock, recovery } = this;
    const delayed = this.#retransStamp !== 0 && packet.echo < this.#retransStamp;
    if (recovery.state !== CA.Open || sock.get('sacked_out') > 0 || sackedNow || packet.ece) {
      if (packet.ece) sock.set('prior_ssthresh', 0);
      recovery.finishIfDone(delayed);
      if (recovery.state === CA.Loss) {
        if (advanced && recovery.mayUndo(delayed)) this.#undoLoss();
      } else if (recovery.state === CA.Recovery && advanced && delayed && recovery.mayUndo(delayed)) this.#undoLoss();
      this.#detectLoss();
      if (recovery.state < CA.Recovery) {
        if (sock.get('lost_out') > 0) recovery.enterRecovery(packet.ece);
        else this.#tryToOpen(packet.ece);
      }
    }
    this.#publish();
  }

  /** tcp_try_undo_loss: nothing was lost after all. */
  #undoLoss(): void {
    const { sock, recovery } = this;
    for (let i = 0; i < this.#board.queue.length; i++) this.#board.queue.get(i).lost = false;
    sock.set('lost_out', 0);
    recovery.undo();
    sock.set('icsk_retransmits', 0);
    recovery.setState(CA.Open);
  }

  /** tcp_try_to_open. */
  #tryToOpen(ece: boolean): void {
    const { sock, recovery } = this;
    // tcp_any_retrans_done: while a retransmission may still be answered, its time is kept.
    if (sock.get('retrans_out') === 0 && this.#board.queue.first?.everRetransmitted !== true) this.#retransStamp = 0;
    if (ece) recovery.enterCwr();
    if (recovery.state === CA.CWR) return;
    const state = sock.get('sacked_out') > 0 ? CA.Disorder : CA.Open;
    if (recovery.state !== state) {
      recovery.setState(state);
      sock.set('high_seq', sock.get('snd_nxt'));
    }
  }

  /** Marks what is lost, and looks again when more may be. */
  #detectLoss(): void {
    const wait = this.#board.detectLoss(this.recovery.state, this.#simulator.now);
    if (this.#reorderTimer !== undefined) this.#reorderTimer.cancelled = true;
    if (wait > 0) this.#reorderTimer = this.#simulator.after(wait, () => this.#onReorderTimer());
  }

  #onReorderTimer(): void {
    this.#publish();
    this.#detectLoss();
    if (this.sock.get('lost_out') > 0 && this.recovery.state < CA.Recovery) this.recovery.enterRecovery(false);
    this.transmit();
  }

  /** tcp_cong_control. */
  #control(
    packet: AckPacket,
    acked: number,
    newlyLost: number,
    advanced: boolean,
    tally: RateTally,
    facts: AckFacts,
  ): void {
    const { sock, recovery } = this;
    if (this.#ops.has('cong_control')) {
      writeRateSample(this.#kernel, this.#rateSample, sock, tally, facts);
      this.#ops.call('cong_control', { ptr: sock.pointer }, 1 + packet.ack * MSS, advanced ? 4 : 0, {
        ptr: this.#rateSample,
      });
      return;
    }
    if (recovery.reducing) recovery.reduce(acked, newlyLost, advanced);
    else if (advanced && acked > 0) this.#ops.call('cong_avoid', { ptr: sock.pointer }, 1 + packet.ack * MSS, acked);
    updatePacingRate(this.sock);
  }

  /** tcp_retransmit_timer, tcp_enter_loss. */
  #onTimeout(): void {
    const { sock, recovery } = this;
    this.#retransmitTimer = undefined;
    if (this.#board.queue.length === 0) return;
    this.rtos++;
    this.#publish();
    for (let i = 0; i < this.#board.queue.length; i++)
      if (!this.#board.queue.get(i).sacked) this.#board.markLost(this.#board.queue.get(i));
    recovery.enterLoss();
    sock.add('icsk_retransmits', 1);
    sock.set('icsk_backoff', Math.min(MAX_BACKOFF, sock.get('icsk_backoff') + 1));
    this.#setRto();
    this.#retransStamp = 0;
    this.#pacingFrom = 0;
    this.transmit();
    this.#armRto();
  }

  /** tcp_write_xmit and tcp_xmit_retransmit_queue: sends what the window lets out, lost segments first. */
  transmit(): void {
    const { sock } = this;
    const { now } = this.#simulator;
    this.#publish();
    this.#ops.call('min_tso_segs', { ptr: sock.pointer });
    const paced = sock.get('sk_pacing_status') === PACING_NEEDED;
    let limited = false;
    for (;;) {
      const cwnd = sock.get('snd_cwnd');
      const inFlight = sock.inFlight();
      if (inFlight >= cwnd) {
        limited = true;
        break;
      }
      if (paced && this.#pacingFrom > now) {
        this.#waitForPacing();
        break;
      }
      const lost = sock.get('lost_out') > sock.get('retrans_out') ? this.#board.nextLost() : undefined;
      if (lost !== undefined) this.#retransmit(lost);
      else this.#sendNew(inFlight);
      if (paced)
        this.#pacingFrom =
          Math.max(now, this.#pacingFrom) + ((MSS + HEADERS) * 1e9) / Math.max(1, sock.get('sk_pacing_rate'));
      if (this.recovery.reducing) sock.add('prr_out', 1);
    }
    this.#validateCwnd(limited);
    if (this.#retransmitTimer === undefined || this.#retransmitTimer.cancelled) this.#armRto();
  }

  #waitForPacing(): void {
    if (this.#pacingTimer !== undefined && !this.#pacingTimer.cancelled && this.#pacingTimer.at > this.#simulator.now)
      return;
    this.#pacingTimer = this.#simulator.after(this.#pacingFrom - this.#simulator.now, () => this.transmit());
  }

  #retransmit(segment: Segment): void {
    const { sock } = this;
    const { now } = this.#simulator;
    segment.retransmitted = true;
    segment.everRetransmitted = true;
    sock.add('retrans_out', 1);
    sock.add('total_retrans', 1);
    sock.set('undo_retrans', sock.get('undo_retrans') === NO_RETRANS ? 1 : sock.get('undo_retrans') + 1);
    this.retransmits++;
    if (this.#retransStamp === 0) this.#retransStamp = now;
    this.#board.stamp(segment, this.#simulator.now);
    this.#put(segment);
  }

  #sendNew(inFlight: number): void {
    const { sock } = this;
    if (inFlight === 0) this.recovery.event(CA_EVENT.TX_START);
    const segment: Segment = {
      seq: this.#board.next++,
      sentAt: 0,
      sacked: false,
      lost: false,
      retransmitted: false,
      everRetransmitted: false,
      delivered: 0,
      deliveredCe: 0,
      deliveredAt: 0,
      firstSentAt: 0,
      appLimited: false,
      inFlight: inFlight + 1,
    };
    this.#board.queue.push(segment);
    this.#board.stamp(segment, this.#simulator.now);
    sock.add('bytes_sent', MSS);
    this.#publish();
    this.#put(segment);
  }

  #put(segment: Segment): void {
    const cwr = this.recovery.queueCwr && !segment.everRetransmitted;
    if (cwr) this.recovery.queueCwr = false;
    this.#options.send({
      seq: segment.seq,
      size: MSS + HEADERS,
      ecnCapable: this.#options.ecn && !segment.everRetransmitted,
      ce: false,
      cwr,
      sentAt: this.#simulator.now,
    });
  }

  /** tcp_cwnd_validate: whether the window, and not the application, holds the flow back. */
  #validateCwnd(limited: boolean): void {
    const { sock } = this;
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
}
