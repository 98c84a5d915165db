import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { TrampetError } from '../base/index.ts';
import { type Btf, readBtf } from '../btf/index.ts';
import { runMatrix } from './matrix.ts';

const USAGE = `usage: npm run matrix -- [PATH…] [--seconds 60] [--kernel 6.12,6.18+hashfix] [--shard 1/4]
  PATH       objects, or directories with objects (default: the examples)
  --seconds  simulated seconds of each run
  --shard    the first of four parts of the objects`;
const EXAMPLES = fileURLToPath(new URL('../../examples/', import.meta.url));

/** Objects at or below a path, sorted; `faulty_…` are meant to be refused. */
function objectsOf(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.bpf.o') && !basename(name).startsWith('faulty_'))
    .map((name) => join(path, name))
    .sort();
}

interface Tally {
  same: number;
  runs: number;
  bad: number;
  refused: number;
}

function runObject(path: string, release: string, btf: Btf, seconds: number, tally: Tally): void {
  const bytes = new Uint8Array(readFileSync(path));
  let last = '';
  try {
    for (const { control, link, modes, outcome, detail } of runMatrix(basename(path), bytes, {
      release,
      btf,
      seconds,
    })) {
      if (control !== last) console.log(`${control}, Linux ${release}, ${modes} modes`);
      last = control;
      tally.runs += modes;
      if (outcome === 'same') tally.same++;
      else tally.bad++;
      console.log(`  ${outcome.padEnd(7)}  ${link}${detail === '' ? '' : `: ${detail}`}`);
    }
  } catch (error) {
    if (!(error instanceof TrampetError)) throw error;
    tally.refused++;
    console.log(`${basename(path)}, Linux ${release}: not run: ${error.message}`);
  }
}

/** `k/n`: whether the object with this number is in the part. */
function inShard(shard: string, index: number): boolean {
  const [part, parts] = shard.split('/').map(Number) as [number, number];
  return index % parts === part - 1;
}

/** What was asked for. @throws Error with a line for people */
function asked() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seconds: { type: 'string', default: '60' },
      kernel: { type: 'string', default: '6.12,6.18+hashfix' },
      shard: { type: 'string', default: '1/1' },
    },
  });
  const seconds = Number(values.seconds);
  if (!(seconds > 0 && seconds <= 86_400)) throw new Error(`--seconds: '${values.seconds}' is no number up to a day`);
  const [, part, parts] = /^(\d+)\/(\d+)$/.exec(values.shard)?.map(Number) ?? [];
  if (part === undefined || parts === undefined || part < 1 || part > parts)
    throw new Error(`--shard: '${values.shard}' is no part like 1/4`);
  const paths = positionals.length === 0 ? [EXAMPLES] : positionals;
  const missing = paths.find((path) => !existsSync(path));
  if (missing !== undefined) throw new Error(`${missing}: no such file or directory`);
  const objects = paths.flatMap(objectsOf).filter((_, i) => inShard(values.shard, i));
  if (objects.length === 0) throw new Error(`${paths.join(', ')}: no objects (*.bpf.o)`);
  const kernels = values.kernel.split(',').map((release) => {
    const file = new URL(`../../data/btf/vmlinux-${release.split('+')[0]}.btf`, import.meta.url);
    if (!existsSync(file)) throw new Error(`no BTF of Linux ${release} is bundled`);
    return { release, btf: readBtf(new Uint8Array(readFileSync(file))) };
  });
  return { seconds, objects, kernels };
}

function main(): number {
  let plan: ReturnType<typeof asked>;
  try {
    plan = asked();
  } catch (error) {
    console.error(`matrix: ${(error as Error).message}\n${USAGE}`);
    return 2;
  }
  const { seconds, objects, kernels } = plan;
  const tally: Tally = { same: 0, runs: 0, bad: 0, refused: 0 };
  for (const { release, btf } of kernels) for (const path of objects) runObject(path, release, btf, seconds, tally);
  console.log(
    `${tally.runs} runs of ${seconds} simulated seconds: ${tally.same} pairs of control and link with no fault and the same result in every mode, ${tally.bad} not; ${tally.refused} objects not run`,
  );
  return tally.bad === 0 ? 0 : 1;
}

process.exitCode = main();
