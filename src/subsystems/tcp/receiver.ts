import type { Simulator, Timer } from '../../net/index.ts';
import { jiffiesAt, usToJiffies } from './jiffies.ts';
import { OutOfOrder } from './out_of_order.ts';
import type { AckPacket, DataPacket, ReceiverOptions } from './packets.types.ts';
import { RECEIVE_MEMORY, ReceiveWindow } from './receive_window.ts';
import type { ReceivingSocket } from './receiving_socket.ts';
import { WheelTimer } from './timers.ts';

/** Acknowledge each segment at the start (TCP_MAX_QUICKACKS), or for a while after a mark. */
const QUICK_ACKS = 16;
const QUICK_ACKS_ECN = 2;
/** TCP_ATO_MIN (TCP_DELACK_MIN is the same) and TCP_DELACK_MAX, in jiffies. */
const ATO_MIN = usToJiffies(40_000);
const DELACK_MAX = usToJiffies(200_000);
/** The timeout without any sample (TCP_TIMEOUT_INIT), and its least part beside the round trip, in jiffies. */
const RTO_INIT = usToJiffies(1_000_000);
const RTO_MIN_US = 200_000;
/** tcp_comp_sack_nr, tcp_comp_sack_delay_ns with tcp_comp_sack_slack_ns, and SACKs that are never held back. */
const COMPRESS_MOST = 44;
const COMPRESS_DELAY = 1e6;
const COMPRESS_SLACK = 100e3;
const DUP_THRESH = 3;
/** Blocks from which on a held SACK goes out before another one (TCP_SACK_BLOCKS_EXPECTED). */
const BLOCKS_EXPECTED = 2;
/** Bytes of one read. */
const READ = 65536;

/**
 * The receiving end: acknowledgments delayed, quick or compressed as Linux sends them, its window, and ECN echoes. The
 * application reads whatever is there at once. Mirrors tcp_data_queue, __tcp_ack_snd_check, tcp_send_delayed_ack and
 * tcp_cleanup_rbuf of net/ipv4 (6.18), for a socket that sends no data of its own.
 */
export class Receiver {
  readonly #simulator: Simulator;
  readonly #send: (ack: AckPacket) => void;
  /** Echo each packet's CE, as DCTCP wants it, instead of holding ECE until CWR. */
  readonly #exactEcn: boolean;
  readonly #most: number;
  readonly #window: ReceiveWindow;
  readonly #outOfOrder: OutOfOrder;
  readonly #socket: ReceivingSocket | undefined;
  #next = 0;
  /** Bytes that arrived in order, and how many of them were read (rcv_nxt, copied_seq). */
  #nextByte = 0;
  #readByte = 0;
  readonly #unread: { bytes: number; memory: number }[] = [];
  #dsack: AckPacket['dsack'];
  /** An acknowledgment is owed; at once; because a write ended; by the timer (icsk_ack.pending). */
  #owed = false;
  #now = false;
  #pushed = false;
  /** The timer of a delayed acknowledgment, and the jiffy that it is set for. */
  readonly #timer: WheelTimer;
  #due = 0;
  /** icsk_ack.quick, ato and lrcvtime; ato and times in jiffies. */
  #quick = 0;
  #ato = 0;
  #lastAt = 0;
  /** Round trip of the handshake, which the delay does not exceed, and the timeout after it, in jiffies. */
  #rtt = 0;
  #rto = RTO_INIT;
  #ece = false;
  #sawEcn = false;
  /** DCTCP: the mark of the segment before. */
  #mark = false;
  #markNext = 0;
  /** Echoed timestamp, and the segment that may replace it (ts_recent, rcv_wup). */
  #echo = 0;
  #ackedNext = 0;
  #lastEcho = -1;
  /** SACKs that are held back, since when, and how many were not. */
  #held = 0;
  #holdTimer: Timer | undefined;
  #holdNext = -1;
  #dupAcks = 0;
  /** Segments that arrived in all, and first-time ones. */
  received = 0;
  distinct = 0;
  /** Bytes of data that the application has got, in order. */
  deliveredBytes = 0;

