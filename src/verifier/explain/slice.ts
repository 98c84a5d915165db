import { CALL, EXIT, type Insn, LD_IMM64, PSEUDO_CALL } from '../../bpf/index.ts';
import * as T from '../core/reg_types.table.ts';
import type { RegView, SlotView } from '../core/types.ts';
import type { Snapshot } from './trace.ts';

/** A register (`slot` false) or eight bytes of stack of a frame; slot n covers fp-8(n+1) … fp-8n-1. */
export interface Operand {
  frame: number;
  slot: boolean;
  at: number;
}

/** One instruction of a path, with the state before it. */
export interface PathPoint {
  at: number;
  state: Snapshot;
}

export interface SliceStep {
  /** Index into the path. */
  index: number;
  /** What it writes or tests that matters later. */
  operand: Operand | undefined;
  taken?: boolean;
}

export interface SliceOptions {
  /** Every branch that the path decided counts, whatever it tests. */
  branches?: boolean;
  /** Instruction whose last run on the path is where the slice starts. */
  from?: number;
}

const keyOf = ({ frame, slot, at }: Operand) => frame * 128 + (slot ? 16 : 0) + at;
const operandOf = (key: number): Operand => {
  const rest = key % 128;
  return { frame: (key - rest) / 128, slot: rest >= 16, at: rest >= 16 ? rest - 16 : rest };
};
const SIZES = [4, 2, 1, 8];
const isJump = (code: number) => (code & 7) === 5 || (code & 7) === 6;
const isConditional = ({ code }: Insn) => isJump(code) && (code & 0xf0) !== 0x80 && (code & 0xf0) !== 0x90;

/** The stack slots that a load or store of `size` bytes through `base` touches; undefined if it is not the stack's. */
export function stackSlots(base: RegView, off: number, size: number): Operand[] | undefined {
  if (base.type !== T.PTR_TO_STACK) return undefined;
  const low = base.off + base.sminLo + off;
  const high = base.off + base.smaxLo + off + size;
  if (!(low >= -512 && high <= 0 && low < high)) return [];
  const slots: Operand[] = [];
  for (let at = -high >> 3; at <= (-low - 1) >> 3; at++) slots.push({ frame: base.frameno, slot: true, at });
  return slots;
}

/** What a state has at an operand. */
export function valueAt(state: Snapshot, { frame, slot, at }: Operand): RegView | SlotView | undefined {
  const view = state.frames[frame];
  return slot ? view?.stack[at] : view?.regs[at];
}

/**
 * The steps of `path` that gave `wanted` what it holds before the path's last instruction: data flow backwards through
 * registers and stack slots, and the branches that tested what flows. A load from other memory ends a strand.
 */
export function sliceBack(
  path: readonly PathPoint[],
  insns: readonly Insn[],
  wanted: readonly Operand[],
  options: SliceOptions = {},
): SliceStep[] {
  const live = new Set(wanted.map(keyOf));
  const steps: SliceStep[] = [];
  for (let i = path.length - 2; i >= 0 && (live.size > 0 || options.branches || options.from !== undefined); i--) {
    const step = new Step(insns[path[i]!.at]!, path[i]!, path[i + 1]!, live);
    const isStart = path[i]!.at === options.from;
    const found = step.walk(options.branches === true);
    if (found !== undefined || isStart) steps.push({ index: i, operand: undefined, ...found });
    if (isStart) break;
  }
  return steps.reverse();
}

type Found = Omit<SliceStep, 'index'> | undefined;

/** The flow through one instruction, backwards; changes the set of what is looked for. */
class Step {
  readonly #insn: Insn;
  readonly #here: PathPoint;
  readonly #next: PathPoint;
  readonly #live: Set<number>;

  constructor(insn: Insn, here: PathPoint, next: PathPoint, live: Set<number>) {
    this.#insn = insn;
    this.#here = here;
    this.#next = next;
    this.#live = live;
  }

  walk(branches: boolean): Found {
    const { code } = this.#insn;
    switch (code & 7) {
      case 4:
      case 7:
        return this.#alu();
      case 0:
        return code === LD_IMM64 ? this.#define(this.#reg(this.#insn.dst), []) : this.#clobber();
      case 1:
        return this.#load();
      case 2:
      case 3:
        return this.#store();
      default:
        if (code === CALL || code === EXIT) return this.#call();
        return isConditional(this.#insn) ? this.#branch(branches) : undefined;
    }
  }

  get #frame(): number {
    return this.#here.state.current;
  }

