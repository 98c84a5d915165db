import type { Kernel } from '../../../kernel/index.ts';
import type { GuestPtr } from '../../../machine/index.ts';
import { HZ } from '../../../target/index.ts';
import { after, CA, CA_EVENT, type TcpSock, tcpCongAvoidAi, tcpSlowStart } from '../sock.ts';
import { jiffies32, Private, readMember } from './private.ts';

/** β = 717/1024. */
const BETA = 717;
const SCALE = 1024;
/** Reno's share: 8·(1024 + β)/3/(1024 − β), in whole numbers. */
const FRIENDLY_SCALE = Math.floor(Math.floor((8 * (SCALE + BETA)) / 3) / (SCALE - BETA));
/** c/rtt for the RTT of 100 ms that the window's curve is made for, times 1024. */
const CUBE_SCALE = 410;
/** 2⁴⁰ over it. */
const CUBE_FACTOR = Math.floor(2 ** 40 / CUBE_SCALE);
const HYSTART_LOW_WINDOW = 16;
const HYSTART_MIN_SAMPLES = 8;
const HYSTART_ACK_DELTA_US = 2000;
const HYSTART_DELAY_MIN = 4000;
const HYSTART_DELAY_MAX = 16_000;
/** Cube roots of the leading bits, before the Newton step. */
const ROOTS = [
  0, 54, 54, 54, 118, 118, 118, 118, 123, 129, 134, 138, 143, 147, 151, 156, 157, 161, 164, 168, 170, 173, 176, 179,
  181, 185, 187, 190, 192, 194, 197, 199, 200, 202, 204, 206, 209, 211, 213, 215, 217, 219, 221, 222, 224, 225, 227,
  229, 231, 232, 234, 236, 237, 239, 240, 242, 244, 245, 246, 248, 250, 251, 252, 254,
];

type Field =
  | 'cnt'
  | 'last_max_cwnd'
  | 'last_cwnd'
  | 'last_time'
  | 'bic_origin_point'
  | 'bic_K'
  | 'delay_min'
  | 'epoch_start'
  | 'ack_cnt'
  | 'tcp_cwnd'
  | 'unused'
  | 'sample_cnt'
  | 'found'
  | 'round_start'
  | 'end_seq'
  | 'last_ack'
  | 'curr_rtt';

