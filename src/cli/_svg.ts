import { bufferInPackets, formatLink, type LinkSpec } from '../net/index.ts';
import type { FlowReport, FlowSample } from '../subsystems/index.ts';
import type { RunDocument } from './_simulate.ts';

/** Geometry in pixels; time runs from LEFT to LEFT + PLOT in every panel. */
export const LEFT = 64;
export const PLOT = 872;
const WIDTH = LEFT + PLOT + 24;
const TOP = 64;
const GAP = 40;
/** Colours of flows, for a light and for a dark background; the seventh flow has the first one's. */
const LIGHT = ['#1668c7', '#d4480b', '#2a8a3c', '#8f3fb8', '#b8890b', '#0c8599'];
const DARK = ['#6cb2ff', '#ff9a66', '#6fd486', '#d59af5', '#f0c95a', '#5fd3e3'];

/** A line of a panel: what of a sample, and how it is drawn. */
interface Trace {
  label: string;
  style: 'main' | 'dash' | 'thin';
  of(sample: FlowSample): number | null;
}

interface Panel {
  title: string;
  unit: string;
  height: number;
  traces: readonly Trace[];
  /** A level of the link, drawn where it is in sight. */
  level?(link: LinkSpec): { value: number; label: string };
}

const PANELS: readonly Panel[] = [
  {
    title: 'Window',
    unit: 'packets',
    height: 210,
    traces: [
      { label: 'in flight', style: 'thin', of: ({ inFlight }) => inFlight },
      { label: 'ssthresh', style: 'dash', of: ({ ssthresh }) => ssthresh },
      { label: 'cwnd', style: 'main', of: ({ cwnd }) => cwnd },
    ],
  },
  {
    title: 'Round-trip time',
    unit: 'ms',
    height: 110,
    traces: [{ label: 'srtt', style: 'main', of: ({ srttMs }) => srttMs }],
    level: ({ rttNs }) => ({ value: rttNs / 1e6, label: 'propagation' }),
  },
  {
    title: 'Goodput',
    unit: 'Mbit/s',
    height: 110,
    traces: [{ label: 'rate', style: 'main', of: ({ rateBps }) => rateBps / 1e6 }],
    level: ({ rateBps }) => ({ value: rateBps / 1e6, label: 'link' }),
  },
  {
    title: 'Queue',
    unit: 'packets',
    height: 110,
    traces: [{ label: 'queued', style: 'main', of: ({ queuePackets }) => queuePackets }],
    level: (link) => ({ value: bufferInPackets(link), label: 'buffer' }),
  },
];

