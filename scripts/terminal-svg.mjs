// Draws terminal output (ANSI colours) as SVG, for the README's picture:
//   node dist/cli/main.js run examples/cubic.bpf.o --all-cfi --color | node scripts/terminal-svg.mjs > docs/img/run.svg
import { readFileSync } from 'node:fs';

const COLORS = { 31: '#f47067', 32: '#8ddb8c', 33: '#f0c674', 34: '#7aa2f7', 35: '#d699f0', 36: '#6cb6ff' };
const [WIDTH, HEIGHT, LEFT, TOP] = [7.83, 17, 16, 28];
const quote = (text) => text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
const ESCAPE = `${String.fromCharCode(27)}\\[(\\d+)m`;
const lines = `$ npm run demo\n${readFileSync(0, 'utf8').trimEnd()}`.split('\n');
const columns = Math.max(...lines.map((line) => line.replace(new RegExp(ESCAPE, 'g'), '').length));
const [width, height] = [Math.ceil(2 * LEFT + columns * WIDTH), TOP + lines.length * HEIGHT + 8];
const rows = lines.map((line, i) => {
  let [column, style, out] = [0, '', ''];
  for (const part of line.split(new RegExp(`(${ESCAPE.replace('(', '(?:')})`))) {
    const code = new RegExp(`^${ESCAPE}$`).exec(part)?.[1];
    if (code !== undefined)
      style =
        code === '0'
          ? ''
          : code === '1'
            ? ' font-weight="bold"'
            : code === '2'
              ? ' opacity="0.6"'
              : ` fill="${COLORS[code]}"`;
    else {
      if (part.trim() !== '')
        out += `<tspan x="${(LEFT + column * WIDTH).toFixed(1)}"${style} textLength="${(part.length * WIDTH).toFixed(1)}" lengthAdjust="spacingAndGlyphs">${quote(part)}</tspan>`;
      column += part.length;
    }
  }
  return `<text y="${TOP + i * HEIGHT}" xml:space="preserve">${out}</text>`;
});
console.log(`<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="13" fill="#d8dee9">
<title>trampet run cubic.bpf.o --all-cfi</title>
<rect width="100%" height="100%" rx="8" fill="#1c2128"/>
${rows.join('\n')}
</svg>`);
