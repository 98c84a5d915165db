import type { Btf } from '../btf/index.ts';

/** What is known of a register: enough for the rewrites and the stack depth, not for a verdict. */
export type RegType =
  | { kind: 'unknown' }
  | { kind: 'scalar' }
  | { kind: 'ctx'; offset: number }
  | { kind: 'stack'; offset: number }
  /** A pointer into a kernel struct; loads through an untrusted one are probed. */
  | { kind: 'btf'; type: number; offset: number; trusted: boolean }
  | { kind: 'map'; map: number }
  | { kind: 'map_value' };

/** The context of a struct_ops program: one 8-byte slot per argument of the member. */
export interface ProgramContext {
  btf: Btf;
  /** The member's `func_proto`; 0 without. */
  proto: number;
  /** The ops struct; '' of a traced function. */
  ops: string;
}
