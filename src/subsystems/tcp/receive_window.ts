/** Memory of a receive buffer and what is advertised of it. */
export interface ReceiveMemory {
  /** Bytes that the buffer starts with, and may grow to (tcp_rmem[1], tcp_rmem[2]). */
  initial: number;
  most: number;
}

/** Bytes that the receive buffer starts with, and most that it grows to, unless told otherwise. */
export const RECEIVE_MEMORY: ReceiveMemory = { initial: 4 << 20, most: 32 << 20 };

/** Bits of the scaling ratio (TCP_RMEM_TO_WIN_SCALE), and its value before anything arrived. */
const RATIO_SHIFT = 8;
const RATIO_START = 128;
/** TCP_MSS_DEFAULT, TCP_MIN_MSS, and headers with timestamps. */
const MSS_DEFAULT = 536;
const MSS_MIN = 88;
const TCP_HEADER = 20;
const TCP_HEADER_LEN = 32;
/** Largest segment that the peer was told of, timestamps taken off (advmss). */
const ADVMSS = 1448;
const INITIAL_WINDOW = 10;

/**
 * The receive buffer of a socket: how much memory it may take, how much of that is offered as window, and how both grow
 * with what the application reads in a round trip. Sizes in bytes, times in microseconds. Mirrors tcp_grow_window,
 * tcp_rcv_space_adjust, tcp_rcvbuf_grow and __tcp_select_window of net/ipv4 (6.18); memory pressure, shrinking windows and
 * the pruning of a full buffer are left out.
 */
export class ReceiveWindow {
  readonly #most: number;
  readonly #scale: number;
  #rcvbuf: number;
  #ratio = RATIO_START;
  #clamp: number;
  /** rcv_ssthresh: the window goes no further. */
  #limit: number;
  /** Bytes of memory that wait to be read, or for a hole to be filled (sk_rmem_alloc). */
  #allocated = 0;
  /** Estimate of the peer's segment size (icsk_ack.rcv_mss), and the last size that fell short of it. */
  mss = MSS_DEFAULT;
  #lastSize = 0;
  /** What the application read in the last round trip (rcvq_space), and since when it is measured. */
  #space: number;
  #readFrom = 0;
  #since: number;
  /** Round trip as the receiver sees it, times eight; 0 before the first sample. */
  rttTimes8 = 0;
  #bytes = -1;
  #memory = 0;
  #windowFrom = -1;
  #windowTo = 0;
  /** Last advertised window, and the byte that it counts from (rcv_wnd, rcv_wup). */
  advertised: number;
  advertisedAt = 0;

  constructor({ initial, most }: ReceiveMemory, nowUs: number) {
    this.#rcvbuf = initial;
    this.#most = most;
    this.#scale = Math.min(14, Math.max(0, Math.floor(Math.log2(most)) - 15));
    this.#clamp = this.#windowOf(initial);
    const whole = this.#clamp;
    this.advertised = whole > ADVMSS ? whole - (whole % ADVMSS) : whole;
    this.#limit = this.advertised;
    this.#space = Math.min(this.#limit, INITIAL_WINDOW * ADVMSS);
    this.#since = nowUs;
  }

  /** tcp_win_from_space. */
  #windowOf(memory: number): number {
    return Math.floor((memory * this.#ratio) / (1 << RATIO_SHIFT));
  }

  get #free(): number {
    return this.#windowOf(Math.max(0, this.#rcvbuf - this.#allocated));
  }

  /** Memory of a segment, which mostly is as long as the one before. */
  memoryOf(bytes: number): number {
    if (bytes !== this.#bytes) {
      this.#bytes = bytes;
      this.#memory = segmentMemory(bytes);
    }
    return this.#memory;
  }

  /** A segment takes memory. */
  hold(memory: number): void {
    this.#allocated += memory;
  }

  release(memory: number): void {
    this.#allocated -= memory;
  }

  get empty(): boolean {
    return this.#allocated === 0;
  }

  /** tcp_measure_rcv_mss: true if the segment looks like the end of a write (ICSK_ACK_PUSHED). */
  measure(bytes: number, memory: number, push: boolean): boolean {
    const last = this.#lastSize;
    this.#lastSize = 0;
    if (bytes >= this.mss) {
      if (bytes !== this.mss) {
        const ratio = Math.max(1, Math.floor((bytes << RATIO_SHIFT) / memory)) & 0xff;
        if (ratio !== this.#ratio) {
          this.#ratio = ratio;
          this.#clamp = this.#windowOf(this.#rcvbuf);
          this.#space = Math.min(this.#space, this.#clamp);
        }
      }
      this.mss = Math.min(bytes, ADVMSS);
      return push;
    }
    const segment = bytes + TCP_HEADER_LEN;
    if (segment >= MSS_DEFAULT + TCP_HEADER || (segment >= MSS_MIN + TCP_HEADER && !push)) {
      this.#lastSize = bytes;
      if (bytes === last) {
        this.mss = bytes;
        return false;
      }
    }
    return true;
  }

