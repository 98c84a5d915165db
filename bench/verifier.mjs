// Verification time against the kernel's, over the programs that a recorded kernel accepted:
//   npm run build && node --expose-gc bench/verifier.mjs DIRECTORY_OF_GOLDENS [--rounds N] [--only OBJECT] [--all]
// Prints sums and ratios, the slowest programs (--all: every program), instructions processed a second and peak memory.

import { parseArgs } from 'node:util';
import { prepareAll } from '../dist/oracle/_verify.js';
import { openOracle } from '../dist/oracle/directory.js';
import { verifyProgram } from '../dist/verifier/index.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '5' },
    only: { type: 'string' },
    all: { type: 'boolean', default: false },
  },
});
const [path] = positionals;
if (path === undefined) {
  console.error('usage: node --expose-gc bench/verifier.mjs DIRECTORY_OF_GOLDENS [--rounds N] [--only OBJECT] [--all]');
  process.exit(2);
}

const MB = 1 << 20;
const before = process.memoryUsage();
let peakHeap = 0;
const sample = () => {
  peakHeap = Math.max(peakHeap, process.memoryUsage().heapUsed);
};

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
globalThis.gc?.();
const loaded = process.memoryUsage();

/** One verification: microseconds and instructions processed; undefined if it is not modelled. */
function once({ input }) {
  const start = performance.now();
  let verdict;
  try {
    verdict = verifyProgram(input);
  } catch (error) {
    if (error.kind !== 'unsupported') throw error;
    return { why: error.message };
  }
  const usec = (performance.now() - start) * 1000;
  sample();
  return { usec, insns: verdict.stats.insnProcessed, refused: verdict.ok ? undefined : verdict.errno };
}

const measured = [];
for (const program of programs) {
  const first = once(program);
  if (first.why !== undefined) left.push(`${program.name}: ${first.why}`);
  else measured.push({ ...program, ...first, cold: first.usec, best: first.usec });
}
for (let round = 1; round < Number(values.rounds); round++)
  for (const program of measured) program.best = Math.min(program.best, once(program).usec);

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
console.log(
  `sum, first run     ${ms(sum('kernel'))} ms kernel ${ms(sum('cold'))} ms ours, ratio ${ratio(sum('cold'), sum('kernel')).trim()}`,
);
console.log(
  `sum, after warm-up ${ms(sum('kernel'))} ms kernel ${ms(sum('best'))} ms ours, ratio ${ratio(sum('best'), sum('kernel')).trim()}`,
);
console.log(`instructions processed: ${((sum('insns') / sum('best')) * 1000).toFixed(0)} thousand a second`);
console.log(
  `memory: peak RSS ${(process.resourceUsage().maxRSS / 1024).toFixed(0)} MB; heap peak ${(peakHeap / MB).toFixed(0)} MB, of which ${(loaded.heapUsed / MB).toFixed(0)} MB hold inputs and BTF; RSS at start ${(before.rss / MB).toFixed(0)} MB`,
);
