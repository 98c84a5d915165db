import type { Env } from '../core/types.ts';
import { VerifierError } from '../error.ts';

/** Refuses to judge: `what` is not modelled. @throws VerifierError of kind `unsupported` */
export function unsupported(env: Env, what: string): never {
  throw new VerifierError(
    `verification of ${what} is not modelled`,
    `program '${env.input.name}'`,
    'VERIFIER',
    'unsupported',
  );
}
