/** Pieces of a chunk; joined, they are one flat string. */
const CHUNK_PIECES = 2048;
/** The largest log that libbpf asks for; of a longer one the end is kept, as the kernel does. */
export const MAX_LOG = (1 << 24) - 1;

/** The text of the verifier's log (`struct bpf_verifier_log`, its rotating mode). Positions count what was dropped too. */
export class LogBuffer {
  /** Characters written so far. */
  length = 0;
  private start = 0;
  private chunks: string[] = [];
  private pieces: string[] = [];

  add(text: string): void {
    this.pieces.push(text);
    this.length += text.length;
    if (this.pieces.length >= CHUNK_PIECES) this.flush();
  }

  private flush(): void {
    this.chunks.push(this.pieces.join(''));
    this.pieces = [];
    while (this.length - this.start - this.chunks[0]!.length >= MAX_LOG) this.start += this.chunks.shift()!.length;
  }

  /** Takes back what was written after `length` (`bpf_vlog_reset`). */
  reset(length: number): void {
    while (this.length > length) {
      const list = this.pieces.length > 0 ? this.pieces : this.chunks;
      const last = list.pop();
      if (last === undefined) {
        this.start = this.length = length;
        return;
      }
      this.length -= last.length;
      if (this.length < length) this.add(last.slice(0, length - this.length));
    }
  }

  toString(): string {
    const text = this.chunks.join('') + this.pieces.join('');
    return text.length > MAX_LOG ? text.slice(-MAX_LOG) : text;
  }
}
