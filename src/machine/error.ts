import { hex64, TrampetError } from '../base/index.ts';
import type { FaultInfo } from './types.ts';

/** The host asked for guest memory that is not there, or laid out regions that collide. */
export class MachineError extends TrampetError {
  constructor(why: string, code = 'MACHINE_MEMORY') {
    super(why, { kind: 'refused', code });
  }
}

/** The guest did what its CPU forbids. Registers stand as they were at the faulting instruction. */
export class GuestFault extends TrampetError {
  readonly fault: FaultInfo;

  constructor(fault: FaultInfo) {
    super(describe(fault), { kind: 'refused', code: fault.vector });
    this.fault = fault;
  }
}

function describe(fault: FaultInfo): string {
  if (fault.vector === 'budget') return `instruction budget used up at ${hex64(fault.rip)}`;
  const where = `${fault.vector} at ${hex64(fault.rip)}`;
  if (fault.address === undefined) return where;
  return `${where}: ${fault.access} of ${hex64(fault.address)}${fault.present === true ? ' is not permitted' : ', which is not mapped'}`;
}
