import { TrampetError } from '../base/index.ts';
import type { Btf } from '../btf/index.ts';
import {
  type ObjectFile,
  openObject,
  type ResolvedObject,
  type ResolveTarget,
  resolveObject,
} from '../object/index.ts';
import { mapInfos, type Verdict, verifierInput, verifyProgram } from '../verifier/index.ts';
import { OracleError } from './error.ts';
import type { SelftestKernel } from './selftest_run.ts';
import { firstMissing, type SelftestSpec, selftestSpec } from './selftest_spec.ts';
import { xlatedText } from './selftest_xlated.ts';
import { CHANGED_IN_6_18 } from './selftests_changed.table.ts';

/** What became of one annotated program. */
export interface SelftestOutcome {
  /** Object without `.bpf.o`. */
  file: string;
  program: string;
  status: 'passed' | 'failed' | 'unsupported';
  /** Failed: what the annotations want, and what we say. Unsupported: what is not modelled. */
  want?: string;
  got?: string;
  why?: string;
  log?: string;
  /** Passed as 6.18 has it, which is not what the annotations say: why. */
  changed?: string;
  /** Annotated with what a run returns: it does (then the status tells), or why it was not run. */
  run?: 'done' | { not: string };
}

/** The kernel that programs are loaded into. */
export interface SelftestTarget extends ResolveTarget {
  /** BTF of another object that lies beside, by its file name; undefined if it does not. */
  otherBtf?(path: string): Btf | undefined;
  /** Where accepted programs run; undefined: nowhere. */
  kernel?: SelftestKernel;
}

const ARCH = 'X86_64';
const SLEEPABLE = 1 << 4;

/**
 * Every program of an object with expectations of a privileged load, through our verifier. As the loader of the
 * selftests does, each is loaded as if it were alone in the object.
 */
export function* runSelftests(
  bytes: Uint8Array,
  name: string,
  target: SelftestTarget,
  only?: string,
): Generator<SelftestOutcome> {
  let file: ObjectFile;
  try {
    file = openObject(bytes, `${name}.bpf.o`);
  } catch (error) {
    if (!(error instanceof TrampetError)) throw error;
    yield { file: name, program: '(object)', status: 'unsupported', why: `not opened: ${error.message}` };
    return;
  }
  if (file.btf === undefined) return;
  for (const { name: program } of file.programs) {
    if (only !== undefined && program !== only) continue;
    const spec = selftestSpec(file.btf, program);
    if (spec === null || spec.auxiliary || !spec.privileged) continue;
    if (spec.archs.length > 0 && !spec.archs.includes(ARCH)) continue;
    yield { file: name, program, ...judge(file, spec, target) };
  }
}

type Judged = Omit<SelftestOutcome, 'file' | 'program'>;

function judge(file: ObjectFile, spec: SelftestSpec, target: SelftestTarget): Judged {
  let loaded: ReturnType<typeof load>;
  try {
    loaded = load(file, spec, target);
  } catch (error) {
    if (!(error instanceof TrampetError))
      return { status: 'failed', want: expectation(spec), got: `internal error: ${(error as Error).stack}` };
    const why = error.message.replace(/^program '[^']*': /, '');
    return { status: 'unsupported', why: error.kind === 'unsupported' ? why : `not loaded: ${why}` };
  }
  const { verdict, xlated } = loaded;
  const difference = compare(spec, verdict) ?? compareXlated(spec, xlated);
  if (difference !== null) {
    const changed = CHANGED_IN_6_18[file.name]?.[spec.name] ?? CHANGED_IN_6_18[file.name]?.['*'];
    if (changed === undefined || !answers(verdict, changed.says)) return difference;
    return { status: 'passed', changed: changed.why };
  }
  if (spec.jited.length > 0) return { status: 'unsupported', why: 'expected assembly' };
  return { status: 'passed', ...run(file, spec, target) };
}

