import { TrampetError } from '../base/index.ts';

/** A directory of goldens that is not laid out as expected. */
export class OracleError extends TrampetError {
  constructor(why: string, where: string) {
    super(why, { kind: 'unreadable', code: 'ORACLE', where });
  }
}
