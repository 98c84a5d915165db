import { type ErrorKind, TrampetError } from '../base/index.ts';

/** A BPF object that cannot be opened, or that does not fit the target. `where` names section, symbol or instruction. */
export class ObjectError extends TrampetError {
  constructor(why: string, options: { code?: string; where?: string; kind?: ErrorKind; hint?: string } = {}) {
    super(why, {
      kind: options.kind ?? 'unreadable',
      code: options.code ?? 'OBJECT_MALFORMED',
      ...(options.where === undefined ? {} : { where: options.where }),
      ...(options.hint === undefined ? {} : { hint: options.hint }),
    });
  }
}
