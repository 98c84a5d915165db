import type { Kernel } from '../../../kernel/index.ts';
import { after, type TcpSock } from '../sock.ts';
import type { RateSample } from './bbr.ts';
import { Private } from './private.ts';

export const MODE = { STARTUP: 0, DRAIN: 1, PROBE_BW: 2, PROBE_RTT: 3 } as const;
/** Gains are in 256ths. */
export const UNIT = 256;
/** Rates are in packets a microsecond, times 2²⁴. */
const BW_UNIT = 2 ** 24;
/** One per cent below what was measured, times 10⁶. */
const MARGIN_PER_SECOND = 990_000;
const INIT_CWND = 10;
const NO_RTT = 0xffffffff;
/** Rounds of the filter of the highest rate. */
const BW_ROUNDS = 10;
/** Below this rate in bytes a second segments go one at a time. */
const MIN_TSO_RATE = 1_200_000 / 8;
/** GSO_LEGACY_MAX_SIZE − 1 − MAX_TCP_HEADER. */
const GSO_MAX = 65536 - 1 - 320;
const LT_MIN_ROUNDS = 4;
const LT_LOSS_THRESHOLD = 50;
const LT_BW_RATIO = UNIT / 8;
const LT_BW_DIFF = 4000 / 8;
const LT_MAX_ROUNDS = 48;
const EXTRA_ROUNDS = 5;
const EXTRA_MAX_US = 100_000;
const EPOCH_MAX = 1 << 20;

export type BbrField =
  | 'min_rtt_us'
  | 'min_rtt_stamp'
  | 'probe_rtt_done_stamp'
  | 'bw'
  | 'rtt_cnt'
  | 'next_rtt_delivered'
  | 'cycle_mstamp'
  | 'mode'
  | 'prev_ca_state'
  | 'packet_conservation'
  | 'round_start'
  | 'idle_restart'
  | 'probe_rtt_round_done'
  | 'lt_is_sampling'
  | 'lt_rtt_cnt'
  | 'lt_use_bw'
  | 'lt_bw'
  | 'lt_last_delivered'
  | 'lt_last_stamp'
  | 'lt_last_lost'
  | 'pacing_gain'
  | 'cwnd_gain'
  | 'full_bw_reached'
  | 'full_bw_cnt'
  | 'cycle_idx'
  | 'has_seen_rtt'
  | 'prior_cwnd'
  | 'full_bw'
  | 'ack_epoch_mstamp'
  | 'extra_acked'
  | 'ack_epoch_acked'
  | 'extra_acked_win_rtts'
  | 'extra_acked_win_idx';

