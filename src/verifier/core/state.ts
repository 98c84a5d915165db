import type { Btf } from '../../btf/index.ts';
import { copyRange, ScalarRange } from '../domain/index.ts';
import { DEF_NOT_SUBREG, MAX_BPF_REG, NOT_INIT } from './reg_types.table.ts';
import type { SccVisit } from './scc.ts';
import type { MapInfo } from './types.ts';

/** A register or a spilled one (`struct bpf_reg_state`); its value range is inherited. */
export class RegState extends ScalarRange {
  /** Base type | flags, see reg_types.table.ts. */
  type = NOT_INIT;
  /** Fixed part of a pointer's offset; with BPF_ADD_CONST the distance from the linked registers. */
  off = 0;
  /** Packet pointers: bytes known to be readable; AT_PKT_END = -1, BEYOND_PKT_END = -2. */
  pktRange = 0;
  map: MapInfo | null = null;
  mapUid = 0;
  btf: Btf | null = null;
  btfId = 0;
  memSize = 0;
  dynptrType = 0;
  dynptrFirstSlot = false;
  /** A slice of a dynptr's data: the id of the dynptr. */
  dynptrId = 0;
  iterBtf: Btf | null = null;
  iterBtfId = 0;
  iterState = 0;
  iterDepth = 0;
  irqKfuncClass = 0;
  subprogno = 0;
  id = 0;
  refObjId = 0;
  frameno = 0;
  subregDef = DEF_NOT_SUBREG;
  precise = false;
  /** The frame (its `token`) that may change this register; 0 when none was given. Not a part of what is known. */
  owner = 0;
}

/** A register to be read only: it may be shared by several states. */
export type RegView = Readonly<Omit<RegState, 'owner'>>;

/** Copies every field of `src` (`struct bpf_reg_state` assignment). */
export function copyReg(dst: RegState, src: RegView): void {
  copyRange(dst, src);
  dst.type = src.type;
  dst.off = src.off;
  dst.pktRange = src.pktRange;
  dst.map = src.map;
  dst.mapUid = src.mapUid;
  dst.btf = src.btf;
  dst.btfId = src.btfId;
  dst.memSize = src.memSize;
  dst.dynptrType = src.dynptrType;
  dst.dynptrFirstSlot = src.dynptrFirstSlot;
  dst.dynptrId = src.dynptrId;
  dst.iterBtf = src.iterBtf;
  dst.iterBtfId = src.iterBtfId;
  dst.iterState = src.iterState;
  dst.iterDepth = src.iterDepth;
  dst.irqKfuncClass = src.irqKfuncClass;
  dst.subprogno = src.subprogno;
  dst.id = src.id;
  dst.refObjId = src.refObjId;
  dst.frameno = src.frameno;
  dst.subregDef = src.subregDef;
  dst.precise = src.precise;
}

function cloneReg(src: RegState, owner: number): RegState {
  const reg = new RegState();
  copyReg(reg, src);
  reg.owner = owner;
  return reg;
}

/** Eight bytes of stack: `spilled` means something if slot bytes say STACK_SPILL, DYNPTR, ITER or IRQ_FLAG. */
export class StackSlot {
  readonly spilled = new RegState();
  /** One STACK_* per byte; byte 0 is the lowest address... as the kernel's `slot_type`, index 7 = highest stack index. */
  readonly slotType: number[] = [0, 0, 0, 0, 0, 0, 0, 0];
  /** As {@link RegState.owner}. */
  owner = 0;
}

/** A slot to be read only: it may be shared by several states. */
export interface SlotView {
  readonly spilled: RegView;
  readonly slotType: readonly number[];
}

function cloneSlot(src: StackSlot, owner: number): StackSlot {
  const slot = new StackSlot();
  copyReg(slot.spilled, src.spilled);
  for (let i = 0; i < 8; i++) slot.slotType[i] = src.slotType[i]!;
  slot.owner = owner;
  return slot;
}

/** `struct bpf_reference_state`. */
export interface Reference {
  type: number;
  id: number;
  insnIdx: number;
  /** REF_TYPE_LOCK: the map or BTF that holds the lock. */
  ptr: object | null;
}

