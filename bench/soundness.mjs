// Random programs against the verifier's word: npm run build && node bench/soundness.mjs [PROGRAMS] [--seed N] [--no-machine]
// Every value of a run must lie in what the verifier knew, and what it accepts must run without fault in interpreter and
// machine. Prints the share of each outcome, every program that breaks the promise by its seed (exit code 1 then), and those
// that walking every path would have judged otherwise than pruning.

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Random } from '../dist/base/index.js';
import { disassemble } from '../dist/bpf/index.js';
import { readBtf } from '../dist/btf/index.js';
import { Guest, SoundnessCheck, VALUE_SIZE, verifiableProgram } from '../dist/conformance/index.js';
import { makeTarget } from '../dist/target/index.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string', default: '1' },
    'no-machine': { type: 'boolean', default: false },
    show: { type: 'boolean', default: false },
  },
});
const count = Number(positionals[0] ?? 10_000);
const first = Number(values.seed);
const btf = readBtf(readFileSync(new URL('../data/btf/vmlinux-6.18.btf', import.meta.url)));
const guest = values['no-machine'] ? undefined : new Guest(makeTarget({ release: '6.18', cfi: 'off', btf }));
const check = new SoundnessCheck(btf, guest);

const outcomes = {};
let steps = 0;
let broken = 0;
const start = performance.now();
for (let seed = first; seed < first + count; seed++) {
  const random = new Random(seed);
  const insns = verifiableProgram(random, 8 + random.below(32));
  const contents = Array.from({ length: 3 }, (_, n) =>
    Uint8Array.from({ length: VALUE_SIZE }, () =>
      n === 0 ? 0 : n === 1 ? [0, 1, 127, 128, 255][random.below(5)] : random.below(256),
    ),
  );
  const outcome = check.check(insns, contents);
  const name = outcome.verdict === 'refused' ? `refused ${outcome.errno}` : outcome.verdict;
  outcomes[name] = (outcomes[name] ?? 0) + 1;
  steps += outcome.steps ?? 0;
  if (outcome.why === undefined) continue;
  if (outcome.verdict === 'unsound') broken++;
  console.log(`seed ${seed}: ${outcome.verdict}: ${outcome.why}`);
  if (values.show)
    for (let i = 0; i < insns.length; i++) if (insns[i].code !== 0) console.log(`  ${i}: ${disassemble(insns, i)}`);
}
const seconds = (performance.now() - start) / 1000;
for (const [name, n] of Object.entries(outcomes).sort(([, a], [, b]) => b - a))
  console.log(`${name.padEnd(16)} ${String(n).padStart(8)}  ${((100 * n) / count).toFixed(1)} %`);
console.log(
  `seeds ${first} … ${first + count - 1}, ${steps} states followed, ${(count / seconds).toFixed(0)} programs a second`,
);
process.exitCode = broken === 0 ? 0 : 1;
