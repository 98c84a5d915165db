import type { Simulator } from '../../net/index.ts';
import type { Segment } from './segments.ts';
import { CA, type TcpSock } from './sock.ts';

/** sk_gso_max_size: 64 KiB without room for headers. */
const GSO_MAX_SIZE = 65536 - 257;
/** sysctl_tcp_tso_rtt_log, sysctl_tcp_tso_win_divisor, sysctl_tcp_min_tso_segs. */
const RTT_LOG = 9;
const WIN_DIVISOR = 3;
const MIN_SEGS = 2;
/** A write that long ago is no burst's beginning, and an acknowledgment that far away is not waited for, nanoseconds. */
const RECENT = 1e6;

/** How many segments leave together: tcp_tso_autosize, tcp_tso_should_defer (net/ipv4/tcp_output.c, 6.18). */
export class Tso {
  readonly #sock: TcpSock;
  readonly #simulator: Simulator;
  readonly #most: number;
  /** When something was sent last, nanoseconds. */
  lastAt = 0;

  constructor(sock: TcpSock, simulator: Simulator, most: number) {
    this.#sock = sock;
    this.#simulator = simulator;
    this.#most = most;
    sock.set('sk_gso_max_size', GSO_MAX_SIZE);
    sock.set('sk_gso_max_segs', most);
  }

  /** Segments of a full buffer: not more than half of the largest window. */
  get goal(): number {
    if (this.#most === 1) return 1;
    const sock = this.#sock;
    const bytes = Math.min(GSO_MAX_SIZE, sock.get('max_window') >>> 1);
    return Math.max(1, Math.min(this.#most, Math.floor(bytes / sock.get('mss_cache'))));
  }

  /** tcp_tso_segs: what is sent in about a millisecond, more on short paths; `least`: what min_tso_segs said, if anything. */
  segments(least: number | undefined): number {
    if (this.#most === 1) return 1;
    const sock = this.#sock;
    let bytes = Math.floor(sock.get('sk_pacing_rate') / 2 ** sock.get('sk_pacing_shift'));
    const shift = sock.minRtt() >>> RTT_LOG;
    if (shift < 32) bytes += GSO_MAX_SIZE >>> shift;
    const segments = Math.floor(Math.min(bytes, GSO_MAX_SIZE) / sock.get('mss_cache'));
    return Math.max(1, Math.min(Math.max(segments, least ?? MIN_SEGS), this.#most));
  }

  /** Whether it is better to wait for the next acknowledgment: `waiting` segments wait, the window has room for `room`. */
  defers(waiting: number, room: number, most: number, first: Segment | undefined): boolean {
    const sock = this.#sock;
    const { now } = this.#simulator;
    if (Math.min(waiting, this.goal) === 1 || sock.get('icsk_ca_state') >= CA.Recovery || now - this.lastAt > RECENT)
      return false;
    const mss = sock.get('mss_cache');
    const sendWindow = (sock.get('snd_una') + sock.get('snd_wnd') - sock.get('snd_nxt')) >>> 0;
    const limit = Math.min(sendWindow, room * mss);
    const buffer = Math.min(waiting, this.goal) * mss;
    if (limit >= most * mss || (waiting > this.goal && limit >= buffer)) return false;
    if (limit >= Math.floor(Math.min(sock.get('snd_wnd'), sock.get('snd_cwnd') * mss) / WIN_DIVISOR)) return false;
    if (first === undefined) return false;
    const srtt = sock.get('srtt_us') * 125;
    return first.sentAt + srtt - now <= Math.min(srtt / 2, RECENT);
  }
}