/** CUBIC with HyStart as the kernel has it: net/ipv4/tcp_cubic.c (6.18) with its default parameters. */
export class Cubic {
  readonly #kernel: Kernel;
  readonly #ca: Private<Field>;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    this.#ca = new Private(kernel, 'bictcp');
  }

  init(sock: TcpSock): void {
    this.#reset(sock);
    this.#startRound(sock);
  }

  #reset(sock: TcpSock): void {
    const ca = this.#ca.of(sock);
    ca.clearTo('unused');
    ca.set('found', 0);
  }

  #startRound(sock: TcpSock): void {
    const ca = this.#ca.of(sock);
    const now = sock.get('tcp_mstamp');
    ca.set('round_start', now % 0x1_0000_0000);
    ca.set('last_ack', now % 0x1_0000_0000);
    ca.set('end_seq', sock.get('snd_nxt'));
    ca.set('curr_rtt', 0xffffffff);
    ca.set('sample_cnt', 0);
  }

  setState(sock: TcpSock, state: number): void {
    if (state === CA.Loss) this.init(sock);
  }

  /** After idle time the curve goes on where it was. */
  cwndEvent(sock: TcpSock, event: number): void {
    if (event !== CA_EVENT.TX_START) return;
    const ca = this.#ca.of(sock);
    const now = jiffies32(this.#kernel);
    const idle = (now - sock.get('lsndtime')) | 0;
    const epoch = ca.get('epoch_start');
    if (epoch !== 0 && idle > 0) ca.set('epoch_start', after(epoch + idle, now) ? now : epoch + idle);
  }

  ssthresh(sock: TcpSock): number {
    const ca = this.#ca.of(sock);
    const cwnd = sock.get('snd_cwnd');
    ca.set('epoch_start', 0);
    const shrinks = cwnd < ca.get('last_max_cwnd');
    ca.set('last_max_cwnd', shrinks ? Math.floor((cwnd * (SCALE + BETA)) / (2 * SCALE)) : cwnd);
    return Math.max(Math.floor((cwnd * BETA) / SCALE), 2);
  }

  congAvoid(sock: TcpSock, acked: number): void {
    if (!sock.isCwndLimited()) return;
    let left = acked;
    if (sock.inSlowStart()) {
      left = tcpSlowStart(sock, acked);
      if (left === 0) return;
    }
    this.#update(sock, left);
    tcpCongAvoidAi(sock, this.#ca.get('cnt'), left);
  }

  /** How many ACKs the window grows by one packet for: `cnt`. */
  #update(sock: TcpSock, acked: number): void {
    const ca = this.#ca.of(sock);
    const cwnd = sock.get('snd_cwnd');
    const now = jiffies32(this.#kernel);
    ca.add('ack_cnt', acked);
    if (ca.get('last_cwnd') === cwnd && ((now - ca.get('last_time')) | 0) <= Math.floor(HZ / 32)) return;
    // The curve is looked at once a tick.
    if (ca.get('epoch_start') === 0 || now !== ca.get('last_time')) this.#followCurve(cwnd, now, acked);
    this.#beFriendly(cwnd);
    ca.set('cnt', Math.max(ca.get('cnt'), 2));
  }

  #followCurve(cwnd: number, now: number, acked: number): void {
    const ca = this.#ca;
    ca.set('last_cwnd', cwnd);
    ca.set('last_time', now);
    if (ca.get('epoch_start') === 0) {
      const below = ca.get('last_max_cwnd') - cwnd;
      ca.set('epoch_start', now);
      ca.set('ack_cnt', acked);
      ca.set('tcp_cwnd', cwnd);
      ca.set('bic_K', below <= 0 ? 0 : cubicRoot(CUBE_FACTOR * below));
      ca.set('bic_origin_point', below <= 0 ? cwnd : ca.get('last_max_cwnd'));
    }
    const ticks = ((now - ca.get('epoch_start')) | 0) + usecsToJiffies(ca.get('delay_min'));
    const t = Math.floor((Math.max(0, ticks) * SCALE) / HZ);
    const k = ca.get('bic_K');
    const off = BigInt(Math.abs(t - k));
    const delta = Number(BigInt.asUintN(64, BigInt(CUBE_SCALE) * off * off * off) >> 40n);
    const target = (ca.get('bic_origin_point') + (t < k ? -delta : delta)) >>> 0;
    let count = target > cwnd ? Math.floor(cwnd / (target - cwnd)) : 100 * cwnd;
    if (ca.get('last_max_cwnd') === 0 && count > 20) count = 20;
    ca.set('cnt', count);
  }

  /** Not slower than Reno would be. */
  #beFriendly(cwnd: number): void {
    const ca = this.#ca;
    const step = Math.floor((cwnd * FRIENDLY_SCALE) / 8);
    const acks = ca.get('ack_cnt');
    if (step > 0 && acks > step) {
      const grown = Math.ceil(acks / step) - 1;
      ca.set('ack_cnt', acks - grown * step);
      ca.add('tcp_cwnd', grown);
    }
    const reno = ca.get('tcp_cwnd');
    if (reno > cwnd) ca.set('cnt', Math.min(ca.get('cnt'), Math.floor(cwnd / (reno - cwnd))));
  }

  pktsAcked(sock: TcpSock, sample: GuestPtr): void {
    const ca = this.#ca.of(sock);
    const rtt = readMember(this.#kernel, sample, 'ack_sample', 'rtt_us');
    const epoch = ca.get('epoch_start');
    // Delays right after a recovery say nothing.
    if (rtt < 0 || (epoch !== 0 && ((jiffies32(this.#kernel) - epoch) | 0) < HZ)) return;
    const delay = Math.max(1, rtt);
    const least = ca.get('delay_min');
    if (least === 0 || least > delay) ca.set('delay_min', delay);
    if (ca.get('found') === 0 && sock.inSlowStart()) this.#hystart(sock, delay);
  }

  /** Leaves slow start when a train of ACKs is as long as the path, or when delay grows. */
  #hystart(sock: TcpSock, delay: number): void {
    const ca = this.#ca;
    if (after(sock.get('snd_una'), ca.get('end_seq'))) this.#startRound(sock);
    const cwnd = sock.get('snd_cwnd');
    if (cwnd < HYSTART_LOW_WINDOW) return;
    const leave = () => {
      ca.set('found', 1);
      sock.set('snd_ssthresh', cwnd);
    };
    const now = sock.get('tcp_mstamp');
    if (((now - ca.get('last_ack')) | 0) <= HYSTART_ACK_DELTA_US) {
      ca.set('last_ack', now % 0x1_0000_0000);
      const threshold = ca.get('delay_min') + this.#ackDelay(sock);
      const most = sock.get('sk_pacing_status') === 0 ? threshold >>> 1 : threshold;
      if ((now - ca.get('round_start')) >>> 0 > most) leave();
    }
    ca.set('curr_rtt', Math.min(ca.get('curr_rtt'), delay));
    if (ca.get('sample_cnt') < HYSTART_MIN_SAMPLES) {
      ca.add('sample_cnt', 1);
      return;
    }
    const least = ca.get('delay_min');
    if (ca.get('curr_rtt') > least + Math.min(HYSTART_DELAY_MAX, Math.max(HYSTART_DELAY_MIN, least >>> 3))) leave();
  }

  /** What large segments add to a train, at most a millisecond. */
  #ackDelay(sock: TcpSock): number {
    const rate = sock.get('sk_pacing_rate');
    if (rate === 0) return 0;
    return Math.min(1000, Math.floor((readMember(this.#kernel, sock.pointer, 'sock', 'sk_gso_max_size') * 4e6) / rate));
  }
}

const usecsToJiffies = (us: number): number => Math.ceil((us * HZ) / 1e6);

/** Bits up to the highest one that is set. */
function bitLength(value: number): number {
  const high = Math.floor(value / 0x1_0000_0000);
  return high > 0 ? 64 - Math.clz32(high) : 32 - Math.clz32(value >>> 0);
}

/** The cube root by table and one Newton step, about 0.2 % off (cubic_root). */
export function cubicRoot(value: number): number {
  const bits = bitLength(value);
  if (bits < 7) return (ROOTS[value]! + 35) >> 6;
  const third = ((bits * 84) >> 8) - 1;
  const guess = ((ROOTS[Math.floor(value / 2 ** (third * 3))]! + 10) * 2 ** third) >>> 6;
  return Math.floor(((2 * guess + Math.floor(value / (guess * (guess - 1)))) * 341) / 1024);
}
