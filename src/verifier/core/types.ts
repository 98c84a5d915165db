import type { Insn } from '../../bpf/index.ts';
import type { Btf, FuncInfo, LineInfo } from '../../btf/index.ts';
import { PROG_STRUCT_OPS } from '../tables/contexts.table.ts';
import type { VerifierOps } from './hooks.ts';
import type { FuncState, RegState, RegView, VerifierState } from './state.ts';

export * from './state.ts';

/** A special field of a map value or of an allocated object (`struct btf_field`). Offsets and sizes are bytes. */
export interface RecordField {
  /** `enum btf_field_type` bit (BPF_SPIN_LOCK = 1 << 0, BPF_TIMER = 1 << 1, …). */
  type: number;
  offset: number;
  size: number;
  /** Kptr: the type that it points to; list head and rbtree root: the node's struct. */
  btf?: Btf;
  btfId?: number;
  nodeOffset?: number;
  dtor?: boolean;
}

/** `struct btf_record`. */
export interface BtfRecord {
  fields: readonly RecordField[];
  fieldMask: number;
}

/** A map as the verifier sees it; `src_reg == BPF_PSEUDO_MAP_FD` instructions carry its index in `imm`. */
export interface MapInfo {
  name: string;
  /** BPF_MAP_TYPE_*. */
  type: number;
  keySize: number;
  valueSize: number;
  maxEntries: number;
  flags: number;
  btf: Btf | null;
  btfKeyTypeId: number;
  btfValueTypeId: number;
  record: BtfRecord | null;
  /** Template of the inner maps of a map of maps. */
  inner: MapInfo | null;
  /** Frozen by the loader: together with BPF_F_RDONLY_PROG its values are constants. */
  frozen: boolean;
  /** `struct bpf_map *` as the log prints it in place of the reference, if known. */
  address?: bigint;
  /** Address of the first value, for direct value references. */
  valueAddress?: bigint;
  /** Bytes of a read-only frozen map, if known. */
  data?: Uint8Array;
}

/** What of the kernel's build and release decides a verdict. */
export interface VerifierTarget {
  vmlinux: Btf;
  /** CONFIG_HZ. */
  hz: number;
  /** `nr_cpu_ids`: what bpf_get_smp_processor_id returns is below it. */
  cpus: number;
  /** The JIT is on and will compile this program (`prog->jit_requested`). */
  jitRequested: boolean;
  /** `bpf_jit_supports_private_stack()`. */
  privateStack: boolean;
  /** Value of a kernel symbol (for BPF_PSEUDO_BTF_ID variables), or undefined. */
  symbolAddress?: (name: string) => bigint | undefined;
}

/** A function of the program. */
export interface VerifiedFunction extends FuncInfo {
  /** Static, though its BTF says global: the loader changed that. */
  madeStatic?: boolean;
}

/** What BPF_PROG_LOAD hands to `bpf_check`. */
export interface VerifierInput {
  name: string;
  /** As the system call gets them; `imm` of a map reference is an index into {@link maps}. Copied, never changed. */
  insns: readonly Insn[];
  /** BPF_PROG_TYPE_*. */
  progType: number;
  expectedAttachType: number;
  /** `prog->sleepable` (BPF_F_SLEEPABLE). */
  sleepable: boolean;
  /** BPF_F_XDP_HAS_FRAGS, BPF_F_TEST_STATE_FREQ … as given. */
  progFlags: number;
  license: string;
  /** Struct_ops: the ops struct; tracing: the target function or typedef. 0 without. */
  attachBtfId: number;
  /** Struct_ops: index of the member (`expected_attach_type`). */
  memberIndex: number;
  btf: Btf | null;
  funcInfo: readonly VerifiedFunction[];
  lineInfo: readonly LineInfo[];
  maps: readonly MapInfo[];
  /** Instructions that name a map by a number of their own, which is none of {@link maps}. */
  looseMaps?: ReadonlySet<number>;
  target: VerifierTarget;
  ops: VerifierOps;
  /** 0: none, 1: BPF_LOG_LEVEL1, 2: BPF_LOG_LEVEL2; 4 adds statistics (BPF_LOG_STATS). */
  logLevel: number;
  observer?: VerifierObserver;
  /** Walk every path to its end, even one that an explored state covers. Loops are unrolled. */
  exploreAll?: boolean;
}

/** Watches a verification from outside; what it sees is the verifier's own and must not be changed. */
export interface VerifierObserver {
  /** Instruction `env.insnIdx` is reached in state `env.cur`: before it is compared with explored states and judged. */
  step(env: Env): void;
}

/** The counters of `print_verification_stats`. */
export interface VerifierStats {
  insnProcessed: number;
  maxStatesPerInsn: number;
  totalStates: number;
  peakStates: number;
  stackDepth: string;
}

export interface Verdict {
  ok: boolean;
  /** 'EACCES', … ; '' if accepted. */
  errno: string;
  log: string;
  stats: VerifierStats;
  /** Instructions after pseudo references were resolved; the passes of src/verifier/rewrite start from these. */
  insns: Insn[];
  aux: InsnAux[];
  subprogs: SubprogInfo[];
  /** The program writes to packets; it throws; index of the exception callback that it names, 0 without. */
  seenDirectWrite: boolean;
  seenException: boolean;
  exceptionCallback: number;
}

/** `struct bpf_map_ptr_state` and `bpf_insn_aux_data.map_key_state`. */
export const MAP_PTR_POISON = 'poison';