/** Inclusive range that a return value must be in (`struct bpf_retval_range`). */
export interface RetvalRange {
  minval: number;
  maxval: number;
}

const NO_RANGE: RetvalRange = { minval: 0, maxval: 0 };

let tokens = 0;

/**
 * One frame of the call stack (`struct bpf_func_state`). Copies share registers and stack slots until one of them
 * changes its own: {@link reg} and {@link slot} give what this frame may change, {@link peek} and {@link peekSlot} what
 * it may only read. What was taken to be changed stays this frame's own across `pushStack`.
 */
export class FuncState {
  callsite = 0;
  frameno = 0;
  subprogno = 0;
  asyncEntryCnt = 0;
  inCallbackFn = false;
  callbackRetRange: RetvalRange = NO_RANGE;
  inAsyncCallbackFn = false;
  inExceptionCallbackFn = false;
  callbackDepth = 0;
  private token = ++tokens;
  private readonly registers: RegState[];
  private readonly slots: StackSlot[];
  /** All of {@link slots} are this frame's own. */
  private ownsStack: boolean;

  constructor(registers?: RegState[], slots: StackSlot[] = []) {
    this.registers = registers ?? new Array<RegState>(MAX_BPF_REG).fill(PRISTINE);
    this.slots = slots;
    this.ownsStack = slots.length === 0;
  }

  /** R`regno`, to be changed. */
  reg(regno: number): RegState {
    let reg = this.registers[regno]!;
    if (reg.owner !== this.token) {
      reg = cloneReg(reg, this.token);
      this.registers[regno] = reg;
    }
    return reg;
  }

  /** R`regno`, to be read. */
  peek(regno: number): RegView {
    return this.registers[regno]!;
  }

  /** Nothing is known of R`regno` any more: it must not be read. What was taken by {@link reg} is no longer its own. */
  forget(regno: number): void {
    this.registers[regno] = PRISTINE;
  }

  /** All registers, to be changed. */
  get regs(): RegState[] {
    for (let i = 0; i < this.registers.length; i++) this.reg(i);
    return this.registers;
  }

  /** Slot `spi`, to be changed; it must exist. */
  slot(spi: number): StackSlot {
    let slot = this.slots[spi]!;
    if (slot.owner !== this.token) {
      slot = cloneSlot(slot, this.token);
      this.slots[spi] = slot;
    }
    return slot;
  }

  /** Slot `spi`, to be read; undefined below the stack in use. */
  peekSlot(spi: number): SlotView | undefined {
    return this.slots[spi];
  }

  /** Slot `spi` holds nothing any more, as {@link forget}. */
  forgetSlot(spi: number): void {
    this.slots[spi] = EMPTY_SLOT;
    this.ownsStack = false;
  }

  /** Slots in use: `allocated_stack` / 8. */
  get depth(): number {
    return this.slots.length;
  }

  /** Makes the stack at least `slots` deep. */
  grow(slots: number): void {
    if (this.slots.length >= slots) return;
    while (this.slots.length < slots) this.slots.push(EMPTY_SLOT);
    this.ownsStack = false;
  }

  /** All slots, to be changed: `stack[i]` covers fp-8(i+1) … fp-8i-1. */
  get stack(): readonly StackSlot[] {
    if (!this.ownsStack) for (let i = 0; i < this.slots.length; i++) this.slot(i);
    this.ownsStack = true;
    return this.slots;
  }

  /**
   * A copy. With `held`, references to what this frame owns may still be in use: such registers and slots are copied
   * at once. Else nothing is, and both own nothing until they ask.
   */
  copy(held: boolean): FuncState {
    const dst = new FuncState(this.registers.slice(), this.slots.slice());
    dst.callsite = this.callsite;
    dst.frameno = this.frameno;
    dst.subprogno = this.subprogno;
    dst.asyncEntryCnt = this.asyncEntryCnt;
    dst.inCallbackFn = this.inCallbackFn;
    dst.callbackRetRange = this.callbackRetRange;
    dst.inAsyncCallbackFn = this.inAsyncCallbackFn;
    dst.inExceptionCallbackFn = this.inExceptionCallbackFn;
    dst.callbackDepth = this.callbackDepth;
    if (held) {
      for (let i = 0; i < dst.registers.length; i++)
        if (this.registers[i]!.owner === this.token) dst.registers[i] = cloneReg(this.registers[i]!, dst.token);
      for (let i = 0; i < dst.slots.length; i++)
        if (this.slots[i]!.owner === this.token) dst.slots[i] = cloneSlot(this.slots[i]!, dst.token);
    } else {
      this.token = ++tokens;
      this.ownsStack = dst.ownsStack;
    }
    return dst;
  }
}

