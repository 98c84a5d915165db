import type { Insn } from '../../bpf/index.ts';
import type { Btf } from '../../btf/index.ts';
import type { VerifierOps } from './hooks.ts';
import { StackLiveness } from './live.ts';
import { LogBuffer } from './log_buffer.ts';
import type { SccVisit } from './scc.ts';
import {
  type Env,
  type FuncState,
  InsnAux,
  type RegState,
  type RegView,
  SubprogInfo,
  type VerifierInput,
  VerifierState,
} from './types.ts';

const BPF_F_STRICT_ALIGNMENT = 1 << 0;
const BPF_F_ANY_ALIGNMENT = 1 << 1;
const BPF_F_TEST_STATE_FREQ = 1 << 3;

/** A branch left to explore (`struct bpf_verifier_stack_elem`). */
export interface StackElem {
  state: VerifierState;
  insnIdx: number;
  prevInsnIdx: number;
  logLength: number;
}

/** The one {@link Env}: state of a verification, with the log and what only the core looks at. */
export class VerifierEnv implements Env {
  readonly input: VerifierInput;
  readonly ops: VerifierOps;
  readonly btf: Btf | null;
  readonly vmlinux: Btf;
  readonly insns: Insn[];
  readonly aux: InsnAux[];
  subprogs: SubprogInfo[] = [new SubprogInfo()];
  subprogCnt = 1;
  insnIdx = 0;
  prevInsnIdx = 0;
  cur = new VerifierState();
  idGen = 0;
  insnProcessed = 0;
  exceptionCallbackSubprog = 0;
  seenDirectWrite = false;
  seenException = false;
  testStateFreq: boolean;
  strictAlignment: boolean;
  allowPtrLeaks = true;
  bypassSpecV1 = true;
  bypassSpecV4 = true;
  bpfCapable = true;
  maxCtxOffset = 0;
  maxPktOffset = 0;
  maxTpAccess = 0;
  maxRdonlyAccess = 0;
  maxRdwrAccess = 0;
  attachFuncProto = 0;
  attachFuncName = '';
  /** Registers and stack slots (bits) changed since they were printed last. */
  scratchedRegs = 0;
  scratchedSlots = new Uint8Array(64);
  prevLinfo = -1;
  /** `insnProcessed` when the last history entry was added. */
  historyAt = -1;
  prevLogPos = -1;
  prevInsnPrintLen = 0;
  readonly branches: StackElem[] = [];
  /** Checkpoints (`explored_states`), newest first, in the buckets that the kernel's hash makes. */
  readonly explored = new Map<number, VerifierState[]>();
  readonly sccVisits = new Map<string, SccVisit>();
  readonly live = new StackLiveness();
  /** Instructions of all functions in postorder (`cfg.insn_postorder`). */
  postorder: Int32Array = new Int32Array(0);
  exploredStates = 0;
  evictedStates = 0;
  backedges = 0;
  totalStates = 0;
  peakStates = 0;
  maxStatesPerInsn = 0;
  prevInsnProcessed = 0;
  jmpsProcessed = 0;
  prevJmpsProcessed = 0;
  /** Instructions as the log prints them. */
  readonly insnTexts: string[] = [];
  private readonly text = new LogBuffer();

  constructor(input: VerifierInput) {
    this.input = input;
    this.ops = input.ops;
    this.btf = input.btf;
    this.vmlinux = input.target.vmlinux;
    this.insns = input.insns.map((insn) => ({ ...insn }));
    this.aux = input.insns.map(() => new InsnAux());
    this.testStateFreq = (input.progFlags & BPF_F_TEST_STATE_FREQ) !== 0;
    // BPF_F_ANY_ALIGNMENT wins.
    this.strictAlignment =
      (input.progFlags & (BPF_F_STRICT_ALIGNMENT | BPF_F_ANY_ALIGNMENT)) === BPF_F_STRICT_ALIGNMENT;
  }

  verbose(text: string): void {
    if (this.input.logLevel === 0) return;
    this.text.add(text);
  }

  /** Characters of the log so far. */
  get logLength(): number {
    return this.text.length;
  }

  /** Drops what was written after `length` (`bpf_vlog_reset`). */
  resetLog(length: number): void {
    this.text.reset(length);
  }

  get log(): string {
    return this.text.toString();
  }

  /** `update_peak_states`. */
  updatePeakStates(): void {
    this.peakStates = Math.max(this.peakStates, this.exploredStates + this.evictedStates + this.backedges);
  }

  func(): FuncState {
    return this.cur.frame[this.cur.curframe]!;
  }

  reg(regno: number): RegState {
    return this.func().reg(regno);
  }

  peek(regno: number): RegView {
    return this.func().peek(regno);
  }
}

/** Marks R`regno` as changed for the log (`mark_reg_scratched`). */
export function markRegScratched(env: Env, regno: number): void {
  (env as VerifierEnv).scratchedRegs |= 1 << regno;
}

/** Marks stack slot `spi` as changed for the log (`mark_stack_slot_scratched`). */
export function markStackSlotScratched(env: Env, spi: number): void {
  (env as VerifierEnv).scratchedSlots[spi] = 1;
}

export function scratchAll(env: VerifierEnv): void {
  env.scratchedRegs = -1;
  env.scratchedSlots.fill(1);
}
