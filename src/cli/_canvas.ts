/** Bits of a braille character (U+2800…) for the dot at column `x`, row `y` of its 2 × 4, from the top left. */
const DOTS = [
  [0x01, 0x02, 0x04, 0x40],
  [0x08, 0x10, 0x20, 0x80],
] as const;

/** A drawing surface of braille characters: two dots to a column, four to a row; dots count from the bottom left. */
export class Canvas {
  readonly width: number;
  readonly height: number;
  /** By pen: which dots it drew, a byte a character. */
  readonly #pens: Uint8Array[] = [];

  /** Sizes in characters. */
  constructor(width: number, height: number) {
    this.width = width;
    this.height = height;
  }

  dot(x: number, y: number, pen: number): void {
    if (x < 0 || y < 0 || x >= 2 * this.width || y >= 4 * this.height) return;
    this.#pens[pen] ??= new Uint8Array(this.width * this.height);
    const row = this.height - 1 - (y >> 2);
    this.#pens[pen][row * this.width + (x >> 1)]! |= DOTS[x & 1]![3 - (y & 3)]!;
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
      let pen = -1;
      const flush = () => {
        line += pen < 0 ? run : paint(run, pen);
        run = '';
      };
      for (let column = 0; column < this.width; column++) {
        const at = row * this.width + column;
        const own = this.#owner(at, column);
        if (own !== pen) flush();
        pen = own;
        const bits = this.#pens.reduce((all, dots) => all | dots[at]!, 0);
        run += bits === 0 ? ' ' : String.fromCharCode(0x2800 + bits);
      }
      flush();
      lines.push(line.trimEnd());
    }
    return lines;
  }

  /** A character has one colour: that of the pen with most dots; of several that are alike, each in every so many columns. */
  #owner(at: number, column: number): number {
    let most = 0;
    let owners: number[] = [];
    this.#pens.forEach((dots, pen) => {
      const count = ones(dots[at]!);
      if (count > most) {
        most = count;
        owners = [pen];
      } else if (count === most && count > 0) owners.push(pen);
    });
    return owners.length === 0 ? -1 : owners[column % owners.length]!;
  }
}

function ones(bits: number): number {
  let count = 0;
  for (let rest = bits; rest !== 0; rest &= rest - 1) count++;
  return count;
}
