import { TrampetError } from '../base/index.ts';
import type { ResolvedProgram } from '../object/index.ts';
import {
  type Explanation,
  explainRefusal,
  type InsnStates,
  type MapInfo,
  mapInfos,
  recordStates,
  type Verdict,
  verifierInput,
  verifyProgram,
} from '../verifier/index.ts';
import { printAccepted, printRefused, printRefusedWhole, printSlice, printUnknown } from './_verify_print.ts';
import { CliError } from './error.ts';
import { COMMON, parse } from './options.ts';
import { json, out } from './print.ts';
import { chooseKernel, openFor } from './session.ts';

export const VERIFY_USAGE = `usage: trampet verify OBJ [PROGRAM] [--slice | --log] [--kernel REL] [--btf FILE] [--json [--states]]

Verdicts of Linux 6.18's verifier: accepted, or refused with the reason, the C line, the way that leads there and what
to change.
  --slice  of a refusal, only the instructions that matter
  --log    the kernel's log at level 2
  --states with --json: what was known before each instruction
Exit code 1 if a program is refused, 3 if one needs what is not modelled.`;

/** One program's verdict, as --json prints it. */
interface VerifyDocument {
  program: string;
  verdict: 'accepted' | 'refused' | 'unsupported';
  /** Errno without its sign, of a refusal. */
  errno: string | null;
  /** Class of the refusal, as docs/verify.md lists them. */
  class: string | null;
  reason: string | null;
  /** The verifier's last words. */
  message: string | null;
  at: Explanation['at'];
  path: Explanation['path'];
  suggestion: string | null;
  stats: Verdict['stats'] | null;
  /** With --log. */
  log: string | null;
  /** With --states. */
  states: InsnStates[] | null;
}

/** `trampet verify`. */
export function verify(args: string[]): number {
  const { values, positionals } = parse(args, {
    ...COMMON,
    kernel: { type: 'string', default: '6.18' },
    log: { type: 'boolean', default: false },
    slice: { type: 'boolean', default: false },
    states: { type: 'boolean', default: false },
  });
  if (values.help) {
    out(VERIFY_USAGE);
    return 0;
  }
  if (values.states && !values.json) throw new CliError('--states needs --json');
  const [path, name] = positionals;
  if (path === undefined || positionals.length > 2)
    throw new CliError('verify takes an object and a program', 'usage', VERIFY_USAGE.split('\n')[0]!);
  const resolved = openFor(path, chooseKernel(values));
  const named = resolved.programs.filter((program) => (name === undefined ? program.autoload : program.name === name));
  // An object that loads nothing by itself is asked about for all that it has.
  const programs = name === undefined && named.length === 0 ? resolved.programs : named;
  if (programs.length === 0)
    throw new CliError(
      `no program '${name ?? ''}' in this object (there are: ${resolved.programs.map((program) => program.name).join(', ') || 'none'})`,
    );
  const maps = mapInfos(resolved);
  const documents = programs.map((program) => verdictOf(resolved, program, maps, values));
  if (values.json) json({ schema: 1, object: resolved.file.name, programs: documents });
  else if (values.log) printLogs(documents);
  else for (const document of documents) print(document, values.slice);
  if (documents.some(({ verdict }) => verdict === 'refused')) return 1;
  return documents.some(({ verdict }) => verdict === 'unsupported') ? 3 : 0;
}

/** BPF_LOG_LEVEL2 | BPF_LOG_STATS. */
const LOG_LEVEL2 = 2 | 4;

function verdictOf(
  resolved: ReturnType<typeof openFor>,
  program: ResolvedProgram,
  maps: MapInfo[],
  extra: { log: boolean; states: boolean },
): VerifyDocument {
  const document: VerifyDocument = {
    program: program.name,
    verdict: 'accepted',
    errno: null,
    class: null,
    reason: null,
    message: null,
    at: null,
    path: [],
    suggestion: null,
    stats: null,
    log: null,
    states: null,
  };
  try {
    const input = verifierInput(resolved, program, maps, 0);
    const verdict = verifyProgram(input);
    document.stats = verdict.stats;
    if (extra.states) document.states = recordStates(input);
    if (extra.log) document.log = verifyProgram({ ...input, logLevel: LOG_LEVEL2 }).log;
    if (verdict.ok) return document;
    return { ...document, verdict: 'refused', ...explainRefusal(input, verdict) };
  } catch (error) {
    if (!(error instanceof TrampetError)) throw error;
    return {
      ...document,
      verdict: error.kind === 'unsupported' ? 'unsupported' : 'refused',
      reason: error.message,
    };
  }
}

/** Logs alone, for viewers of them; between marks as libbpf sets them where there are several. */
function printLogs(documents: readonly VerifyDocument[]): void {
  for (const document of documents) {
    if (document.log === null) {
      print(document, false);
      continue;
    }
    const several = documents.length > 1;
    if (several) out(`prog '${document.program}': -- BEGIN PROG LOAD LOG --`);
    out(document.log.trimEnd());
    if (several) out('-- END PROG LOAD LOG --');
  }
}

function print(document: VerifyDocument, sliceOnly: boolean): void {
  const { program, verdict, errno, reason, stats } = document;
  if (verdict === 'accepted') printAccepted(program, stats!);
  else if (verdict === 'unsupported') printUnknown(program, reason!);
  else if (errno === null) printRefusedWhole(program, reason!);
  else {
    const refusal = { ...document, errno, class: document.class!, message: document.message!, reason: reason! };
    if (sliceOnly) printSlice(program, refusal);
    else printRefused(program, refusal);
  }
}
