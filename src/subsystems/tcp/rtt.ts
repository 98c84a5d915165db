import { after, type TcpSock } from './sock.ts';

/** TCP_RTO_MIN, TCP_RTO_MAX in microseconds. */
export const RTO_MIN_US = 200_000;
export const RTO_MAX_US = 120_000_000;

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

/** Least RTT over the last five minutes: a window over three samples is more than a run needs; the least of all serves. */
export class MinRtt {
  #least = Number.POSITIVE_INFINITY;

  update(us: number): void {
    if (us < this.#least) this.#least = us;
  }

  get us(): number {
    return Number.isFinite(this.#least) ? this.#least : 0xffffffff;
  }
}
