import type { Btf } from '../btf/index.ts';

export type CfiMode = 'off' | 'kcfi' | 'fineibt';
/** A kernel that we can pretend to be: a release as shipped, or with a named repair of one of its faults. */
export type Release = '6.8' | '6.12' | '6.18' | '6.18+hashfix';

/** A fault of a kernel as shipped, which we reproduce byte for byte and name where it shows. */
export interface KernelFault {
  id: 'stub-hash' | 'paranoid-its' | 'stack-arguments' | 'bhi-arity';
  /** What the kernel does wrong. */
  what: string;
  /** What a user sees of it. */
  consequence: string;
  /** Which kernels have it. */
  kernels: string;
}

/**
 * What the kernel's configuration, boot options and CPU decide about emitted bytes. The names follow the goldens'
 * `features`; every mitigation is a field here and never a special case in an emitter.
 */
export interface Features {
  cfi: CfiMode;
  /** CONFIG_X86_KERNEL_IBT: emit ENDBR (a matter of configuration, not of the CPU). */
  ibt: boolean;
  /** Bytes of NOP padding between the kCFI `mov` and the function (CONFIG_CALL_PADDING: 11; 0 without). */
  callPadding: number;
  /** Indirect branches through `__x86_indirect_thunk_*`. */
  retpoline: boolean;
  /** spectre_v2=retpoline,lfence: `lfence` before a bare indirect branch. */
  retpolineLfence: boolean;
  /** CONFIG_MITIGATION_RETPOLINE: a bare indirect jump is followed by `int3`. */
  retpolineConfig: boolean;
  /** Returns are jumps to the active return thunk. */
  rethunk: boolean;
  /** ITS thunks for indirect branches. */
  its: boolean;
  /** Paranoid FineIBT: the caller checks the callee's hash too. */
  cfiParanoid: boolean;
  /** FineIBT+BHI (6.15, built with -fsanitize-kcfi-arity): preambles call a thunk that clears argument registers on a mismatch. */
  cfiBhi: boolean;
  /** cfi=warn (6.15): a mismatch is reported, and the call goes on. */
  cfiWarn: boolean;
  /** Call depth tracking. */
  callDepth: boolean;
  /** Straight-line speculation: `int3` after `ret`. */
  sls: boolean;
  bmi2: boolean;
  /** The BHB clearing loop in unprivileged classic filters. */
  clearBhbLoop: boolean;
  /** net.core.bpf_jit_harden. */
  jitHarden: 0 | 1 | 2;
}

/** The CPU that the machine plays: whether it enforces IBT is independent of what the kernel was built to emit. */
export interface CpuFeatures {
  /** CR4.CET + IA32_S_CET.ENDBR_EN: an indirect branch that does not land on ENDBR raises #CP. */
  ibt: boolean;
}

