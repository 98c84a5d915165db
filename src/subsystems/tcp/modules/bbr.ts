import type { Kernel } from '../../../kernel/index.ts';
import type { GuestPtr } from '../../../machine/index.ts';
import { HZ } from '../../../target/index.ts';
import { after, CA, CA_EVENT, TCP_INFINITE_SSTHRESH, type TcpSock } from '../sock.ts';
import { MODE, PathModel, UNIT } from './bbr_path.ts';
import { jiffies32, readMember } from './private.ts';

/** 2/ln 2, and its inverse: doubles the rate each round, and drains what that queued. */
const HIGH_GAIN = Math.floor((UNIT * 2885) / 1000) + 1;
const DRAIN_GAIN = Math.floor((UNIT * 1000) / 2885);
const CWND_GAIN = 2 * UNIT;
/** The gains of a cycle of eight phases: probe, drain, cruise. */
const CYCLE = [(UNIT * 5) / 4, (UNIT * 3) / 4, UNIT, UNIT, UNIT, UNIT, UNIT, UNIT];
const CYCLE_RANDOM = 7;
const FULL_BW_THRESHOLD = (UNIT * 5) / 4;
const FULL_BW_ROUNDS = 3;
const CWND_MIN = 4;
const INIT_CWND = 10;
const MIN_RTT_WINDOW = 10;
const PROBE_RTT_TICKS = Math.ceil((200 * HZ) / 1000);
const PACING_NEEDED = 1;

/** What a `struct rate_sample` says. */
export interface RateSample {
  priorDelivered: number;
  delivered: number;
  intervalUs: number;
  rttUs: number;
  losses: number;
  ackedSacked: number;
  priorInFlight: number;
  appLimited: boolean;
  ackDelayed: boolean;
}

