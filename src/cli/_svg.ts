import { chart, DRAWN, escaped, flowVariable, STYLE, WIDE } from './_chart.ts';
import { linkWords } from './_figures.ts';
import type { RunDocument } from './_simulate.ts';

const ROW = 20;
/** About the width of a character. */
const CHARACTER = 7;

/** The run that is drawn: the last that lived, as all modes give the same figures. */
export function drawn(documents: readonly RunDocument[]): RunDocument {
  return documents.findLast(({ flows }) => flows.length > 0) ?? documents.at(-1)!;
}

/** A picture of a run that stands alone. */
export function svg(documents: readonly RunDocument[]): string {
  const run = drawn(documents);
  const { left, width } = WIDE;
  const names = flowNames(run);
  const body = chart(run, WIDE, 52 + names.height);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${body.height}" width="${width}" height="${body.height}" role="img">
<title>${escaped(`trampet run ${run.object}`)}</title>
<style>${STYLE}
svg .head{font-weight:600;font-size:18px;fill:var(--ink)}
svg .name{fill:var(--ink)}</style>
<rect width="100%" height="100%" style="fill:var(--back)"/>
<text class="head" x="${left}" y="32">${escaped(run.object)}</text>
<text x="${left}" y="52">${escaped(`${linkWords(run)} · ${run.seconds} s · seed ${run.seed} · Linux ${run.kernel} · cfi ${run.cfi}`)}</text>
${names.text}
${body.text}
</svg>
`;
}

/** The flows with their colours, in as many rows as they need. */
function flowNames({ flows }: RunDocument): { text: string; height: number } {
  const { left, plot } = WIDE;
  let [x, y] = [left, 52 + ROW];
  const parts = flows.slice(0, DRAWN).map(({ name }, n) => {
    const needed = 26 + name.length * CHARACTER + 18;
    if (x > left && x + needed > left + plot) [x, y] = [left, y + ROW];
    const text = `<path class="main" style="stroke:${flowVariable(n)};stroke-width:3" d="M${x} ${y - 4}h18"/><text class="name" x="${x + 26}" y="${y}">${escaped(name)}</text>`;
    x += needed;
    return text;
  });
  if (flows.length > DRAWN) {
    y += ROW;
    parts.push(`<text x="${left}" y="${y}">and ${flows.length - DRAWN} more</text>`);
  }
  return { text: parts.join('\n'), height: flows.length === 0 ? 0 : y - 52 + 6 };
}
