// machine: guest memory and the processor that executes what lies in it.
// Takes: regions and permissions; machine code; a hook for hypercalls. Gives: registers and memory after it ran, or a fault.
// Mirrors: the Intel SDM volumes 1 and 2 for the instructions in x86; CET indirect branch tracking (volume 1, 17.3).
// Leaves out: paging structures, privilege levels, interrupts, floating point, the auxiliary carry flag, time.
export { GuestFault, MachineError } from './error.ts';
export { type Access, GuestMemory, PAGE_SIZE, type Region } from './memory.ts';
export type { FaultInfo, FaultVector, GuestPtr } from './types.ts';
