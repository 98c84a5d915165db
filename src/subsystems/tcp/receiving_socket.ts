import type { Kernel } from '../../kernel/index.ts';
import type { Jiffies } from './jiffies.ts';
import type { CongestionOps } from './ops.ts';
import { expandSndbuf, INITIAL_CWND } from './pacing.ts';
import { CA, CA_ACK, CA_EVENT, TCP_INFINITE_SSTHRESH, TcpSock } from './sock.ts';
import { findSocket, forgetSocket, registerSocket } from './sockets.ts';

/** Bits of icsk_ack.pending: an acknowledgment is owed; by the timer; a write ended; at once. */
const PENDING = { SCHED: 1, TIMER: 2, PUSHED: 4, NOW: 16 } as const;
/** ecn_flags of the socket. */
const ECN = { OK: 1, DEMAND_CWR: 4, SEEN: 8 } as const;
const MSS = 1448;

/** What the receiver keeps of acknowledgments, as the socket shows it to a program and takes it back. */
export interface AckState {
  owed: boolean;
  timer: boolean;
  pushed: boolean;
  now: boolean;
  /** The next acknowledgment carries ECE; an ECN-capable segment has been seen. */
  ece: boolean;
  sawEcn: boolean;
}

/**
 * The receiving end's socket of a connection whose congestion control runs at both ends: it sees each data segment's mark,
 * and may answer it (bpf_tcp_send_ack). Calls as the passive side of Linux 6.18 makes them, whose data segments take the
 * slow path.
 */
export class ReceivingSocket {
  readonly sock: TcpSock;
  readonly #kernel: Kernel;
  readonly #ops: CongestionOps;
  readonly #clock: Jiffies;
  readonly #pending: number;
  #accepted = false;
  /** The newest segment that updated the window (snd_wl1). */
  #newest = 0;

  constructor(kernel: Kernel, ops: CongestionOps, clock: Jiffies) {
    this.#kernel = kernel;
    this.#ops = ops;
    this.#clock = clock;
    this.sock = new TcpSock(kernel);
    this.#pending = this.sock.pointer + kernel.field('inet_connection_sock', 'icsk_ack.pending').offset;
    registerSocket(kernel, this.sock, ops);
  }

  /** A program sends an acknowledgment up to sequence number `next`. */
  onSendAck(send: (next: number) => void): void {
    findSocket(this.#kernel, this.sock.pointer)!.sendAck = send;
  }

  /** The handshake is over: tcp_rcv_state_process, tcp_init_transfer. */
  #accept(): void {
    const { sock } = this;
    this.#accepted = true;
    sock.set('mss_cache', MSS);
    sock.set('snd_cwnd', INITIAL_CWND);
    sock.set('snd_cwnd_clamp', 0xffffffff);
    sock.set('snd_ssthresh', TCP_INFINITE_SSTHRESH);
    sock.set('ecn_flags', ECN.OK);
    sock.set('snd_cwnd_stamp', this.#clock.now);
    for (const field of ['snd_una', 'snd_nxt', 'write_seq', 'rcv_nxt'] as const) sock.set(field, 1);
    this.#ops.call('set_state', { ptr: sock.pointer }, CA.Open);
    this.#ops.call('in_ack_event', { ptr: sock.pointer }, CA_ACK.SLOWPATH | CA_ACK.WIN_UPDATE);
    sock.set('delivered', 1);
    this.#ops.call('init', { ptr: sock.pointer });
    expandSndbuf(sock, this.#ops);
  }

  /** A data segment arrives: its acknowledgment number says nothing new (tcp_ack). */
  arrive(seq: number, nowUs: number): void {
    if (!this.#accepted) this.#accept();
    const { sock } = this;
    sock.set('tcp_mstamp', nowUs);
    const flags = seq > this.#newest ? CA_ACK.SLOWPATH | CA_ACK.WIN_UPDATE : CA_ACK.SLOWPATH;
    this.#newest = Math.max(this.#newest, seq);
    this.#ops.call('in_ack_event', { ptr: sock.pointer }, flags);
  }

  /** The mark of the segment that has arrived, `next` being what comes after it (tcp_data_ecn_check); changes `state`. */
  mark(ce: boolean, next: number, state: AckState): void {
    const { sock } = this;
    const { memory } = this.#kernel;
    sock.set('rcv_nxt', next >>> 0);
    sock.set('ecn_flags', ECN.OK | (state.ece ? ECN.DEMAND_CWR : 0) | (state.sawEcn ? ECN.SEEN : 0));
    const timer = state.timer ? PENDING.TIMER : 0;
    const owed = state.owed ? PENDING.SCHED : 0;
    memory.setU8(this.#pending, owed | timer | (state.pushed ? PENDING.PUSHED : 0) | (state.now ? PENDING.NOW : 0));
    this.#ops.call('cwnd_event', { ptr: sock.pointer }, ce ? CA_EVENT.ECN_IS_CE : CA_EVENT.ECN_NO_CE);
    state.now = (memory.u8(this.#pending) & PENDING.NOW) !== 0;
    state.ece = (sock.get('ecn_flags') & ECN.DEMAND_CWR) !== 0;
  }

  /** Whether acknowledgments carry ECE, as the program has it at this moment. */
  get demandsCwr(): boolean {
    return (this.sock.get('ecn_flags') & ECN.DEMAND_CWR) !== 0;
  }

  /** The connection is gone. */
  stop(): void {
    if (this.#accepted) this.#ops.call('release', { ptr: this.sock.pointer });
    forgetSocket(this.#kernel, this.sock);
    this.#ops.release();
    this.sock.free();
  }
}
