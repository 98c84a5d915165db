import { type ErrorKind, TrampetError } from '../base/index.ts';

/** BTF that is malformed, or a question about types that it cannot answer. */
export class BtfError extends TrampetError {
  constructor(why: string, code = 'BTF_MALFORMED', where?: string, kind: ErrorKind = 'unreadable') {
    super(why, { kind, code, ...(where === undefined ? {} : { where }) });
  }
}
