import type { Jiffies } from './jiffies.ts';
import type { CongestionOps } from './ops.ts';
import { currentSsthresh } from './pacing.ts';
import { DUP_THRESH, type Scoreboard } from './scoreboard.ts';
import { after, CA, CA_EVENT, type CaState, TCP_INFINITE_SSTHRESH, type TcpSock } from './sock.ts';

/** ecn_flags of the socket. */
const ECN = { OK: 1, QUEUE_CWR: 2 } as const;
const toMs = (ns: number): number => Math.floor(ns / 1e6);

/** What may be sent again after an acknowledgment (REXMIT_NONE, REXMIT_LOST, REXMIT_NEW). */
export type Resend = 'nothing' | 'lost' | 'new';

/** What an acknowledgment means to the state machine. */
export interface AlertFacts {
  advanced: boolean;
  ece: boolean;
  sackedNow: boolean;
  /** It says nothing new: a duplicate. */
  duplicate: boolean;
  originalArrived: boolean;
  /** Data waits that was never sent. */
  hasUnsent: boolean;
  /** Echoed timestamp, nanoseconds; undefined without timestamps. */
  echo: number | undefined;
  /** The loss probe was reported as a duplicate (FLAG_DSACK_TLP). */
  dsackedProbe: boolean;
  /** First segment that was not acknowledged before. */
  priorUna: number;
}

/**
 * The congestion state machine of a socket: entering and leaving CWR, Recovery and Loss, proportional rate reduction, undo.
 * Mirrors net/ipv4/tcp_input.c (6.18); timers belong to the sender.
 */
export class Recovery {
  readonly #sock: TcpSock;
  readonly #ops: CongestionOps;
  readonly #board: Scoreboard;
  readonly #clock: Jiffies;
  /** Whether the timeout may have been spurious, and new data shall tell (F-RTO, RFC 5682). */
  #frto = false;
  /** When the first retransmission of this episode went out, nanoseconds; 0: none did. */
  retransStamp = 0;
  /** The tail loss probe was a retransmission (tlp_retrans). */
  probeRetransmitted = false;
  /** Called when a state is entered. */
  onState: ((state: CaState) => void) | undefined;

  constructor(sock: TcpSock, ops: CongestionOps, board: Scoreboard, clock: Jiffies) {
    this.#clock = clock;
    this.#board = board;
    this.#sock = sock;
    this.#ops = ops;
  }

  /** The next new segment tells the peer of a reduction (TCP_ECN_QUEUE_CWR); only with ECN (TCP_ECN_OK). */
  get queueCwr(): boolean {
    return (this.#sock.get('ecn_flags') & ECN.QUEUE_CWR) !== 0;
  }

  set queueCwr(on: boolean) {
    const flags = this.#sock.get('ecn_flags');
    if ((flags & ECN.OK) !== 0) this.#sock.set('ecn_flags', on ? flags | ECN.QUEUE_CWR : flags & ~ECN.QUEUE_CWR);
  }

  get state(): CaState {
    return this.#sock.get('icsk_ca_state') as CaState;
  }

  /** tcp_set_ca_state. */
  setState(state: CaState): void {
    this.#ops.call('set_state', { ptr: this.#sock.pointer }, state);
    this.#sock.set('icsk_ca_state', state);
    this.onState?.(state);
  }

  event(event: number): void {
    this.#ops.call('cwnd_event', { ptr: this.#sock.pointer }, event);
  }

  /** Sets the window, and says when (snd_cwnd_stamp). */
  #setCwnd(cwnd: number): void {
    this.#sock.set('snd_cwnd', cwnd);
    this.stampCwnd();
  }

  stampCwnd(): void {
    this.#sock.set('snd_cwnd_stamp', this.#clock.now);
  }

  /** tcp_in_cwnd_reduction. */
  get reducing(): boolean {
    return this.state === CA.CWR || this.state === CA.Recovery;
  }

