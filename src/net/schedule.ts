import { NetError } from './error.ts';
import type { LinkSpec, RateSchedule } from './link.ts';

/** Bytes that one opportunity of a mahimahi trace lets out. */
const OPPORTUNITY = 1504;
const MAX_STEPS = 10_000_000;

/**
 * Reads a mahimahi trace: one whole number of milliseconds a line, ascending, the last above 0.
 * @throws NetError naming `name` and the line
 */
export function parseMahimahi(text: string, name: string): RateSchedule {
  const ms: number[] = [];
  const lines = text.split(/\r?\n/);
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i]!.trim();
    if (line === '' && i === lines.length - 1) break;
    const bad = (why: string) => new NetError(why, `${name}:${i + 1}`);
    if (!/^\d{1,10}$/.test(line)) throw bad(`'${line.slice(0, 40)}' is no whole number of milliseconds`);
    const at = Number(line);
    if (ms.length > 0 && at < ms[ms.length - 1]!) throw bad(`${at} ms comes after ${ms[ms.length - 1]} ms`);
    if (ms.length >= MAX_STEPS) throw bad(`more than ${MAX_STEPS} opportunities`);
    ms.push(at);
  }
  const schedule: RateSchedule = { kind: 'opportunities', ms };
  checkSchedule(schedule, name);
  return schedule;
}

/** @throws NetError for a schedule that is empty, not ascending, or never lets anything out */
export function checkSchedule(schedule: RateSchedule, where: string): void {
  const bad = (why: string) => new NetError(why, where);
  if (schedule.kind === 'opportunities') {
    const { ms } = schedule;
    if (ms.length === 0 || !(ms[ms.length - 1]! > 0)) throw bad('a trace lasts longer than 0 ms');
    for (let i = 0; i < ms.length; i++)
      if (!(Number.isInteger(ms[i]) && ms[i]! >= (ms[i - 1] ?? 0) && ms[i]! < 1e10))
        throw bad(`opportunity ${i} of the trace is at ${ms[i]} ms, out of order or no whole number`);
    return;
  }
  const { steps, periodNs } = schedule;
  if (steps[0]?.atNs !== 0) throw bad('the first rate of a schedule is for 0 s');
  steps.forEach(({ atNs, rateBps }, i) => {
    if (!(atNs <= 1e18 && (i === 0 || atNs > steps[i - 1]!.atNs)))
      throw bad(`rate ${i} of the schedule is out of order`);
    if (!(rateBps === 0 || (rateBps >= 1000 && rateBps <= 100e9)))
      throw bad(`a rate of ${rateBps} bit/s is out of bounds (0, 1 kbit … 100 gbit)`);
  });
  if (!steps.some(({ rateBps }) => rateBps > 0)) throw bad('a schedule of no rate but 0 sends nothing');
  if (periodNs !== undefined && !(periodNs > steps[steps.length - 1]!.atNs && periodNs <= 1e18))
    throw bad('a schedule begins again after its last rate');
}

/** Mean rate of a schedule, bits a second; of one that does not repeat, the last rate, or the mean of all that are not 0. */
export function meanRate(schedule: RateSchedule): number {
  if (schedule.kind === 'opportunities')
    return (schedule.ms.length * OPPORTUNITY * 8000) / schedule.ms[schedule.ms.length - 1]!;
  const { steps, periodNs } = schedule;
  if (periodNs !== undefined) {
    const bits = steps.reduce(
      (sum, { atNs, rateBps }, i) => sum + rateBps * ((steps[i + 1]?.atNs ?? periodNs) - atNs),
      0,
    );
    return bits / periodNs;
  }
  const last = steps[steps.length - 1]!.rateBps;
  const sending = steps.filter(({ rateBps }) => rateBps > 0);
  return last > 0 ? last : sending.reduce((sum, { rateBps }) => sum + rateBps, 0) / sending.length;
}

/** When packets that a link begins to send are through. */
export interface Pace {
  /** Nanoseconds (whole) at which `bytes` that begin at `now` are out, Infinity if never. `fresh`: nothing was being sent. */
  until(now: number, bytes: number, fresh: boolean): number;
}

