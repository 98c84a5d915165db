import type { GuestPtr } from '../machine/index.ts';

/**
 * One call that arrived from guest code at a gate: a guest function whose body is a hypercall into TypeScript.
 * Arguments are those of the System V ABI; 64-bit values come as two signed 32-bit halves.
 */
export interface GateCall {
  /** Low and high half of integer argument `index` (0..5). */
  lo(index: number): number;
  hi(index: number): number;
  /** Argument `index` as a pointer into a mapped region; a wild one raises the guest's #PF. NULL gives 0. */
  ptr(index: number): GuestPtr;
  /** Sets the return value; `hi` is 0 when absent. */
  ret(lo: number, hi?: number): void;
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
   * implemented by BPF. The stub supplies the CFI hash, the argument annotations and the allow-list.
   */
  stubs: Readonly<Record<string, string>>;
  /** 1: handled here, 0: leave the member to the core (only zero is allowed for non-function members), < 0: errno. */
  initMember?(member: string, userValue: Uint8Array, kernelValue: GuestPtr): number;
  validate?(kdata: GuestPtr): number;
  reg(kdata: GuestPtr): number;
  unreg(kdata: GuestPtr): void;
  /** Live replacement through a link; absent: -EOPNOTSUPP. */
  update?(kdata: GuestPtr, oldKdata: GuestPtr): number;
}