export const escaped = (text: string): string =>
  text.replace(/[<>&"]/g, (sign) => ({ '<': '&lt;', '>': '&gt;', '&': '&amp;', '"': '&quot;' })[sign]!);
const short = (value: number) => `${Math.round(value * 100) / 100}`;
const px = (value: number) => value.toFixed(1);

/** Round numbers from 0 to at least `most`, about `count` of them. */
function ticks(most: number, count: number): number[] {
  const rough = Math.max(most, 1e-9) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10) * power;
  const steps = Math.ceil(most / step - 1e-9);
  return Array.from({ length: Math.max(1, steps) + 1 }, (_, i) => i * step);
}

const colours = (list: readonly string[]) => list.map((colour, i) => `--c${i}:${colour}`).join(';');
const LIGHT_VARIABLES = `--back:#fff;--ink:#1b1f24;--soft:#66707b;--grid:#e6e9ed;--card:#f6f8fa;${colours(LIGHT)}`;
const DARK_VARIABLES = `--back:#0e1217;--ink:#e8ecf1;--soft:#95a1ae;--grid:#262e37;--card:#161c23;${colours(DARK)}`;

/** Style of a chart; it follows the reader's colour scheme. */
export const STYLE = `:root,svg{${LIGHT_VARIABLES}}
@media(prefers-color-scheme:dark){:root,svg{${DARK_VARIABLES}}}
svg text{font:12px system-ui,"Segoe UI",Roboto,sans-serif;fill:var(--soft)}
svg .head{font-weight:600;font-size:17px;fill:var(--ink)}
svg .title{font-weight:600;font-size:13px;fill:var(--ink)}
svg .grid{stroke:var(--grid)}
svg .level{stroke:var(--soft);stroke-dasharray:1 4}
svg .main,svg .dash,svg .thin{fill:none;stroke-linejoin:round}
svg .main{stroke-width:1.8}
svg .dash{stroke-width:1.3;stroke-dasharray:6 4;opacity:.85}
svg .thin{stroke-width:1;opacity:.45}`;

/** The run that is drawn: the last that lived, as all modes give the same figures. */
export function drawn(documents: readonly RunDocument[]): RunDocument {
  return documents.findLast(({ flows }) => flows.length > 0) ?? documents.at(-1)!;
}

/** A picture of a run that stands alone: window, round-trip time, goodput and queue over one time axis. */
export function svg(documents: readonly RunDocument[]): string {
  const run = drawn(documents);
  const body = chart(run, TOP);
  const head = `<text class="head" x="${LEFT}" y="28">${escaped(run.flows.map(({ name }) => name).join(' · ') || run.object)}</text>
<text x="${LEFT}" y="46">${escaped(`${formatLink(run.link)} · seed ${run.seed} · Linux ${run.kernel} · cfi ${run.cfi}`)}</text>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${body.height}" width="${WIDTH}" height="${body.height}" role="img">
<title>${escaped(`trampet run ${run.object}`)}</title>
<style>${STYLE}</style>
<rect width="100%" height="100%" style="fill:var(--back)"/>
${head}
${body.text}
</svg>
`;
}

/** The panels as the inside of an svg element whose first panel begins below `top`, and the element's height. */
export function chart(run: RunDocument, top: number): { text: string; height: number; width: number } {
  const parts: string[] = [];
  const x = (t: number) => LEFT + (t / run.seconds) * PLOT;
  const axis = ticks(run.seconds, 10).filter((t) => t <= run.seconds * (1 + 1e-9));
  let y = top;
  for (const panel of PANELS) {
    y += GAP - 14;
    parts.push(drawPanel(panel, run, x, y, axis));
    y += panel.height + 14;
  }
  for (const t of axis) parts.push(`<text x="${px(x(t))}" y="${y + 4}" text-anchor="middle">${short(t)} s</text>`);
  return { text: parts.join('\n'), height: y + 18, width: WIDTH };
}

function drawPanel(panel: Panel, run: RunDocument, x: (t: number) => number, y: number, axis: number[]): string {
  const { title, unit, height, traces, level } = panel;
  const values = run.flows.flatMap(({ samples }) => traces.map(({ of }) => samples.map(of)));
  // The first ssthresh can be far above anything else: it does not set the scale unless cwnd gets there.
  const scaled = run.flows.flatMap(({ samples }) =>
    traces.filter(({ style }) => style !== 'dash').flatMap(({ of }) => samples.map((sample) => of(sample) ?? 0)),
  );
  const line = level?.(run.link);
  const highest = scaled.reduce((most, value) => Math.max(most, value), 0);
  const inSight = line !== undefined && line.value <= 2 * highest;
  const steps = ticks(Math.max(highest, inSight ? line.value : 0), height > 150 ? 5 : 3);
  const most = steps.at(-1)!;
  const at = (value: number) => y + height - (value / most) * height;
  const parts = [
    `<text class="title" x="${LEFT}" y="${y - 9}">${title} <tspan style="font-weight:400;fill:var(--soft)">${unit}</tspan></text>`,
    ...axis.map((t) => `<path class="grid" d="M${px(x(t))} ${y}v${height}"/>`),
    ...steps.map(
      (step) =>
        `<path class="grid" d="M${LEFT} ${px(at(step))}h${PLOT}"/><text x="${LEFT - 8}" y="${px(at(step) + 4)}" text-anchor="end">${short(step)}</text>`,
    ),
  ];
  if (inSight)
    parts.push(
      `<path class="level" d="M${LEFT} ${px(at(line.value))}h${PLOT}"/><text x="${LEFT + PLOT}" y="${px(at(line.value) + (line.value > 0.9 * most ? 14 : -4))}" text-anchor="end">${line.label} ${short(line.value)}</text>`,
    );
  run.flows.forEach(({ samples }, n) => {
    traces.forEach(({ style }, i) => {
      const d = path(samples, values[n * traces.length + i]!, x, (value) => (value > most ? undefined : at(value)));
      if (d !== '') parts.push(`<path class="${style}" style="stroke:var(--c${n % LIGHT.length})" d="${d}"/>`);
    });
  });
  parts.push(legend(traces, run.flows, y - 9));
  return parts.join('\n');
}

/** A line through the values; null and what is out of sight interrupt it. */
function path(
  samples: readonly FlowSample[],
  values: readonly (number | null)[],
  x: (t: number) => number,
  at: (value: number) => number | undefined,
): string {
  let d = '';
  let open = false;
  samples.forEach(({ t }, i) => {
    const value = values[i]!;
    const y = value === null ? undefined : at(value);
    if (y !== undefined) d += `${open ? 'L' : 'M'}${px(x(t))} ${px(y)}`;
    open = y !== undefined;
  });
  return d;
}

/** Kinds of line, flushed right above a panel that has several; else the flows, if there are several. */
function legend(traces: readonly Trace[], flows: readonly FlowReport[], y: number): string {
  const entries =
    traces.length > 1
      ? traces.map(({ label, style }) => ({ label, style, colour: flows.length > 1 ? '--ink' : '--c0' })).reverse()
      : flows.length > 1
        ? flows.slice(0, 6).map(({ name }, n) => ({ label: name, style: 'main', colour: `--c${n % LIGHT.length}` }))
        : [];
  let x = LEFT + PLOT - entries.reduce((all, { label }) => all + 44 + label.length * 7, 0) + 16;
  return entries
    .map(({ label, style, colour }) => {
      const text = `<path class="${style}" style="stroke:var(${colour})" d="M${px(x)} ${y - 4}h20"/><text x="${px(x + 26)}" y="${y}">${escaped(label)}</text>`;
      x += 44 + label.length * 7;
      return text;
    })
    .join('');
}