export function paceOf(spec: LinkSpec): Pace {
  const { schedule, rateBps } = spec;
  if (schedule === undefined) return { until: (now, bytes) => now + Math.ceil((bytes * 8e9) / rateBps) };
  return schedule.kind === 'steps' ? new Steps(schedule) : new Opportunities(schedule.ms);
}

/** A rate that is constant between steps. */
class Steps implements Pace {
  readonly #steps: readonly { atNs: number; rateBps: number }[];
  readonly #period: number;
  /** What a whole period lets out, bits times 10⁹. */
  readonly #perPeriod: number;
  /** The step in force, and when its period began. */
  #index = 0;
  #base = 0;

  constructor(schedule: Extract<RateSchedule, { kind: 'steps' }>) {
    const { steps, periodNs } = schedule;
    this.#steps = steps;
    this.#period = periodNs ?? Number.POSITIVE_INFINITY;
    this.#perPeriod = periodNs === undefined ? Number.POSITIVE_INFINITY : meanRate(schedule) * periodNs;
  }

  until(now: number, bytes: number): number {
    let bits = bytes * 8e9;
    let at = now;
    this.#seek(now);
    for (;;) {
      const { rateBps } = this.#steps[this.#index]!;
      const end = this.#end();
      if (rateBps > 0 && bits <= (end - at) * rateBps) return Math.ceil(at + bits / rateBps);
      if (end === Number.POSITIVE_INFINITY) return end;
      bits -= (end - at) * rateBps;
      at = end;
      this.#next();
      if (this.#index > 0 || bits <= this.#perPeriod) continue;
      // Whole periods at once.
      const periods = Math.ceil(bits / this.#perPeriod) - 1;
      bits -= periods * this.#perPeriod;
      this.#base += periods * this.#period;
      at = this.#base;
    }
  }

  #end(): number {
    return this.#base + (this.#steps[this.#index + 1]?.atNs ?? this.#period);
  }

  #next(): void {
    if (++this.#index < this.#steps.length) return;
    this.#index = 0;
    this.#base += this.#period;
  }

  /** Moves on to the step of `now`; whole periods at once. */
  #seek(now: number): void {
    if (now >= this.#base + this.#period) {
      this.#base = Math.floor(now / this.#period) * this.#period;
      this.#index = 0;
    }
    while (now >= this.#end()) this.#next();
  }
}

/** Chances to send 1504 bytes each; packets may be cut, and what a chance has left goes to the next packet that waits. */
class Opportunities implements Pace {
  readonly #ms: readonly number[];
  readonly #period: number;
  #index = 0;
  /** Start of the period, nanoseconds. */
  #base = 0;
  /** Bytes left of the last opportunity, good for its instant only. */
  #left = 0;
  #leftAt = 0;

  constructor(ms: readonly number[]) {
    this.#ms = ms;
    this.#period = ms[ms.length - 1]! * 1e6;
  }

  until(now: number, bytes: number, fresh: boolean): number {
    if (fresh || now > this.#leftAt) this.#left = 0;
    if (fresh) this.#skipTo(now);
    let need = bytes - this.#left;
    let at = now;
    while (need > 0) {
      at = this.#base + this.#ms[this.#index]! * 1e6;
      if (++this.#index === this.#ms.length) {
        this.#index = 0;
        this.#base += this.#period;
      }
      need -= OPPORTUNITY;
    }
    this.#left = -need;
    this.#leftAt = at;
    return at;
  }

  /** Opportunities up to and at `now` are gone. */
  #skipTo(now: number): void {
    if (now >= this.#base + this.#period) {
      this.#base = Math.floor(now / this.#period) * this.#period;
      this.#index = 0;
    }
    let low = this.#index;
    let high = this.#ms.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#base + this.#ms[middle]! * 1e6 <= now) low = middle + 1;
      else high = middle;
    }
    this.#index = low;
    if (low < this.#ms.length) return;
    this.#index = 0;
    this.#base += this.#period;
  }
}
