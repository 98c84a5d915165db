import { visible } from './print.ts';

const ESCAPE = String.fromCharCode(27);
/** Real time between two frames, milliseconds. */
const FRAME = 50;

/**
 * The foot of the terminal, redrawn in place. Between frames the cursor stands below it, visible, so that an
 * interrupted program leaves the terminal as it should be.
 */
export class Screen {
  readonly #write: (text: string) => void;
  #lines = 0;
  #last = Number.NEGATIVE_INFINITY;

  constructor(stream: { write(text: string): unknown }) {
    this.#write = (text) => void stream.write(text);
  }

  /** Whether the frame before is old enough for another. */
  due(): boolean {
    return performance.now() - this.#last >= FRAME;
  }

  /** Replaces what stands there. Lines longer than `columns` are cut: a line that wraps would break the count. */
  draw(lines: readonly string[], columns: number): void {
    const body = lines.map((line) => `${cut(line, columns)}${ESCAPE}[K\n`).join('');
    this.#write(`${ESCAPE}[?2026h${ESCAPE}[?25l${this.#home()}${body}${ESCAPE}[J${ESCAPE}[?25h${ESCAPE}[?2026l`);
    this.#lines = lines.length;
    this.#last = performance.now();
  }

  /** Prints lines above, which stay; the picture has to be drawn anew. */
  print(lines: readonly string[]): void {
    if (lines.length === 0) return;
    this.#write(`${this.#home()}${ESCAPE}[J${lines.map((line) => `${line}\n`).join('')}`);
    this.#lines = 0;
    this.#last = Number.NEGATIVE_INFINITY;
  }

  /** Takes the picture away. */
  clear(): void {
    if (this.#lines > 0) this.#write(`${this.#home()}${ESCAPE}[J`);
    this.#lines = 0;
  }

  #home(): string {
    return this.#lines === 0 ? '' : `${ESCAPE}[${this.#lines}F`;
  }
}

const PART = new RegExp(`${ESCAPE}\\[\\d+m|[^${ESCAPE}]+`, 'g');

/** The line's first `columns` characters, with the colours that they have. */
export function cut(line: string, columns: number): string {
  if (visible(line) <= columns) return line;
  let left = columns;
  let text = '';
  for (const [part] of line.matchAll(PART)) {
    if (part.startsWith(ESCAPE)) text += part;
    else {
      text += part.slice(0, left);
      left -= Math.min(left, part.length);
    }
  }
  return text;
}
