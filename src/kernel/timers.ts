import { ERRNO } from '../base/index.ts';
import type { GuestPtr } from '../machine/index.ts';
import type { Kernel } from './kernel.ts';
import type { BpfMap } from './maps.ts';

const CLOCKS = [0, 1, 7];
/** BPF_F_TIMER_ABS, BPF_F_TIMER_CPU_PIN. */
const ABSOLUTE = 1;
const PINNED = 2;

interface BpfTimer {
  map: BpfMap;
  value: GuestPtr;
  /** 0 until it is set, and after a cancellation. */
  callback: GuestPtr;
  /** When it fires, nanoseconds since boot; undefined while it is not armed. */
  at: number | undefined;
  order: number;
}

/** Does `fire` at a time of the kernel's clock, nanoseconds since boot, never before that. */
export type Clock = (at: number, fire: () => void) => void;

/**
 * `struct bpf_timer` in values of maps: bpf_timer_init, _set_callback, _start and _cancel of kernel/bpf/helpers.c (6.18).
 * They fire while somebody moves the kernel's clock and has attached himself.
 */
export class BpfTimers {
  readonly #kernel: Kernel;
  readonly #timers = new Map<GuestPtr, BpfTimer>();
  #order = 0;
  #running: BpfTimer | undefined;
  #clock: Clock | undefined;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /** From now on `clock` fires timers, also those that are armed already. */
  attach(clock: Clock): void {
    this.#clock = clock;
    const armed = [...this.#timers.values()].filter(({ at }) => at !== undefined);
    for (const timer of armed.sort((a, b) => a.at! - b.at! || a.order - b.order)) this.#arm(timer);
  }

  /** Nobody moves the clock any more; armed timers wait. */
  detach(): void {
    this.#clock = undefined;
  }

  #arm(timer: BpfTimer): void {
    timer.order = ++this.#order;
    const { order } = timer;
    this.#clock?.(Math.max(timer.at!, this.#kernel.now()), () => this.#fire(timer, order));
  }

  /** bpf_timer_cb, unless the timer was armed again or cancelled since. */
  #fire(timer: BpfTimer, order: number): void {
    if (timer.order !== order || timer.at === undefined) return;
    timer.at = undefined;
    this.#running = timer;
    try {
      const key = timer.map.keyOf!(timer.value);
      this.#kernel.call(timer.callback, [{ ptr: timer.map.pointer }, { ptr: key }, { ptr: timer.value }]);
    } finally {
      this.#running = undefined;
    }
  }

  init(timer: GuestPtr, map: BpfMap, flags: number): number {
    if (!CLOCKS.includes(flags)) return -ERRNO.EINVAL;
    if (this.#timers.has(timer)) return -ERRNO.EBUSY;
    const field = map.special.find(({ kind }) => kind === 'timer')!;
    this.#timers.set(timer, { map, value: timer - field.offset, callback: 0, at: undefined, order: 0 });
    return 0;
  }

  setCallback(timer: GuestPtr, callback: GuestPtr): number {
    const known = this.#timers.get(timer);
    if (known === undefined) return -ERRNO.EINVAL;
    known.callback = callback;
    return 0;
  }

  start(timer: GuestPtr, ns: number, flags: number): number {
    const known = this.#timers.get(timer);
    if ((flags & ~(ABSOLUTE | PINNED)) !== 0 || known === undefined || known.callback === 0) return -ERRNO.EINVAL;
    const now = this.#kernel.now();
    known.at = (flags & ABSOLUTE) === 0 ? now + ns : ns;
    this.#arm(known);
    return 0;
  }

  /** 1 if it was armed, 0 if not. */
  cancel(timer: GuestPtr): number {
    const known = this.#timers.get(timer);
    if (known === undefined) return -ERRNO.EINVAL;
    if (known === this.#running) return -ERRNO.EDEADLK;
    const armed = known.at !== undefined;
    known.callback = 0;
    known.at = undefined;
    return armed ? 1 : 0;
  }

  /** bpf_timer_cancel_and_free: the value goes. */
  free(timer: GuestPtr): void {
    const known = this.#timers.get(timer);
    if (known === undefined) return;
    known.at = undefined;
    this.#timers.delete(timer);
  }
}
