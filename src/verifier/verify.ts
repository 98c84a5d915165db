import type { Verdict, VerifierInput } from './core/types.ts';
import { VerifierError } from './error.ts';

/**
 * `bpf_check` up to the verdict: the log, the counters, and what the rewrites need to know of every instruction.
 * @throws VerifierError of kind `unsupported` where verification is not modelled
 */
export function verifyProgram(input: Omit<VerifierInput, 'ops'>): Verdict {
  throw new VerifierError('verification is not modelled yet', `program '${input.name}'`, 'VERIFIER', 'unsupported');
}
