import type { Insn } from '../../bpf/index.ts';
import type { Btf } from '../../btf/index.ts';
import type { Env, FuncState, RegState, RegView, VerifierState } from './types.ts';

/**
 * What src/verifier/access provides to the main loop. Every function writes its words with `env.verbose` and throws
 * `Reject` where the kernel returns an error.
 */
export interface VerifierOps {
  /** `check_mem_access`: `bpfSize` is BPF_B … BPF_DW bits of the opcode, `access` BPF_READ 1 or BPF_WRITE 2; `valueRegno` < 0: none. */
  checkMemAccess(
    env: Env,
    insnIdx: number,
    regno: number,
    off: number,
    bpfSize: number,
    access: number,
    valueRegno: number,
    strictAlignmentOnce: boolean,
    isLdsx: boolean,
  ): void;
  /** `check_load_mem` after the source was checked: saves the pointer type in aux (`save_aux_ptr_type`). */
  saveAuxPtrType(env: Env, type: number, allowTrustMismatch: boolean): void;
  /** `check_atomic`: all of an atomic instruction. */
  checkAtomic(env: Env, insn: Insn): void;
  /** `check_helper_call`; pushes callback frames with env's setCallee functions. */
  checkHelperCall(env: Env, insn: Insn, insnIdx: number): void;
  /** `check_kfunc_call`. */
  checkKfuncCall(env: Env, insn: Insn, insnIdx: number): void;
  /** `check_return_code` for R`regno` named `name` ("R"); of the main program and of async and exception callbacks. */
  checkReturnCode(env: Env, regno: number, regName: string): void;
  /** `check_ld_abs`. */
  checkLdAbs(env: Env, insn: Insn): void;
  /** `check_attach_btf_id` and `check_struct_ops_btf_id`: before anything is walked. */
  checkAttach(env: Env): void;
  /** `do_check_common`'s argument set-up: registers of frame 0 for subprogram `subprog` (0 = main: R1 = ctx). */
  initArguments(env: Env, state: VerifierState, subprog: number): void;
  /** `btf_prepare_func_args`: fills `env.subprogs[subprog].args`. */
  prepareFuncArgs(env: Env, subprog: number): void;
  /** `btf_check_subprog_call`: false if arguments do not match (the caller says so). */
  checkSubprogCall(env: Env, subprog: number, regs: RegState[]): boolean;
  /** `mark_ptr_or_null_regs`: after a null check of R`regno` in `state`. */
  markPtrOrNullRegs(env: Env, state: VerifierState, regno: number, isNull: boolean): void;
  /** `find_good_pkt_pointers`. */
  findGoodPktPointers(state: VerifierState, dst: RegView, type: number, rangeRightOpen: boolean): void;
  /** `check_resource_leak` at an exit or tail call: `exceptionExit`, `checkLock`, prefix of the message. */
  checkResourceLeak(env: Env, exceptionExit: boolean, checkLock: boolean, prefix: string): void;
  /** `clear_all_pkt_pointers`. */
  clearAllPktPointers(env: Env): void;
  /** Whether instruction `insn` calls a kfunc that is an iterator's next, may sleep or changes packet data. */
  kfuncIsIterNext(env: Env, insn: Insn): boolean;
  /** Number of argument registers R1.. that a call reads (`bpf_get_call_summary`), and whether it is a fastcall. */
  callSummary(env: Env, insn: Insn): { numParams: number; isVoid: boolean; fastcall: boolean } | null;
  /** Helper or kfunc that takes a synchronous (1) or asynchronous (2) callback; 0 without. */
  callbackKind(env: Env, insn: Insn): number;
  /** Helper or kfunc may sleep / changes packet data (`check_cfg` collects these for subprograms). */
  callMightSleep(env: Env, insn: Insn): boolean;
  callChangesPktData(env: Env, insn: Insn): boolean;
  /** Resolves kfunc calls and BPF_PSEUDO_BTF_ID variables (`add_kfunc_call`, `check_pseudo_btf_id`). */
  addKfuncCall(env: Env, insn: Insn): void;
  checkPseudoBtfId(env: Env, insn: Insn, insnIdx: number): void;
  /** `check_map_prog_compatibility` and resolution of a map's BTF facts at its first use. */
  checkMapProgCompatibility(env: Env, mapIndex: number): void;
  /** Name of kernel function or helper for the log's instruction text. */
  kfuncName(env: Env, insn: Insn): string;
  /** Type name text: `btf_type_name` of R's `btf`. */
  typeName(btf: Btf, id: number): string;
}

/** How a callee's registers are set from the caller's (`set_callee_state_fn`). Throws Reject. */
export type SetCalleeState = (env: Env, caller: FuncState, callee: FuncState, insnIdx: number) => void;
