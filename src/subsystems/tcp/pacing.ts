import type { CongestionOps } from './ops.ts';
import type { TcpSock } from './sock.ts';

export const INITIAL_CWND = 10;
/** Memory that sndbuf reckons with for one segment (tcp_sndbuf_expand: a power of two, and struct sk_buff). */
const MEMORY_PER_SEGMENT = 2304;
/** tcp_wmem[2]. */
const SNDBUF_MAX = 32 << 20;

/** tcp_update_pacing_rate: 200 % of cwnd per RTT in slow start, 120 % after. */
export function updatePacingRate(sock: TcpSock): void {
  const srtt = sock.get('srtt_us');
  const cwnd = sock.get('snd_cwnd');
  const ratio = cwnd < sock.get('snd_ssthresh') >>> 1 ? 200 : 120;
  const inFlight = Math.max(cwnd, sock.get('packets_out'));
  const rate = srtt === 0 ? 0 : Math.floor((sock.get('mss_cache') * ((1e6 / 100) << 3) * ratio * inFlight) / srtt);
  sock.set('sk_pacing_rate', Math.min(rate, sock.get('sk_max_pacing_rate')));
}

/** tcp_sndbuf_expand: room for the window that may come. */
export function expandSndbuf(sock: TcpSock, ops: CongestionOps): void {
  const factor = ops.call('sndbuf_expand', { ptr: sock.pointer }) ?? 2;
  const segments = Math.max(INITIAL_CWND, sock.get('snd_cwnd'), sock.get('reordering') + 1);
  const wanted = Math.min(factor * segments * MEMORY_PER_SEGMENT, SNDBUF_MAX);
  if (sock.get('sk_sndbuf') < wanted) sock.set('sk_sndbuf', wanted);
}

/** tcp_current_ssthresh: three quarters of the window, unless a reduction is under way. */
export function currentSsthresh(sock: TcpSock, reducing: boolean): number {
  const cwnd = sock.get('snd_cwnd');
  return reducing ? sock.get('snd_ssthresh') : Math.max(sock.get('snd_ssthresh'), (cwnd >> 1) + (cwnd >> 2));
}
