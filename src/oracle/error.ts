import { TrampetError } from '../base/index.ts';

/** A directory of goldens that is not laid out as expected. */
export class OracleError extends TrampetError {
  constructor(why: string, where: string) {
    super(why, { kind: 'unreadable', code: 'ORACLE', where });
  }
}

/** A recorded run that needs what is not recorded, or not played. */
export class UnsupportedReplay extends TrampetError {
  constructor(why: string) {
    super(why, { kind: 'unsupported', code: 'ORACLE_REPLAY' });
  }
}
