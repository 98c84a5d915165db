import { TrampetError } from '../base/index.ts';

/** A command line that makes no sense, or a file that cannot be read. */
export class CliError extends TrampetError {
  constructor(why: string, kind: 'usage' | 'unreadable' | 'refused' = 'usage', hint?: string) {
    super(why, { kind, code: kind === 'usage' ? 'USAGE' : kind === 'unreadable' ? 'FILE' : 'ANSWER', ...(hint === undefined ? {} : { hint }) });
  }
}
