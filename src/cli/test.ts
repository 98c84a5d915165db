import { type Kernel, KernelError, KernelOops, type LoadedProgram } from '../kernel/index.ts';
import { testRun } from '../subsystems/index.ts';
import { verificationLines, verificationOf } from './_verified.ts';
import { CliError } from './error.ts';
import { COMMON, parse } from './options.ts';
import { dim, json, out } from './print.ts';
import { chooseKernel, kernelHelp, openFor, readFile, startSession } from './session.ts';

export const TEST_USAGE = `usage: trampet test OBJ [CASES] [--cfi MODE] [--json]

BPF_PROG_TEST_RUN of the programs that implement bpf_dummy_ops, through a trampoline that is called indirectly. Prints TAP.
CASES is a text file, one case a line; without it every program runs once with the state's value 5:
  test_1(5) = 5 state 16        # the state's value, further arguments; wanted result and state
  test_1(null) = 0xf2f3
  test_2(7, -100, 0x8f3c, -5, 0x1234) state 3`;

interface Case {
  text: string;
  program: string;
  args: [bigint | null, ...bigint[]];
  wanted?: number | undefined;
  wantedState?: number | undefined;
}

interface Outcome {
  case: string;
  ok: boolean;
  returned?: number;
  state?: number | null;
  why?: string;
}

/** `trampet test`: exit code 1 if a case fails. */
export function test(args: string[]): number {
  const { values, positionals } = parse(args, COMMON);
  if (values.help) {
    out(`${TEST_USAGE}\n${kernelHelp()}`);
    return 0;
  }
  const [path, casesPath] = positionals;
  if (path === undefined || positionals.length > 2)
    throw new CliError('test takes an object', 'usage', TEST_USAGE.split('\n')[0]!);
  const choice = chooseKernel(values);
  const session = startSession(openFor(path, choice), choice);
  const testable = [...session.programs.values()].filter(
    ({ resolved }) => resolved.structOps?.type === 'bpf_dummy_ops',
  );
  const cases =
    casesPath === undefined
      ? testable.map(({ name }): Case => ({ text: `${name}(5)`, program: name, args: [5n] }))
      : parseCases(new TextDecoder().decode(readFile(casesPath)), casesPath);
  if (cases.length === 0)
    throw new CliError('nothing to test: the object implements no bpf_dummy_ops, and there are no cases', 'refused');
  const outcomes = cases.map((one) => runCase(session.kernel, session.programs.get(one.program), one));
  const verification = verificationOf(session.loaded.programs);
  if (values.json)
    json({
      schema: 1,
      object: session.resolved.file.name,
      kernel: choice.release,
      cfi: choice.cfi,
      ...verification,
      cases: outcomes,
    });
  else {
    out('TAP version 14');
    out(`1..${outcomes.length}`);
    outcomes.forEach((outcome, i) => {
      const got =
        outcome.returned === undefined
          ? ''
          : ` → ${outcome.returned}${outcome.state === null || outcome.state === undefined ? '' : ` state ${outcome.state}`}`;
      out(`${outcome.ok ? 'ok' : 'not ok'} ${i + 1} - ${outcome.case}${got}`);
      if (outcome.why !== undefined) out(`# ${outcome.why}`);
    });
    out(dim(`# cfi ${choice.cfi}`));
    for (const line of verificationLines(verification)) out(`# ${line}`);
  }
  return outcomes.every(({ ok }) => ok) ? 0 : 1;
}

function parseCases(text: string, path: string): Case[] {
  return text.split('\n').flatMap((line, i): Case[] => {
    const body = line.replace(/#.*/, '').trim();
    if (body === '') return [];
    const match = /^(\w+)\(([^)]*)\)(?:\s*=\s*(-?\w+))?(?:\s+state\s+(-?\w+))?$/.exec(body);
    const bad = () =>
      new CliError(`${path}:${i + 1}: '${body}' is no case (NAME(ARGS) = RESULT state STATE)`, 'unreadable');
    if (match === null) throw bad();
    const parsed = match[2]!
      .split(',')
      .map((word) => word.trim())
      .map((word) => (word === 'null' ? null : integer(word)));
    const result = match[3] === undefined ? undefined : integer(match[3]);
    const state = match[4] === undefined ? undefined : integer(match[4]);
    if (
      parsed.length > 5 ||
      parsed.slice(1).includes(null) ||
      parsed.includes(undefined) ||
      (match[3] !== undefined && result === undefined) ||
      (match[4] !== undefined && state === undefined)
    )
      throw bad();
    return [
      {
        text: body,
        program: match[1]!,
        args: parsed as Case['args'],
        wanted: result === undefined ? undefined : Number(BigInt.asUintN(32, result)),
        wantedState: state === undefined ? undefined : Number(BigInt.asIntN(32, state)),
      },
    ];
  });
}

function integer(text: string): bigint | undefined {
  const match = /^(-?)(0x[0-9a-f]+|\d+)$/i.exec(text);
  return match === null ? undefined : match[1] === '-' ? -BigInt(match[2]!) : BigInt(match[2]!);
}

function runCase(kernel: Kernel, program: LoadedProgram | undefined, one: Case): Outcome {
  if (program === undefined) return { case: one.text, ok: false, why: `no program '${one.program}'` };
  try {
    const [first, ...rest] = one.args;
    const halves = rest.map((value) => ({
      lo: Number(BigInt.asIntN(32, value)),
      hi: Number(BigInt.asIntN(32, value >> 32n)),
    }));
    const { returned, state } = testRun(kernel, program, [
      first === null ? null : Number(BigInt.asIntN(32, first)),
      ...halves,
    ]);
    const wrong: string[] = [];
    if (one.wanted !== undefined && one.wanted !== returned) wrong.push(`wanted result ${one.wanted}, got ${returned}`);
    if (one.wantedState !== undefined && one.wantedState !== state)
      wrong.push(`wanted state ${one.wantedState}, got ${state}`);
    return {
      case: one.text,
      ok: wrong.length === 0,
      returned,
      state: state ?? null,
      ...(wrong.length === 0 ? {} : { why: wrong.join('; ') }),
    };
  } catch (error) {
    if (error instanceof KernelError || error instanceof KernelOops)
      return { case: one.text, ok: false, why: error.message };
    throw error;
  }
}