  constructor(
    simulator: Simulator,
    exactEcn: boolean,
    send: (ack: AckPacket) => void,
    { memory = RECEIVE_MEMORY, timestamps = true, socket }: ReceiverOptions = {},
  ) {
    this.#simulator = simulator;
    this.#exactEcn = exactEcn;
    this.#send = send;
    this.#most = timestamps ? 3 : 4;
    this.#window = new ReceiveWindow(memory, simulator.now / 1000);
    this.#outOfOrder = new OutOfOrder();
    this.#timer = new WheelTimer(simulator, () => this.#onDelay());
    this.#socket = socket;
    socket?.onSendAck((next) => this.#onSendAck(next));
  }

  /** Segments that the application has got, in order. */
  get delivered(): number {
    return this.#next;
  }

  /** Window that the peer was told of when the connection began, bytes. */
  static initialWindow({ memory = RECEIVE_MEMORY }: ReceiverOptions = {}): number {
    return Math.min(65535, new ReceiveWindow(memory, 0).advertised);
  }

  /** A segment arrives: tcp_rcv_established. */
  receive(packet: DataPacket): void {
    this.received++;
    if (packet.cwr) {
      this.#ece = false;
      this.#now = true;
    }
    // The echo answers the oldest segment since the last acknowledgment (tcp_replace_ts_recent).
    if (packet.seq <= this.#ackedNext && packet.sentAt >= this.#echo) this.#echo = packet.sentAt;
    if (packet.echo !== this.#lastEcho) {
      this.#lastEcho = packet.echo;
      const ms = Math.floor(this.#simulator.now / 1e6) - Math.floor(packet.echo / 1e6);
      if (this.#rtt === 0) {
        this.#rtt = Math.max(ATO_MIN, usToJiffies(ms * 1000));
        this.#rto = usToJiffies(ms * 1000 + RTO_MIN_US);
      }
      if (packet.bytes >= this.#window.mss) this.#window.sampleEcho(ms, this.#readByte !== this.#nextByte);
    }
    this.#dsack = undefined;
    this.#socket?.arrive(packet.seq, Math.floor(this.#simulator.now / 1000));
    if (packet.seq === this.#next) this.#inOrder(packet);
    else if (packet.seq + 1 < this.#ackedNext) {
      // tcp_send_dupack
      this.#dsack = { start: packet.seq, end: packet.seq + 1, endByte: packet.endByte };
      this.#enterQuickAck(QUICK_ACKS);
      this.#acknowledge();
    } else if (packet.seq < this.#next) {
      this.#dsack = { start: packet.seq, end: packet.seq + 1, endByte: packet.endByte };
      this.#enterQuickAck(QUICK_ACKS);
      this.#owed = true;
    } else this.#beyond(packet);
    if (this.#owed) this.#check();
    this.#read();
  }

  /** tcp_data_queue for what comes next. */
  #inOrder(packet: DataPacket): void {
    const memory = this.#window.memoryOf(packet.bytes);
    this.distinct++;
    this.#take(packet.bytes, packet.fin, memory);
    if (packet.bytes > 0) this.#eventData(packet, memory);
    if (packet.fin) this.#now = this.#owed = true;
    if (this.#outOfOrder.empty) return;
    for (let segment = this.#outOfOrder.take(this.#next); segment !== undefined; ) {
      this.#take(segment.bytes, segment.fin, 0, segment.memory);
      segment = this.#outOfOrder.take(this.#next);
    }
    // RFC 5681, 4.2: a hole that is filled is told at once.
    if (this.#outOfOrder.empty) this.#now = true;
    this.#outOfOrder.forgetBelow(this.#next);
  }

  /** A segment joins what the application may read; `held`: memory that it holds already. */
  #take(bytes: number, fin: boolean, memory: number, held = memory): void {
    this.#next++;
    this.deliveredBytes += bytes;
    this.#nextByte += bytes + (fin ? 1 : 0);
    if (fin) this.#readByte += 1;
    this.#window.hold(memory);
    this.#unread.push({ bytes, memory: held });
  }

  /** tcp_event_data_recv. */
  #eventData(packet: DataPacket, memory: number): void {
    const jiffies = jiffiesAt(this.#simulator.now);
    this.#owed = true;
    if (this.#window.measure(packet.bytes, memory, packet.push)) this.#pushed = true;
    this.#window.sampleWindow(this.#nextByte, this.#simulator.now / 1000);
    if (this.#ato === 0) {
      this.#moreQuickAcks(QUICK_ACKS);
      this.#ato = ATO_MIN;
    } else {
      const gap = jiffies - this.#lastAt;
      if (gap <= ATO_MIN / 2) this.#ato = (this.#ato >> 1) + ATO_MIN / 2;
      else if (gap < this.#ato) this.#ato = Math.min((this.#ato >> 1) + gap, this.#rto);
      else if (gap > this.#rto) this.#moreQuickAcks(QUICK_ACKS);
    }
    this.#lastAt = jiffies;
    this.#checkEcn(packet);
    if (packet.bytes >= 128 && this.#window.grow(packet.bytes, memory)) this.#quick |= 1;
  }

  /** tcp_data_queue_ofo. */
  #beyond(packet: DataPacket): void {
    const memory = this.#window.memoryOf(packet.bytes);
    const range = { start: packet.seq, end: packet.seq + 1 };
    this.#checkEcn(packet);
    if (this.#window.measure(packet.bytes, memory, packet.push)) this.#pushed = true;
    this.#owed = true;
    const fresh = this.#outOfOrder.add(packet.seq, {
      bytes: packet.bytes,
      fin: packet.fin,
      memory,
    });
    if (!fresh) this.#dsack = { ...range, endByte: packet.endByte };
    // A block that may fall off the list is told of before it does.
    if (this.#outOfOrder.placeOf(range) >= BLOCKS_EXPECTED && this.#held > 0) this.#acknowledge();
    this.#outOfOrder.noteBlock(range);
    if (!fresh) return;
    this.distinct++;
    if (this.#window.grow(packet.bytes, memory)) this.#quick |= 1;
    this.#window.hold(memory);
  }

  /** tcp_data_ecn_check, and what DCTCP does on its events (dctcp_ece_ack_update). */
  #checkEcn(packet: DataPacket): void {
    if (!packet.ecnCapable) {
      if (this.#sawEcn) this.#enterQuickAck(QUICK_ACKS_ECN);
      return;
    }
    if (this.#socket !== undefined) this.#showMark(this.#socket, packet.ce);
    else if (this.#exactEcn) {
      if (packet.ce !== this.#mark) {
        // A change must not hide behind a delayed acknowledgment: what was owed goes out with the old mark.
        if (this.#timer.isSet) this.#put(this.#markNext, this.#mark);
        this.#now = true;
      }
      this.#markNext = this.#next;
      this.#mark = packet.ce;
      this.#ece = packet.ce;
    }
    if (packet.ce && !this.#ece) {
      this.#enterQuickAck(QUICK_ACKS_ECN);
      this.#ece = true;
    }
    this.#sawEcn = true;
  }

  /** The congestion control of this end sees a mark. */
  #showMark(socket: ReceivingSocket, ce: boolean): void {
    const state = {
      owed: this.#owed,
      timer: this.#timer.isSet,
      pushed: this.#pushed,
      now: this.#now,
      ece: this.#ece,
      sawEcn: this.#sawEcn,
    };
    socket.mark(ce, 1 + this.#nextByte, state);
    this.#now = state.now;
    this.#ece = state.ece;
    this.#markNext = this.#next;
  }

  /** bpf_tcp_send_ack: up to what had arrived before the last mark, or up to all. */
  #onSendAck(next: number): void {
    const all = next === (1 + this.#nextByte) >>> 0;
    const ece = this.#socket!.demandsCwr;
    if (all) this.#acknowledge(ece);
    else this.#put(this.#markNext, ece);
  }

  /** tcp_incr_quickack. */
  #moreQuickAcks(most: number): void {
    const fit = Math.floor(this.#window.advertised / (2 * this.#window.mss));
    this.#quick = Math.max(this.#quick, Math.min(fit === 0 ? 2 : fit, most));
  }

  #enterQuickAck(most: number): void {
    this.#moreQuickAcks(most);
    this.#ato = ATO_MIN;
  }

  readonly #crowded = (): void => {
    this.#quick = 0;
  };

  /** __tcp_ack_snd_check. */
  #check(): void {
    const { advertised, advertisedAt, mss } = this.#window;
    const twice = this.#nextByte - advertisedAt > mss;
    const moves = () => this.#nextByte <= this.#readByte || this.#window.select(this.#crowded) >= advertised;
    if ((twice && moves()) || this.#quick > 0 || this.#now) this.#acknowledge();
    else if (this.#outOfOrder.empty) this.#delay();
    else this.#compress();
  }

  /** SACKs of a burst are put together after the first three. */
  #compress(): void {
    if (this.#held >= COMPRESS_MOST) {
      this.#acknowledge();
      return;
    }
    if (this.#holdNext !== this.#next) {
      this.#holdNext = this.#next;
      this.#dupAcks = 0;
    }
    if (this.#dupAcks < DUP_THRESH) {
      this.#dupAcks++;
      this.#acknowledge();
      return;
    }
    this.#held++;
    if (this.#holdTimer !== undefined) return;
    // 5 % of the round trip.
    const delay = Math.min(COMPRESS_DELAY, (this.#window.rttTimes8 * 125) / 20);
    this.#holdTimer = this.#simulator.after(delay + COMPRESS_SLACK, () => {
      this.#holdTimer = undefined;
      if (this.#held > 0) this.#acknowledge();
    });
  }

  /** tcp_send_delayed_ack. */
  #delay(): void {
    const jiffies = jiffiesAt(this.#simulator.now);
    const ato = Math.min(this.#ato, Math.max(this.#rtt, ATO_MIN), DELACK_MAX);
    if (this.#timer.isSet && this.#due <= jiffies + (ato >> 2)) {
      this.#acknowledge();
      return;
    }
    this.#due = this.#timer.isSet ? Math.min(jiffies + ato, this.#due) : jiffies + ato;
    this.#timer.setFor(this.#due);
  }

  /** tcp_delack_timer_handler: the acknowledgment was missed, and the next one waits longer. */
  #onDelay(): void {
    if (!this.#owed) return;
    this.#ato = Math.min(this.#ato << 1, this.#rto, DELACK_MAX);
    this.#acknowledge();
  }

  /** The application reads all that is there, in pieces: tcp_recvmsg, tcp_cleanup_rbuf. */
  #read(): void {
    let copied = 0;
    for (const { bytes, memory } of this.#unread) {
      this.#readByte += bytes;
      copied += bytes;
      const beyond = this.#outOfOrder.reach(this.#next) * this.#window.mss;
      this.#window.adjust(this.#readByte, this.#nextByte, beyond, this.#simulator.now / 1000);
      this.#window.release(memory);
      if (copied < READ) continue;
      this.#cleanUp(copied);
      copied = 0;
    }
    this.#unread.length = 0;
    this.#cleanUp(copied);
  }

  #cleanUp(copied: number): void {
    const window = this.#window;
    const twice = this.#nextByte - window.advertisedAt > window.mss;
    if (this.#owed && (twice || (copied > 0 && this.#pushed && window.empty))) this.#acknowledge();
    else if (copied > 0) {
      const left = window.left(this.#nextByte);
      if (2 * left > window.clamp) return;
      const next = window.select(this.#crowded);
      if (next > 0 && next >= 2 * left) this.#acknowledge();
    }
  }

  /** tcp_send_ack. */
  #acknowledge(ece = this.#ece): void {
    if (this.#quick > 0 && this.#owed) {
      this.#quick--;
      if (this.#quick === 0) this.#ato = ATO_MIN;
    }
    this.#timer.clear();
    this.#owed = this.#now = this.#pushed = false;
    this.#put(this.#next, ece);
  }

  /** __tcp_transmit_skb of an acknowledgment. */
  #put(ack: number, ece: boolean): void {
    this.#held = 0;
    if (this.#holdTimer !== undefined) this.#holdTimer.cancelled = true;
    this.#holdTimer = undefined;
    const dsack = this.#dsack;
    this.#dsack = undefined;
    this.#ackedNext = this.#next;
    this.#send({
      ack,
      sacks: this.#outOfOrder.blocks(dsack === undefined ? this.#most : this.#most - 1),
      dsack,
      ece,
      window: this.#window.advertise(this.#nextByte, this.#crowded),
      sentAt: this.#simulator.now,
      echo: this.#echo,
    });
  }
}
