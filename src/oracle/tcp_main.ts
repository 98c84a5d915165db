import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { TrampetError } from '../base/index.ts';
import type { Kernel } from '../kernel/index.ts';
import { compareFigures, compareSteps, compareStory } from './tcp_compare.ts';
import { bootTraced, replayTcp } from './tcp_replay.ts';
import { notReplayed, openTcpGoldens, type TcpGoldens, type TcpScenario } from './tcp_trace.ts';

const USAGE = `usage: npm run oracle:tcp -- DIR [--only SCENARIO[-CC]] [--misses]
  DIR       a directory with scenario.json, summary.json, obj/tr.bpf.o and traces
  --misses  only the figures that miss`;
/** The receiving end, which is traced where the control runs there too: what it sees are the marks, one by one. */
const RECEIVER = 'r0';
/** Repeats of a run that a directory may have. */
const REPEATS = [1, 2, 3, 4, 5];

/** A scenario in which something happens to single packets: calls are compared one by one. */
const isSingle = ({ drop, blackout, tail }: TcpScenario) =>
  drop !== undefined || blackout !== undefined || tail !== undefined;

interface Totals {
  within: number;
  compared: number;
  stories: [number, number];
  steps: Record<'same' | 'as far' | 'parts', number>;
}

function replayOne(
  kernel: Kernel,
  goldens: TcpGoldens,
  name: string,
  cc: string,
  misses: boolean,
  totals: Totals,
): void {
  const label = `${name}-${cc}`;
  const scenario = goldens.scenarios[name]!;
  const spread = goldens.spread(label);
  if (spread === undefined) return;
  const { calls, figures } = replayTcp(kernel, scenario, cc);
  const compared = compareFigures(figures, spread);
  const within = compared.filter(({ near }) => near).length;
  totals.within += within;
  totals.compared += compared.length;
  console.log(`${label}: ${within}/${compared.length} figures within`);
  for (const { line, near } of compared) if (!near || !misses) console.log(`  ${near ? ' ' : '!'} ${line}`);
  for (const [flow, ours] of Object.entries(calls)) {
    if (!isSingle(scenario) && flow !== RECEIVER) continue;
    const runs = REPEATS.map((run) => goldens.calls(label, run, flow)).filter((run) => run !== undefined);
    if (runs.length === 0) continue;
    if (flow === RECEIVER) {
      // Its release is not in the traces.
      const { line } = compareStory(
        ours.filter(({ op }) => op !== 'release'),
        runs,
      );
      console.log(`    receiving end's ${line}`);
      continue;
    }
    const story = compareStory(ours, runs);
    const steps = compareSteps(ours, runs);
    totals.stories[story.same ? 0 : 1]++;
    totals.steps[steps.result]++;
    console.log(`    ${story.line}\n    ${steps.line}`);
  }
}

function main(): number {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { only: { type: 'string' }, misses: { type: 'boolean', default: false } },
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
  const totals: Totals = { within: 0, compared: 0, stories: [0, 0], steps: { same: 0, 'as far': 0, parts: 0 } };
  for (const [name, scenario] of Object.entries(goldens.scenarios)) {
    if (values.only !== undefined && values.only.split('-')[0] !== name) continue;
    const unknown = notReplayed(scenario);
    if (unknown !== undefined) {
      console.log(`${name}: '${unknown}' is not replayed`);
      continue;
    }
    for (const cc of scenario.ccs)
      if (values.only === undefined || values.only === name || values.only === `${name}-${cc}`)
        replayOne(kernel, goldens, name, cc, values.misses, totals);
  }
  const { within, compared, stories, steps } = totals;
  console.log(`${stories[0]} of ${stories[0] + stories[1]} stories of one event are the kernel's`);
  const all = steps.same + steps['as far'] + steps.parts;
  console.log(
    `${steps.same} of ${all} step by step with all arguments, ${steps['as far']} more as far as the kernel's repeats agree`,
  );
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
