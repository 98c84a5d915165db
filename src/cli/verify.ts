import { TrampetError } from '../base/index.ts';
import type { ResolvedProgram } from '../object/index.ts';
import { type MapInfo, mapInfos, type Verdict, verifierInput, verifyProgram } from '../verifier/index.ts';
import { CliError } from './error.ts';
import { COMMON, parse } from './options.ts';
import { bold, cyan, dim, green, json, out, red, yellow } from './print.ts';
import { chooseKernel, openFor } from './session.ts';

export const VERIFY_USAGE = `usage: trampet verify OBJ [PROGRAM] [--log] [--kernel REL] [--btf FILE] [--json]

Verdicts of Linux 6.18's verifier: accepted, or refused with the reason and the C line that it stopped at.
  --log   the kernel's log at level 2
Exit code 1 if a program is refused, 3 if one needs what is not modelled.`;

/** One program's verdict, as --json prints it. */
interface VerifyDocument {
  program: string;
  verdict: 'accepted' | 'refused' | 'unsupported';
  /** Errno without its sign, of a refusal. */
  errno: string | null;
  reason: string | null;
  at: { insn: number; file: string; line: number; text: string } | null;
  stats: Verdict['stats'] | null;
  log: string | null;
}

/** `trampet verify`. */
export function verify(args: string[]): number {
  const { values, positionals } = parse(args, {
    ...COMMON,
    kernel: { type: 'string', default: '6.18' },
    log: { type: 'boolean', default: false },
  });
  if (values.help) {
    out(VERIFY_USAGE);
    return 0;
  }
  const [path, name] = positionals;
  if (path === undefined || positionals.length > 2)
    throw new CliError('verify takes an object and a program', 'usage', VERIFY_USAGE.split('\n')[0]!);
  const resolved = openFor(path, chooseKernel(values));
  const programs = resolved.programs.filter((program) =>
    name === undefined ? program.autoload : program.name === name,
  );
  if (programs.length === 0)
    throw new CliError(
      `no program '${name ?? ''}' in this object (there are: ${resolved.programs.map((program) => program.name).join(', ') || 'none'})`,
    );
  const maps = mapInfos(resolved);
  const documents = programs.map((program) => verdictOf(resolved, program, maps));
  if (values.json) json({ schema: 1, object: resolved.file.name, programs: documents });
  else for (const document of documents) print(document, values.log);
  if (documents.some(({ verdict }) => verdict === 'refused')) return 1;
  return documents.some(({ verdict }) => verdict === 'unsupported') ? 3 : 0;
}

/** BPF_LOG_LEVEL2 | BPF_LOG_STATS. */
const LOG_LEVEL2 = 2 | 4;
/** Instructions processed beyond which the log is not kept: it would take gigabytes. */
const MAX_LOGGED = 250_000;
/** BPF_COMPLEXITY_LIMIT_INSNS. */
const MAX_INSNS = 1_000_000;

function verdictOf(resolved: ReturnType<typeof openFor>, program: ResolvedProgram, maps: MapInfo[]): VerifyDocument {
  const document: VerifyDocument = {
    program: program.name,
    verdict: 'accepted',
    errno: null,
    reason: null,
    at: null,
    stats: null,
    log: null,
  };
  try {
    const { stats } = verifyProgram(verifierInput(resolved, program, maps, 0));
    document.stats = stats;
    if (stats.insnProcessed > MAX_LOGGED)
      return {
        ...document,
        verdict: 'unsupported',
        reason: `${Math.min(stats.insnProcessed, MAX_INSNS)} instructions processed: where the kernel drops more states than is modelled, it may need fewer`,
      };
    const { ok, errno, log } = verifyProgram(verifierInput(resolved, program, maps, LOG_LEVEL2));
    document.log = log;
    if (ok) return document;
    return { ...document, verdict: 'refused', errno, reason: reasonOf(log), at: placeOf(log, program) };
  } catch (error) {
    if (!(error instanceof TrampetError)) throw error;
    return {
      ...document,
      verdict: error.kind === 'unsupported' ? 'unsupported' : 'refused',
      reason: error.message,
    };
  }
}

/** The last line that is not a statistic. */
function reasonOf(log: string): string | null {
  return (
    log
      .trimEnd()
      .split('\n')
      .filter((line) => !/^(processed \d+ insns|verification time|stack depth)/.test(line))
      .at(-1) ?? null
  );
}

/** The instruction that the log walked last, and the C line of it. */
function placeOf(log: string, program: ResolvedProgram): VerifyDocument['at'] {
  const walked = [...log.matchAll(/^(\d+): (?:R\d|frame\d|\([0-9a-f]{2}\))/gm)].at(-1);
  if (walked === undefined) return null;
  const insn = Number(walked[1]);
  const line = program.lines.filter((candidate) => candidate.insn <= insn).at(-1);
  return { insn, file: line?.file ?? '', line: line?.line ?? 0, text: line?.text.trim() ?? '' };
}

function print({ program, verdict, errno, reason, at, stats, log }: VerifyDocument, whole: boolean): void {
  if (whole && log !== null) out(log.trimEnd());
  if (verdict === 'accepted') {
    out(
      `${green('accepted')}  ${bold(program)}  ${dim(`${stats!.insnProcessed} instructions, ${stats!.totalStates} states`)}`,
    );
    return;
  }
  if (verdict === 'unsupported') {
    out(`${yellow('unknown ')}  ${bold(program)}  ${reason}`);
    return;
  }
  out(`${red('refused ')}  ${bold(program)}  ${errno === null ? '' : `-${errno}`}`);
  out(`  Reason  ${reason}`);
  if (at === null) return;
  out(
    `  At      insn ${at.insn}${at.file === '' ? '' : `, ${cyan(`${at.file.split('/').at(-1)}:${at.line}`)}  ${at.text}`}`,
  );
}
