import type { Insn } from '../../bpf/index.ts';
import { BPF_COMPLEXITY_LIMIT_INSNS } from '../core/reg_types.table.ts';
import type { Verdict, VerifierInput, VerifierObserver } from '../core/types.ts';
import { verifyProgram } from '../verify.ts';
import { CALLS } from './calls.table.ts';
import { Facts, type MessageClass } from './facts.ts';
import { FLOW } from './flow.table.ts';
import { MEMORY } from './memory.table.ts';
import { lastWords } from './message.ts';
import { OBJECTS } from './objects.table.ts';
import { RULES } from './rules.table.ts';
import { type Operand, type PathPoint, type SliceStep, valueAt } from './slice.ts';
import { SPECIAL } from './special.table.ts';
import { STACK } from './stack.table.ts';
import { ProgramText } from './text.ts';
import { PathRecorder, type Reached, SnapshotRecorder } from './trace.ts';
import type { Explanation, PathStep } from './types.ts';
import { registerWords, slotWords } from './words.ts';

type Input = Omit<VerifierInput, 'ops'>;

/** In this order: the first class whose pattern fits a message is its class. */
export const CLASSES: readonly MessageClass[] = [
  ...RULES,
  ...OBJECTS,
  ...MEMORY,
  ...STACK,
  ...FLOW,
  ...SPECIAL,
  ...CALLS,
];

/** Instructions of a path, from its end, whose states are looked at. */
const MAX_STATES = 4000;
/** BPF_COMPLEXITY_LIMIT_INSNS: what is refused beyond it needs no log to say so. */
const MAX_SHOWN = 16;
const SHOWN_FIRST = 4;

/**
 * Why `input` is refused, at what line, on which way, and what to change. The program is verified twice more: once to
 * find the way to the refusal, once to copy the states on it.
 * @param refused what verification said of it at log level 0
 */
export function explainRefusal(input: Input, refused: Verdict): Explanation {
  const recorder = new PathRecorder();
  const logLevel = refused.stats.insnProcessed > BPF_COMPLEXITY_LIMIT_INSNS ? 0 : 1;
  const verdict = observed(input, recorder, logLevel);
  const whole = recorder.path();
  const reached = whole.slice(-MAX_STATES);
  const states = new SnapshotRecorder(new Set(reached.map(({ step }) => step)));
  observed(input, states, 0);
  const path: PathPoint[] = reached.map(({ at, step }) => ({ at, state: states.found.get(step)! }));
  const text = new ProgramText(input, verdict);
  const facts = new Facts(input, verdict, text, path, mostReached(whole));
  const message = lastWords(verdict);
  return { errno: verdict.errno, message, ...explained(message, facts) };
}

/** The instruction that a path comes through most often, which a loop is made of. */
function mostReached(path: readonly Reached[]): { at: number; times: number } {
  const times = new Map<number, number>();
  let most = { at: 0, times: 0 };
  for (const { at } of path) {
    const count = (times.get(at) ?? 0) + 1;
    times.set(at, count);
    if (count > most.times) most = { at, times: count };
  }
  return most;
}

const observed = (input: Input, observer: VerifierObserver, logLevel: number): Verdict =>
  verifyProgram({ ...input, observer, logLevel });

function explained(message: string, facts: Facts): Omit<Explanation, 'errno' | 'message'> {
  for (const known of CLASSES) {
    const match = known.pattern.exec(message);
    if (match === null) continue;
    const at = known.at === undefined ? facts.at : known.at(match, facts);
    const follow = known.follow?.(match, facts) ?? followed(match, facts);
    const hasPath = facts.path.length > 0 && at !== null;
    return {
      class: known.id,
      reason: known.reason(match, facts),
      at: at === null || (facts.path.length === 0 && known.at === undefined) ? null : facts.text.place(at),
      path: hasPath ? pathTo(facts, follow, facts.slice(follow, known.slice?.(match, facts))) : [],
      suggestion: known.suggestion(match, facts),
    };
  }
  const follow = operands(facts.insn);
  const walked = facts.path.length > 0;
  return {
    class: 'other',
    reason: message || 'The verifier refused the program without a word.',
    at: walked ? facts.text.place(facts.at) : null,
    path: walked ? pathTo(facts, follow, facts.slice(follow)) : [],
    suggestion: null,
  };
}

/** The registers that a message names, or that the refused instruction reads. */
function followed(match: RegExpMatchArray, facts: Facts): readonly number[] {
  const named = match.groups?.['reg'];
  return named === undefined ? operands(facts.insn) : [Number(named)];
}

function operands(insn: Insn | undefined): number[] {
  if (insn === undefined) return [];
  const { code, dst, src } = insn;
  switch (code & 7) {
    case 0:
      return [];
    case 1:
      return [src];
    case 2:
    case 3:
      return [dst];
    default:
      if (code === 0x85) return [];
      if (code === 0x95) return [0];
      return code & 8 ? [dst, src] : [dst];
  }
}

/** The slice and the refused instruction, ready to be shown. */
function pathTo(facts: Facts, follow: readonly number[], slice: readonly SliceStep[]): PathStep[] {
  const { path, text } = facts;
  // An instruction that the way comes through several times is shown where it does so last.
  const times = new Map<number, number>();
  for (const { index } of slice) times.set(path[index]!.at, (times.get(path[index]!.at) ?? 0) + 1);
  const lastOf = new Map(slice.map((step) => [path[step.index]!.at, step]));
  const kept = slice.filter((step) => lastOf.get(path[step.index]!.at) === step && step.index < path.length - 1);
  const shown =
    kept.length <= MAX_SHOWN ? kept : [...kept.slice(0, SHOWN_FIRST), ...kept.slice(SHOWN_FIRST - MAX_SHOWN)];
  const steps: PathStep[] = shown.map((step, i) => {
    const point = path[step.index]!;
    return {
      ...text.place(point.at),
      ...(step.taken === undefined ? {} : { taken: step.taken }),
      ...stateOf(path[step.index + 1]!, step.operand),
      times: times.get(point.at) ?? 1,
      omitted: i === SHOWN_FIRST && shown.length < kept.length ? kept.length - shown.length : 0,
    };
  });
  const last = path.at(-1)!;
  steps.push({ ...text.place(last.at), ...stateOf(last, facts.operands(follow)[0]), times: 1, omitted: 0 });
  return steps;
}

function stateOf({ state }: PathPoint, operand: Operand | undefined): { operand: string; state: string } {
  if (operand === undefined) return { operand: '', state: '' };
  const value = valueAt(state, operand);
  if (operand.slot) {
    const name = `stack ${-8 * (operand.at + 1)}`;
    return { operand: name, state: slotWords(value as Parameters<typeof slotWords>[0]) };
  }
  return { operand: `r${operand.at}`, state: value === undefined ? '' : registerWords(value as never) };
}
