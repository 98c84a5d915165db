import { TrampetError } from '../base/index.ts';

/** A link description that makes no sense. */
export class NetError extends TrampetError {
  constructor(why: string, where: string) {
    super(why, { kind: 'usage', code: 'LINK', where });
  }
}