  /** tcp_grow_window; whether the window may open. */
  grow(bytes: number, memory: number): boolean {
    const room = Math.min(this.#clamp, this.#free) - this.#limit;
    if (room <= 0) return false;
    const step = this.#windowOf(memory) <= bytes ? 2 * ADVMSS : this.#cautiousStep(bytes, memory);
    if (step === 0) return false;
    this.#limit += Math.min(room, Math.max(step, 2 * bytes));
    return true;
  }

  /** __tcp_grow_window: segments that waste memory open the window only while it is small. */
  #cautiousStep(bytes: number, memory: number): number {
    let cost = this.#windowOf(memory) >> 1;
    for (let window = this.#windowOf(this.#most) >> 1; this.#limit <= window; window >>= 1) {
      if (cost <= bytes) return 2 * this.mss;
      cost >>= 1;
    }
    return 0;
  }

  /** tcp_rcv_rtt_update; `least`: only a shorter time counts. */
  #sampleRtt(us: number, least: boolean, unread: boolean): void {
    const old = this.rttTimes8;
    if (old === 0 || us * 8 < old) this.rttTimes8 = us * 8;
    else if (!least && !unread) this.rttTimes8 = old - (old >>> 3) + us;
  }

  /** tcp_rcv_rtt_measure_ts: the peer echoed a timestamp of whole milliseconds. */
  sampleEcho(ms: number, unread: boolean): void {
    if (ms > 0) this.#sampleRtt(ms * 1000, false, unread);
  }

  /** tcp_rcv_rtt_measure: a whole window arrived. */
  sampleWindow(next: number, nowUs: number): void {
    if (this.#windowFrom >= 0) {
      if (next < this.#windowTo) return;
      this.#sampleRtt(Math.max(1, nowUs - this.#windowFrom), true, false);
    }
    this.#windowTo = next + this.advertised;
    this.#windowFrom = nowUs;
  }

  /**
   * tcp_rcv_space_adjust: the application has read up to `read`. `next`: end of what arrived in order; `beyond`: bytes from
   * there to the end of what arrived at all.
   */
  adjust(read: number, next: number, beyond: number, nowUs: number): void {
    if (this.rttTimes8 === 0 || nowUs - this.#since < this.rttTimes8 >>> 3) return;
    const copied = read - this.#readFrom - (next - read);
    if (copied > this.#space) this.#growBuffer(copied, beyond);
    this.#readFrom = read;
    this.#since = nowUs;
  }

  /** tcp_rcvbuf_grow: room for twice what was read in a round trip, and for a sender that doubles its rate. */
  #growBuffer(copied: number, beyond: number): void {
    const old = this.#space;
    this.#space = copied;
    let window = 2 * copied;
    window += Math.floor((2 * window * (copied - old)) / old) + beyond;
    const buffer = Math.min(Math.floor((window * (1 << RATIO_SHIFT)) / this.#ratio), this.#most);
    if (buffer <= this.#rcvbuf) return;
    this.#rcvbuf = buffer;
    this.#clamp = this.#windowOf(buffer);
  }

  /** __tcp_select_window: what may be offered; `crowded` is called if the buffer is half full. */
  select(crowded: () => void): number {
    let free = this.#free;
    const whole = this.#windowOf(this.#rcvbuf);
    const full = Math.min(this.#clamp, whole);
    const mss = Math.min(this.mss, full);
    if (free < full >> 1) {
      crowded();
      free -= free % (1 << this.#scale);
      if (free < whole >> 4 || free < mss) return 0;
    }
    const unit = 1 << this.#scale;
    return Math.ceil(Math.min(free, this.#limit) / unit) * unit;
  }

  /** tcp_select_window: the window of an acknowledgment up to `next`; what was offered is never taken back. */
  advertise(next: number, crowded: () => void): number {
    const unit = 1 << this.#scale;
    const current = Math.max(0, this.advertised - (next - this.advertisedAt));
    const window = this.select(crowded);
    this.advertised = window < current ? Math.ceil(current / unit) * unit : window;
    this.advertisedAt = next;
    return Math.min(this.advertised, 65535 * unit);
  }

  /** Window that is left (tcp_receive_window). */
  left(next: number): number {
    return Math.max(0, this.advertised - (next - this.advertisedAt));
  }

  get clamp(): number {
    return this.#clamp;
  }
}

/** sizeof(struct sk_buff), and struct skb_shared_info, each in whole cache lines. */
const SK_BUFF = 256;
const SHARED_INFO = 320;
/** Space in front of a packet (NET_SKB_PAD), and headers of IP and TCP. */
const PAD = 64;
const HEADERS = 52;
/** Objects of the cache for small heads (SKB_SMALL_HEAD_CACHE_SIZE). */
const SMALL_HEAD = 576;

/** Memory of a received segment in a buffer of its own, as tun allocates it: the next size of kmalloc (skb->truesize). */
export function segmentMemory(bytes: number): number {
  const head = ((bytes + HEADERS + PAD + 63) & ~63) + SHARED_INFO;
  if (head <= SMALL_HEAD) return SMALL_HEAD + SK_BUFF;
  return 2 ** (32 - Math.clz32(head - 1)) + SK_BUFF;
}
