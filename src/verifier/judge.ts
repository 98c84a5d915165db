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
 * A verdict in short. The reason of a refusal is the last line of the kernel's log.
 * @throws BtfError for BTF that cannot be read
 */
export function judgeProgram(input: () => Omit<VerifierInput, 'ops'>): Judgement {
  try {
    const verdict = verifyProgram({ ...input(), logLevel: 0 });
    if (verdict.ok) return { kind: 'accepted', verdict };
    const { log, errno } = verifyProgram({ ...input(), logLevel: 1 });
    return { kind: 'refused', errno, reason: lastLine(log) };
  } catch (error) {
    if (!(error instanceof TrampetError)) throw error;
    if (error instanceof VerifierError && error.kind === 'refused')
      return { kind: 'refused', errno: error.code, reason: error.message };
    if (error.kind !== 'unsupported') throw error;
    return { kind: 'unknown', why: error.message.replace(/^program '[^']*': /, '') };
  }
}

/** The last line of a log that is not a statistic. */
function lastLine(log: string): string {
  const lines = log.trimEnd().split('\n');
  return lines.findLast((line) => !/^(processed \d+ insns|verification time|stack depth)/.test(line)) ?? '';
}
