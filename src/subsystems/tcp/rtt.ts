import { after, type TcpSock } from './sock.ts';

/** TCP_RTO_MIN, TCP_RTO_MAX in microseconds. */
export const RTO_MIN_US = 200_000;
export const RTO_MAX_US = 120_000_000;
const NO_RTT = 0xffffffff;

/** tcp_rtt_estimator and tcp_set_rto (net/ipv4/tcp_input.c): smoothed RTT times 8, deviation times 4. */
export function updateRtt(sock: TcpSock, rttUs: number): void {
  let m = rttUs;
  let srtt = sock.get('srtt_us');
  if (srtt !== 0) {
    m -= srtt >> 3;
    srtt += m;
    let mdev = sock.get('mdev_us');
    if (m < 0) {
      m = -m - (mdev >> 2);
      if (m > 0) m >>= 3;
    } else m -= mdev >> 2;
    mdev += m;
    sock.set('mdev_us', mdev);
    if (mdev > sock.get('mdev_max_us')) {
      sock.set('mdev_max_us', mdev);
      if (mdev > sock.get('rttvar_us')) sock.set('rttvar_us', mdev);
    }
    if (after(sock.get('snd_una'), sock.get('rtt_seq'))) {
      const most = sock.get('mdev_max_us');
      const rttvar = sock.get('rttvar_us');
      if (most < rttvar) sock.set('rttvar_us', rttvar - ((rttvar - most) >> 2));
      sock.set('rtt_seq', sock.get('snd_nxt'));
      sock.set('mdev_max_us', RTO_MIN_US);
    }
  } else {
    srtt = m << 3;
    sock.set('mdev_us', m << 1);
    sock.set('rttvar_us', Math.max(m << 1, RTO_MIN_US));
    sock.set('mdev_max_us', sock.get('rttvar_us'));
    sock.set('rtt_seq', sock.get('snd_nxt'));
  }
  sock.set('srtt_us', Math.max(1, srtt));
}

/** The retransmission timeout without backoff, microseconds. */
export function baseRto(sock: TcpSock): number {
  return Math.min(RTO_MAX_US, (sock.get('srtt_us') >> 3) + sock.get('rttvar_us'));
}

/** The window of min_rtt (tcp_min_rtt_wlen), seconds. */
const MIN_RTT_WINDOW = 300;

/**
 * Least RTT of the last five minutes, kept in the socket's rtt_min as three samples: the best, and the best of what came
 * after it (minmax_running_min, lib/win_minmax.c, 6.18).
 */
export class MinRtt {
  readonly #sock: TcpSock;
  readonly #at = [0, 0, 0];
  readonly #us = [NO_RTT, NO_RTT, NO_RTT];

  constructor(sock: TcpSock) {
    this.#sock = sock;
  }

  /** Takes a sample in; `seconds` is when. */
  update(us: number, seconds: number): void {
    if (us <= this.#us[0]! || seconds - this.#at[2]! > MIN_RTT_WINDOW) {
      for (const i of [0, 1, 2]) this.#put(i, us, seconds);
      return;
    }
    if (us <= this.#us[1]!) {
      this.#put(1, us, seconds);
      this.#put(2, us, seconds);
    } else if (us <= this.#us[2]!) this.#put(2, us, seconds);
    this.#age(us, seconds);
  }

  /** minmax_subwin_update: samples move up as the window passes them. */
  #age(us: number, seconds: number): void {
    const passed = seconds - this.#at[0]!;
    if (passed > MIN_RTT_WINDOW) {
      this.#put(0, this.#us[1]!, this.#at[1]!);
      this.#put(1, this.#us[2]!, this.#at[2]!);
      this.#put(2, us, seconds);
      if (seconds - this.#at[0]! > MIN_RTT_WINDOW) {
        this.#put(0, this.#us[1]!, this.#at[1]!);
        this.#put(1, us, seconds);
      }
    } else if (this.#at[1] === this.#at[0] && passed > MIN_RTT_WINDOW / 4) {
      this.#put(1, us, seconds);
      this.#put(2, us, seconds);
    } else if (this.#at[2] === this.#at[1] && passed > MIN_RTT_WINDOW / 2) this.#put(2, us, seconds);
  }

  #put(index: number, us: number, seconds: number): void {
    this.#us[index] = us;
    this.#at[index] = seconds;
    if (index === 0) this.#sock.setMinRtt(us);
  }

  /** Microseconds; all ones before the first sample. */
  get us(): number {
    return this.#us[0]!;
  }
}
