// kernel: a live guest kernel on a machine.
// Takes: a target, subsystems that own ops tables, resolved objects.
// Gives: boot, CFI as applied at boot, maps, helpers, program load, struct_ops maps and links, failure reports.
// Mirrors: arch/x86/kernel/{alternative,cfi,cet}.c, kernel/bpf/{bpf_struct_ops,syscall,helpers,arraymap,hashtab}.c (6.12).
// Leaves out: programs other than struct_ops and tracing, more than one CPU.
export { type AttachTo, type TracingKind, TracingLink, type TracingTarget, Trampoline } from './attach.ts';
export { type BootOptions, bootKernel } from './boot.ts';
export { BREAK_WAYS, type BreakCell, type BreakWay, breakMember } from './break.ts';
export {
  type BranchKind,
  bootCallSite,
  bootPreamble,
  CALL_SITE_CHECK,
  CALL_SITE_SIZE,
  compiledCallSite,
  compiledPreamble,
  sealPreamble,
} from './cfi.ts';
export { KernelError, KernelOops, type Report, UnsupportedError } from './error.ts';
export { callSiteName, gateCall, Kernel } from './kernel.ts';
export { type LoadedObject, type LoadedProgram, loadDetached, loadObject } from './load.ts';
export { type BpfMap, MAP_TYPE } from './maps.ts';
export { ProgramArrayMap } from './maps_prog.ts';
export { type LoadedFunction, placeFunctions } from './place.ts';
export { RingbufMap, type RingRecord } from './ringbuf.ts';
export {
  buildTrampoline,
  StructOpsLink,
  StructOpsMap,
  type StructOpsMember,
  type StructOpsState,
} from './struct_ops.ts';
export { itsThunkSize, mayHoldItsThunk } from './thunks.ts';
export type { BpfTimers, Clock } from './timers.ts';
export { TraceBuffer } from './trace_buffer.ts';
export type {
  Argument,
  CallSiteDef,
  GateCall,
  GateDef,
  GateHandler,
  StructOpsDef,
  StubDef,
  Subsystem,
} from './types.ts';
