import type { Kernel } from '../../kernel/index.ts';
import type { GuestPtr } from '../../machine/index.ts';

/** Congestion states (enum tcp_ca_state). */
export const CA = { Open: 0, Disorder: 1, CWR: 2, Recovery: 3, Loss: 4 } as const;
export type CaState = (typeof CA)[keyof typeof CA];
/** enum tcp_ca_event. */
export const CA_EVENT = { TX_START: 0, CWND_RESTART: 1, COMPLETE_CWR: 2, LOSS: 3, ECN_NO_CE: 4, ECN_IS_CE: 5 } as const;
/** enum tcp_ca_ack_event_flags. */
export const CA_ACK = { SLOWPATH: 1, WIN_UPDATE: 2, ECE: 4 } as const;
export const TCP_INFINITE_SSTHRESH = 0x7fffffff;

/** Members of the socket that the stack reads and writes, and the struct that each lies in. */
const FIELDS = {
  snd_cwnd: 'tcp_sock',
  snd_cwnd_cnt: 'tcp_sock',
  snd_cwnd_clamp: 'tcp_sock',
  snd_ssthresh: 'tcp_sock',
  prior_ssthresh: 'tcp_sock',
  prior_cwnd: 'tcp_sock',
  snd_una: 'tcp_sock',
  snd_nxt: 'tcp_sock',
  high_seq: 'tcp_sock',
  undo_marker: 'tcp_sock',
  undo_retrans: 'tcp_sock',
  packets_out: 'tcp_sock',
  sacked_out: 'tcp_sock',
  lost_out: 'tcp_sock',
  retrans_out: 'tcp_sock',
  max_packets_out: 'tcp_sock',
  cwnd_usage_seq: 'tcp_sock',
  is_cwnd_limited: 'tcp_sock',
  srtt_us: 'tcp_sock',
  mdev_us: 'tcp_sock',
  mdev_max_us: 'tcp_sock',
  rttvar_us: 'tcp_sock',
  rtt_seq: 'tcp_sock',
  prr_delivered: 'tcp_sock',
  prr_out: 'tcp_sock',
  delivered: 'tcp_sock',
  delivered_ce: 'tcp_sock',
  lost: 'tcp_sock',
  app_limited: 'tcp_sock',
  first_tx_mstamp: 'tcp_sock',
  delivered_mstamp: 'tcp_sock',
  tcp_mstamp: 'tcp_sock',
  tcp_clock_cache: 'tcp_sock',
  tcp_wstamp_ns: 'tcp_sock',
  rate_delivered: 'tcp_sock',
  rate_interval_us: 'tcp_sock',
  rate_app_limited: 'tcp_sock',
  dsack_dups: 'tcp_sock',
  max_window: 'tcp_sock',
  data_segs_out: 'tcp_sock',
  mss_cache: 'tcp_sock',
  advmss: 'tcp_sock',
  total_retrans: 'tcp_sock',
  lsndtime: 'tcp_sock',
  ecn_flags: 'tcp_sock',
  reordering: 'tcp_sock',
  bytes_acked: 'tcp_sock',
  bytes_sent: 'tcp_sock',
  snd_wnd: 'tcp_sock',
  rcv_nxt: 'tcp_sock',
  write_seq: 'tcp_sock',
  tlp_high_seq: 'tcp_sock',
  snd_cwnd_used: 'tcp_sock',
  snd_cwnd_stamp: 'tcp_sock',
  reord_seen: 'tcp_sock',
  icsk_ca_state: 'inet_connection_sock',
  icsk_ca_initialized: 'inet_connection_sock',
  icsk_rto: 'inet_connection_sock',
  icsk_pending: 'inet_connection_sock',
  icsk_backoff: 'inet_connection_sock',
  icsk_retransmits: 'inet_connection_sock',
  sk_pacing_rate: 'sock',
  sk_max_pacing_rate: 'sock',
  sk_pacing_status: 'sock',
  sk_pacing_shift: 'sock',
  sk_sndbuf: 'sock',
  sk_gso_max_size: 'sock',
  sk_gso_max_segs: 'sock',
  sk_wmem_queued: 'sock',
} as const;
export type SockField = keyof typeof FIELDS;

/** Where a member lies: offset in the memory's data, bytes, and for a bit field its place in that byte. */
interface Place {
  at: number;
  size: number;
  shift: number;
  mask: number;
}

function placeOf(kernel: Kernel, pointer: GuestPtr, name: SockField): Place {
  const { offset, size, bitOffset, bitSize } = kernel.field(FIELDS[name], name);
  const at = kernel.memory.offset(pointer + offset, 1);
  if (bitSize === 0) return { at, size, shift: 0, mask: 0 };
  return { at, size: 1, shift: bitOffset % 8, mask: (1 << bitSize) - 1 };
}

/**
 * A `struct tcp_sock` in guest memory, at the target BTF's offsets: what programs see is what the stack works with.
 * Values are unsigned; 64-bit ones are exact below 2⁵³.
 */
