// Draws terminal output (ANSI colours) as SVG, for the README's picture:
//   COLUMNS=100 node dist/cli/main.js run examples/cubic.bpf.o --all-cfi --color |
//     node scripts/terminal-svg.mjs '$ npm run demo' > docs/img/run.svg
import { readFileSync } from 'node:fs';

const COLORS = { 31: '#f47067', 32: '#8ddb8c', 33: '#f0c674', 34: '#7aa2f7', 35: '#d699f0', 36: '#6cb6ff' };
const INK = '#d8dee9';
const [WIDTH, HEIGHT, LEFT, TOP] = [7.83, 17, 16, 28];
/** Where a line's dots begin above its text's base, and how far braille dots are apart. */
const [RISE, ACROSS, DOWN] = [12.5, WIDTH / 2, HEIGHT / 4];
const quote = (text) => text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
const ESCAPE = `${String.fromCharCode(27)}\\[(\\d+)m`;
const plain = (line) => line.replace(new RegExp(ESCAPE, 'g'), '');
const px = (value) => `${Math.round(value * 10) / 10}`;

const title = process.argv[2] ?? '';
const lines = `${title}\n${readFileSync(0, 'utf8').trimEnd()}`.split('\n');
const columns = Math.max(...lines.map((line) => plain(line).length));
const [width, height] = [Math.ceil(2 * LEFT + columns * WIDTH), TOP + lines.length * HEIGHT + 8];
/** Braille dots by their colour, as the path of a line with round ends and no length. */
const dots = new Map();

/** Bits of a braille character: the upper three rows of the left column, of the right one, then the lowest row. */
function braille(bits, x, y, color) {
  for (let bit = 0; bit < 8; bit++) {
    if ((bits & (1 << bit)) === 0) continue;
    const [column, row] = bit < 6 ? [Math.floor(bit / 3), bit % 3] : [bit - 6, 3];
    const d = `M${px(x + (column + 0.5) * ACROSS)} ${px(y - RISE + (row + 0.5) * DOWN)}h0`;
    dots.set(color, (dots.get(color) ?? '') + d);
  }
}

const styleOf = (code) =>
  code === '0'
    ? ''
    : code === '1'
      ? ' font-weight="bold"'
      : code === '2'
        ? ' opacity="0.6"'
        : ` fill="${COLORS[code]}"`;

const rows = lines.map((line, i) => {
  const y = TOP + i * HEIGHT;
  let [column, style, color, out] = [0, '', INK, ''];
  for (const part of line.split(new RegExp(`(${ESCAPE.replace('(', '(?:')})`))) {
    const code = new RegExp(`^${ESCAPE}$`).exec(part)?.[1];
    if (code !== undefined) {
      style = styleOf(code);
      color = COLORS[code] ?? INK;
      continue;
    }
    [...part].forEach((sign, at) => {
      const bits = sign.charCodeAt(0) - 0x2800;
      if (bits > 0 && bits < 256) braille(bits, LEFT + (column + at) * WIDTH, y, color);
    });
    const text = part.replace(/[\u2800-\u28ff]/g, ' ');
    if (text.trim() !== '')
      out += `<tspan x="${px(LEFT + column * WIDTH)}"${style} textLength="${px(text.length * WIDTH)}" lengthAdjust="spacingAndGlyphs">${quote(text)}</tspan>`;
    column += part.length;
  }
  return out === '' ? '' : `<text y="${y}" xml:space="preserve">${out}</text>`;
});
console.log(`<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="13" fill="${INK}">
<title>${quote(title.replace(/^\$ /, ''))}</title>
<rect width="100%" height="100%" rx="8" fill="#1c2128"/>
${rows.filter((row) => row !== '').join('\n')}
<g stroke-width="2.6" stroke-linecap="round">
${[...dots].map(([color, d]) => `<path stroke="${color}" d="${d}"/>`).join('\n')}
</g>
</svg>`);
