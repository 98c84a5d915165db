import type { CongestionOps } from './ops.ts';
import { MSS } from './scoreboard.ts';
import type { TcpSock } from './sock.ts';

export const INITIAL_CWND = 10;

/** tcp_update_pacing_rate: 200 % of cwnd per RTT in slow start, 120 % after. */
export function updatePacingRate(sock: TcpSock): void {
  const srtt = sock.get('srtt_us');
  const cwnd = sock.get('snd_cwnd');
  const ratio = cwnd < sock.get('snd_ssthresh') / 2 ? 200 : 120;
  const inFlight = Math.max(cwnd, sock.get('packets_out'));
  const rate = srtt === 0 ? 0 : Math.floor((MSS * ((1e6 / 100) << 3) * ratio * inFlight) / srtt);
  sock.set('sk_pacing_rate', Math.min(rate, sock.get('sk_max_pacing_rate')));
}

/** tcp_sndbuf_expand: room for the window that may come. */
export function expandSndbuf(sock: TcpSock, ops: CongestionOps): void {
  const factor = ops.call('sndbuf_expand', { ptr: sock.pointer }) ?? 2;
  const wanted = factor * Math.max(INITIAL_CWND, sock.get('snd_cwnd'), sock.get('reordering') + 1) * (MSS + 768);
  if (sock.get('sk_sndbuf') < wanted) sock.set('sk_sndbuf', Math.min(wanted, 4 << 20));
}
