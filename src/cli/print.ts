// What commands share of printing. Answers go to stdout; progress and hints to stderr, and only to a terminal.

let colors = process.stdout.isTTY === true && process.env['NO_COLOR'] === undefined;

/** `--color`, `--no-color`. */
export function setColor(wanted: boolean | undefined): void {
  if (wanted !== undefined) colors = wanted;
}

const paint = (code: number) => (text: string) => (colors ? `\x1b[${code}m${text}\x1b[0m` : text);
export const bold = paint(1);
export const dim = paint(2);
export const red = paint(31);
export const green = paint(32);
export const yellow = paint(33);
export const cyan = paint(36);

export function out(line = ''): void {
  process.stdout.write(`${line}\n`);
}

export function json(document: unknown): void {
  process.stdout.write(`${JSON.stringify(document)}\n`);
}

/** A line that replaces itself; nothing where stderr is no terminal. */
export function progress(text: string): void {
  if (process.stderr.isTTY === true) process.stderr.write(`\r\x1b[2K${text}`);
}

const ESCAPES = new RegExp(`${String.fromCharCode(27)}\\[\\d+m`, 'g');
const visible = (text: string) => text.replace(ESCAPES, '').length;

/** Rows as columns, two spaces apart; columns listed in `right` are flushed right. */
export function table(rows: readonly (readonly string[])[], right: readonly number[] = []): string[] {
  const widths: number[] = [];
  for (const row of rows) for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, visible(cell));
  return rows.map((row) =>
    row
      .map((cell, i) => {
        const space = ' '.repeat(widths[i]! - visible(cell));
        return right.includes(i) ? space + cell : cell + space;
      })
      .join('  ')
      .trimEnd(),
  );
}

/** Four rows of dots to a character. */
const DOTS = [0x40, 0x04, 0x02, 0x01, 0x80, 0x20, 0x10, 0x08] as const;

/**
 * Lines over time in braille dots: each series is drawn with its own colour, in the order given; the axis is labelled.
 */
export function plot(
  series: readonly { values: readonly (number | null)[]; color: (text: string) => string }[],
  width: number,
  height: number,
  top: number,
): string[] {
  const cells = series.map(() => new Uint8Array(width * height));
  series.forEach(({ values }, n) => {
    let last = -1;
    for (let x = 0; x < 2 * width; x++) {
      const value = values[Math.min(values.length - 1, Math.floor((x * values.length) / (2 * width)))];
      if (value === null || value === undefined) {
        last = -1;
        continue;
      }
      const y = Math.max(0, Math.min(4 * height - 1, Math.floor((value / top) * (4 * height - 1))));
      const from = last < 0 ? y : Math.min(y, last + Math.sign(y - last));
      for (let at = Math.min(from, y); at <= Math.max(from, last < 0 ? y : Math.max(y, Math.min(last, y))); at++)
        dot(cells[n]!, x, at, width, height);
      last = y;
    }
  });
  const axis = (row: number) =>
    (row === 0
      ? `${Math.round(top)}`
      : row === height - 1
        ? '0'
        : row === height >> 1
          ? `${Math.round(top / 2)}`
          : ''
    ).padStart(6);
  const lines: string[] = [];
  for (let row = 0; row < height; row++) {
    let line = `${dim(axis(row))} ${dim('┤')}`;
    for (let column = 0; column < width; column++) {
      const at = row * width + column;
      const n = cells.findIndex((cell) => cell[at] !== 0);
      const bits = cells.reduce((all, cell) => all | cell[at]!, 0);
      line += n < 0 ? ' ' : series[n]!.color(String.fromCharCode(0x2800 + bits));
    }
    lines.push(line.trimEnd());
  }
  return lines;
}

function dot(cell: Uint8Array, x: number, y: number, width: number, height: number): void {
  const row = height - 1 - (y >> 2);
  cell[row * width + (x >> 1)]! |= DOTS[(x & 1) * 4 + (y & 3)]!;
}
