import { existsSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { TrampetError } from '../base/index.ts';
import { readBtf } from '../btf/index.ts';
import { readMaybeGzip } from './directory.ts';
import { OracleError } from './error.ts';
import { SelftestKernel } from './selftest_run.ts';
import { runSelftests, type SelftestOutcome } from './selftests.ts';

const USAGE = `usage: npm run selftests -- DIR [--btf FILE] [--file NAME] [--program NAME] [--run] [--log] [--json]
  DIR    objects (*.o) compiled from the kernel's tools/testing/selftests/bpf/progs, whose BTF has the annotations
  --btf  BTF of the kernel that the objects run on; without, the bundled one of 6.18, which lacks much
  --run  runs what is accepted and annotated with what it returns
  --log  the verifier's log of each mismatch
Exit code 1 upon mismatches.`;
const BUNDLED = new URL('../../data/btf/vmlinux-6.18.btf', import.meta.url);

interface Count {
  passed: number;
  compared: number;
  unsupported: number;
}

function objectsOf(path: string): string[] {
  let names: string[];
  try {
    names = readdirSync(path).filter((name) => name.endsWith('.o'));
  } catch {
    throw new OracleError('no such directory', path);
  }
  if (names.length === 0) throw new OracleError('no objects (*.o) in this directory', path);
  return names.sort();
}

function readInput(path: string): Uint8Array {
  try {
    return readMaybeGzip(path);
  } catch (error) {
    throw new OracleError((error as Error).message, path);
  }
}

function table(title: string, reasons: ReadonlyMap<string, number>): void {
  if (reasons.size > 0) console.log(`\n${title}`);
  for (const [reason, count] of [...reasons].sort((a, b) => b[1] - a[1]))
    console.log(`  ${String(count).padStart(5)}  ${reason}`);
}

function print(outcomes: readonly SelftestOutcome[], logs: boolean): void {
  const files = new Map<string, Count>();
  const reasons = new Map<string, number>();
  const notRun = new Map<string, number>();
  for (const { file, status, why } of outcomes) {
    const count = files.get(file) ?? { passed: 0, compared: 0, unsupported: 0 };
    files.set(file, count);
    if (status === 'unsupported') {
      count.unsupported++;
      reasons.set(why!, (reasons.get(why!) ?? 0) + 1);
    } else count.compared++;
    if (status === 'passed') count.passed++;
  }
  const all = { passed: 0, compared: 0, unsupported: 0 };
  const width = Math.max(...[...files.keys()].map((name) => name.length));
  const row = (name: string, { passed, compared, unsupported }: Count) =>
    console.log(
      `${name.padEnd(width)}  ${`${passed}/${compared}`.padStart(9)}${unsupported ? `  +${unsupported}?` : ''}`,
    );
  console.log('passed/compared, +n? not modelled\n');
  for (const [name, count] of files) {
    row(name, count);
    for (const key of ['passed', 'compared', 'unsupported'] as const) all[key] += count[key];
  }
  row('all', all);
  table('not modelled', reasons);
  let ran = 0;
  let returned = 0;
  for (const { run, status } of outcomes) {
    if (run === 'done') {
      ran++;
      if (status === 'passed') returned++;
    } else if (run !== undefined) notRun.set(run.not, (notRun.get(run.not) ?? 0) + 1);
  }
  if (ran + notRun.size > 0) console.log(`\n${returned}/${ran} that ran return what they should`);
  table('not run', notRun);
  const changed = outcomes.filter((outcome) => outcome.changed !== undefined);
  if (changed.length > 0) console.log(`\n${changed.length} of those passed answer as 6.18, not as 6.12`);
  for (const { file, program, changed: why } of changed) console.log(`  ${file} · ${program}: ${why}`);
  const failures = outcomes.filter(({ status }) => status === 'failed');
  if (failures.length > 0) console.log(`\n${failures.length} differ`);
  for (const { file, program, want, got, log } of failures) {
    console.log(`  ${file} · ${program}\n    kernel  ${want}\n    trampet ${got}`);
    if (logs) console.log(log);
  }
}

function main(): number {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      btf: { type: 'string' },
      file: { type: 'string' },
      program: { type: 'string' },
      run: { type: 'boolean', default: false },
      log: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  if (positionals.length !== 1) {
    console.error(USAGE);
    return 3;
  }
  const btf = readBtf(readInput(values.btf ?? fileURLToPath(BUNDLED)));
  const directory = positionals[0]!;
  const otherBtf = (path: string) => {
    const beside = join(directory, basename(path));
    return existsSync(beside) ? readBtf(readInput(beside)) : undefined;
  };
  const target = { btf, release: '6.18', otherBtf, ...(values.run ? { kernel: new SelftestKernel(btf) } : {}) };
  const outcomes: SelftestOutcome[] = [];
  for (const object of objectsOf(directory)) {
    const name = basename(object).replace(/(\.bpf)?\.o$/, '');
    if (values.file !== undefined && name !== values.file) continue;
    outcomes.push(...runSelftests(readInput(join(directory, object)), name, target, values.program));
  }
  if (outcomes.length === 0) throw new OracleError('no annotated programs', directory);
  if (values.json) console.log(JSON.stringify({ schema: 1, programs: outcomes.map(({ log: _, ...rest }) => rest) }));
  else print(outcomes, values.log);
  return outcomes.some(({ status }) => status === 'failed') ? 1 : 0;
}

try {
  process.exitCode = main();
} catch (error) {
  if (!(error instanceof TrampetError) && (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS') !== true)
    throw error;
  console.error(`trampet selftests: ${(error as Error).message}`);
  process.exitCode = 3;
}
