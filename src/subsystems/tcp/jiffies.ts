import type { Kernel } from '../../kernel/index.ts';
import type { Simulator } from '../../net/index.ts';
import { HZ } from '../../target/index.ts';

/** Nanoseconds of one jiffy. */
export const JIFFY = 1e9 / HZ;
/** Bits by which each level of the timer wheel is coarser, and buckets of a level (kernel/time/timer.c, 6.18). */
const LEVEL_SHIFT = 3;
const LEVEL_SIZE = 64;
const LEVELS = 9;

/** Jiffies since the clock began. */
export const jiffiesAt = (ns: number): number => Math.floor(ns / JIFFY);

/** usecs_to_jiffies: rounded up. */
export const usToJiffies = (us: number): number => Math.ceil((us * 1000) / JIFFY);

/** When the wheel runs a timer that is set for `expires`: never early, and later the farther away it was (calc_wheel_index). */
export function wheelExpiry(now: number, expires: number): number {
  const delta = expires - now;
  if (delta < 0) return now + 1;
  let level = 0;
  while (level < LEVELS - 1 && delta >= (LEVEL_SIZE - 1) * 2 ** (level * LEVEL_SHIFT)) level++;
  const unit = 2 ** (level * LEVEL_SHIFT);
  return (Math.floor(expires / unit) + 1) * unit;
}

/** The guest's jiffies, as far as sockets keep them (tcp_jiffies32). */
export class Jiffies {
  readonly #simulator: Simulator;
  readonly #offset: number;

  constructor(kernel: Kernel, simulator: Simulator) {
    this.#simulator = simulator;
    this.#offset = kernel.jiffies() - jiffiesAt(simulator.now);
  }

  get now(): number {
    return (this.#offset + jiffiesAt(this.#simulator.now)) >>> 0;
  }

  /** Jiffies since a moment that `now` told. */
  since(then: number): number {
    return (this.now - then) | 0;
  }
}
