import type { CongestionOps } from './ops.ts';
import { after, CA, CA_EVENT, type CaState, TCP_INFINITE_SSTHRESH, type TcpSock } from './sock.ts';

/**
 * The congestion state machine of a socket: entering and leaving CWR, Recovery and Loss, proportional rate reduction, undo.
 * Mirrors net/ipv4/tcp_input.c (6.12); times and segments belong to the sender.
 */
export class Recovery {
  readonly #sock: TcpSock;
  readonly #ops: CongestionOps;
  /** The peer was told to expect CWR (ECN_QUEUE_CWR). */
  queueCwr = false;

  constructor(sock: TcpSock, ops: CongestionOps) {
    this.#sock = sock;
    this.#ops = ops;
  }

  get state(): CaState {
    return this.#sock.get('icsk_ca_state') as CaState;
  }

  /** tcp_set_ca_state. */
  setState(state: CaState): void {
    this.#ops.call('set_state', { ptr: this.#sock.pointer }, state);
    this.#sock.set('icsk_ca_state', state);
  }

  event(event: number): void {
    this.#ops.call('cwnd_event', { ptr: this.#sock.pointer }, event);
  }

  /** tcp_in_cwnd_reduction. */
  get reducing(): boolean {
    return this.state === CA.CWR || this.state === CA.Recovery;
  }

  #currentSsthresh(): number {
    const sock = this.#sock;
    const cwnd = sock.get('snd_cwnd');
    return this.reducing ? sock.get('snd_ssthresh') : Math.max(sock.get('snd_ssthresh'), (cwnd >> 1) + (cwnd >> 2));
  }

  #initUndo(): void {
    const sock = this.#sock;
    sock.set('undo_marker', sock.get('snd_una'));
    sock.set('undo_retrans', sock.get('retrans_out') === 0 ? 0xffffffff : sock.get('retrans_out'));
  }

  /** tcp_init_cwnd_reduction. */
  #initReduction(): void {
    const sock = this.#sock;
    sock.set('high_seq', sock.get('snd_nxt'));
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
    sock.set('prior_ssthresh', 0);
    this.#initUndo();
    if (!this.reducing) {
      if (!ece) sock.set('prior_ssthresh', this.#currentSsthresh());
      this.#initReduction();
    }
    this.setState(CA.Recovery);
  }

  /** tcp_enter_loss, after the segments were marked. */
  enterLoss(): void {
    const sock = this.#sock;
    if (
      this.state <= CA.Disorder ||
      !after(sock.get('high_seq'), sock.get('snd_una')) ||
      (this.state === CA.Loss && sock.get('icsk_retransmits') === 0)
    ) {
      sock.set('prior_ssthresh', this.#currentSsthresh());
      sock.set('prior_cwnd', sock.get('snd_cwnd'));
      sock.set('snd_ssthresh', this.#ops.call('ssthresh', { ptr: sock.pointer }) ?? 2);
      this.event(CA_EVENT.LOSS);
      this.#initUndo();
    }
    sock.set('snd_cwnd', sock.inFlight() + 1);
    sock.set('snd_cwnd_cnt', 0);
    this.setState(CA.Loss);
    sock.set('high_seq', sock.get('snd_nxt'));
    this.queueCwr = true;
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
    sock.set('snd_cwnd', inFlight + Math.max(send, out === 0 ? 1 : 0));
  }

  /** tcp_end_cwnd_reduction. */
  #endReduction(): void {
    const sock = this.#sock;
    if (this.#ops.has('cong_control')) return;
    const ssthresh = sock.get('snd_ssthresh');
    if (ssthresh < TCP_INFINITE_SSTHRESH && (this.state === CA.CWR || sock.get('undo_marker') !== 0))
      sock.set('snd_cwnd', ssthresh);
    this.event(CA_EVENT.COMPLETE_CWR);
  }

  /** tcp_undo_cwnd_reduction: what was taken was taken wrongly. */
  undo(): void {
    const sock = this.#sock;
    const prior = sock.get('prior_ssthresh');
    if (prior !== 0) {
      sock.set('snd_cwnd', this.#ops.call('undo_cwnd', { ptr: sock.pointer }) ?? sock.get('snd_cwnd'));
      if (prior > sock.get('snd_ssthresh')) {
        sock.set('snd_ssthresh', prior);
        this.queueCwr = false;
      }
    }
    sock.set('undo_marker', 0);
  }

  /** Whether everything that was retransmitted turned out to have been delivered (D-SACK, or an old timestamp). */
  mayUndo(delayed: boolean): boolean {
    const sock = this.#sock;
    return sock.get('undo_marker') !== 0 && (sock.get('undo_retrans') === 0 || delayed);
  }

  /** An acknowledgment reached `high_seq`: the episode is over (the state part of tcp_fastretrans_alert). */
  finishIfDone(delayed: boolean): void {
    const sock = this.#sock;
    const una = sock.get('snd_una');
    if (this.state === CA.Open || after(sock.get('high_seq'), una)) return;
    switch (this.state) {
      case CA.CWR:
        // CWR is held until something above high_seq is acknowledged.
        if (una !== sock.get('high_seq')) {
          this.#endReduction();
          this.setState(CA.Open);
        }
        return;
      case CA.Recovery:
        if (this.mayUndo(delayed)) this.undo();
        this.#endReduction();
        sock.set('undo_marker', 0);
        this.setState(CA.Open);
        return;
      case CA.Loss:
        if (this.mayUndo(delayed)) this.undo();
        sock.set('undo_marker', 0);
        this.setState(CA.Open);
        return;
      default:
    }
  }
}