/** What verification learned of one instruction (`struct bpf_insn_aux_data`); read by the rewrites. */
export class InsnAux {
  ptrType = 0;
  mapPtr: MapInfo | typeof MAP_PTR_POISON | null = null;
  mapPtrUnpriv = false;
  /** BPF_MAP_KEY_POISON 1 << 31 … kept as {@link mapKeySeen}, {@link mapKeyPoison} and the constant. */
  mapKeySeen = false;
  mapKeyPoison = false;
  mapKey = 0;
  /** Saved imm of a call. */
  callImm = 0;
  /** Name of the prototype by which a helper's call was checked, without `_proto`. */
  helperProto = '';
  mapIndex = -1;
  mapOff = 0;
  /** BPF_PSEUDO_BTF_ID: the register's type, and BTF or size. */
  btfVarType = 0;
  btfVarBtf: Btf | null = null;
  btfVarBtfId = 0;
  btfVarMemSize = 0;
  loopInlineInitialized = false;
  loopInlineFit = false;
  loopCallbackSubprog = 0;
  kptrStructMeta: { btfId: number; record: BtfRecord | null } | null = null;
  objNewSize = 0;
  insertOff = 0;
  ctxFieldSize = 0;
  seen = 0;
  nospec = false;
  nospecResult = false;
  zextDst = false;
  needsZext = false;
  storageGetFuncAtomic = false;
  isIterNext = false;
  callWithPercpuAllocPtr = false;
  fastcallPattern = false;
  fastcallSpillsNum = 0;
  argProg = 0;
  jmpPoint = false;
  prunePoint = false;
  /** A jump or call leads here. */
  jumpTarget = false;
  forceCheckpoint = false;
  callsCallback = false;
  /** Set of register numbers read later, bit n = rn (`live_regs_before`). */
  liveRegsBefore = 0;
  scc = 0;
}

/** An argument of a function known from BTF (`struct bpf_subprog_arg_info`). */
export interface SubprogArg {
  argType: number;
  memSize: number;
  btfId: number;
}

/** `struct bpf_subprog_info`. Instruction indices are slots. */
export class SubprogInfo {
  start = 0;
  lineInfoIdx = 0;
  postorderStart = 0;
  exitIdx = 0;
  stackDepth = 0;
  stackExtra = 0;
  fastcallStackOff = 0;
  name = '';
  /** BTF id of the `func` in the program's BTF, 0 without. */
  funcId = 0;
  global = false;
  static = false;
  hasTailCall = false;
  tailCallReachable = false;
  hasLdAbs = false;
  isCb = false;
  isAsyncCb = false;
  isExceptionCb = false;
  argsCached = false;
  keepFastcallStack = false;
  changesPktData = false;
  mightSleep = false;
  /** 0 unknown, 1 no, 2 adaptive. */
  privStackMode = 0;
  argCnt = 0;
  args: SubprogArg[] = [];
  called = false;
  unreliable = false;
}
/** Name of the ops struct that a struct_ops program is a member of; '' for other programs. */
export const opsName = (
  { progType, attachBtfId }: Pick<VerifierInput, 'progType' | 'attachBtfId'>,
  vmlinux: Btf,
): string => (progType === PROG_STRUCT_OPS && attachBtfId > 0 ? vmlinux.name(attachBtfId) : '');

/** The environment of one verification (`struct bpf_verifier_env`). */
export interface Env {
  readonly input: VerifierInput;
  readonly ops: VerifierOps;
  readonly btf: Btf | null;
  readonly vmlinux: Btf;
  readonly insns: Insn[];
  readonly aux: InsnAux[];
  /** `subprogs[i]`; `subprogs[subprogCnt]` is the end sentinel. */
  subprogs: SubprogInfo[];
  subprogCnt: number;
  insnIdx: number;
  prevInsnIdx: number;
  cur: VerifierState;
  idGen: number;
  insnProcessed: number;
  /** Subprogram index of the hidden or declared exception callback, 0 without. */
  exceptionCallbackSubprog: number;
  seenDirectWrite: boolean;
  seenException: boolean;
  testStateFreq: boolean;
  /** BPF_F_STRICT_ALIGNMENT. */
  strictAlignment: boolean;
  allowPtrLeaks: boolean;
  bypassSpecV1: boolean;
  bypassSpecV4: boolean;
  bpfCapable: boolean;
  /** `prog->aux->max_ctx_offset`, max_pkt_offset, … as the access checks set them. */
  maxCtxOffset: number;
  maxPktOffset: number;
  maxTpAccess: number;
  maxRdonlyAccess: number;
  maxRdwrAccess: number;
  attachFuncProto: number;
  attachFuncName: string;
  /** Adds to the log at any level (`verbose`). `text` carries its own newline. */
  verbose(text: string): void;
  /** The register of the current frame, to be changed. */
  reg(regno: number): RegState;
  /** The register of the current frame, to be read; what is changed later it may not show. */
  peek(regno: number): RegView;
  /** The current frame (`cur_func`). */
  func(): FuncState;
}

/** Thrown to refuse a program; its words are in the log already. */
export class Reject extends Error {
  readonly errno: string;
  constructor(errno: string) {
    super(errno);
    this.errno = errno;
  }
}

/** Writes `text` and refuses the program with `errno`. */
export function reject(env: Env, errno: string, text: string): never {
  if (text) env.verbose(text.endsWith('\n') ? text : `${text}\n`);
  throw new Reject(errno);
}
