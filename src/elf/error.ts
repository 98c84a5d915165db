import { TrampetError } from '../base/index.ts';

/** A file that is no ELF64 little-endian object, or whose tables lie. */
export class ElfError extends TrampetError {
  constructor(why: string, code = 'ELF_MALFORMED', where?: string) {
    super(why, { kind: 'unreadable', code, ...(where === undefined ? {} : { where }) });
  }
}
