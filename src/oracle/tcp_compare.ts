import type { Spread, TcpCall } from './tcp_trace.ts';

/** A figure may be this far from the kernel's mean. */
const TOLERANCE = 0.05;
/** The calls that tell the story: state, events, reductions, undo. */
const STORY = new Set(['init', 'ssthresh', 'set_state', 'cwnd_event', 'undo_cwnd', 'release']);
/** Calls whose number depends on when a sleeping writer is woken, which no trace tells. */
const WRITER = new Set(['sndbuf_expand']);
const TX_START = 0;
/** Times among the arguments, which differ from run to run: positions, by op. */
const TIMES: Record<string, readonly number[]> = {
  pkts_acked: [1],
  cong_control: [3, 4, 12, 13, 15],
};
/** Arguments of ours that the traces have; the traces' last ones may be missing. */
const shown = ({ op, args, state }: TcpCall): string => {
  const times = TIMES[op] ?? [];
  const told = args
    .map((arg, i) => (times.includes(i) ? '·' : arg))
    .filter((_, i) => !(op === 'cong_control' && i === 15));
  return `${op}(${told.join(' ')})@${state}`;
};

/** Where two lists part; −1 if they are the same. */
function parting(ours: readonly string[], theirs: readonly string[]): number {
  const length = Math.max(ours.length, theirs.length);
  for (let i = 0; i < length; i++) if (ours[i] !== theirs[i]) return i;
  return -1;
}

/** The kernel's run that agrees with ours for longest. */
function nearest(ours: readonly string[], runs: readonly string[][]): { at: number; theirs: readonly string[] } {
  let best: { at: number; theirs: readonly string[] } = { at: -2, theirs: [] };
  for (const theirs of runs) {
    const at = parting(ours, theirs);
    if (at === -1) return { at, theirs };
    if (at > best.at) best = { at, theirs };
  }
  return best;
}

const around = (list: readonly string[], at: number) => list.slice(Math.max(0, at - 1), at + 3).join(' ') || '—';

/** Compares states, events, reductions and undos of a flow with each repeat; the best match is told. */
export function compareStory(ours: readonly TcpCall[], runs: readonly TcpCall[][]): { same: boolean; line: string } {
  const story = (calls: readonly TcpCall[]) =>
    calls
      .filter(({ op }) => STORY.has(op))
      .map((call) => shown({ ...call, args: call.op === 'ssthresh' ? [] : call.args }));
  const mine = story(ours);
  const { at, theirs } = nearest(mine, runs.map(story));
  if (at === -1) return { same: true, line: `story: the kernel's, ${mine.length} calls` };
  return {
    same: false,
    line: `story: parts after ${at} of ${theirs.length}: ours ${around(mine, at)} | kernel ${around(theirs, at)}`,
  };
}

/** From the first reduction or change of state to the last. */
function episode(calls: readonly TcpCall[]): TcpCall[] {
  const matters = ({ op, args }: TcpCall) =>
    op === 'ssthresh' || op === 'undo_cwnd' || op === 'set_state' || (op === 'cwnd_event' && args[0] !== TX_START);
  const first = calls.findIndex(matters);
  return first < 0 ? [] : calls.slice(first, calls.findLastIndex(matters) + 1);
}

/** Where the kernel's repeats part from each other at the latest; −1 if two are the same to the end. */
function repeatsPart(runs: readonly string[][]): number {
  let latest = 0;
  for (const [i, run] of runs.entries()) {
    const { at } = nearest(
      run,
      runs.filter((_, other) => other !== i),
    );
    if (at === -1) return -1;
    latest = Math.max(latest, at);
  }
  return latest;
}

/**
 * Compares every call with its arguments, step by step, from the first event of interest to the last. `as far`: ours agrees
 * with one of the kernel's runs for as long as the runs agree with each other.
 */
export function compareSteps(
  ours: readonly TcpCall[],
  runs: readonly TcpCall[][],
): { result: 'same' | 'as far' | 'parts'; line: string } {
  const steps = (calls: readonly TcpCall[]) =>
    episode(calls)
      .filter(({ op }) => !WRITER.has(op))
      .map(shown);
  const mine = steps(ours);
  const theirRuns = runs.map(steps);
  const { at, theirs } = nearest(mine, theirRuns);
  if (at === -1) return { result: 'same', line: `steps: the kernel's, ${mine.length} calls with their arguments` };
  const repeats = repeatsPart(theirRuns);
  const told = repeats === -1 ? 'repeats agree' : `repeats part after ${repeats}`;
  return {
    result: repeats !== -1 && at >= repeats ? 'as far' : 'parts',
    line: `steps: ${at} of ${theirs.length} calls are the kernel's (${told}), then ours ${around(mine, at)} | kernel ${around(theirs, at)}`,
  };
}

export interface ComparedFigure {
  name: string;
  line: string;
  near: boolean;
}

const round = (value: number) => (Math.abs(value) >= 1000 ? Math.round(value) : Number(value.toFixed(3)));

/** Compares figures that both sides have. */
export function compareFigures(figures: Record<string, number>, spread: Spread): ComparedFigure[] {
  const compared: ComparedFigure[] = [];
  for (const [name, kernel] of Object.entries(spread)) {
    const value = figures[name] ?? (kernel.max === 0 && !name.includes('K:') ? undefined : missing(name));
    if (value === undefined) continue;
    const inside = value >= kernel.min && value <= kernel.max;
    const near = inside || Math.abs(value - kernel.mean) <= TOLERANCE * Math.abs(kernel.mean);
    const line = `${name} ${round(value)} (kernel ${round(kernel.mean)}, ${round(kernel.min)} … ${round(kernel.max)})`;
    compared.push({ name, line, near });
  }
  return compared;
}

/** Calls and states that the kernel had and we had not count as none. */
function missing(name: string): number | undefined {
  return /(^|\.)(calls\.[a-z]|time_in_state_s\.)/.test(name) ? 0 : undefined;
}