export class TcpSock {
  readonly pointer: GuestPtr;
  readonly #kernel: Kernel;
  readonly #view: DataView;
  readonly #places: ReadonlyMap<SockField, Place>;
  /** Members that inFlight adds up for each packet. */
  readonly #packetsOut: number;
  readonly #sackedOut: number;
  readonly #lostOut: number;
  readonly #retransOut: number;
  readonly #rttMin: number;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    this.#view = kernel.memory.view;
    this.pointer = kernel.heap.alloc(kernel.btf.struct('tcp_sock').size, 64);
    const names = Object.keys(FIELDS) as SockField[];
    this.#places = new Map(names.map((name) => [name, placeOf(kernel, this.pointer, name)]));
    const u32 = (name: SockField) => this.#places.get(name)!.at;
    this.#packetsOut = u32('packets_out');
    this.#sackedOut = u32('sacked_out');
    this.#lostOut = u32('lost_out');
    this.#retransOut = u32('retrans_out');
    this.#rttMin = kernel.memory.offset(this.pointer + kernel.field('tcp_sock', 'rtt_min').offset, 8);
    this.setMinRtt(0xffffffff);
  }

  get(name: SockField): number {
    const { at, size, shift, mask } = this.#places.get(name)!;
    const view = this.#view;
    if (size === 4) return view.getUint32(at, true);
    if (size === 8) return view.getUint32(at + 4, true) * 0x1_0000_0000 + view.getUint32(at, true);
    if (mask !== 0) return (view.getUint8(at) >> shift) & mask;
    return size === 2 ? view.getUint16(at, true) : view.getUint8(at);
  }

  set(name: SockField, value: number): void {
    const { at, size, shift, mask } = this.#places.get(name)!;
    const view = this.#view;
    if (size === 4) view.setUint32(at, value, true);
    else if (size === 8) {
      view.setUint32(at, value, true);
      view.setUint32(at + 4, Math.floor(value / 0x1_0000_0000), true);
    } else if (mask !== 0) view.setUint8(at, (view.getUint8(at) & ~(mask << shift)) | ((value & mask) << shift));
    else if (size === 2) view.setUint16(at, value, true);
    else view.setUint8(at, value);
  }

  add(name: SockField, by: number): void {
    this.set(name, this.get(name) + by);
  }

  /** Writes the least RTT in microseconds to rtt_min (struct minmax: the best sample's value after its time). */
  setMinRtt(us: number): void {
    this.#view.setUint32(this.#rttMin + 4, us, true);
  }

  /** tcp_min_rtt, microseconds. */
  minRtt(): number {
    return this.#view.getUint32(this.#rttMin + 4, true);
  }

  /** tcp_packets_in_flight. */
  inFlight(): number {
    const view = this.#view;
    const left = view.getUint32(this.#sackedOut, true) + view.getUint32(this.#lostOut, true);
    return view.getUint32(this.#packetsOut, true) - left + view.getUint32(this.#retransOut, true);
  }

  inSlowStart(): boolean {
    return this.get('snd_cwnd') < this.get('snd_ssthresh');
  }

  /** tcp_is_cwnd_limited (include/net/tcp.h). */
  isCwndLimited(): boolean {
    if (this.get('is_cwnd_limited') !== 0) return true;
    return this.inSlowStart() && this.get('snd_cwnd') < 2 * this.get('max_packets_out');
  }

  free(): void {
    this.#kernel.heap.free(this.pointer);
  }
}

/** Whether sequence number `a` comes after `b`, around the wrap at 2³². */
export const after = (a: number, b: number): boolean => ((a - b) | 0) > 0;

/** tcp_slow_start (net/ipv4/tcp_cong.c): returns the acked packets that are left over. */
export function tcpSlowStart(sock: TcpSock, acked: number): number {
  const before = sock.get('snd_cwnd');
  const cwnd = Math.min(before + acked, sock.get('snd_ssthresh'));
  sock.set('snd_cwnd', Math.min(cwnd, sock.get('snd_cwnd_clamp')));
  return acked - (cwnd - before);
}

/** tcp_cong_avoid_ai: one more packet for every `w` that are acked. */
export function tcpCongAvoidAi(sock: TcpSock, w: number, acked: number): void {
  if (sock.get('snd_cwnd_cnt') >= w) {
    sock.set('snd_cwnd_cnt', 0);
    sock.add('snd_cwnd', 1);
  }
  sock.add('snd_cwnd_cnt', acked);
  const count = sock.get('snd_cwnd_cnt');
  if (count >= w && w > 0) {
    const delta = Math.floor(count / w);
    sock.set('snd_cwnd_cnt', count - delta * w);
    sock.add('snd_cwnd', delta);
  }
  sock.set('snd_cwnd', Math.min(sock.get('snd_cwnd'), sock.get('snd_cwnd_clamp')));
}
