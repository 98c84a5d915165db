import { type ErrorKind, TrampetError } from '../base/index.ts';

/** A command line that makes no sense, or a file that cannot be read. */
export class CliError extends TrampetError {
  constructor(why: string, kind: ErrorKind = 'usage', hint?: string) {
    super(why, { kind, code: `CLI_${kind.toUpperCase()}`, ...(hint === undefined ? {} : { hint }) });
  }
}