  #initUndo(): void {
    const sock = this.#sock;
    sock.set('undo_marker', sock.get('snd_una'));
    const probe = sock.get('tlp_high_seq') !== 0 && this.probeRetransmitted ? 1 : 0;
    const under = sock.get('retrans_out') + probe;
    sock.set('undo_retrans', under === 0 ? 0xffffffff : under);
  }

  /** tcp_init_cwnd_reduction. */
  #initReduction(): void {
    const sock = this.#sock;
    sock.set('high_seq', sock.get('snd_nxt'));
    sock.set('tlp_high_seq', 0);
    sock.set('snd_cwnd_cnt', 0);
    sock.set('prior_cwnd', sock.get('snd_cwnd'));
    sock.set('prr_delivered', 0);
    sock.set('prr_out', 0);
    sock.set('snd_ssthresh', this.#ops.call('ssthresh', { ptr: sock.pointer }) ?? 2);
    this.queueCwr = true;
  }

  /** tcp_enter_cwr: on an ECN echo. */
  enterCwr(): void {
    const sock = this.#sock;
    sock.set('prior_ssthresh', 0);
    if (this.state >= CA.CWR) return;
    sock.set('undo_marker', 0);
    this.#initReduction();
    this.setState(CA.CWR);
  }

  /** tcp_enter_recovery. */
  enterRecovery(ece: boolean): void {
    const sock = this.#sock;
    // tcp_retrans_stamp_cleanup
    if (!this.#anyRetransDone()) this.retransStamp = 0;
    sock.set('prior_ssthresh', 0);
    this.#initUndo();
    if (!this.reducing) {
      if (!ece) sock.set('prior_ssthresh', currentSsthresh(sock, this.reducing));
      this.#initReduction();
    }
    this.setState(CA.Recovery);
  }

  /** tcp_enter_loss, after the segments were marked. */
  enterLoss(): void {
    const sock = this.#sock;
    const fresh = this.state < CA.Recovery;
    if (
      this.state <= CA.Disorder ||
      !after(sock.get('high_seq'), sock.get('snd_una')) ||
      (this.state === CA.Loss && sock.get('icsk_retransmits') === 0)
    ) {
      sock.set('prior_ssthresh', currentSsthresh(sock, this.reducing));
      sock.set('prior_cwnd', sock.get('snd_cwnd'));
      sock.set('snd_ssthresh', this.#ops.call('ssthresh', { ptr: sock.pointer }) ?? 2);
      this.event(CA_EVENT.LOSS);
      this.#initUndo();
    }
    this.#setCwnd(sock.inFlight() + 1);
    sock.set('snd_cwnd_cnt', 0);
    // A timeout after many SACKs: reordering is less than was believed.
    if (this.state <= CA.Disorder && sock.get('sacked_out') >= DUP_THRESH)
      sock.set('reordering', Math.min(sock.get('reordering'), DUP_THRESH));
    this.setState(CA.Loss);
    sock.set('high_seq', sock.get('snd_nxt'));
    sock.set('tlp_high_seq', 0);
    this.queueCwr = true;
    this.#frto = fresh || sock.get('icsk_retransmits') > 0;
  }

  /** tcp_cwnd_reduction: proportional rate reduction (RFC 6937). */
  reduce(newlyAckedSacked: number, newlyLost: number, advanced: boolean): void {
    const sock = this.#sock;
    const priorCwnd = sock.get('prior_cwnd');
    if (newlyAckedSacked <= 0 || priorCwnd === 0) return;
    const ssthresh = sock.get('snd_ssthresh');
    const inFlight = sock.inFlight();
    const delta = ssthresh - inFlight;
    sock.add('prr_delivered', newlyAckedSacked);
    const delivered = sock.get('prr_delivered');
    const out = sock.get('prr_out');
    let send: number;
    if (delta < 0) send = Math.floor((ssthresh * delivered + priorCwnd - 1) / priorCwnd) - out;
    else {
      send = Math.max(delivered - out, newlyAckedSacked);
      if (advanced && newlyLost === 0) send++;
      send = Math.min(delta, send);
    }
    sock.set('snd_cwnd', inFlight + Math.max(send, out === 0 ? 1 : 0, 0));
  }

  /** tcp_end_cwnd_reduction. */
  endReduction(): void {
    const sock = this.#sock;
    if (this.#ops.has('cong_control')) return;
    const ssthresh = sock.get('snd_ssthresh');
    if (ssthresh < TCP_INFINITE_SSTHRESH && (this.state === CA.CWR || sock.get('undo_marker') !== 0))
      this.#setCwnd(ssthresh);
    this.event(CA_EVENT.COMPLETE_CWR);
  }

  /** tcp_undo_cwnd_reduction: what was taken was taken wrongly. */
  #undo(unmarkLost: boolean): void {
    const sock = this.#sock;
    if (unmarkLost) this.#board.unmarkLost();
    const prior = sock.get('prior_ssthresh');
    if (prior !== 0) {
      sock.set('snd_cwnd', this.#ops.call('undo_cwnd', { ptr: sock.pointer }) ?? sock.get('snd_cwnd'));
      if (prior > sock.get('snd_ssthresh')) {
        sock.set('snd_ssthresh', prior);
        this.queueCwr = false;
      }
    }
    this.stampCwnd();
    sock.set('undo_marker', 0);
    this.#board.reexamine();
  }

  /** tcp_packet_delayed: what arrived had been sent before the first retransmission. */
  #delayed(facts: AlertFacts): boolean {
    if (this.retransStamp === 0) return true;
    return facts.echo !== undefined && toMs(facts.echo) < toMs(this.retransStamp);
  }

  /** tcp_may_undo. */
  #mayUndo(facts: AlertFacts): boolean {
    const sock = this.#sock;
    return sock.get('undo_marker') !== 0 && (sock.get('undo_retrans') === 0 || this.#delayed(facts));
  }

  /** tcp_any_retrans_done. */
  #anyRetransDone(): boolean {
    return this.#sock.get('retrans_out') > 0 || this.#board.queue.first?.everRetransmitted === true;
  }

  /** tcp_try_keep_open. */
  tryKeepOpen(): void {
    const sock = this.#sock;
    const leftOut = sock.get('sacked_out') + sock.get('lost_out') > 0;
    const state = leftOut || this.#anyRetransDone() ? CA.Disorder : CA.Open;
    if (this.state === state) return;
    this.setState(state);
    sock.set('high_seq', sock.get('snd_nxt'));
  }

  /** tcp_try_to_open. */
  #tryToOpen(ece: boolean): void {
    if (!this.#anyRetransDone()) this.retransStamp = 0;
    if (ece) this.enterCwr();
    if (this.state !== CA.CWR) this.tryKeepOpen();
  }

  /** tcp_try_undo_recovery, which also ends an episode that was real. */
  #endEpisode(facts: AlertFacts): void {
    if (this.#mayUndo(facts)) this.#undo(false);
    else this.#board.notePersistence(false);
    this.setState(CA.Open);
  }

  /** tcp_process_loss; what may be sent again now. */
  #processLoss(facts: AlertFacts): Resend {
    const sock = this.#sock;
    const recovered = !after(sock.get('high_seq'), sock.get('snd_una'));
    const undone = (frto: boolean): boolean => {
      if (!frto && !this.#mayUndo(facts)) return false;
      this.#undo(true);
      sock.set('icsk_retransmits', 0);
      this.setState(CA.Open);
      return true;
    };
    if (facts.advanced && undone(false)) return 'nothing';
    if (this.#frto) {
      if (facts.originalArrived && undone(true)) return 'nothing';
      if (after(sock.get('snd_nxt'), sock.get('high_seq'))) {
        if (facts.sackedNow || facts.duplicate) this.#frto = false;
      } else if (facts.advanced && !recovered) {
        sock.set('high_seq', sock.get('snd_nxt'));
        if (facts.hasUnsent) return 'new';
        this.#frto = false;
      }
    }
    if (recovered) {
      this.#endEpisode(facts);
      return 'nothing';
    }
    return 'lost';
  }

  /** New data did not go out after a timeout: conventional recovery (tcp_xmit_recovery). */
  forgoFrto(): void {
    this.#frto = false;
  }

  /** tcp_fastretrans_alert; what may be sent again after the window was set. `detect` marks losses, and tells of lost retransmissions. */
  alert(facts: AlertFacts, detect: () => boolean): Resend {
    const sock = this.#sock;
    if (facts.ece) sock.set('prior_ssthresh', 0);
    if (this.state === CA.Open) this.retransStamp = 0;
    else if (!after(sock.get('high_seq'), sock.get('snd_una'))) {
      if (this.state === CA.CWR) {
        // CWR is held until something above high_seq is acknowledged.
        if (sock.get('snd_una') !== sock.get('high_seq')) {
          this.endReduction();
          this.setState(CA.Open);
        }
      } else if (this.state === CA.Recovery) {
        this.#endEpisode(facts);
        this.endReduction();
      }
    }
    switch (this.state) {
      case CA.Recovery:
        if (facts.advanced && sock.get('undo_marker') !== 0 && this.#delayed(facts)) {
          // tcp_try_undo_partial: with retransmissions still under way, wait for their fate.
          this.#board.reordered(facts.priorUna);
          if (sock.get('retrans_out') > 0) return 'nothing';
          if (!this.#anyRetransDone()) this.retransStamp = 0;
          this.#undo(true);
          this.tryKeepOpen();
        }
        if (this.#undoByDsack()) this.#tryToOpen(facts.ece);
        detect();
        if (this.state !== CA.Recovery) {
          if (sock.get('lost_out') === 0) return 'nothing';
          this.enterRecovery(facts.ece);
        }
        return 'lost';
      case CA.Loss: {
        const resend = this.#processLoss(facts);
        const lostAgain = detect();
        if ((this.state as CaState) !== CA.Open && !lostAgain) return resend;
        if ((this.state as CaState) <= CA.Disorder) this.#undoByDsack();
        detect();
        return this.#openOrRecover(facts);
      }
      default:
        if (this.state <= CA.Disorder) this.#undoByDsack();
        detect();
        return this.#openOrRecover(facts);
    }
  }

  #openOrRecover(facts: AlertFacts): Resend {
    if (this.#sock.get('lost_out') === 0) {
      this.#tryToOpen(facts.ece);
      return 'nothing';
    }
    this.enterRecovery(facts.ece);
    return 'lost';
  }

  /** tcp_try_undo_dsack: each retransmission was reported as a duplicate. */
  #undoByDsack(): boolean {
    const sock = this.#sock;
    if (sock.get('undo_marker') === 0 || sock.get('undo_retrans') !== 0) return false;
    this.#board.notePersistence(true);
    this.#undo(false);
    return true;
  }

  /** tcp_process_tlp_ack: whether the tail loss probe repaired a loss. */
  probeAcknowledged(ack: number, facts: AlertFacts): void {
    const sock = this.#sock;
    const high = sock.get('tlp_high_seq');
    if (high === 0 || after(high, ack)) return;
    if (!this.probeRetransmitted || facts.dsackedProbe) sock.set('tlp_high_seq', 0);
    else if (after(ack, high)) {
      this.#initReduction();
      this.setState(CA.CWR);
      this.endReduction();
      this.tryKeepOpen();
    } else if (facts.duplicate && !facts.sackedNow) sock.set('tlp_high_seq', 0);
  }
}
