import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { TrampetError, toHex } from '../base/index.ts';
import { ConformanceError, Guest, generate, interpret, parseTest } from '../conformance/index.ts';
import { CliError } from './error.ts';
import { COMMON, number, parse } from './options.ts';
import { json, out } from './print.ts';
import { CFI_MODES, chooseKernel, type KernelChoice, targetFor } from './session.ts';

export const CONFORMANCE_USAGE = `usage: trampet conformance DIR [--cfi MODE | --all-cfi] [--kernel K] [--json]
       trampet conformance --generate COUNT [--seed N] [--cfi MODE | --all-cfi] [--json]

Runs the instruction tests of the bpf_conformance project (a folder of *.data files), or generated programs, twice: in a
plain interpreter, and compiled by the JIT on the machine, called through a call site that checks CFI. With --all-cfi in
each of the modes off, kcfi and fineibt.`;

const SHOWN = 20;

type Verdict = 'passed' | 'failed' | 'refused';
interface Row {
  name: string;
  engine: 'interpreter' | 'jit';
  verdict: Verdict;
  why?: string;
}

interface ModeReport {
  cfi: string;
  engines: { engine: string; total: number; passed: number; failed: number; refused: number }[];
  others: Row[];
}

/** `trampet conformance`: exit code 0, or 1 if a program went wrong in any mode. */
export function conformance(args: string[]): number {
  const { values, positionals } = parse(args, {
    ...COMMON,
    generate: { type: 'string' },
    'all-cfi': { type: 'boolean', default: false },
  });
  if (values.help) {
    out(CONFORMANCE_USAGE);
    return 0;
  }
  const [directory] = positionals;
  if ((directory === undefined) === (values.generate === undefined) || positionals.length > 1)
    throw new CliError('conformance takes one folder, or --generate', 'usage', CONFORMANCE_USAGE.split('\n')[0]!);
  const choice = chooseKernel(values);
  const count = values.generate === undefined ? 0 : number('generate', values.generate, 1);
  const files = directory === undefined ? [] : testFiles(directory);
  const reports = (values['all-cfi'] ? CFI_MODES : [choice.cfi]).map((cfi) => {
    const guest = new Guest(targetFor(choice, cfi));
    return summarize(
      cfi === choice.cfi ? values.cfi : cfi,
      directory === undefined
        ? [...generatedRows(guest, count, choice.seed)]
        : files.flatMap(({ name, text }) => testRows(guest, name, text)),
    );
  });
  report(reports, choice, values.json);
  return reports.some(({ engines }) => engines.some(({ failed }) => failed > 0)) ? 1 : 0;
}

function testFiles(directory: string): { name: string; text: string }[] {
  let names: string[];
  try {
    names = readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.data'));
  } catch {
    throw new CliError(`${directory}: no such folder`, 'unreadable');
  }
  if (names.length === 0) throw new CliError(`${directory}: no *.data files`, 'unreadable');
  return names.sort().map((name) => ({ name, text: readFileSync(join(directory, name), 'utf8') }));
}

function testRows(guest: Guest, name: string, text: string): Row[] {
  const test = parseTest(text, name);
  const judge = (engine: Row['engine'], run: () => bigint): Row => {
    try {
      const r0 = run();
      if (test.result === r0) return { name, engine, verdict: 'passed' };
      return { name, engine, verdict: 'failed', why: `r0 is 0x${r0.toString(16)}, not 0x${test.result?.toString(16)}` };
    } catch (error) {
      if (!(error instanceof TrampetError)) throw error;
      if (test.error !== undefined) return { name, engine, verdict: 'passed' };
      const refused = error instanceof ConformanceError && error.kind === 'refused';
      return { name, engine, verdict: refused ? 'refused' : 'failed', why: error.message };
    }
  };
  return [
    judge('interpreter', () => interpret(test.insns, test.memory, guest.memoryBase).r0),
    judge('jit', () => guest.run(test.insns, test.memory).r0),
  ];
}

function* generatedRows(guest: Guest, count: number, seed: number): Generator<Row> {
  for (let i = 0; i < count; i++) {
    const { insns, memory } = generate(seed + i);
    const name = `seed ${seed + i}`;
    const want = interpret(insns, memory, guest.memoryBase);
    try {
      const got = guest.run(insns, memory);
      const same = got.r0 === want.r0 && toHex(got.memory) === toHex(want.memory);
      yield same
        ? { name, engine: 'jit', verdict: 'passed' }
        : { name, engine: 'jit', verdict: 'failed', why: `r0 0x${got.r0.toString(16)}, not 0x${want.r0.toString(16)}` };
    } catch (error) {
      if (!(error instanceof TrampetError)) throw error;
      yield { name, engine: 'jit', verdict: 'failed', why: error.message };
    }
  }
}

function summarize(cfi: string, rows: readonly Row[]): ModeReport {
  const engines = [...new Set(rows.map(({ engine }) => engine))].map((engine) => {
    const count = (verdict?: Verdict) =>
      rows.filter((row) => row.engine === engine && (verdict === undefined || row.verdict === verdict)).length;
    return {
      engine,
      total: count(),
      passed: count('passed'),
      failed: count('failed'),
      refused: count('refused'),
    };
  });
  return { cfi, engines, others: rows.filter(({ verdict }) => verdict !== 'passed') };
}

function report(reports: readonly ModeReport[], { release: kernel, seed }: KernelChoice, asJson: boolean): void {
  if (asJson) {
    json(
      reports.length === 1 ? { schema: 1, kernel, seed, ...reports[0] } : { schema: 1, kernel, seed, runs: reports },
    );
    return;
  }
  out(`Linux ${kernel}, seed ${seed}`);
  for (const { cfi, engines } of reports) {
    const figures = engines.map(
      ({ engine, total, passed, failed, refused }) =>
        `${engine} ${passed}/${total} passed${failed > 0 ? `, ${failed} failed` : ''}${refused > 0 ? `, ${refused} refused as the kernel does` : ''}`,
    );
    out(`cfi ${cfi.padEnd(7)}  ${figures.join('; ')}`);
  }
  const others = reports.flatMap((mode) => mode.others.map((row) => ({ ...row, cfi: mode.cfi })));
  for (const { name, engine, cfi, verdict, why } of others.slice(0, SHOWN))
    out(`  ${verdict}  ${name} (${engine}, cfi ${cfi}): ${why}`);
  if (others.length > SHOWN) out(`  … and ${others.length - SHOWN} more (--json lists all)`);
}
