import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { TrampetError } from '../base/index.ts';
import { bootTraced, replayTcp } from './tcp_replay.ts';
import { openTcpGoldens, type Spread, type TcpCall } from './tcp_trace.ts';

const USAGE = `usage: npm run oracle:tcp -- DIR [--only SCENARIO[-CC]] [--all]
  DIR     a directory with scenario.json, summary.json, obj/tr.bpf.o and traces
  --all   every figure, not only those that miss`;
/** Scenarios of one event, whose calls are compared one by one. */
const SINGLE = new Set(['C', 'Cb', 'E', 'E2', 'E3']);
/** A figure may be this far from the kernel's mean. */
const TOLERANCE = 0.05;

/** The calls that tell the story: state, events, reductions, undo. */
const STORY = new Set(['init', 'ssthresh', 'set_state', 'cwnd_event', 'undo_cwnd', 'release']);
const shown = ({ op, args, state }: TcpCall) =>
  `${op}${op === 'set_state' || op === 'cwnd_event' ? `(${args[0]})` : ''}@${state}`;
const story = (calls: readonly TcpCall[]) => calls.filter(({ op }) => STORY.has(op)).map(shown);

/** Where two lists part; −1 if they are the same. */
function parting(ours: readonly string[], theirs: readonly string[]): number {
  const length = Math.max(ours.length, theirs.length);
  for (let i = 0; i < length; i++) if (ours[i] !== theirs[i]) return i;
  return -1;
}

/** Compares with each repeat; the best match is told. */
function compareCalls(ours: readonly TcpCall[], runs: readonly TcpCall[][]): string {
  const mine = story(ours);
  let best = { at: -2, theirs: [] as string[] };
  for (const run of runs) {
    const theirs = story(run);
    const at = parting(mine, theirs);
    if (at === -1) return `calls: the story is the kernel's (${mine.length} calls)`;
    if (at > best.at) best = { at, theirs };
  }
  const around = (list: readonly string[]) => list.slice(Math.max(0, best.at - 2), best.at + 4).join(' ');
  return `calls: part at ${best.at}: ours ${around(mine)} | kernel ${around(best.theirs)}`;
}

function compareFigures(figures: Record<string, number>, spread: Spread, all: boolean) {
  const lines: string[] = [];
  let within = 0;
  let compared = 0;
  for (const [name, value] of Object.entries(figures)) {
    const kernel = spread[name];
    if (kernel === undefined) continue;
    compared++;
    const inside = value >= kernel.min && value <= kernel.max;
    const near = Math.abs(value - kernel.mean) <= TOLERANCE * Math.abs(kernel.mean);
    if (inside || near) within++;
    if (!all && (inside || near)) continue;
    lines.push(
      `${inside || near ? '  ' : '! '}${name} ${round(value)} (kernel ${round(kernel.mean)}, ${round(kernel.min)} … ${round(kernel.max)})`,
    );
  }
  return { lines, within, compared };
}

const round = (value: number) => (Math.abs(value) >= 1000 ? Math.round(value) : Number(value.toFixed(2)));

function main(): number {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { only: { type: 'string' }, all: { type: 'boolean', default: false } },
  });
  const [path] = positionals;
  if (path === undefined || positionals.length > 1) {
    console.error(USAGE);
    return 3;
  }
  if (!existsSync(join(path, 'scenario.json'))) {
    console.error(`oracle:tcp: no scenario.json in '${path}'`);
    return 3;
  }
  const goldens = openTcpGoldens(path);
  const kernel = bootTraced(
    readFileSync(fileURLToPath(new URL('../../data/btf/vmlinux-6.18.btf', import.meta.url))),
    goldens.object,
  );
  let within = 0;
  let compared = 0;
  for (const [name, scenario] of Object.entries(goldens.scenarios)) {
    for (const cc of scenario.ccs) {
      const label = `${name}-${cc}`;
      if (values.only !== undefined && values.only !== name && values.only !== label) continue;
      if (cc.includes('_')) {
        console.log(`${label}: several flows are not replayed`);
        continue;
      }
      const { calls, figures } = replayTcp(kernel, scenario, cc);
      const result = compareFigures(figures, goldens.summary[label]?.spread ?? {}, values.all);
      within += result.within;
      compared += result.compared;
      console.log(`${label}: ${result.within}/${result.compared} figures within`);
      for (const line of result.lines) console.log(`  ${line}`);
      const runs = [1, 2, 3].map((run) => goldens.calls(name, cc, run)).filter((run) => run !== undefined);
      if (SINGLE.has(name)) console.log(`    ${compareCalls(calls, runs)}`);
    }
  }
  console.log(`${within} of ${compared} figures within 5 % of the kernel's mean or inside its spread`);
  return 0;
}

try {
  process.exitCode = main();
} catch (error) {
  if (!(error instanceof TrampetError) && (error as { code?: string }).code === undefined) throw error;
  console.error(`oracle:tcp: ${(error as Error).message}`);
  process.exitCode = 3;
}
