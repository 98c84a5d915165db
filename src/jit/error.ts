import { type ErrorKind, TrampetError } from '../base/index.ts';

/** The JIT or the trampoline generator says no: an instruction that it does not know, or the kernel's errno. */
export class JitError extends TrampetError {
  constructor(why: string, code: string, where?: string, kind: ErrorKind = 'refused') {
    super(why, { kind, code, ...(where === undefined ? {} : { where }) });
  }
}
