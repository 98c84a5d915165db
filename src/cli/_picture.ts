import type { FlowSample } from '../subsystems/index.ts';
import { Canvas } from './_canvas.ts';
import { DRAWN } from './_chart.ts';
import { blue, cyan, dim, green, magenta, red, yellow } from './print.ts';

/** What is drawn: the flows' samples so far, over the whole time that the run will take. */
export interface Course {
  seconds: number;
  flows: readonly { name: string; samples: readonly FlowSample[] }[];
  /** All flows stand in one queue (default): its panel has one line. */
  shared?: boolean;
  /** Moments that are marked on the time axis. */
  marks?: readonly { t: number }[];
}

export interface PictureSize {
  /** Columns of the terminal. */
  width: number;
  /** Lines that the picture may take. */
  height: number;
}

/** Colours of flows, in their order; the seventh flow has the first one's. */
const FLOWS = [cyan, yellow, green, magenta, blue, red] as const;
const GUTTER = 17;
const LEAST_PLOT = 24;

interface Panel {
  title: string;
  unit: string;
  /** Rows to aim for. */
  rows: number;
  /** Drawn with every third column, under the line; out of sight where it is higher than the rest. */
  dotted?(sample: FlowSample): number | null;
  of(sample: FlowSample): number;
  /** One line for all flows, as the queue is theirs together. */
  shared?: true;
}

const PANELS: readonly Panel[] = [
  { title: 'cwnd', unit: 'packets', rows: 8, of: ({ cwnd }) => cwnd, dotted: ({ ssthresh }) => ssthresh },
  { title: 'RTT', unit: 'ms', rows: 3, of: ({ srttMs }) => srttMs },
  { title: 'in flight', unit: 'packets', rows: 3, of: ({ inFlight }) => inFlight },
  { title: 'rate', unit: 'Mbit/s', rows: 3, of: ({ rateBps }) => rateBps / 1e6 },
  { title: 'queue', unit: 'packets', rows: 3, of: ({ queuePackets }) => queuePackets, shared: true },
];

/** The flow's colour. */
export const flowColor = (n: number): ((text: string) => string) => FLOWS[n % FLOWS.length]!;

/** The lines that suit a picture best, and the least that it takes. */
export const HEIGHT = 23;
export const LEAST_HEIGHT = 2 * PANELS.length + 2;

/**
 * Window, round-trip time, in flight, rate and queue of the first flows over one time axis, in braille dots. `ssthresh` is
 * the dotted line in the window's panel. Every line fits into `width` columns (41 at least).
 */
export function picture(course: Course, { width, height }: PictureSize): string[] {
  const columns = Math.max(LEAST_PLOT, width - GUTTER);
  const rows = shareRows(height - 2);
  const drawn = { ...course, flows: course.flows.slice(0, DRAWN) };
  return [...PANELS.flatMap((panel, i) => drawPanel(panel, drawn, columns, rows[i]!)), ...timeAxis(course, columns)];
}

/** Rows for each panel out of `all`: as many as it aims for, two at least; the window's has what is left over. */
function shareRows(all: number): number[] {
  const rows = PANELS.map(({ rows }) => rows);
  let sum = rows.reduce((total, own) => total + own, 0);
  for (let i = PANELS.length - 1; sum > all && i > 0; i--) {
    rows[i]!--;
    sum--;
  }
  while (sum > all && rows[0]! > 2) {
    rows[0]!--;
    sum--;
  }
  rows[0]! += Math.max(0, all - sum);
  return rows;
}

/** The least that an axis tells apart from nothing. */
const LEAST = 0.01;

/** Two figures that are easy to read, and at least `value`. */
function roundUp(value: number): number {
  if (!(value > LEAST)) return value > 0 ? LEAST : 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const factor = [1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9, 10].find(
    (candidate) => candidate * power >= value * (1 - 1e-9),
  )!;
  return Number((factor * power).toPrecision(3));
}