/** Nothing known. Shared by all frames: as it belongs to none, each copies it before a change. */
export const PRISTINE = new RegState();
const EMPTY_SLOT = new StackSlot();

/** An entry of the jump history (`struct bpf_jmp_history_entry`). */
export interface JmpHistoryEntry {
  idx: number;
  prevIdx: number;
  /** INSN_F_* flags: frame number and slot of a stack access. */
  flags: number;
  /** Up to six registers linked at a conditional jump, as push_insn_history packs them; [] without. */
  linkedRegs: readonly LinkedReg[];
}

export interface LinkedReg {
  frameno: number;
  isReg: boolean;
  /** Register or stack slot index. */
  at: number;
}

const copyRefs = (refs: readonly Reference[]): Reference[] =>
  refs.length === 0 ? [] : refs.map((ref) => ({ ...ref }));

/** `struct bpf_verifier_state`. */
export class VerifierState {
  frame: FuncState[];
  parent: VerifierState | null = null;
  refs: Reference[];
  branches = 0;
  insnIdx = 0;
  curframe = 0;
  activeLocks = 0;
  activePreemptLocks = 0;
  activeIrqId = 0;
  activeLockId = 0;
  activeLockPtr: object | null = null;
  activeRcuLock = 0;
  speculative = false;
  inSleepable = false;
  cleaned = false;
  firstInsnIdx = 0;
  lastInsnIdx = 0;
  jmpHistory: JmpHistoryEntry[];
  dfsDepth = 0;
  callbackUnrollDepth = 0;
  mayGotoDepth = 0;
  /** The state that equals this one (backedges). */
  equalState: VerifierState | null = null;
  /** The way into a strongly connected component that begins here. */
  enters: SccVisit | null = null;
  /** Times that the checkpoint covered another state, and that it did not. */
  hitCnt = 0;
  missCnt = 0;
  /** No longer looked at by new paths, but still an ancestor of some (`in_free_list`). */
  evicted = false;
  /** The observer's own: how this state was reached. Copied with the state, never looked at. */
  trail: unknown = undefined;

  constructor(frame: FuncState[] = [], refs: Reference[] = [], jmpHistory: JmpHistoryEntry[] = []) {
    this.frame = frame;
    this.refs = refs;
    this.jmpHistory = jmpHistory;
  }

  /** A copy; the jump history's entries are shared (`copy_verifier_state`). `held` as {@link FuncState.copy}. */
  copy(held: boolean): VerifierState {
    const frame = this.frame.slice(0, this.curframe + 1);
    for (let f = 0; f < frame.length; f++) frame[f] = frame[f]!.copy(held);
    const dst = new VerifierState(frame, copyRefs(this.refs), this.jmpHistory.slice());
    dst.parent = this.parent;
    dst.branches = this.branches;
    dst.insnIdx = this.insnIdx;
    dst.curframe = this.curframe;
    dst.activeLocks = this.activeLocks;
    dst.activePreemptLocks = this.activePreemptLocks;
    dst.activeIrqId = this.activeIrqId;
    dst.activeLockId = this.activeLockId;
    dst.activeLockPtr = this.activeLockPtr;
    dst.activeRcuLock = this.activeRcuLock;
    dst.speculative = this.speculative;
    dst.inSleepable = this.inSleepable;
    dst.cleaned = this.cleaned;
    dst.firstInsnIdx = this.firstInsnIdx;
    dst.lastInsnIdx = this.lastInsnIdx;
    dst.dfsDepth = this.dfsDepth;
    dst.callbackUnrollDepth = this.callbackUnrollDepth;
    dst.mayGotoDepth = this.mayGotoDepth;
    dst.equalState = this.equalState;
    dst.trail = this.trail;
    return dst;
  }
}
