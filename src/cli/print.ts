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
export const blue = paint(34);
export const magenta = paint(35);
export const cyan = paint(36);

export function out(line = ''): void {
  process.stdout.write(`${line}\n`);
}

export function json(document: unknown): void {
  process.stdout.write(`${JSON.stringify(document)}\n`);
}

/** Whether a terminal can be drawn on. */
export const drawable = (stream: NodeJS.WriteStream): boolean =>
  stream.isTTY === true && process.env['TERM'] !== 'dumb';

/** A line that replaces itself; nothing where stderr is no terminal. */
export function progress(text: string): void {
  if (drawable(process.stderr)) process.stderr.write(`\r\x1b[2K${text}`);
}

const ESCAPES = new RegExp(`${String.fromCharCode(27)}\\[\\d+m`, 'g');
/** Columns that a text takes. */
export const visible = (text: string): number => text.replace(ESCAPES, '').length;

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

/** The terminal's size at this moment; without one, what COLUMNS says or 100, and no height. */
export function windowSize(): { columns: number; rows: number | undefined } {
  if (process.stdout.isTTY === true) {
    const [columns, rows] = process.stdout.getWindowSize();
    // A terminal that was never told its size says 0.
    return { columns: columns || 80, rows: rows || 24 };
  }
  const told = Number(process.env['COLUMNS']);
  return { columns: Number.isInteger(told) && told > 0 ? Math.min(told, 400) : 100, rows: undefined };
}
