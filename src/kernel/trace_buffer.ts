/** Lines that are kept. The kernel's buffer is of 1408 KiB for each CPU (TRACE_BUF_SIZE_DEFAULT, kernel/trace/trace.c). */
const MOST = 16_384;

/**
 * What programs print: the last lines, as a ring buffer that nobody reads keeps them (trace_pipe, 6.18). Counted in lines
 * here, in bytes by the kernel. `Kernel.onPrint` hears each line.
 */
export class TraceBuffer {
  readonly #ring: string[] = [];
  #oldest = 0;
  /** Lines that later ones took the place of. */
  lost = 0;

  push(line: string): void {
    if (this.#ring.length < MOST) {
      this.#ring.push(line);
      return;
    }
    this.#ring[this.#oldest] = line;
    this.#oldest = (this.#oldest + 1) % MOST;
    this.lost++;
  }

  /** Those that are kept, the oldest first. */
  get lines(): string[] {
    return [...this.#ring.slice(this.#oldest), ...this.#ring.slice(0, this.#oldest)];
  }
}
