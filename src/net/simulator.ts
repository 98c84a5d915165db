/** An event that may be cancelled before its time. */
export interface Timer {
  readonly at: number;
  cancelled: boolean;
}

interface Entry extends Timer {
  order: number;
  action: () => void;
}

/**
 * Discrete events on a clock of whole nanoseconds. Events of the same time run in the order in which they were set, so
 * that a run depends on nothing but its inputs.
 */
export class Simulator {
  readonly #heap: Entry[] = [];
  #order = 0;
  #now = 0;
  /** Called when the clock moves, before the event runs. */
  onTime: (now: number) => void = () => {};

  /** Nanoseconds. */
  get now(): number {
    return this.#now;
  }

  /** Runs `action` after `delay` nanoseconds (rounded up to a whole one, never in the past). */
  after(delay: number, action: () => void): Timer {
    const entry: Entry = {
      at: this.#now + Math.max(0, Math.ceil(delay)),
      order: this.#order++,
      action,
      cancelled: false,
    };
    this.#push(entry);
    return entry;
  }

  /** Runs events up to and including `end`; the clock stands at `end` afterwards. */
  runUntil(end: number): void {
    for (let next = this.#heap[0]; next !== undefined && next.at <= end; next = this.#heap[0]) {
      this.#pop();
      if (next.cancelled) continue;
      if (next.at !== this.#now) {
        this.#now = next.at;
        this.onTime(next.at);
      }
      next.action();
    }
    this.#now = end;
    this.onTime(end);
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    let at = heap.push(entry) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(entry, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = entry;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
  }
}

const before = (a: Entry, b: Entry): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);
