// Verification time and memory against the kernel's, over the programs that a recorded kernel accepted:
//   npm run build && node bench/verifier.mjs DIRECTORY_OF_GOLDENS [--rounds N] [--only OBJECT] [--all]
// Prints sums and ratios, the slowest programs (--all: every program), instructions processed a second and peak memory.
// Time is that of the processor, all threads together, so that a busy machine does not count; the wall's is beside it.

import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { prepareAll } from '../dist/oracle/_verify.js';
import { openOracle } from '../dist/oracle/directory.js';
import { verifyProgram } from '../dist/verifier/index.js';

const USAGE = 'usage: node bench/verifier.mjs DIRECTORY_OF_GOLDENS [--rounds N] [--only OBJECT] [--all]';
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '10' },
    only: { type: 'string' },
    all: { type: 'boolean', default: false },
  },
});
const [path] = positionals;
if (path === undefined) {
  console.error(USAGE);
  process.exit(2);
}

const directory = openOracle(path);
const programs = [];
const left = [];
for (const mode of directory.modes)
  for (const object of directory.objects) {
    if (values.only !== undefined && values.only !== object) continue;
    for (const prepared of prepareAll(directory, mode, object)) {
      if (!prepared.program.accepted) continue;
      const name = `${object}/${prepared.program.name}`;
      if ('why' in prepared) left.push(`${name}: ${prepared.why}`);
      else
        programs.push({
          name,
          input: { ...prepared.input, logLevel: 0 },
          kernel: prepared.program.verif_usec ?? prepared.program.stats?.verif_usec ?? 0,
        });
    }
  }

/** One verification: microseconds of processor and wall, instructions processed; `why` if it is not modelled. */
function once({ input }) {
  const start = performance.now();
  const cpu = process.cpuUsage();
  let verdict;
  try {
    verdict = verifyProgram(input);
  } catch (error) {
    if (error.kind !== 'unsupported') throw error;
    return { why: error.message };
  }
  const { user, system } = process.cpuUsage(cpu);
  const wall = (performance.now() - start) * 1000;
  return {
    usec: user + system,
    wall,
    insns: verdict.stats.insnProcessed,
    refused: verdict.ok ? undefined : verdict.errno,
  };
}

const measured = [];
for (const program of programs) {
  const first = once(program);
  if (first.why !== undefined) left.push(`${program.name}: ${first.why}`);
  else measured.push({ ...program, ...first, cold: first.usec, times: [], walls: [] });
}
for (let round = 1; round < Number(values.rounds); round++)
  for (const program of measured) {
    const { usec, wall } = once(program);
    program.times.push(usec);
    program.walls.push(wall);
  }
const quantile = (list, share) => list.sort((a, b) => a - b)[Math.floor(list.length * share)] ?? 0;
for (const program of measured) {
  program.best = quantile(program.times, 0);
  program.median = quantile(program.times, 0.5);
  program.wall = quantile(program.walls, 0);
}

const sum = (key) => measured.reduce((total, program) => total + program[key], 0);
const ms = (usec) => (usec / 1000).toFixed(2).padStart(9);
const ratio = (usec, kernel) => (kernel === 0 ? '-' : (usec / kernel).toFixed(2)).padStart(8);
console.log('program                                     kernel ms   ours ms   ratio    insns  K insns/s');
const rows = [...measured].sort((a, b) => b.best - a.best);
for (const { name, kernel, best, insns, refused } of values.all ? rows : rows.slice(0, 12))
  console.log(
    `${name.padEnd(42)} ${ms(kernel)} ${ms(best)} ${ratio(best, kernel)} ${String(insns).padStart(8)} ${((insns / best) * 1000).toFixed(0).padStart(10)}${refused === undefined ? '' : `  refused: ${refused}`}`,
  );
console.log(
  `\n${measured.length} programs, ${left.length} not modelled${left.length === 0 ? '' : `: ${left.join('; ')}`}`,
);
const line = (name, key) =>
  console.log(
    `${name} ${ms(sum('kernel'))} ms kernel ${ms(sum(key))} ms ours, ratio ${ratio(sum(key), sum('kernel')).trim()}`,
  );
line('sum, first run                 ', 'cold');
line('sum, after warm-up, best       ', 'best');
line('sum, after warm-up, median     ', 'median');
line('sum, after warm-up, best (wall)', 'wall');
console.log(`instructions processed: ${((sum('insns') / sum('best')) * 1000).toFixed(0)} thousand a second`);

// Goldens and symbols are the harness's: a process of its own has the BTF and verifies what is in the objects.
const names = measured.map(({ name }) => name);
console.log(
  execFileSync(process.execPath, [fileURLToPath(new URL('verifier-memory.mjs', import.meta.url)), path, ...names], {
    encoding: 'utf8',
  }).trimEnd(),
);
