import type { GuestPtr } from '../machine/index.ts';
import type { Kernel } from './kernel.ts';

/**
 * One call that arrived from guest code at a gate: a guest function whose body is a hypercall into TypeScript.
 * Arguments are those of the System V ABI; 64-bit values come as two signed 32-bit halves.
 */
export interface GateCall {
  /** Low and high half of integer argument `index` (0 … 5). */
  lo(index: number): number;
  hi(index: number): number;
  /** Argument `index` as a guest pointer: its low half, 0 for NULL. */
  ptr(index: number): GuestPtr;
  /** Sets the return value; `hi` is 0 when absent. */
  ret(lo: number, hi?: number): void;
  /** Returns a number that fits in 53 bits, with sign. */
  retNumber(value: number): void;
  /** Returns a guest pointer (0: NULL). */
  retPtr(pointer: GuestPtr): void;
}

export type GateHandler = (call: GateCall) => void;

/** A function of the guest's text that is implemented in TypeScript: a helper, a kfunc, `__bpf_prog_enter`, … */
export interface GateDef {
  /** Symbol name, the kernel's own. */
  name: string;
  handler: GateHandler;
}

/**
 * What the owner of an ops table provides: the counterpart of `struct bpf_struct_ops` (include/linux/bpf.h, 6.12).
 * Return values are 0 or a negative errno, as the kernel's callbacks return them.
 */
export interface StructOpsDef {
  /** The ops struct's name in BTF, e.g. `tcp_congestion_ops`. */
  name: string;
  /**
   * `cfi_stubs`: member → symbol of its no-op stub. A function member that is not listed has a NULL stub and cannot be
   * implemented by BPF. The stub supplies the CFI hash and the allow-list.
   */
  stubs: Readonly<Record<string, string>>;
  /** Refuses a program for a member: 0 or a negative errno. */
  checkMember?(member: string, program: { name: string; sleepable: boolean }): number;
  /** 1: handled here, 0: leave the member to the core (only zero is allowed for non-function members), < 0: errno. */
  initMember?(kernel: Kernel, member: string, userValue: Uint8Array, kernelValue: GuestPtr): number;
  validate?(kernel: Kernel, kdata: GuestPtr): number;
  reg(kernel: Kernel, kdata: GuestPtr): number;
  unreg(kernel: Kernel, kdata: GuestPtr): void;
  /** Live replacement through a link; absent: -EOPNOTSUPP. */
  update?(kernel: Kernel, kdata: GuestPtr, oldKdata: GuestPtr): number;
}

/** A further indirect call site in guest text, besides one for each ops member. The target comes in r11. */
export interface CallSiteDef {
  name: string;
  /** The type id that the compiler put there. */
  hash: number;
}

/** A no-op function of guest text that is the stub of no member. */
export interface StubDef {
  name: string;
  hash: number;
  /** Number of its argument registers. */
  arity: number;
}

/** The owner of one or more ops tables: what a subsystem adds to the kernel. */
export interface Subsystem {
  name: string;
  structOps: readonly StructOpsDef[];
  stubs?: readonly StubDef[];
  callSites?: readonly CallSiteDef[];
  /** Functions that programs may call (kfuncs); the kernel is there when they are called. */
  gates?(kernel: () => Kernel): GateDef[];
  /** Of these functions, those whose return value fmod_ret programs may change (ALLOW_ERROR_INJECTION). */
  modifiable?: readonly string[];
}

/** A 64-bit argument: a number (sign-extended above 32 bits), or its halves. */
export type Argument = number | { lo: number; hi: number } | { ptr: GuestPtr };
