/** Nanoseconds of a tick of CoDel's clock. */
const TICK = 1024;
/** Backlogs up to one packet of Ethernet (psched_mtu) are left alone. */
const MTU = 1514;
/** Bits of the reciprocal square root that are kept. */
const INV_SQRT_ONES = 0xffff;

/** Times in nanoseconds; with `ecn`, packets that may be marked are marked and not dropped. */
export interface CodelParams {
  targetNs: number;
  intervalNs: number;
  ecn: boolean;
}

/** The queue that is controlled: packets from its front, and when the last one taken had come (nanoseconds). */
export interface CodelQueue<P> {
  shift(): P | undefined;
  readonly shiftedSince: number;
  /** Bytes that wait: what is compared with one packet's length. */
  backlog(): number;
}

/** What becomes of a packet that is not simply sent. */
export interface Fate<P> {
  drop(packet: P): void;
  /** Marks the packet if it may be marked, and says whether it did. */
  mark(packet: P): boolean;
}

/**
 * Controlled delay of one queue: RFC 8289 with the integer arithmetic of include/net/codel_impl.h (6.18), so that drops
 * fall on the kernel's packets.
 */
export class Codel<P> {
  readonly #target: number;
  readonly #interval: number;
  readonly #ecn: boolean;
  readonly #fate: Fate<P>;
  #firstAbove = 0;
  #dropping = false;
  #dropNext = 0;
  #count = 0;
  #lastCount = 0;
  #invSqrt = 0;

  constructor({ targetNs, intervalNs, ecn }: CodelParams, fate: Fate<P>) {
    this.#target = Math.floor(targetNs / TICK);
    this.#interval = Math.floor(intervalNs / TICK);
    this.#ecn = ecn;
    this.#fate = fate;
  }

  /** Packets were dropped elsewhere because the queue was too long: the signal gets stronger (fq_codel_drop). */
  strengthen(by: number): void {
    this.#count = (this.#count + by) >>> 0;
  }

  /** codel_dequeue: the next packet that may leave at `nowNs`; undefined if none is left. */
  dequeue(queue: CodelQueue<P>, nowNs: number): P | undefined {
    let packet = queue.shift();
    if (packet === undefined) {
      this.#firstAbove = 0;
      this.#dropping = false;
      return undefined;
    }
    const now = Math.floor(nowNs / TICK) | 0;
    const late = this.#shouldDrop(packet, queue, now);
    if (!this.#dropping) return late ? this.#begin(packet, queue, now) : packet;
    if (!late) this.#dropping = false;
    while (this.#dropping && ((now - this.#dropNext) | 0) >= 0) {
      this.#count = (this.#count + 1) >>> 0;
      this.#newtonStep();
      if (this.#ecn && this.#fate.mark(packet!)) {
        this.#dropNext = this.#law(this.#dropNext);
        return packet;
      }
      this.#fate.drop(packet!);
      packet = queue.shift();
      if (this.#shouldDrop(packet, queue, now)) this.#dropNext = this.#law(this.#dropNext);
      else this.#dropping = false;
    }
    return packet;
  }

  /** The first drop of a dropping state. */
  #begin(first: P, queue: CodelQueue<P>, now: number): P | undefined {
    let packet: P | undefined = first;
    if (!this.#ecn || !this.#fate.mark(first)) {
      this.#fate.drop(first);
      packet = queue.shift();
      this.#shouldDrop(packet, queue, now);
    }
    this.#dropping = true;
    // Back soon: begin at the rate that worked.
    const delta = (this.#count - this.#lastCount) >>> 0;
    if (delta > 1 && ((now - this.#dropNext - 16 * this.#interval) | 0) < 0) {
      this.#count = delta;
      this.#newtonStep();
    } else {
      this.#count = 1;
      this.#invSqrt = INV_SQRT_ONES;
    }
    this.#lastCount = this.#count;
    this.#dropNext = this.#law(now);
    return packet;
  }

  #shouldDrop(packet: P | undefined, queue: CodelQueue<P>, now: number): boolean {
    const delay = (now - Math.floor(queue.shiftedSince / TICK)) | 0;
    if (packet === undefined || delay < this.#target || queue.backlog() <= MTU) {
      this.#firstAbove = 0;
      return false;
    }
    if (this.#firstAbove === 0) {
      this.#firstAbove = (now + this.#interval) | 0;
      return false;
    }
    return ((now - this.#firstAbove) | 0) > 0;
  }

  /** One Newton step towards 1/√count, in 32-bit fixed point with 16 bits kept (codel_Newton_step). */
  #newtonStep(): void {
    const inverse = BigInt(this.#invSqrt) << 16n;
    const squared = (inverse * inverse) >> 32n;
    const value = BigInt.asUintN(64, (3n << 32n) - BigInt(this.#count) * squared) >> 2n;
    this.#invSqrt = Number((BigInt.asUintN(64, value * inverse) >> 31n) >> 16n) & INV_SQRT_ONES;
  }

  /** interval/√count after `from` (codel_control_law). */
  #law(from: number): number {
    return (from + Math.floor((this.#interval * this.#invSqrt) / 0x1_0000)) | 0;
  }
}
