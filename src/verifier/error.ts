import { type ErrorKind, TrampetError } from '../base/index.ts';

/** A program that the kernel would refuse, in the words of its verifier where it has some. */
export class VerifierError extends TrampetError {
  constructor(why: string, where: string, code = 'EINVAL', kind: ErrorKind = 'refused') {
    super(why, { kind, code, where });
  }
}
