import type { Random } from '../base/index.ts';

/** What decides which packets leave a queue early; times in nanoseconds, lengths in packets. */
export type AqmSpec =
  /** CoDel (RFC 8289): the time in the queue shall not stay above `targetNs` for longer than `intervalNs`. */
  | { kind: 'codel'; targetNs: number; intervalNs: number; ecn: boolean }
  /** FQ-CoDel (RFC 8290): a queue with CoDel for each flow, new flows first. */
  | { kind: 'fq_codel'; targetNs: number; intervalNs: number; ecn: boolean }
  /** RED (Floyd and Jacobson 1993): between the thresholds packets are dropped with a probability that rises to `probability`. */
  | { kind: 'red'; minPackets: number; maxPackets: number; probability: number; ecn: boolean };

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