/** BBR's model of the path: the highest delivery rate of late, what a policer lets through, how far ACKs come in heaps. */
export class PathModel {
  readonly ca: Private<BbrField>;
  readonly #kernel: Kernel;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    this.ca = new Private(kernel, 'bbr');
  }

  of(sock: TcpSock): this {
    this.ca.of(sock);
    return this;
  }

  /** The filter's three samples: round and rate of each. */
  #sample(index: number): { round: number; bw: number } {
    const at = this.ca.at('bw') + 8 * index;
    return { round: this.#kernel.memory.u32(at), bw: this.#kernel.memory.u32(at + 4) };
  }

  #keep(index: number, { round, bw }: { round: number; bw: number }): void {
    const at = this.ca.at('bw') + 8 * index;
    this.#kernel.memory.setU32(at, round >>> 0);
    this.#kernel.memory.setU32(at + 4, bw >>> 0);
  }

  resetBandwidth(): void {
    for (const i of [0, 1, 2]) this.#keep(i, { round: this.ca.get('rtt_cnt'), bw: 0 });
  }

  maxBandwidth(): number {
    return this.#sample(0).bw;
  }

  bandwidth(): number {
    return this.ca.get('lt_use_bw') === 1 ? this.ca.get('lt_bw') : this.maxBandwidth();
  }

  /** minmax_running_max: the highest rate of ten rounds. */
  #takeIn(bw: number): void {
    const sample = { round: this.ca.get('rtt_cnt'), bw };
    const age = (index: number) => (sample.round - this.#sample(index).round) >>> 0;
    if (bw >= this.#sample(0).bw || age(2) > BW_ROUNDS) {
      for (const i of [0, 1, 2]) this.#keep(i, sample);
      return;
    }
    if (bw >= this.#sample(1).bw) for (const i of [1, 2]) this.#keep(i, sample);
    else if (bw >= this.#sample(2).bw) this.#keep(2, sample);
    const passed = age(0);
    const shift = () => {
      this.#keep(0, this.#sample(1));
      this.#keep(1, this.#sample(2));
      this.#keep(2, sample);
    };
    if (passed > BW_ROUNDS) {
      shift();
      if (age(0) > BW_ROUNDS) shift();
    } else if (this.#sample(1).round === this.#sample(0).round && passed > BW_ROUNDS >> 2)
      for (const i of [1, 2]) this.#keep(i, sample);
    else if (this.#sample(2).round === this.#sample(1).round && passed > BW_ROUNDS >> 1) this.#keep(2, sample);
  }

  updateBandwidth(sock: TcpSock, rs: RateSample, restartCycle: () => void): void {
    const { ca } = this;
    ca.set('round_start', 0);
    if (rs.delivered < 0 || rs.intervalUs <= 0) return;
    if (!after(ca.get('next_rtt_delivered'), rs.priorDelivered)) {
      ca.set('next_rtt_delivered', sock.get('delivered'));
      ca.add('rtt_cnt', 1);
      ca.set('round_start', 1);
      ca.set('packet_conservation', 0);
    }
    this.sampleLongTerm(sock, rs, restartCycle);
    const bw = Math.floor((rs.delivered * BW_UNIT) / rs.intervalUs);
    if (!rs.appLimited || bw >= this.maxBandwidth()) this.#takeIn(bw);
  }

  resetLongTerm(sock: TcpSock): void {
    for (const field of ['lt_bw', 'lt_use_bw', 'lt_is_sampling'] as const) this.ca.set(field, 0);
    this.#startInterval(sock);
  }

  #startInterval(sock: TcpSock): void {
    const { ca } = this;
    ca.set('lt_last_stamp', Math.floor(sock.get('delivered_mstamp') / 1000));
    ca.set('lt_last_delivered', sock.get('delivered'));
    ca.set('lt_last_lost', sock.get('lost'));
    ca.set('lt_rtt_cnt', 0);
  }

  /** Two intervals in a row with much loss and about the same rate: a policer, whose rate is used then. */
  sampleLongTerm(sock: TcpSock, rs: Pick<RateSample, 'losses' | 'appLimited'>, restartCycle: () => void): void {
    const { ca } = this;
    if (ca.get('lt_use_bw') === 1) {
      if (ca.get('mode') !== MODE.PROBE_BW || ca.get('round_start') === 0) return;
      ca.add('lt_rtt_cnt', 1);
      if (ca.get('lt_rtt_cnt') < LT_MAX_ROUNDS) return;
      this.resetLongTerm(sock);
      restartCycle();
      return;
    }
    if (ca.get('lt_is_sampling') === 0) {
      if (rs.losses === 0) return;
      this.#startInterval(sock);
      ca.set('lt_is_sampling', 1);
    }
    if (rs.appLimited) {
      this.resetLongTerm(sock);
      return;
    }
    if (ca.get('round_start') === 1) ca.add('lt_rtt_cnt', 1);
    const rounds = ca.get('lt_rtt_cnt');
    if (rounds < LT_MIN_ROUNDS) return;
    if (rounds > 4 * LT_MIN_ROUNDS) {
      this.resetLongTerm(sock);
      return;
    }
    if (rs.losses === 0) return;
    const lost = (sock.get('lost') - ca.get('lt_last_lost')) >>> 0;
    const delivered = (sock.get('delivered') - ca.get('lt_last_delivered')) >>> 0;
    if (delivered === 0 || lost * UNIT < LT_LOSS_THRESHOLD * delivered) return;
    const ms = (Math.floor(sock.get('delivered_mstamp') / 1000) - ca.get('lt_last_stamp')) | 0;
    if (ms < 1) return;
    if (ms >= Math.floor(0xffffffff / 1000)) {
      this.resetLongTerm(sock);
      return;
    }
    this.#endInterval(sock, Math.floor((delivered * BW_UNIT) / (ms * 1000)) >>> 0);
  }

  #endInterval(sock: TcpSock, bw: number): void {
    const { ca } = this;
    const before = ca.get('lt_bw');
    const apart = Math.abs(bw - before);
    if (before > 0 && (apart * UNIT <= LT_BW_RATIO * before || this.bytesPerSecond(sock, apart, UNIT) <= LT_BW_DIFF)) {
      ca.set('lt_bw', (bw + before) / 2);
      ca.set('lt_use_bw', 1);
      ca.set('pacing_gain', UNIT);
      ca.set('lt_rtt_cnt', 0);
      return;
    }
    ca.set('lt_bw', bw);
    this.#startInterval(sock);
  }

  /** A rate and a gain as bytes a second, one per cent less. */
  bytesPerSecond(sock: TcpSock, bw: number, gain: number): number {
    const scaled = Math.floor((bw * sock.get('mss_cache') * gain) / UNIT);
    // In two parts, so that no product passes 2⁵³.
    const low = scaled % BW_UNIT;
    return ((scaled - low) / BW_UNIT) * MARGIN_PER_SECOND + Math.floor((low * MARGIN_PER_SECOND) / BW_UNIT);
  }

  /** Packets that fill the path, times a gain. */
  bdp(bw: number, gain: number): number {
    const rtt = this.ca.get('min_rtt_us');
    if (rtt === NO_RTT) return INIT_CWND;
    return Math.ceil(Math.floor((bw * rtt * gain) / UNIT) / BW_UNIT);
  }

  minTsoSegs(sock: TcpSock): number {
    return sock.get('sk_pacing_rate') < MIN_TSO_RATE ? 1 : 2;
  }

  #tsoGoal(sock: TcpSock): number {
    const bytes = Math.min(Math.floor(sock.get('sk_pacing_rate') / 2 ** sock.get('sk_pacing_shift')), GSO_MAX);
    return Math.min(Math.max(Math.floor(bytes / sock.get('mss_cache')), this.minTsoSegs(sock)), 127);
  }

  /** Room for what the ends hold back: three large segments, an even number, and a little more while probing. */
  quantized(sock: TcpSock, cwnd: number): number {
    const even = ((cwnd + 3 * this.#tsoGoal(sock) + 1) >>> 1) * 2;
    return this.ca.get('mode') === MODE.PROBE_BW && this.ca.get('cycle_idx') === 0 ? even + 2 : even;
  }

  inFlight(sock: TcpSock, bw: number, gain: number): number {
    return this.quantized(sock, this.bdp(bw, gain));
  }

  /** Packets in the network when the next one may leave, by the pacing rate. */
  inNetworkAtDeparture(sock: TcpSock, now: number): number {
    const waitUs = Math.floor(Math.max(0, sock.get('tcp_wstamp_ns') - sock.get('tcp_clock_cache')) / 1000);
    const delivered = Math.floor((this.bandwidth() * waitUs) / BW_UNIT);
    const then = this.ca.get('pacing_gain') > UNIT ? now + this.#tsoGoal(sock) : now;
    return Math.max(0, then - delivered);
  }

  /** The two halves of the window in which ACKs that came in heaps are remembered. */
  #extra(index: number): number {
    return this.#kernel.memory.u16(this.ca.at('extra_acked') + 2 * index);
  }

  #setExtra(index: number, packets: number): void {
    const { memory } = this.#kernel;
    memory.view.setUint16(memory.offset(this.ca.at('extra_acked') + 2 * index, 2), packets, true);
  }

  aggregationCwnd(): number {
    if (this.ca.get('full_bw_reached') === 0) return 0;
    const most = Math.floor((this.bandwidth() * EXTRA_MAX_US) / BW_UNIT);
    return Math.min(Math.max(this.#extra(0), this.#extra(1)), most);
  }

  updateAggregation(sock: TcpSock, rs: RateSample): void {
    const { ca } = this;
    if (rs.ackedSacked <= 0 || rs.delivered < 0 || rs.intervalUs <= 0) return;
    if (ca.get('round_start') === 1) {
      ca.set('extra_acked_win_rtts', Math.min(31, ca.get('extra_acked_win_rtts') + 1));
      if (ca.get('extra_acked_win_rtts') >= EXTRA_ROUNDS) {
        ca.set('extra_acked_win_rtts', 0);
        ca.set('extra_acked_win_idx', 1 - ca.get('extra_acked_win_idx'));
        this.#setExtra(ca.get('extra_acked_win_idx'), 0);
      }
    }
    const passed = Math.max(0, sock.get('delivered_mstamp') - ca.get('ack_epoch_mstamp'));
    let expected = Math.floor((this.bandwidth() * passed) / BW_UNIT);
    if (ca.get('ack_epoch_acked') <= expected || ca.get('ack_epoch_acked') + rs.ackedSacked >= EPOCH_MAX) {
      ca.set('ack_epoch_acked', 0);
      ca.set('ack_epoch_mstamp', sock.get('delivered_mstamp'));
      expected = 0;
    }
    ca.set('ack_epoch_acked', Math.min(0xfffff, ca.get('ack_epoch_acked') + rs.ackedSacked));
    const extra = Math.min(ca.get('ack_epoch_acked') - expected, sock.get('snd_cwnd'));
    const index = ca.get('extra_acked_win_idx');
    if (extra > this.#extra(index)) this.#setExtra(index, extra);
  }
}
