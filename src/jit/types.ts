import type { Insn } from '../bpf/index.ts';
import type { Era, Features, StructOffsets } from '../target/index.ts';

/** A 64-bit value as two halves. */
export interface Wide {
  lo: number;
  hi: number;
}

/**
 * Addresses that emitted code refers to: the low 32 bits, unsigned. Kernel text and BPF images share their upper half
 * (0xffffffff), so that 32 bits give every displacement.
 */
export interface JitSymbols {
  /** `__bpf_call_base`, to which the `imm` of calls is relative. */
  callBase: number;
  /** The active return thunk (`features.rethunk`). */
  returnThunk: number;
  /** `__x86_indirect_thunk_<reg>`, 32 bytes apart by register number (ITS: 64); and its siblings. */
  indirectThunks: number;
  indirectJumpThunks: number;
  itsThunks: number;
  /** Address of the call depth counter: `pcpu_hot.call_depth`, `__x86_call_depth` since 6.15. */
  callDepth: number;
  /** Per-CPU offset variable `this_cpu_off`. */
  thisCpuOffset: number;
  clearBhbLoop: number;
  /** `__bhi_args`, thunks of 32 bytes by arity (`features.cfiBhi`). */
  bhiArgs: number;
  /** `__bpf_prog_enter…`, `__bpf_prog_exit…`, `__bpf_tramp_enter`, `__bpf_tramp_exit`. */
  [symbol: `__bpf_${string}`]: number;
}

/** The kernel for which code is emitted. */
export interface JitContext {
  features: Features;
  era: Era;
  offsets: StructOffsets;
  /** Seeded hashes of programs and subprograms. */
  hashes: { program: number; subprogram: number };
  symbols: JitSymbols;
  /** Functions whose padding accounts for calls already, by call_depth's own patching of kernel text (is_callthunk): low 32 bits. */
  accountedCallees: ReadonlySet<number>;
  /** Upper end of user addresses and start of the vsyscall page, as 64-bit halves; they bound probing loads. */
  taskSizeMax: Wide;
  vsyscall: Wide;
}

/** A function after verification and all rewrites: what `bpf_int_jit_compile` gets. */
export interface JitFunction {
  insns: readonly Insn[];
  stackDepth: number;
  /** A bpf-to-bpf function (not the main program). */
  isSubprogram: boolean;
  tailCallReachable: boolean;
  exceptionCallback: boolean;
  exceptionBoundary: boolean;
  /** Converted from classic BPF. */
  fromClassic: boolean;
  /** Classic and attached without CAP_SYS_ADMIN: clears branch history before it returns. */
  unprivileged: boolean;
  /** Per-CPU address of the function's private stack (6.13), if it has one: its `stackDepth` lies there. */
  privateStack?: Wide;
  /** Start of the arena in the kernel and in user space. */
  arena?: { kernel: Wide; userHigh: number };
}

/** A stretch of code with one purpose, for annotated listings. */
export interface Segment {
  start: number;
  end: number;
  what: string;
}

/** A load that may fault: `struct exception_table_entry` of type EX_TYPE_BPF. */
export interface ExtableEntry {
  /** Image offset of the instruction, and its length. */
  offset: number;
  length: number;
  /** x86 register that becomes 0; −1 for stores. */
  register: number;
  /** An arena access: the register that holds the address, and the displacement. */
  arena?: { register: number; offset: number };
}

/** A direct tail call, to be patched when the slot of its map is filled: `struct bpf_jit_poke_descriptor`. Image offsets. */
export interface Poke {
  insn: number;
  target: number;
  bypass: number;
}

export interface JitImage {
  /** Low 32 bits of the address of byte 0, the start of the preamble. */
  address: number;
  bytes: Uint8Array;
  /** Offset of the address that is called. */
  entryOffset: number;
  /** End of the code of each instruction; entry 0 is the end of the prologue. */
  insnOffsets: Int32Array;
  extable: ExtableEntry[];
  pokes: Poke[];
  segments: Segment[];
}