  #reg(at: number, frame = this.#frame): Operand {
    return { frame, slot: false, at };
  }

  #register(at: number): RegView {
    return this.#here.state.frames[this.#frame]!.regs[at]!;
  }

  /** `target` is written from `sources`: if it is looked for, they are from here on. */
  #define(target: Operand, sources: readonly Operand[]): Found {
    if (!this.#live.delete(keyOf(target))) return undefined;
    for (const source of sources) this.#live.add(keyOf(source));
    return { operand: target };
  }

  #alu(): Found {
    const { code, dst, src } = this.#insn;
    const op = code & 0xf0;
    const fromReg = (code & 8) !== 0 && op !== 0xd0;
    const sources = fromReg ? [this.#reg(src)] : [];
    return this.#define(this.#reg(dst), op === 0xb0 ? sources : [...sources, this.#reg(dst)]);
  }

  #load(): Found {
    const { code, dst, src, off } = this.#insn;
    return this.#define(this.#reg(dst), stackSlots(this.#register(src), off, SIZES[(code >> 3) & 3]!) ?? []);
  }

  #store(): Found {
    const { code, dst, src, off } = this.#insn;
    const size = SIZES[(code >> 3) & 3]!;
    const atomic = (code & 7) === 3 && (code & 0xe0) === 0xc0;
    const fetched = atomic ? this.#define(this.#reg(this.#insn.imm === 0xf1 ? 0 : src), []) : undefined;
    const hit = stackSlots(this.#register(dst), off, size)?.filter((slot) => this.#live.has(keyOf(slot))) ?? [];
    if (hit.length === 0) return fetched;
    if (size === 8 && hit.length === 1) this.#live.delete(keyOf(hit[0]!));
    if ((code & 7) === 3) this.#live.add(keyOf(this.#reg(src)));
    return { operand: hit[0]! };
  }

  #branch(branches: boolean): Found {
    const { code, dst, src, off } = this.#insn;
    const tested = code & 8 ? [dst, src] : [dst];
    const taken = off !== 0 && this.#next.at === this.#here.at + 1 + off;
    const decided = { operand: this.#reg(dst), taken };
    for (const at of tested)
      if (this.#live.has(keyOf(this.#reg(at))) || this.#linked(this.#register(at)))
        return { ...decided, operand: this.#reg(at) };
    return branches ? decided : undefined;
  }

  /** Whether something looked for is a copy of `reg`, or the same pointer. */
  #linked(reg: RegView): boolean {
    const id = reg.id & ~T.BPF_ADD_CONST;
    if (id === 0) return false;
    for (const key of this.#live) {
      const value = valueAt(this.#here.state, operandOf(key));
      const other = value === undefined || 'slotType' in value ? value?.spilled : value;
      if (other !== undefined && other.type === reg.type && (other.id & ~T.BPF_ADD_CONST) === id) return true;
    }
    return false;
  }

  /** Calls, and returns of functions that were walked into. */
  #call(): Found {
    const from = this.#frame;
    const to = this.#next.state.current;
    if (to > from) return this.#enter(from, to);
    if (to < from) {
      if (this.#insn.code === EXIT && this.#live.delete(keyOf(this.#reg(0, to)))) this.#live.add(keyOf(this.#reg(0)));
      return undefined;
    }
    let found = this.#clobber();
    for (const key of this.#live) {
      const operand = operandOf(key);
      if (!operand.slot || valueAt(this.#here.state, operand) === valueAt(this.#next.state, operand)) continue;
      this.#live.delete(key);
      found ??= { operand };
    }
    return found;
  }

  /** r0 to r5 are overwritten. */
  #clobber(): Found {
    let found: Found;
    for (let at = 0; at <= 5; at++) found = this.#define(this.#reg(at), []) ?? found;
    return found;
  }

  #enter(from: number, to: number): Found {
    let found: Found;
    for (let at = 1; at <= 5; at++) {
      const isArgument = this.#insn.src === PSEUDO_CALL && this.#live.has(keyOf(this.#reg(at, to)));
      if (isArgument) found = { operand: this.#reg(at) };
      const clobbered = this.#live.delete(keyOf(this.#reg(at, from)));
      if (clobbered) found ??= { operand: this.#reg(at) };
      if (isArgument) this.#live.add(keyOf(this.#reg(at, from)));
    }
    for (const key of this.#live) if (operandOf(key).frame >= to) this.#live.delete(key);
    return found;
  }
}
