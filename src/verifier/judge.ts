import { TrampetError } from '../base/index.ts';
import type { Verdict, VerifierInput } from './core/types.ts';
import { VerifierError } from './error.ts';
import { lastWords } from './explain/message.ts';
import { verifyProgram } from './verify.ts';

/** What comes of a program: the kernel takes it, refuses it with an errno and a reason, or we cannot say. */
export type Judgement =
  | { kind: 'accepted'; verdict: Verdict }
  | { kind: 'refused'; errno: string; reason: string }
  | { kind: 'unknown'; why: string };

/** BPF_COMPLEXITY_LIMIT_INSNS: what is refused beyond it needs no log to say so. */
const MAX_LOGGED = 1_000_000;

/**
 * A verdict in short. The reason of a refusal are the last words of the kernel's log.
 * @throws BtfError for BTF that cannot be read
 */
export function judgeProgram(input: () => Omit<VerifierInput, 'ops'>): Judgement {
  try {
    const verdict = verifyProgram({ ...input(), logLevel: 0 });
    if (verdict.ok) return { kind: 'accepted', verdict };
    const { errno, stats } = verdict;
    const { log } = verifyProgram({ ...input(), logLevel: stats.insnProcessed > MAX_LOGGED ? 0 : 1 });
    return { kind: 'refused', errno, reason: lastWords({ ...verdict, log }).replaceAll('\n', '; ') };
  } catch (error) {
    if (!(error instanceof TrampetError)) throw error;
    if (error instanceof VerifierError && error.kind === 'refused')
      return { kind: 'refused', errno: error.code, reason: error.message };
    if (error.kind !== 'unsupported') throw error;
    return { kind: 'unknown', why: error.message.replace(/^program '[^']*': /, '') };
  }
}