const figure = (value: number) =>
  value >= 1e6
    ? `${Number((value / 1e6).toPrecision(3))}M`
    : value >= 1e4
      ? `${Number((value / 1e3).toPrecision(3))}k`
      : `${value}`;

function drawPanel(
  panel: Panel,
  { flows, seconds, shared: one = true }: Course,
  columns: number,
  rows: number,
): string[] {
  const { title, unit, of, dotted } = panel;
  const shared = panel.shared === true && one;
  let highest = 0;
  for (const { samples } of flows) for (const sample of samples) highest = Math.max(highest, of(sample));
  const top = roundUp(highest);
  const canvas = new Canvas(columns, rows);
  const x = (t: number) => Math.min(2 * columns - 1, Math.floor((t / seconds) * 2 * columns));
  const y = (value: number) => Math.round((value / top) * (4 * rows - 1));
  const drawn = shared ? [{ samples: together(flows) }] : flows;
  for (const [n, { samples }] of drawn.entries()) {
    trace(canvas, samples, x, (sample) => y(of(sample)), n, 1);
    if (dotted === undefined) continue;
    const under = (sample: FlowSample) => {
      const value = dotted(sample);
      return value === null || value > top ? undefined : y(value);
    };
    trace(canvas, samples, x, under, n, 3);
  }
  const color = (text: string, pen: number) => (shared ? text : flowColor(pen)(text));
  return canvas.rows(color).map((line, row) => {
    const label = row === 0 ? title.padEnd(10) : dim((row === 1 ? unit : '').padEnd(10));
    const axis = row === 0 ? figure(top) : row === rows - 1 ? '0' : '';
    return `${label}${dim(`${axis.padStart(5)} ${axis === '' ? '│' : '┤'}`)}${line}`;
  });
}

/** Samples of whichever flow was on: every moment once. */
function together(flows: Course['flows']): FlowSample[] {
  const first = flows[0]?.samples ?? [];
  if (flows.length < 2) return [...first];
  const moments = new Map<number, FlowSample>();
  for (const { samples } of flows) for (const sample of samples) moments.set(sample.t, sample);
  return [...moments.values()].sort((a, b) => a.t - b.t);
}

function trace(
  canvas: Canvas,
  samples: readonly FlowSample[],
  x: (t: number) => number,
  y: (sample: FlowSample) => number | undefined,
  pen: number,
  every: number,
): void {
  let from: { x: number; y: number } | undefined;
  for (const sample of samples) {
    const height = y(sample);
    const to = height === undefined ? undefined : { x: x(sample.t), y: height };
    if (to !== undefined) canvas.line(from?.x ?? to.x, from?.y ?? to.y, to.x, to.y, pen, every);
    from = to;
  }
}

function timeAxis({ seconds, marks = [] }: Course, columns: number): string[] {
  const step = roundTo(seconds / Math.max(2, Math.floor(columns / 12)));
  let line = '';
  let labels = '';
  for (let i = 0; i * step <= seconds * (1 + 1e-9); i++) {
    const at = Math.min(columns - 1, Math.floor(((i * step) / seconds) * columns));
    line += '─'.repeat(Math.max(0, at - line.length));
    line += '┴';
    const text = `${Number((i * step).toPrecision(6))}${i === 0 ? ' s' : ''}`;
    const start = Math.min(at, columns - text.length);
    if (start > labels.length || i === 0) labels += ' '.repeat(start - labels.length) + text;
  }
  line += '─'.repeat(columns - line.length);
  for (const { t } of marks) {
    const at = Math.min(columns - 1, Math.floor((t / seconds) * columns));
    line = `${line.slice(0, at)}▲${line.slice(at + 1)}`;
  }
  return [dim(`${' '.repeat(GUTTER - 1)}└${line}`), dim(`${' '.repeat(GUTTER)}${labels}`)];
}

/** The nearest of 1, 2, 5 × 10ⁿ that is at least `value`. */
function roundTo(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].find((factor) => factor * power >= value * (1 - 1e-9))! * power;
}
