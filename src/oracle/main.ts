import { parseArgs } from 'node:util';
import { TrampetError } from '../base/index.ts';
import { openOracle } from './directory.ts';
import { CHECKERS, type Finding, runOracle } from './runner.ts';

const USAGE = `usage: npm run oracle -- DIR [--mode MODE] [--only KIND[,KIND]] [--object NAME] [--json]
  DIR   a directory with obj/ and golden/[MODE/]
  NAME  a golden without .json
  KIND  ${CHECKERS.map(({ kind }) => kind).join(' | ')}`;
const SHOWN_FAILURES = 20;

interface Count {
  passed: number;
  compared: number;
  unsupported: number;
}

function countBy(findings: readonly Finding[], key: (finding: Finding) => string): Map<string, Count> {
  const counts = new Map<string, Count>();
  for (const finding of findings) {
    const count = counts.get(key(finding)) ?? { passed: 0, compared: 0, unsupported: 0 };
    counts.set(key(finding), count);
    if (finding.status === 'unsupported') count.unsupported++;
    else count.compared++;
    if (finding.status === 'passed') count.passed++;
  }
  return counts;
}

function printTable(findings: readonly Finding[]): void {
  const kinds = CHECKERS.map(({ kind }) => kind).filter((kind) => findings.some((finding) => finding.kind === kind));
  const modes = [...new Set(findings.map(({ mode }) => mode))];
  const cells = countBy(findings, ({ kind, mode }) => `${kind}\n${mode}`);
  const totals = countBy(findings, ({ kind }) => kind);
  const cell = (count: Count | undefined) =>
    count === undefined
      ? ''
      : `${count.passed}/${count.compared}${count.unsupported > 0 ? ` +${count.unsupported}?` : ''}`;
  const width = Math.max(4, ...modes.map((mode) => mode.length));
  const columns = kinds.map((kind) =>
    Math.max(
      kind.length,
      ...modes.map((mode) => cell(cells.get(`${kind}\n${mode}`)).length),
      cell(totals.get(kind)).length,
    ),
  );
  const line = (head: string, texts: string[]) =>
    console.log(`${head.padEnd(width)}  ${texts.map((text, i) => text.padStart(columns[i]!)).join('  ')}`.trimEnd());
  console.log('passed/compared, +n? not yet supported\n');
  line('mode', [...kinds]);
  for (const mode of modes)
    line(
      mode,
      kinds.map((kind) => cell(cells.get(`${kind}\n${mode}`))),
    );
  line(
    'all',
    kinds.map((kind) => cell(totals.get(kind))),
  );
}

function printNotes(findings: readonly Finding[]): void {
  const reasons = new Map<string, number>();
  for (const { kind, why, status } of findings)
    if (status === 'unsupported') reasons.set(`${kind}: ${why}`, (reasons.get(`${kind}: ${why}`) ?? 0) + 1);
  if (reasons.size > 0) console.log('\nnot yet supported');
  for (const [reason, count] of reasons) console.log(`  ${String(count).padStart(5)}  ${reason}`);
  const failures = findings.filter(({ status }) => status === 'failed');
  if (failures.length > 0) console.log(`\n${failures.length} failed`);
  for (const failure of failures.slice(0, SHOWN_FAILURES)) {
    console.log(`  ${failure.kind} · ${failure.mode} · ${failure.object} · ${failure.name} at ${failure.at}`);
    for (const line of failure.listing ?? [`kernel  ${failure.want}`, `trampet ${failure.got}`])
      console.log(`    ${line}`);
  }
  if (failures.length > SHOWN_FAILURES)
    console.log(`  … and ${failures.length - SHOWN_FAILURES} more (--json lists all)`);
}

function main(): number {
  let parsed: {
    values: { mode?: string; only?: string; object?: string; json?: boolean; help?: boolean };
    positionals: string[];
  };
  try {
    parsed = parseArgs({
      allowPositionals: true,
      options: {
        mode: { type: 'string' },
        only: { type: 'string' },
        object: { type: 'string' },
        json: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    });
  } catch (error) {
    console.error(`${(error as Error).message}\n${USAGE}`);
    return 2;
  }
  const { values, positionals } = parsed;
  if (values.help === true) {
    console.log(USAGE);
    return 0;
  }
  const only = values.only?.split(',');
  const unknown = only?.some((wanted) => !CHECKERS.some(({ kind }) => kind === wanted));
  if (positionals.length !== 1 || unknown === true) {
    console.error(USAGE);
    return 2;
  }
  const directory = openOracle(positionals[0]!);
  if (values.mode !== undefined && !directory.modes.includes(values.mode)) {
    console.error(`no mode '${values.mode}' in ${positionals[0]} (there are: ${directory.modes.join(', ')})`);
    return 2;
  }
  const { mode, object } = values;
  if (object !== undefined && !directory.objects.includes(object)) {
    console.error(`no golden '${object}' in ${positionals[0]}`);
    return 2;
  }
  const findings = [
    ...runOracle(directory, {
      ...(mode === undefined ? {} : { mode }),
      ...(only === undefined ? {} : { only }),
      ...(object === undefined ? {} : { object }),
    }),
  ];
  if (values.json === true) {
    const failures = findings.filter(({ status }) => status === 'failed').map(({ status: _, ...failure }) => failure);
    console.log(
      JSON.stringify({ schema: 1, kinds: Object.fromEntries(countBy(findings, ({ kind }) => kind)), failures }),
    );
  } else {
    printTable(findings);
    printNotes(findings);
  }
  return findings.some(({ status }) => status === 'failed') ? 1 : 0;
}

try {
  process.exitCode = main();
} catch (error) {
  if (!(error instanceof TrampetError)) throw error;
  console.error(`trampet oracle: ${error.message}`);
  process.exitCode = 3;
}
