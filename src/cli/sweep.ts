import { availableParallelism } from 'node:os';
import { Tinypool } from 'tinypool';
import { parseLink } from '../net/index.ts';
import { TextFile } from './_files.ts';
import type { SweepLine } from './_grid.ts';
import { grid, keyOf, mergeLines, objectName, parseLines, parseSeeds, parseShard, resume, summary } from './_grid.ts';
import type { SweepAnswer, SweepTask } from './_sweep_worker.ts';
import { CliError } from './error.ts';
import { COMMON, number, parse, seconds } from './options.ts';
import { out, progress } from './print.ts';
import { chooseKernel, openFor, readFile, traceReader } from './session.ts';

const SWEEP_USAGE = `usage: trampet sweep OBJ… [options]

Runs every object over every link with every seed, on all cores; a line of JSON a run. Exit code 1 if a guest died.

  --link SPEC       may be given several times (default 20mbit,40ms,100p)
  --seeds LIST      1..10, or 1,5,20..29 (default 1..10)
  --for TIME        simulated time of each run (default 30s)
  --out FILE        the lines go there, and a table to the terminal; runs that FILE has already are not done again
  --shard I/N       only every N-th run, from the I-th: for several machines, see 'trampet merge'
  --jobs N          threads (default: as many as there are cores)
  --cfi MODE        off | kcfi | fineibt (default fineibt)   --kernel REL  default 6.18+hashfix
  --mitigations L   as 'trampet run --help' lists them       --hash-seed N  boot-time seed of type hashes (0: none)`;

const MERGE_USAGE = `usage: trampet merge FILE… [--out FILE]

Joins files of 'trampet sweep': each run once, in one order. Exit code 1 if two files disagree about a run.

  --out FILE        the lines go there, and a table to the terminal`;

/** `trampet sweep`. */
export async function sweep(args: string[]): Promise<number> {
  const { values, positionals } = parse(args, {
    cfi: COMMON.cfi,
    mitigations: COMMON.mitigations,
    'hash-seed': COMMON['hash-seed'],
    help: COMMON.help,
    kernel: { type: 'string', default: '6.18+hashfix' },
    link: { type: 'string', multiple: true, default: ['20mbit,40ms,100p'] },
    seeds: { type: 'string', default: '1..10' },
    for: { type: 'string', default: '30s' },
    out: { type: 'string' },
    shard: { type: 'string', default: '1/1' },
    jobs: { type: 'string', default: `${availableParallelism()}` },
  });
  if (values.help) {
    out(SWEEP_USAGE);
    return 0;
  }
  if (positionals.length === 0) throw new CliError('sweep takes objects', 'usage', SWEEP_USAGE.split('\n')[0]!);
  const common = { ...values, seed: '1' };
  const choice = chooseKernel(common);
  for (const link of values.link) parseLink(link, { readTrace: traceReader('.') });
  const time = seconds('for', values.for);
  const jobs = number('jobs', values.jobs, 1, 1024);
  const mine = parseShard(values.shard);
  for (const path of positionals) openFor(path, choice);
  const runs = grid([...new Set(positionals)], [...new Set(values.link)], parseSeeds(values.seeds)).filter(
    (_run, index) => mine(index),
  );
  const known = values.out === undefined ? [] : resume(values.out);
  const done = new Set(known.map(keyOf));
  const { kernel, cfi, mitigations } = values;
  const tasks: SweepTask[] = runs
    .filter(
      ({ path, ...run }) =>
        !done.has(
          keyOf({
            ...run,
            object: objectName(path),
            kernel,
            cfi,
            mitigations,
            hashSeed: choice.hashSeed,
            seconds: time,
          }),
        ),
    )
    .map((run) => ({ run, values: common, seconds: time }));
  const file = values.out === undefined ? undefined : new TextFile(values.out, true);
  const lines = await doTasks(tasks, jobs, (line) => {
    const text = `${JSON.stringify(line)}\n`;
    if (file === undefined) process.stdout.write(text);
    else {
      file.write(text);
      file.flush();
    }
  });
  file?.close();
  if (file !== undefined) {
    for (const line of summary(mergeLines([...known, ...lines]))) out(line);
    if (tasks.length < runs.length) out(`${runs.length - tasks.length} of ${runs.length} runs were there already`);
  }
  return [...known, ...lines].some(({ faults }) => faults.length > 0) ? 1 : 0;
}

/** How far it is, and how long the rest will take if it goes on like this. */
function bar(finished: number, all: number, seconds: number): string {
  const left = Math.round((seconds / finished) * (all - finished));
  const time = left >= 60 ? `${Math.floor(left / 60)} min ${left % 60} s` : `${left} s`;
  return `${'█'.repeat(Math.round((finished / all) * 30)).padEnd(30, '░')} ${finished} of ${all} runs, ${time} left`;
}

/** Does the tasks on `jobs` threads and hands on their lines in the tasks' order. */
async function doTasks(
  tasks: readonly SweepTask[],
  jobs: number,
  give: (line: SweepLine) => void,
): Promise<SweepLine[]> {
  if (tasks.length === 0) return [];
  const threads = Math.min(jobs, tasks.length);
  const pool = new Tinypool({
    filename: new URL('./_sweep_worker.js', import.meta.url).href,
    minThreads: threads,
    maxThreads: threads,
  });
  let finished = 0;
  const begun = performance.now();
  const ask = async (task: SweepTask) => {
    const answer = (await pool.run(task, { name: 'work' })) as SweepAnswer;
    finished++;
    progress(bar(finished, tasks.length, (performance.now() - begun) / 1000));
    return answer;
  };
  const lines: SweepLine[] = [];
  /** Those that were begun and not handed on, in their order: enough for all threads, not all there are. */
  const waiting: Promise<SweepAnswer>[] = [];
  const most = Math.max(64, 16 * threads);
  try {
    for (let next = 0; lines.length < tasks.length; ) {
      for (; next < tasks.length && waiting.length < most; next++) {
        const answer = ask(tasks[next]!);
        // Those behind the first that fails fail too; only the first is told.
        answer.catch(() => {});
        waiting.push(answer);
      }
      const answer = await waiting.shift()!;
      if ('error' in answer) throw new CliError(answer.error.message, answer.error.kind, answer.error.hint);
      lines.push(answer.line);
      give(answer.line);
    }
  } finally {
    await pool.destroy();
    progress('');
  }
  return lines;
}

/** `trampet merge`. */
export function merge(args: string[]): number {
  const { values, positionals } = parse(args, {
    out: { type: 'string' },
    help: COMMON.help,
  });
  if (values.help) {
    out(MERGE_USAGE);
    return 0;
  }
  if (positionals.length === 0) throw new CliError('merge takes files', 'usage', MERGE_USAGE.split('\n')[0]!);
  const decoder = new TextDecoder();
  const lines = mergeLines(positionals.flatMap((path) => parseLines(path, decoder.decode(readFile(path)))));
  const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
  if (values.out === undefined) process.stdout.write(text);
  else {
    const file = new TextFile(values.out);
    file.write(text);
    file.close();
    for (const line of summary(lines)) out(line);
  }
  return 0;
}
