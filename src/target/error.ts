import { type ErrorKind, TrampetError } from '../base/index.ts';

/** A kernel that we cannot pretend to be. */
export class TargetError extends TrampetError {
  constructor(why: string, code: string, kind: ErrorKind = 'unsupported') {
    super(why, { kind, code });
  }
}
