// machine: guest memory and a processor that executes what lies in it.
// Takes: regions and permissions, machine code, a handler for hypercalls.
// Gives: registers and memory as the bytes left them, or the fault that they raised; traces and single steps.
// Mirrors: the processor manuals for the instructions in x86's table, and CET's indirect branch tracking.
// Leaves out: paging structures, privilege levels, interrupts, the auxiliary carry flag, time.
export { GuestFault, MachineError } from './error.ts';
export { Machine, type MachineOptions, type Registers } from './machine.ts';
export { type Access, GuestMemory, PAGE_SIZE, type Region } from './memory.ts';
export type { FaultInfo, FaultVector, GuestPtr } from './types.ts';