/** BBR version 1 as the kernel has it: net/ipv4/tcp_bbr.c (6.18). Products are exact below 2⁵³, which 10 Gbit/s over 1 s are. */
export class Bbr {
  readonly #kernel: Kernel;
  readonly #path: PathModel;
  /** Which argument of cong_control is the sample: before 6.10 there was nothing between it and the socket. */
  readonly sampleArgument: number;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    this.#path = new PathModel(kernel);
    const { btf } = kernel;
    const pointer = btf.resolve(kernel.field('tcp_congestion_ops', 'cong_control').type);
    const proto = pointer.kind === 'ptr' ? btf.resolve(pointer.type) : pointer;
    this.sampleArgument = proto.kind === 'func_proto' ? proto.params.length - 1 : 3;
  }

  init(sock: TcpSock): void {
    const { ca } = this.#path.of(sock);
    const now = jiffies32(this.#kernel);
    sock.set('snd_ssthresh', TCP_INFINITE_SSTHRESH);
    for (const field of [
      'prior_cwnd',
      'rtt_cnt',
      'prev_ca_state',
      'packet_conservation',
      'probe_rtt_done_stamp',
      'probe_rtt_round_done',
      'has_seen_rtt',
      'round_start',
      'idle_restart',
      'full_bw_reached',
      'full_bw',
      'full_bw_cnt',
      'cycle_mstamp',
      'cycle_idx',
      'ack_epoch_acked',
      'extra_acked_win_rtts',
      'extra_acked_win_idx',
    ] as const)
      ca.set(field, 0);
    ca.set('next_rtt_delivered', sock.get('delivered'));
    this.#kernel.memory.setU32(ca.at('extra_acked'), 0);
    ca.set('min_rtt_us', this.#kernel.memory.u32(sock.pointer + this.#kernel.field('tcp_sock', 'rtt_min').offset + 4));
    ca.set('min_rtt_stamp', now);
    this.#path.resetBandwidth();
    this.#paceByRtt(sock);
    this.#path.resetLongTerm(sock);
    ca.set('mode', MODE.STARTUP);
    ca.set('ack_epoch_mstamp', sock.get('tcp_mstamp'));
    if (sock.get('sk_pacing_status') === 0) sock.set('sk_pacing_status', PACING_NEEDED);
  }

  /** The initial window in a round trip, times the high gain. */
  #paceByRtt(sock: TcpSock): void {
    const { ca } = this.#path;
    const srtt = sock.get('srtt_us');
    if (srtt > 0) ca.set('has_seen_rtt', 1);
    const rttUs = srtt > 0 ? Math.max(srtt >>> 3, 1) : 1000;
    const bw = Math.floor((sock.get('snd_cwnd') * 2 ** 24) / rttUs);
    sock.set('sk_pacing_rate', this.#pacingRate(sock, bw, HIGH_GAIN));
  }

  #pacingRate(sock: TcpSock, bw: number, gain: number): number {
    return Math.min(this.#path.bytesPerSecond(sock, bw, gain), sock.get('sk_max_pacing_rate'));
  }

  #setPacingRate(sock: TcpSock, bw: number, gain: number): void {
    const { ca } = this.#path;
    const rate = this.#pacingRate(sock, bw, gain);
    if (ca.get('has_seen_rtt') === 0 && sock.get('srtt_us') > 0) this.#paceByRtt(sock);
    if (ca.get('full_bw_reached') === 1 || rate > sock.get('sk_pacing_rate')) sock.set('sk_pacing_rate', rate);
  }

  main(sock: TcpSock, sample: GuestPtr): void {
    const rs = this.#read(sample);
    const path = this.#path.of(sock);
    const { ca } = path;
    path.updateBandwidth(sock, rs, () => this.#restartCycle(sock));
    path.updateAggregation(sock, rs);
    if (ca.get('mode') === MODE.PROBE_BW && this.#phaseIsOver(sock, rs)) this.#nextPhase(sock);
    this.#checkFullPipe(rs);
    this.#checkDrained(sock);
    this.#updateMinRtt(sock, rs);
    this.#updateGains();
    const bw = path.bandwidth();
    this.#setPacingRate(sock, bw, ca.get('pacing_gain'));
    this.#setCwnd(sock, rs, bw, ca.get('cwnd_gain'));
  }

  #read(sample: GuestPtr): RateSample {
    const of = (name: string) => readMember(this.#kernel, sample, 'rate_sample', name);
    return {
      priorDelivered: of('prior_delivered'),
      delivered: of('delivered'),
      intervalUs: of('interval_us'),
      rttUs: of('rtt_us'),
      losses: of('losses'),
      ackedSacked: of('acked_sacked'),
      priorInFlight: of('prior_in_flight'),
      appLimited: of('is_app_limited') !== 0,
      ackDelayed: of('is_ack_delayed') !== 0,
    };
  }

  #phaseIsOver(sock: TcpSock, rs: RateSample): boolean {
    const path = this.#path;
    const { ca } = path;
    const long = sock.get('delivered_mstamp') - ca.get('cycle_mstamp') > ca.get('min_rtt_us');
    const gain = ca.get('pacing_gain');
    if (gain === UNIT) return long;
    const inFlight = path.inNetworkAtDeparture(sock, rs.priorInFlight);
    if (gain > UNIT) return long && (rs.losses !== 0 || inFlight >= path.inFlight(sock, path.maxBandwidth(), gain));
    return long || inFlight <= path.inFlight(sock, path.maxBandwidth(), UNIT);
  }

  #nextPhase(sock: TcpSock): void {
    const { ca } = this.#path;
    ca.set('cycle_idx', (ca.get('cycle_idx') + 1) & (CYCLE.length - 1));
    ca.set('cycle_mstamp', sock.get('delivered_mstamp'));
  }

  /** PROBE_BW from a random phase on, never the one that drains. */
  #restartCycle(sock: TcpSock): void {
    const { ca } = this.#path;
    ca.set('mode', MODE.PROBE_BW);
    ca.set('cycle_idx', CYCLE.length - 1 - this.#kernel.random.below(CYCLE_RANDOM));
    this.#nextPhase(sock);
  }

  #checkFullPipe(rs: RateSample): void {
    const { ca } = this.#path;
    if (ca.get('full_bw_reached') === 1 || ca.get('round_start') === 0 || rs.appLimited) return;
    const bw = this.#path.maxBandwidth();
    if (bw >= Math.floor((ca.get('full_bw') * FULL_BW_THRESHOLD) / UNIT)) {
      ca.set('full_bw', bw);
      ca.set('full_bw_cnt', 0);
      return;
    }
    ca.add('full_bw_cnt', 1);
    ca.set('full_bw_reached', ca.get('full_bw_cnt') >= FULL_BW_ROUNDS ? 1 : 0);
  }

  #checkDrained(sock: TcpSock): void {
    const path = this.#path;
    const { ca } = path;
    const wanted = () => path.inFlight(sock, path.maxBandwidth(), UNIT);
    if (ca.get('mode') === MODE.STARTUP && ca.get('full_bw_reached') === 1) {
      ca.set('mode', MODE.DRAIN);
      sock.set('snd_ssthresh', wanted());
    }
    if (ca.get('mode') === MODE.DRAIN && path.inNetworkAtDeparture(sock, sock.inFlight()) <= wanted())
      this.#restartCycle(sock);
  }

  #updateMinRtt(sock: TcpSock, rs: RateSample): void {
    const { ca } = this.#path;
    const now = jiffies32(this.#kernel);
    const expired = after(now, ca.get('min_rtt_stamp') + MIN_RTT_WINDOW * HZ);
    if (rs.rttUs >= 0 && (rs.rttUs < ca.get('min_rtt_us') || (expired && !rs.ackDelayed))) {
      ca.set('min_rtt_us', rs.rttUs);
      ca.set('min_rtt_stamp', now);
    }
    if (expired && ca.get('idle_restart') === 0 && ca.get('mode') !== MODE.PROBE_RTT) {
      ca.set('mode', MODE.PROBE_RTT);
      this.#saveCwnd(sock);
      ca.set('probe_rtt_done_stamp', 0);
    }
    if (ca.get('mode') === MODE.PROBE_RTT) this.#probeRtt(sock, now);
    if (rs.delivered > 0) ca.set('idle_restart', 0);
  }

  /** At most four packets for 200 ms and a round: what is measured then is the path alone. */
  #probeRtt(sock: TcpSock, now: number): void {
    const { ca } = this.#path;
    sock.set('app_limited', sock.get('delivered') + sock.inFlight() || 1);
    if (ca.get('probe_rtt_done_stamp') === 0) {
      if (sock.inFlight() > CWND_MIN) return;
      ca.set('probe_rtt_done_stamp', now + PROBE_RTT_TICKS);
      ca.set('probe_rtt_round_done', 0);
      ca.set('next_rtt_delivered', sock.get('delivered'));
      return;
    }
    if (ca.get('round_start') === 1) ca.set('probe_rtt_round_done', 1);
    if (ca.get('probe_rtt_round_done') === 1) this.#checkProbeRttDone(sock);
  }

  #checkProbeRttDone(sock: TcpSock): void {
    const { ca } = this.#path;
    const now = jiffies32(this.#kernel);
    const done = ca.get('probe_rtt_done_stamp');
    if (done === 0 || !after(now, done)) return;
    ca.set('min_rtt_stamp', now);
    sock.set('snd_cwnd', Math.max(sock.get('snd_cwnd'), ca.get('prior_cwnd')));
    if (ca.get('full_bw_reached') === 1) this.#restartCycle(sock);
    else ca.set('mode', MODE.STARTUP);
  }

  #updateGains(): void {
    const { ca } = this.#path;
    const mode = ca.get('mode');
    const cruise = ca.get('lt_use_bw') === 1 ? UNIT : CYCLE[ca.get('cycle_idx')]!;
    ca.set('pacing_gain', { 0: HIGH_GAIN, 1: DRAIN_GAIN, 2: cruise }[mode] ?? UNIT);
    ca.set('cwnd_gain', { 0: HIGH_GAIN, 1: HIGH_GAIN, 2: CWND_GAIN }[mode] ?? UNIT);
  }

  #setCwnd(sock: TcpSock, rs: RateSample, bw: number, gain: number): void {
    const path = this.#path;
    const { ca } = path;
    let cwnd = sock.get('snd_cwnd');
    if (rs.ackedSacked !== 0) {
      const { window, conserves } = this.#inRecovery(sock, rs, cwnd);
      cwnd = window;
      if (!conserves) {
        const target = path.quantized(sock, path.bdp(bw, gain) + path.aggregationCwnd());
        if (ca.get('full_bw_reached') === 1) cwnd = Math.min(cwnd + rs.ackedSacked, target);
        else if (cwnd < target || sock.get('delivered') < INIT_CWND) cwnd += rs.ackedSacked;
        cwnd = Math.max(cwnd, CWND_MIN);
      }
    }
    cwnd = Math.min(cwnd, sock.get('snd_cwnd_clamp'));
    sock.set('snd_cwnd', ca.get('mode') === MODE.PROBE_RTT ? Math.min(cwnd, CWND_MIN) : cwnd);
  }

  /** In the first round of a recovery a packet goes for each that is acked; afterwards the window is as it was. */
  #inRecovery(sock: TcpSock, rs: RateSample, before: number): { window: number; conserves: boolean } {
    const { ca } = this.#path;
    const was = ca.get('prev_ca_state');
    const is = sock.get('icsk_ca_state');
    let window = rs.losses > 0 ? Math.max(before - rs.losses, 1) : before;
    if (is === CA.Recovery && was !== CA.Recovery) {
      ca.set('packet_conservation', 1);
      ca.set('next_rtt_delivered', sock.get('delivered'));
      window = sock.inFlight() + rs.ackedSacked;
    } else if (was >= CA.Recovery && is < CA.Recovery) {
      window = Math.max(window, ca.get('prior_cwnd'));
      ca.set('packet_conservation', 0);
    }
    ca.set('prev_ca_state', is);
    const conserves = ca.get('packet_conservation') === 1;
    return { window: conserves ? Math.max(window, sock.inFlight() + rs.ackedSacked) : window, conserves };
  }

  #saveCwnd(sock: TcpSock): void {
    const { ca } = this.#path;
    const cwnd = sock.get('snd_cwnd');
    const good = ca.get('prev_ca_state') < CA.Recovery && ca.get('mode') !== MODE.PROBE_RTT;
    ca.set('prior_cwnd', good ? cwnd : Math.max(ca.get('prior_cwnd'), cwnd));
  }

  ssthresh(sock: TcpSock): number {
    this.#path.of(sock);
    this.#saveCwnd(sock);
    return sock.get('snd_ssthresh');
  }

  cwndEvent(sock: TcpSock, event: number): void {
    if (event !== CA_EVENT.TX_START || sock.get('app_limited') === 0) return;
    const { ca } = this.#path.of(sock);
    ca.set('idle_restart', 1);
    ca.set('ack_epoch_mstamp', sock.get('tcp_mstamp'));
    ca.set('ack_epoch_acked', 0);
    if (ca.get('mode') === MODE.PROBE_BW) this.#setPacingRate(sock, this.#path.bandwidth(), UNIT);
    else if (ca.get('mode') === MODE.PROBE_RTT) this.#checkProbeRttDone(sock);
  }

  undoCwnd(sock: TcpSock): number {
    const { ca } = this.#path.of(sock);
    ca.set('full_bw', 0);
    ca.set('full_bw_cnt', 0);
    this.#path.resetLongTerm(sock);
    return sock.get('snd_cwnd');
  }

  minTsoSegs(sock: TcpSock): number {
    return this.#path.minTsoSegs(sock);
  }

  setState(sock: TcpSock, state: number): void {
    if (state !== CA.Loss) return;
    const path = this.#path.of(sock);
    path.ca.set('prev_ca_state', CA.Loss);
    path.ca.set('full_bw', 0);
    path.ca.set('round_start', 1);
    path.sampleLongTerm(sock, { losses: 1, appLimited: false }, () => this.#restartCycle(sock));
  }
}
