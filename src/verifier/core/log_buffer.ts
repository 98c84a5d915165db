/** Characters of a chunk: one flat string. */
const CHUNK = 1 << 16;
/** The largest log that libbpf asks for; of a longer one the end is kept, as the kernel does. */
export const MAX_LOG = (1 << 24) - 1;

/** The text of the verifier's log (`struct bpf_verifier_log`, its rotating mode). Positions count what was dropped too. */
export class LogBuffer {
  /** Characters written so far. */
  length = 0;
  private start = 0;
  private chunkEnd = CHUNK;
  private chunks: string[] = [];
  private pieces: string[] = [];

  add(text: string): void {
    this.pieces.push(text);
    this.length += text.length;
    if (this.length >= this.chunkEnd) this.flush();
  }

  private flush(): void {
    this.chunks.push(this.pieces.join(''));
    this.pieces = [];
    this.chunkEnd = this.length + CHUNK;
    while (this.length - this.start - this.chunks[0]!.length >= MAX_LOG) this.start += this.chunks.shift()!.length;
  }

  /** Takes back what was written after `length` (`bpf_vlog_reset`). */
  reset(length: number): void {
    if (length < this.start) {
      this.start = this.length = length;
      this.chunks = [];
      this.pieces = [];
    }
    while (this.length > length) {
      const last = (this.pieces.length > 0 ? this.pieces : this.chunks).pop()!;
      this.length -= last.length;
      if (this.length < length) this.add(last.slice(0, length - this.length));
    }
    this.chunkEnd = Math.min(this.chunkEnd, this.length + CHUNK);
  }

  toString(): string {
    const text = this.chunks.join('') + this.pieces.join('');
    return text.length > MAX_LOG ? text.slice(-MAX_LOG) : text;
  }
}