/** Everything that depends on the kernel's version. `if (release >= …)` stands in `src/target` alone. */
export interface Era {
  release: Release;
  /** Whether emitted forms were compared with the memory of a running kernel, or follow from its source alone. */
  form: 'seen' | 'from source';
  /** The bytes that replace ENDBR where indirect calls must not land any more ("sealed", "poisoned"). */
  endbrPoison: readonly number[];
  /** FineIBT preambles, 16 bytes, of compiled functions and of JIT output; the hash goes to `fineibtHashOffset`. */
  fineibtStatic: readonly number[];
  fineibtJit: readonly number[];
  fineibtHashOffset: number;
  /** Offset in the preamble of the byte that raises #UD on a hash mismatch, as the trap's RIP reports it. */
  fineibtTrapOffset: number;
  /** The register that carries the caller's hash: 0 eax, 10 r10d. */
  fineibtHashRegister: number;
  /** FineIBT call site up to the call itself; the hash goes to `fineibtCallHashOffset`. */
  fineibtCall: readonly number[];
  fineibtCallHashOffset: number;
  /** The last six bytes of a call site without retpolines: `call r11`, `jmp r11`, filled up. */
  bareBranch: { call: readonly number[]; jump: readonly number[] };
  /** Paranoid FineIBT's call site: the 14 bytes that check the hash, and the 6 that branch. Absent before 6.15. */
  fineibtParanoid?: { check: readonly number[]; call: readonly number[]; jump: readonly number[] };
  /** Where `cfi_get_func_hash` reads a stub's hash inside the 16-byte FineIBT preamble. */
  fineibtStubReadOffset: number;
  /** Furthest forward distance of a two-byte jump (is_imm8_jmp_offset). */
  shortJumpMax: number;
  /** Before which calls a program that tail calls reach reloads the counter: all, or those of other BPF functions (6.13). */
  counterReload: 'calls' | 'bpf calls';
  /** BPF_LOAD_ACQ and BPF_STORE_REL exist (6.15). */
  acquireRelease: boolean;
  /** Exception tables say which arena address a load or store meant (6.18). */
  arenaFaultReports: boolean;
  /** Sign-extending loads from an arena exist (BPF_PROBE_MEM32SX, 6.18). */
  arenaSignedLoads: boolean;
  /**
   * Functions that BPF images call and that kernel text calls directly as well: under kCFI with call depth tracking their
   * padding does the accounting (is_callthunk), so that images do not. A vmlinux tells exactly; these are the ones seen.
   */
  accountedByPadding: readonly string[];
  /** 64-bit constants that fit are moved sign-extended from 32 bits (6.10). */
  shortKernelAddresses: boolean;
  /**
   * What a probing load compares its address with: the upper end of user space by changing the pointer itself, or (6.10)
   * the range up to the vsyscall page in scratch registers.
   */
  probeCheck: 'user end' | 'vsyscall';
  /** Arenas and per-CPU address moves exist (6.9, 6.10). */
  arenas: boolean;
  /** Mitigations that this kernel does not have, or whose bytes are not modelled for it. */
  lacks: readonly ('its' | 'callDepth' | 'clearBhbLoop')[];
  /** The tail call counter goes by pointer (6.11) rather than by value. */
  tailCallByPointer: boolean;
  /** What this kernel does wrong, whether or not the configuration brings it out; see faultsOf. */
  faults: readonly KernelFault[];
  /** may_goto asks the clock (arch_bpf_timed_may_goto, 6.15), and vanishes where it skips nothing (6.14). */
  timedMayGoto: boolean;
  /** Bits of the move that an inlined bpf_get_smp_processor_id begins with: 64 since 6.15. */
  cpuNumberMove: 32 | 64;
  /** Tracing programs with large frames have stacks of their own (6.13). */
  privateStacks: boolean;
  /** cfi=warn and cfi=bhi exist (6.15). */
  cfiWarn: boolean;
  cfiBhi: boolean;
  /** What stands behind `[#1]` in an oops. */
  oopsWords: string;
  /** Boot log line by mode; `{rehashed }`, `{paranoid }` and `{+BHI}` stand where those words may. */
  bootLine: Record<CfiMode, string>;
}

/** Layout that the JIT bakes into instructions, from the target's BTF. */
export interface StructOffsets {
  bpfArrayMaxEntries: number;
  bpfArrayPtrs: number;
  bpfProgBpfFunc: number;
  bpfProgInsnsi: number;
  /** sizeof(struct bpf_tramp_run_ctx) and offset of its cookie. */
  trampRunCtxSize: number;
  trampRunCtxCookie: number;
}

/** The kernel that we pretend to run on. */
export interface Target {
  release: Release;
  era: Era;
  features: Features;
  cpu: CpuFeatures;
  offsets: StructOffsets;
  /** vmlinux BTF. */
  btf: Btf;
  /** XORed into every type hash at boot; 0 for `norand`. */
  hashSeed: number;
  /** What is known of the configuration, by option. */
  kconfig: ReadonlyMap<string, string>;
}
