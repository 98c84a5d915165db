/** Bits of a braille character (U+2800…) for the dot at column `x`, row `y` of its 2 × 4, from the top left. */
const DOTS = [
  [0x01, 0x02, 0x04, 0x40],
  [0x08, 0x10, 0x20, 0x80],
] as const;

/** A drawing surface of braille characters: two dots to a column, four to a row; dots count from the bottom left. */
export class Canvas {
  readonly width: number;
  readonly height: number;
  readonly #bits: Uint8Array;
  /** Who drew in a character first: one more than the pen's number. */
  readonly #pens: Uint8Array;

  /** Sizes in characters. */
  constructor(width: number, height: number) {
    this.width = width;
    this.height = height;
    this.#bits = new Uint8Array(width * height);
    this.#pens = new Uint8Array(width * height);
  }

  dot(x: number, y: number, pen: number): void {
    if (x < 0 || y < 0 || x >= 2 * this.width || y >= 4 * this.height) return;
    const row = this.height - 1 - (y >> 2);
    const at = row * this.width + (x >> 1);
    this.#bits[at]! |= DOTS[x & 1]![3 - (y & 3)]!;
    if (this.#pens[at] === 0) this.#pens[at] = pen + 1;
  }

  /** A line between two dots, both ends included; `every` second (third, …) column of it only. */
  line(x0: number, y0: number, x1: number, y1: number, pen: number, every = 1): void {
    const steps = Math.max(Math.abs(x1 - x0), Math.abs(y1 - y0), 1);
    for (let i = 0; i <= steps; i++) {
      const x = Math.round(x0 + ((x1 - x0) * i) / steps);
      if (x % every === 0) this.dot(x, Math.round(y0 + ((y1 - y0) * i) / steps), pen);
    }
  }

  /** The rows from the top; each run of characters of one pen is painted by its colour. */
  rows(paint: (text: string, pen: number) => string): string[] {
    const lines: string[] = [];
    for (let row = 0; row < this.height; row++) {
      let line = '';
      let run = '';
      let pen = 0;
      const flush = () => {
        line += pen === 0 ? run : paint(run, pen - 1);
        run = '';
      };
      for (let column = 0; column < this.width; column++) {
        const at = row * this.width + column;
        const bits = this.#bits[at]!;
        const own = bits === 0 ? 0 : this.#pens[at]!;
        if (own !== pen) flush();
        pen = own;
        run += bits === 0 ? ' ' : String.fromCharCode(0x2800 + bits);
      }
      flush();
      lines.push(line.trimEnd());
    }
    return lines;
  }
}
