import { TrampetError } from '../base/index.ts';
import type { Verdict, VerifierInput } from './core/types.ts';
import { VerifierError } from './error.ts';
import { verifyProgram } from './verify.ts';

/** What comes of a program: the kernel takes it, refuses it with an errno and a reason, or we cannot say. */
export type Judgement =
  | { kind: 'accepted'; verdict: Verdict }
  | { kind: 'refused'; errno: string; reason: string }
  | { kind: 'unknown'; why: string };

/**
 * Instructions processed beyond which a verdict is not trusted: where the kernel drops more states than is modelled, it may
 * need fewer.
 */
const MAX_TRUSTED = 250_000;

/** A verdict in short. The reason of a refusal is the last line of the kernel's log. */
export function judgeProgram(input: () => Omit<VerifierInput, 'ops'>): Judgement {
  try {
    const verdict = verifyProgram({ ...input(), logLevel: 0, maxInsns: MAX_TRUSTED });
    const { insnProcessed } = verdict.stats;
    if (insnProcessed > MAX_TRUSTED) return { kind: 'unknown', why: `more than ${MAX_TRUSTED} instructions processed` };
    if (verdict.ok) return { kind: 'accepted', verdict };
    const { log, errno } = verifyProgram({ ...input(), logLevel: 1 });
    return { kind: 'refused', errno, reason: lastLine(log) };
  } catch (error) {
    if (!(error instanceof TrampetError)) throw error;
    if (error instanceof VerifierError && error.kind === 'refused')
      return { kind: 'refused', errno: error.code, reason: error.message };
    return { kind: 'unknown', why: error.message.replace(/^program '[^']*': /, '') };
  }
}

/** The last line of a log that is not a statistic. */
function lastLine(log: string): string {
  const lines = log.trimEnd().split('\n');
  return lines.findLast((line) => !/^(processed \d+ insns|verification time|stack depth)/.test(line)) ?? '';
}
