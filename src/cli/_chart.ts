import { bufferInPackets, type LinkSpec } from '../net/index.ts';
import type { FlowReport, FlowSample } from '../subsystems/index.ts';

/** What a chart is drawn of. */
export interface ChartRun {
  link: LinkSpec;
  /** A second link behind it: then there are two queues, and no level is that of all flows. */
  second: LinkSpec | null;
  seconds: number;
  flows: readonly Pick<FlowReport, 'name' | 'samples'>[];
  /** Moments that the run had, told by a line through all panels. */
  marks: readonly { t: number; label: string }[];
}

/** Where things are, in pixels: time runs from `left` to `left + plot` in every panel. */
export interface Geometry {
  left: number;
  plot: number;
  width: number;
  /** Heights of the window's panel and of the others. */
  tall: number;
  low: number;
  /** Labels on the time axis to aim for. */
  times: number;
}

export const WIDE: Geometry = { left: 56, plot: 884, width: 960, tall: 200, low: 96, times: 10 };
export const NARROW: Geometry = { left: 36, plot: 316, width: 360, tall: 150, low: 80, times: 5 };

/** Flows that are drawn: more cannot be told from one another. */
export const DRAWN = 12;
/** Colours of flows, for a light and for a dark background; the seventh flow has the first one's. */
const LIGHT = ['#1668c7', '#d4480b', '#2a8a3c', '#8f3fb8', '#b8890b', '#0c8599'];
const DARK = ['#6cb2ff', '#ff9a66', '#6fd486', '#d59af5', '#f0c95a', '#5fd3e3'];
/** The flow's colour as a CSS variable. */
export const flowVariable = (n: number): string => `var(--c${n % LIGHT.length})`;

interface Panel {
  title: string;
  unit: string;
  tall?: true;
  of(sample: FlowSample): number;
  /** A dashed line under the first one. */
  dashed?: { label: string; of(sample: FlowSample): number | null };
  /** One line for all flows, filled to the ground. */
  shared?: true;
  /** A level of the link, drawn where it is in sight. */
  level?(link: LinkSpec): { value: number; label: string };
}

const PANELS: readonly Panel[] = [
  {
    title: 'Window',
    unit: 'packets',
    tall: true,
    of: ({ cwnd }) => cwnd,
    dashed: { label: 'ssthresh', of: ({ ssthresh }) => ssthresh },
  },
  {
    title: 'Round-trip time',
    unit: 'ms',
    of: ({ srttMs }) => srttMs,
    level: ({ rttNs }) => ({ value: rttNs / 1e6, label: 'propagation' }),
  },
  { title: 'In flight', unit: 'packets', of: ({ inFlight }) => inFlight },
  {
    title: 'Rate',
    unit: 'Mbit/s',
    of: ({ rateBps }) => rateBps / 1e6,
    level: ({ rateBps }) => ({ value: rateBps / 1e6, label: 'link' }),
  },
  {
    title: 'Queue',
    unit: 'packets',
    of: ({ queuePackets }) => queuePackets,
    shared: true,
    level: (link) => ({ value: bufferInPackets(link), label: 'buffer' }),
  },
];

