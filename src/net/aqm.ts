import type { Random } from '../base/index.ts';

/** What decides which packets leave a queue early; times in nanoseconds, lengths in packets. */
export type AqmSpec =
  /** CoDel (RFC 8289): the time in the queue shall not stay above `targetNs` for longer than `intervalNs`. */
  | { kind: 'codel'; targetNs: number; intervalNs: number; ecn: boolean }
  /** FQ-CoDel (RFC 8290): a queue with CoDel for each flow, new flows first. */
  | { kind: 'fq_codel'; targetNs: number; intervalNs: number; ecn: boolean }
  /** RED (Floyd and Jacobson 1993): between the thresholds packets are dropped with a probability that rises to `probability`. */
  | { kind: 'red'; minPackets: number; maxPackets: number; probability: number; ecn: boolean };

/** Control of one queue's sojourn time, after RFC 8289 and include/net/codel_impl.h (6.18); the square root is exact, and the time of the next
 * drop moves on also with the drop that ends a dropping state. */
export class Codel {
  readonly #target: number;
  readonly #interval: number;
  #firstAbove = 0;
  #dropping = false;
  #dropNext = 0;
  #count = 0;
  #lastCount = 0;

  constructor(targetNs: number, intervalNs: number) {
    this.#target = targetNs;
    this.#interval = intervalNs;
  }

  /** Whether the packet that leaves the queue now, having come at `since`, with `left` packets behind it, has to be dropped or marked. */
  dequeue(now: number, since: number, left: number): boolean {
    const above = this.#isAbove(now, since, left);
    if (this.#dropping) {
      if (!above) this.#dropping = false;
      else if (now >= this.#dropNext) {
        this.#count++;
        this.#dropNext = this.#law(this.#dropNext);
        return true;
      }
      return false;
    }
    if (!above) return false;
    this.#dropping = true;
    // Back soon: begin at the rate that worked.
    const delta = this.#count - this.#lastCount;
    this.#count = delta > 1 && now - this.#dropNext < 16 * this.#interval ? delta : 1;
    this.#lastCount = this.#count;
    this.#dropNext = this.#law(now);
    return true;
  }

  #isAbove(now: number, since: number, left: number): boolean {
    if (now - since < this.#target || left <= 1) {
      this.#firstAbove = 0;
      return false;
    }
    if (this.#firstAbove === 0) {
      this.#firstAbove = now + this.#interval;
      return false;
    }
    return now > this.#firstAbove;
  }

  #law(from: number): number {
    return from + Math.floor(this.#interval / Math.sqrt(this.#count));
  }
}

/** The average grows by 1/512 of the difference with each packet. */
const WEIGHT = 1 / 512;

/** Random early detection on the average length of a queue. */
export class Red {
  readonly #min: number;
  readonly #max: number;
  readonly #probability: number;
  readonly #random: Random;
  /** Packets since the last one that was dropped or marked. */
  #since = -1;
  average = 0;

  constructor(minPackets: number, maxPackets: number, probability: number, random: Random) {
    this.#min = minPackets;
    this.#max = maxPackets;
    this.#probability = probability;
    this.#random = random;
  }

  /** Whether a packet that finds `waiting` packets has to be dropped or marked; `idle` packets could have been sent since the queue was empty. */
  enqueue(waiting: number, idle: number): boolean {
    this.average = this.average * decay(idle) + (waiting - this.average * decay(idle)) * WEIGHT;
    if (this.average < this.#min) {
      this.#since = -1;
      return false;
    }
    if (this.average >= this.#max) {
      this.#since = 0;
      return true;
    }
    this.#since++;
    const base = (this.#probability * (this.average - this.#min)) / (this.#max - this.#min);
    // Spread evenly: 1 − n·p in the denominator makes gaps uniform.
    if (this.#since * base < 1 && this.#random.unit() * (1 - this.#since * base) >= base) return false;
    this.#since = 0;
    return true;
  }
}

/** (1 − WEIGHT) to a whole power, by squaring: the same bits everywhere. */
function decay(steps: number): number {
  let result = 1;
  let square = 1 - WEIGHT;
  for (let left = Math.min(0x7fffffff, Math.floor(steps)); left > 0; left >>= 1) {
    if ((left & 1) !== 0) result *= square;
    square *= square;
  }
  return result;
}
