import { MAX_BPF_REG } from '../core/reg_types.table.ts';
import {
  copyReg,
  type Env,
  type Reference,
  RegState,
  type RegView,
  type SlotView,
  StackSlot,
  type VerifierObserver,
} from '../core/types.ts';

/** A path, last instruction first. */
interface Trail {
  at: number;
  step: number;
  back: Trail | undefined;
}

/** One instruction reached on a path: `step` counts what the whole verification reached, from 1. */
export interface Reached {
  at: number;
  step: number;
}

/** Remembers how every state was reached; {@link path} is the way to the one looked at last. */
export class PathRecorder implements VerifierObserver {
  #last: Trail | undefined;
  #steps = 0;

  step({ cur, insnIdx }: Env): void {
    const trail: Trail = { at: insnIdx, step: ++this.#steps, back: cur.trail as Trail | undefined };
    cur.trail = trail;
    this.#last = trail;
  }

  path(): Reached[] {
    const path: Reached[] = [];
    for (let trail = this.#last; trail !== undefined; trail = trail.back) path.push({ at: trail.at, step: trail.step });
    return path.reverse();
  }
}

interface FrameView {
  subprog: number;
  regs: readonly RegView[];
  stack: readonly SlotView[];
}

/** A state, copied: what one step shares with the one before is the same object. */
export interface Snapshot {
  current: number;
  frames: readonly FrameView[];
  refs: readonly Reference[];
}

const KEYS = Object.keys(new RegState()).filter((key) => key !== 'owner') as (keyof RegView)[];
const sameReg = (a: RegView, b: RegView): boolean => KEYS.every((key) => a[key] === b[key]);

function keepReg(reg: RegView, before: RegView | undefined): RegView {
  if (before !== undefined && sameReg(reg, before)) return before;
  const copy = new RegState();
  copyReg(copy, reg);
  return copy;
}

function keepSlot(slot: SlotView, before: SlotView | undefined): SlotView {
  const same =
    before !== undefined &&
    slot.slotType.every((kind, i) => kind === before.slotType[i]) &&
    sameReg(slot.spilled, before.spilled);
  if (same) return before;
  const copy = new StackSlot();
  copyReg(copy.spilled, slot.spilled);
  for (let i = 0; i < 8; i++) copy.slotType[i] = slot.slotType[i]!;
  return copy;
}

/** The current state of a verification. */
export function snapshot({ cur }: Env, before?: Snapshot): Snapshot {
  const frames = cur.frame.slice(0, cur.curframe + 1).map((func, f) => {
    const old = before?.frames[f];
    return {
      subprog: func.subprogno,
      regs: Array.from({ length: MAX_BPF_REG }, (_, i) => keepReg(func.peek(i), old?.regs[i])),
      stack: Array.from({ length: func.depth }, (_, i) => keepSlot(func.peekSlot(i)!, old?.stack[i])),
    };
  });
  return { current: cur.curframe, frames, refs: cur.refs.map((ref) => ({ ...ref })) };
}

/** Copies the state at chosen steps of a verification that was recorded before. */
export class SnapshotRecorder implements VerifierObserver {
  readonly found = new Map<number, Snapshot>();
  readonly #wanted: ReadonlySet<number>;
  #steps = 0;
  #last: Snapshot | undefined;

  constructor(wanted: ReadonlySet<number>) {
    this.#wanted = wanted;
  }

  step(env: Env): void {
    if (!this.#wanted.has(++this.#steps)) return;
    this.#last = snapshot(env, this.#last);
    this.found.set(this.#steps, this.#last);
  }
}
