import type { Simulator, Timer } from '../../net/index.ts';
import { JIFFY, jiffiesAt, wheelExpiry } from './jiffies.ts';
import type { TcpSock } from './sock.ts';

/** What the retransmission timer is set for (ICSK_TIME_…). */
export const PENDING = { NONE: 0, RETRANS: 1, PROBE: 5, REORDER: 6 } as const;
export type Pending = (typeof PENDING)[keyof typeof PENDING];

/** The one timer that retransmission, tail loss probe and reordering share (icsk_retransmit_timer); `icsk_pending` tells for which. */
export class RetransmitTimer {
  readonly #sock: TcpSock;
  readonly #simulator: Simulator;
  readonly #onExpiry: (pending: Pending) => void;
  #timer: Timer | undefined;
  #due = 0;

  constructor(sock: TcpSock, simulator: Simulator, onExpiry: (pending: Pending) => void) {
    this.#sock = sock;
    this.#simulator = simulator;
    this.#onExpiry = onExpiry;
  }

  get pending(): Pending {
    return this.#sock.get('icsk_pending') as Pending;
  }

  /** inet_csk_reset_xmit_timer; jiffies. A later time only moves the mark: the event that is set looks again. */
  set(pending: Pending, delay: number): void {
    this.#sock.set('icsk_pending', pending);
    const now = jiffiesAt(this.#simulator.now);
    this.#due = wheelExpiry(now, now + delay) * JIFFY;
    if (this.#timer !== undefined) {
      if (this.#timer.at <= this.#due) return;
      this.#timer.cancelled = true;
    }
    this.#wait();
  }

  #wait(): void {
    this.#timer = this.#simulator.after(this.#due - this.#simulator.now, () => {
      this.#timer = undefined;
      const { pending } = this;
      if (pending === PENDING.NONE) return;
      if (this.#simulator.now < this.#due) {
        this.#wait();
        return;
      }
      this.#sock.set('icsk_pending', PENDING.NONE);
      this.#onExpiry(pending);
    });
  }

  clear(): void {
    this.#sock.set('icsk_pending', PENDING.NONE);
  }

  stop(): void {
    if (this.#timer !== undefined) this.#timer.cancelled = true;
  }
}
