import { verifierOps } from './access/ops.ts';
import type { Verdict, VerifierInput } from './core/types.ts';
import { verify } from './core/verify.ts';

/**
 * `bpf_check` up to the verdict: the log, the counters, and what the rewrites need to know of every instruction.
 * @throws VerifierError of kind `unsupported` where verification is not modelled
 */
export function verifyProgram(input: Omit<VerifierInput, 'ops'>): Verdict {
  return verify({ ...input, ops: verifierOps });
}
