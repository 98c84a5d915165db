import type { Simulator, Timer } from '../../net/index.ts';
import { JIFFY, jiffiesAt, wheelExpiry } from './jiffies.ts';
import type { TcpSock } from './sock.ts';

/** What the retransmission timer is set for (ICSK_TIME_…). */
export const PENDING = { NONE: 0, RETRANS: 1, PROBE: 5, REORDER: 6 } as const;
export type Pending = (typeof PENDING)[keyof typeof PENDING];

/** A timer of the wheel, set in jiffies. A later time only moves the mark: the event that is set looks again. */
export class WheelTimer {
  readonly #simulator: Simulator;
  readonly #onExpiry: () => void;
  #event: Timer | undefined;
  /** When it runs, nanoseconds; 0 if it is not set. */
  #at = 0;

  constructor(simulator: Simulator, onExpiry: () => void) {
    this.#simulator = simulator;
    this.#onExpiry = onExpiry;
  }

  get isSet(): boolean {
    return this.#at > 0;
  }

  /** Runs in jiffy `due` or later, counted as jiffiesAt counts. */
  setFor(due: number): void {
    this.#at = wheelExpiry(jiffiesAt(this.#simulator.now), due) * JIFFY;
    if (this.#event !== undefined) {
      if (this.#event.at <= this.#at) return;
      this.#event.cancelled = true;
    }
    this.#wait();
  }

  #wait(): void {
    this.#event = this.#simulator.after(this.#at - this.#simulator.now, () => {
      this.#event = undefined;
      if (this.#at === 0) return;
      if (this.#simulator.now < this.#at) {
        this.#wait();
        return;
      }
      this.#at = 0;
      this.#onExpiry();
    });
  }

  clear(): void {
    this.#at = 0;
  }

  stop(): void {
    if (this.#event !== undefined) this.#event.cancelled = true;
  }
}

/** The one timer that retransmission, tail loss probe and reordering share (icsk_retransmit_timer); `icsk_pending` tells for which. */
export class RetransmitTimer {
  readonly #sock: TcpSock;
  readonly #simulator: Simulator;
  readonly #timer: WheelTimer;

  constructor(sock: TcpSock, simulator: Simulator, onExpiry: (pending: Pending) => void) {
    this.#sock = sock;
    this.#simulator = simulator;
    this.#timer = new WheelTimer(simulator, () => {
      const { pending } = this;
      this.clear();
      if (pending !== PENDING.NONE) onExpiry(pending);
    });
  }

  get pending(): Pending {
    return this.#sock.get('icsk_pending') as Pending;
  }

  /** inet_csk_reset_xmit_timer; jiffies. */
  set(pending: Pending, delay: number): void {
    this.#sock.set('icsk_pending', pending);
    this.#timer.setFor(jiffiesAt(this.#simulator.now) + delay);
  }

  clear(): void {
    this.#sock.set('icsk_pending', PENDING.NONE);
    this.#timer.clear();
  }

  stop(): void {
    this.#timer.stop();
  }
}