/** What an accepted program returns against what is annotated. */
function run(file: ObjectFile, spec: SelftestSpec, target: SelftestTarget): Partial<Judged> {
  const { name, retval, flags } = spec;
  if (target.kernel === undefined || retval === null || spec.failure) return {};
  const resolved = resolveFor(file, spec, target, true);
  for (const program of resolved.programs) {
    program.autoload = true;
    program.sleepable ||= program.name === name && (flags & SLEEPABLE) !== 0;
  }
  const result = target.kernel.run(file.name, resolved, name);
  if ('notRun' in result) return { run: { not: result.notRun } };
  if ('returned' in result && (retval === 'any' || result.returned === retval)) return { run: 'done' };
  const got = 'oops' in result ? result.oops : `returns ${result.returned}`;
  return { status: 'failed', want: `returns ${retval}`, got, run: 'done' };
}

const answers = ({ ok, log }: Verdict, says: string) => (says === 'accepted' ? ok : !ok && log.includes(says));

/** Verdict and messages against the annotations; null if they agree. */
function compare(spec: SelftestSpec, { ok, errno, log }: Verdict): Judged | null {
  const refusal = `-${errno}: ${lastLine(log)}`;
  if (ok === spec.failure) return { status: 'failed', want: expectation(spec), got: ok ? 'accepted' : refusal, log };
  const missing = firstMissing(log, spec.messages);
  if (missing === null) return null;
  return {
    status: 'failed',
    want: `${missing.absent ? 'no ' : ''}message: ${missing.text}`,
    got: ok ? `accepted with${missing.absent ? '' : 'out'} it` : refusal,
    log,
  };
}

/** The rewritten instructions against those that are annotated. */
function compareXlated(spec: SelftestSpec, xlated: string): Judged | null {
  const missing = firstMissing(xlated, spec.xlated);
  if (missing === null) return null;
  return { status: 'failed', want: `rewritten: ${missing.text}`, got: 'other instructions', log: xlated };
}

const expectation = ({ failure, messages: [first] }: SelftestSpec) =>
  failure ? `refused${first === undefined ? '' : `: ${first.text}`}` : 'accepted';

/** Verdict, and the rewritten instructions where they matter. */
function load(file: ObjectFile, spec: SelftestSpec, target: SelftestTarget): { verdict: Verdict; xlated: string } {
  const resolved = resolveFor(file, spec, target);
  const program = resolved.programs.find(({ name }) => name === spec.name)!;
  const maps = mapInfos(resolved);
  const at = (logLevel: number) => {
    const input = verifierInput(resolved, program, maps, logLevel);
    const sleepable = input.sleepable || (spec.flags & SLEEPABLE) !== 0;
    return { ...input, progFlags: spec.flags, sleepable };
  };
  const input = at(spec.logLevel);
  const verdict = verifyProgram(input);
  if (verdict.ok) return { verdict, xlated: spec.xlated.length > 0 ? xlatedText(verdict, input) : '' };
  // Without a level libbpf asks for the log once the kernel has refused.
  return { verdict: spec.logLevel > 0 ? verdict : verifyProgram(at(1)), xlated: '' };
}

/** As the annotations want it: CO-RE relocations may be settled by the types of another object. To run: with its helpers. */
function resolveFor(file: ObjectFile, spec: SelftestSpec, target: SelftestTarget, toRun = false): ResolvedObject {
  const names = toRun ? [spec.name, ...helpersOf(file)] : [spec.name];
  if (spec.btfPath === null) return resolveOnly(file, names, target);
  const btf = target.otherBtf?.(spec.btfPath);
  if (btf === undefined) throw new OracleError('not beside the objects', spec.btfPath);
  return { ...resolveOnly(file, names, { ...target, btf }), target };
}

/** Programs that are loaded with every other: what it calls at its end. */
const helpersOf = ({ btf, programs }: ObjectFile): string[] =>
  programs.map(({ name }) => name).filter((name) => btf !== undefined && selftestSpec(btf, name)?.auxiliary);

/** Programs of ops tables need the tables, and these their other programs. */
function resolveOnly(file: ObjectFile, names: readonly string[], target: ResolveTarget): ResolvedObject {
  if (file.structOps.length > 0) return resolveObject(file, target);
  return resolveObject({ ...file, programs: file.programs.filter(({ name }) => names.includes(name)) }, target);
}

/** The last line that is no statistic. */
const lastLine = (log: string): string =>
  log
    .trimEnd()
    .split('\n')
    .filter((line) => !/^(processed \d+ insns|verification time|stack depth)/.test(line))
    .at(-1) ?? '';
