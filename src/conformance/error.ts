import { type ErrorKind, TrampetError } from '../base/index.ts';

/** A test file that cannot be understood, or a program that does what no valid program does. */
export class ConformanceError extends TrampetError {
  constructor(why: string, where?: string, kind: ErrorKind = 'unreadable') {
    super(where === undefined ? why : `${where}: ${why}`, { kind, code: 'CONFORMANCE' });
  }
}
