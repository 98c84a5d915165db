import { hex64, TrampetError } from '../base/index.ts';
import type { FaultInfo } from './types.ts';

/** The host asked for something that the machine cannot do: an unmapped address, a region that does not fit. */
export class MachineError extends TrampetError {
  constructor(why: string, kind: 'refused' | 'unsupported' = 'refused', where?: string) {
    super(why, { kind, code: kind === 'unsupported' ? 'UNSUPPORTED_INSTRUCTION' : 'GUEST_MEMORY', ...(where && { where }) });
  }
}

/**
 * Guest code raised an exception that nobody handled. The machine's registers are left as they were at the fault:
 * nothing of the faulting instruction has happened.
 */
export class GuestFault extends TrampetError {
  readonly info: FaultInfo;

  constructor(info: FaultInfo) {
    super(describe(info), { kind: 'refused', code: info.vector });
    this.info = info;
  }
}

function describe(info: FaultInfo): string {
  const at = `at ${hex64(info.rip)}`;
  if (info.vector === 'budget') return `instruction budget spent ${at}`;
  if (info.vector !== '#PF') return `${info.vector} ${at}`;
  const why = info.present ? 'permissions' : 'not mapped';
  return `#PF ${at}: ${info.access} of ${hex64(info.address ?? 0n)} (${why})`;
}
