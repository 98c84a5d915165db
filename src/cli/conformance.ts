import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { TrampetError, toHex } from '../base/index.ts';
import { ConformanceError, Guest, generate, interpret, parseTest } from '../conformance/index.ts';
import { CliError } from './error.ts';
import { COMMON, number, parse } from './options.ts';
import { json, out } from './print.ts';
import { chooseKernel } from './session.ts';

export const CONFORMANCE_USAGE = `usage: trampet conformance DIR [--cfi MODE] [--kernel K] [--json]
       trampet conformance --generate COUNT [--seed N] [--cfi MODE] [--json]

Runs the instruction tests of the bpf_conformance project (a folder of *.data files), or generated programs, twice: in a
plain interpreter, and compiled by the JIT on the machine, called through a call site that checks CFI.`;

const SHOWN = 20;

type Verdict = 'passed' | 'failed' | 'refused';
interface Row {
  name: string;
  engine: 'interpreter' | 'jit';
  verdict: Verdict;
  why?: string;
}

/** `trampet conformance`. */
export function conformance(args: string[]): number {
  const { values, positionals } = parse(args, { ...COMMON, generate: { type: 'string' } });
  if (values.help) {
    out(CONFORMANCE_USAGE);
    return 0;
  }
  const [directory] = positionals;
  if ((directory === undefined) === (values.generate === undefined) || positionals.length > 1)
    throw new CliError('conformance takes one folder, or --generate', 'usage', CONFORMANCE_USAGE.split('\n')[0]!);
  const choice = chooseKernel(values);
  const guest = new Guest(choice);
  const rows =
    directory === undefined
      ? [...generatedRows(guest, number('generate', values.generate!, 1), choice.seed)]
      : testFiles(directory).flatMap(({ name, text }) => testRows(guest, name, text));
  report(rows, { kernel: choice.era.release, cfi: values.cfi, seed: choice.seed }, values.json);
  return rows.some(({ verdict }) => verdict === 'failed') ? 1 : 0;
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

function report(rows: readonly Row[], context: { kernel: string; cfi: string; seed: number }, asJson: boolean): void {
  const count = (engine: string, verdict: Verdict) =>
    rows.filter((row) => row.engine === engine && row.verdict === verdict).length;
  const engines = [...new Set(rows.map(({ engine }) => engine))].map((engine) => ({
    engine,
    total: rows.filter((row) => row.engine === engine).length,
    passed: count(engine, 'passed'),
    failed: count(engine, 'failed'),
    refused: count(engine, 'refused'),
  }));
  const others = rows.filter(({ verdict }) => verdict !== 'passed');
  if (asJson) {
    json({ schema: 1, ...context, engines, others });
    return;
  }
  out(`Linux ${context.kernel}, cfi ${context.cfi}, seed ${context.seed}`);
  for (const { engine, total, passed, failed, refused } of engines)
    out(
      `${engine.padEnd(12)} ${passed}/${total} passed${failed > 0 ? `, ${failed} failed` : ''}${refused > 0 ? `, ${refused} refused as the kernel does` : ''}`,
    );
  for (const { name, engine, verdict, why } of others.slice(0, SHOWN)) out(`  ${verdict}  ${name} (${engine}): ${why}`);
  if (others.length > SHOWN) out(`  … and ${others.length - SHOWN} more (--json lists all)`);
}
