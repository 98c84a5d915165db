import type { Kernel } from '../../../kernel/index.ts';
import { after, CA, CA_EVENT, type TcpSock } from '../sock.ts';
import { findSocket } from '../sockets.ts';
import { Private, readMember } from './private.ts';

const MAX_ALPHA = 1024;
/** g = 1/16. */
const SHIFT_G = 4;
/** Bits of ecn_flags: ECN by RFC 3168 or AccECN was negotiated; the next ACK demands CWR. */
const ECN_OK = 0x11;
const DEMAND_CWR = 4;
const ACK_NOW = 0x10;
const ACK_TIMER = 2;

type Field =
  | 'old_delivered'
  | 'old_delivered_ce'
  | 'prior_rcv_nxt'
  | 'dctcp_alpha'
  | 'next_seq'
  | 'ce_state'
  | 'loss_cwnd'
  | 'plb';

/** DCTCP as the kernel has it: net/ipv4/tcp_dctcp.c (6.18) with its default parameters; PLB is off, as its sysctl is. */
export class Dctcp {
  readonly #kernel: Kernel;
  readonly #ca: Private<Field>;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    this.#ca = new Private(kernel, 'dctcp');
  }

  /** Whether ECN was negotiated; without it the connection falls back to Reno. */
  init(sock: TcpSock): boolean {
    if ((sock.get('ecn_flags') & ECN_OK) === 0) return false;
    const ca = this.#ca.of(sock);
    ca.set('prior_rcv_nxt', readMember(this.#kernel, sock.pointer, 'tcp_sock', 'rcv_nxt'));
    ca.set('dctcp_alpha', MAX_ALPHA);
    ca.set('loss_cwnd', 0);
    ca.set('ce_state', 0);
    this.#startRound(sock);
    this.#kernel.memory.setU64(ca.at('plb'), 0);
    return true;
  }

  #startRound(sock: TcpSock): void {
    const ca = this.#ca;
    ca.set('next_seq', sock.get('snd_nxt'));
    ca.set('old_delivered', sock.get('delivered'));
    ca.set('old_delivered_ce', sock.get('delivered_ce'));
  }

  ssthresh(sock: TcpSock): number {
    const ca = this.#ca.of(sock);
    const cwnd = sock.get('snd_cwnd');
    ca.set('loss_cwnd', cwnd);
    return Math.max(cwnd - (Math.imul(cwnd, ca.get('dctcp_alpha')) >>> 11), 2);
  }

  /** Once a window: the share of marked packets goes into `alpha`. */
  updateAlpha(sock: TcpSock): void {
    const ca = this.#ca.of(sock);
    if (after(ca.get('next_seq'), sock.get('snd_una'))) return;
    const delivered = (sock.get('delivered') - ca.get('old_delivered')) >>> 0;
    const marked = (sock.get('delivered_ce') - ca.get('old_delivered_ce')) >>> 0;
    let alpha = ca.get('dctcp_alpha');
    // What is too little to be shifted goes as a whole.
    alpha -= alpha >>> SHIFT_G || alpha;
    if (marked > 0) {
      const share = Math.floor(((marked << (10 - SHIFT_G)) >>> 0) / Math.max(1, delivered));
      alpha = Math.min(alpha + share, MAX_ALPHA);
    }
    ca.set('dctcp_alpha', alpha);
    this.#startRound(sock);
  }

  setState(sock: TcpSock, state: number): void {
    if (state === CA.Recovery && sock.get('icsk_ca_state') !== state) this.#reactToLoss(sock);
  }

  #reactToLoss(sock: TcpSock): void {
    const cwnd = sock.get('snd_cwnd');
    this.#ca.of(sock).set('loss_cwnd', cwnd);
    sock.set('snd_ssthresh', Math.max(cwnd >>> 1, 2));
  }

  cwndEvent(sock: TcpSock, event: number): void {
    if (event === CA_EVENT.LOSS) this.#reactToLoss(sock);
    else if (event === CA_EVENT.ECN_IS_CE || event === CA_EVENT.ECN_NO_CE)
      this.#echo(sock, event === CA_EVENT.ECN_IS_CE ? 1 : 0);
  }

  /** The receiver's half (dctcp_ece_ack_update): a change of marks is told at once, after what waits with the old one. */
  #echo(sock: TcpSock, marked: number): void {
    const ca = this.#ca.of(sock);
    const { memory } = this.#kernel;
    const pending = sock.pointer + this.#kernel.field('inet_connection_sock', 'icsk_ack.pending').offset;
    if (ca.get('ce_state') !== marked) {
      if ((memory.u8(pending) & ACK_TIMER) !== 0) {
        this.#demand(sock, ca.get('ce_state') === 1);
        findSocket(this.#kernel, sock.pointer)?.sendAck?.(ca.get('prior_rcv_nxt'));
      }
      memory.setU8(pending, memory.u8(pending) | ACK_NOW);
    }
    ca.set('prior_rcv_nxt', readMember(this.#kernel, sock.pointer, 'tcp_sock', 'rcv_nxt'));
    ca.set('ce_state', marked);
    this.#demand(sock, marked === 1);
  }

  #demand(sock: TcpSock, on: boolean): void {
    const flags = sock.get('ecn_flags');
    sock.set('ecn_flags', on ? flags | DEMAND_CWR : flags & ~DEMAND_CWR);
  }

  undoCwnd(sock: TcpSock): number {
    return Math.max(sock.get('snd_cwnd'), this.#ca.of(sock).get('loss_cwnd'));
  }
}