export const escaped = (text: string): string =>
  text.replace(/[<>&"]/g, (sign) => ({ '<': '&lt;', '>': '&gt;', '&': '&amp;', '"': '&quot;' })[sign]!);

const px = (value: number) => `${Math.round(value * 10) / 10}`;
/** A figure with three digits that count, thousands as k, millions as M. */
export const short = (value: number): string => {
  const [unit, factor] = value >= 1e6 ? ['M', 1e6] : value >= 1e4 ? ['k', 1e3] : ['', 1];
  return `${Math.round((value / factor) * 100) / 100}${unit}`;
};

/** Round numbers from 0 to at least `most`, about `count` of them. */
function ticks(most: number, count: number): number[] {
  const rough = Math.max(most, 1e-9) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10) * power;
  const steps = Math.ceil(most / step - 1e-9);
  return Array.from({ length: Math.max(1, steps) + 1 }, (_, i) => i * step);
}

const colours = (list: readonly string[]) => list.map((colour, i) => `--c${i}:${colour}`).join(';');
const LIGHT_VARIABLES = `--back:#fff;--ink:#1b1f24;--soft:#5d6772;--grid:#e4e8ec;--card:#f6f8fa;--good:#1a7f37;--bad:#c2410c;${colours(LIGHT)}`;
const DARK_VARIABLES = `--back:#0e1217;--ink:#e8ecf1;--soft:#95a1ae;--grid:#262e37;--card:#161c23;--good:#6fd486;--bad:#ff9a66;${colours(DARK)}`;

/** Style of a chart; it follows the reader's colour scheme. */
export const STYLE = `:root,svg{${LIGHT_VARIABLES}}
@media(prefers-color-scheme:dark){:root,svg{${DARK_VARIABLES}}}
svg text{font:12px system-ui,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:var(--soft);font-variant-numeric:tabular-nums}
svg .title{font-weight:600;font-size:13px;fill:var(--ink)}
svg .unit{font-weight:400;fill:var(--soft)}
svg .grid{stroke:var(--grid);shape-rendering:crispEdges}
svg .level{stroke:var(--soft);stroke-dasharray:2 4}
svg .mark{stroke:var(--ink);opacity:.35}
svg .main,svg .dash{fill:none;stroke-linejoin:round}
svg .main{stroke-width:1.7}
svg .dash{stroke-width:1.2;stroke-dasharray:5 4;opacity:.9}
svg .area{fill:var(--soft);opacity:.16}`;

/**
 * Window, round-trip time, in flight, goodput and queue over one time axis: the inside of an svg element whose first panel
 * begins below `top`, and the element's height.
 */
export function chart(run: ChartRun, geometry: Geometry, top = 0): { text: string; height: number } {
  const { left, plot, times } = geometry;
  const x = (t: number) => left + (t / run.seconds) * plot;
  const axis = ticks(run.seconds, times).filter((t) => t <= run.seconds * (1 + 1e-9));
  const parts: string[] = [];
  let y = top;
  for (const panel of PANELS) {
    const height = panel.tall === true ? geometry.tall : geometry.low;
    y += 28;
    parts.push(drawPanel(panel, run, geometry, { y, height, x, axis }));
    y += height + 14;
  }
  for (const t of axis)
    parts.push(
      `<text x="${px(x(t))}" y="${y + 3}" text-anchor="${x(t) > left + plot - 12 ? 'end' : 'middle'}">${short(t)} s</text>`,
    );
  for (const { t, label } of run.marks) {
    const end = t > run.seconds / 2;
    parts.push(
      `<path class="mark" d="M${px(x(t))} ${top + 28}V${y - 14}"/><text x="${px(x(t) + (end ? -5 : 5))}" y="${top + 40}" text-anchor="${end ? 'end' : 'start'}">${escaped(label)}</text>`,
    );
  }
  return { text: parts.join('\n'), height: y + 14 };
}

interface Place {
  y: number;
  height: number;
  x: (t: number) => number;
  axis: readonly number[];
}

function drawPanel(panel: Panel, run: ChartRun, { left, plot }: Geometry, { y, height, x, axis }: Place): string {
  const { title, unit, of, dashed, shared, level } = panel;
  // The first ssthresh can be far above anything else: it does not set the scale unless cwnd gets there.
  let highest = 0;
  const flows = run.flows.slice(0, DRAWN);
  for (const { samples } of flows) for (const sample of samples) highest = Math.max(highest, of(sample));
  const line = run.second === null ? level?.(run.link) : undefined;
  const inSight = line !== undefined && line.value <= 2 * highest;
  const steps = ticks(Math.max(highest, inSight ? line.value : 0), height > 120 ? 5 : 3);
  const most = steps.at(-1)!;
  const at = (value: number) => y + height - (value / most) * height;
  const parts = [
    `<text class="title" x="${left}" y="${y - 9}">${title} <tspan class="unit">${unit}</tspan></text>`,
    ...axis.map((t) => `<path class="grid" d="M${px(x(t))} ${y}v${height}"/>`),
    ...steps.map(
      (step) =>
        `<path class="grid" d="M${left} ${px(at(step))}h${plot}"/><text x="${left - 7}" y="${px(at(step) + 4)}" text-anchor="end">${short(step)}</text>`,
    ),
  ];
  if (inSight) parts.push(`<path class="level" d="M${left} ${px(at(line.value))}h${plot}"/>`);
  const trace = (samples: readonly FlowSample[], value: (sample: FlowSample) => number | null) =>
    path(samples, (sample) => {
      const found = value(sample);
      return found === null || found > most ? undefined : `${px(x(sample.t))} ${px(at(found))}`;
    });
  if (shared === true && run.second === null) {
    const samples = together(run.flows);
    const d = trace(samples, of);
    if (d !== '') {
      const ground = y + height;
      parts.push(
        `<path class="area" d="${d}V${ground}H${px(x(samples[0]!.t))}Z"/><path class="main" style="stroke:var(--soft)" d="${d}"/>`,
      );
    }
  } else
    for (const [n, { samples }] of flows.entries())
      for (const [style, value] of [['dash', dashed?.of] as const, ['main', of] as const]) {
        const d = value === undefined ? '' : trace(samples, value);
        if (d !== '') parts.push(`<path class="${style}" style="stroke:${flowVariable(n)}" d="${d}"/>`);
      }
  const kinds =
    dashed === undefined
      ? []
      : [
          { line: '──', label: 'cwnd' },
          { line: '╌╌', label: dashed.label },
        ];
  if (inSight) kinds.push({ line: '┈┈', label: `${line.label} ${short(line.value)} ${unit}` });
  parts.push(legend(kinds, left + plot, y - 9));
  return parts.join('\n');
}

/** Samples of whichever flow was on: every moment once. */
function together(flows: ChartRun['flows']): FlowSample[] {
  const moments = new Map<number, FlowSample>();
  for (const { samples } of flows) for (const sample of samples) moments.set(sample.t, sample);
  return [...moments.values()].sort((a, b) => a.t - b.t);
}

/** A line through the points; where there is none it is interrupted. */
function path(samples: readonly FlowSample[], point: (sample: FlowSample) => string | undefined): string {
  let d = '';
  let open = false;
  for (const sample of samples) {
    const to = point(sample);
    if (to !== undefined) d += `${open ? 'L' : 'M'}${to}`;
    open = to !== undefined;
  }
  return d;
}

/** Kinds of line with their names, flushed right at `right`; the lines are characters, so that they keep their distance. */
function legend(kinds: readonly { line: string; label: string }[], right: number, y: number): string {
  const entries = kinds.map(({ line, label }) => `${line} ${escaped(label)}`).join('\u2003');
  return entries === '' ? '' : `<text x="${right}" y="${y}" text-anchor="end">${entries}</text>`;
}
