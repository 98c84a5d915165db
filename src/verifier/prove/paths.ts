import * as T from '../core/reg_types.table.ts';
import type { Env, RegView, VerifierObserver } from '../core/types.ts';
import { type Snapshot, snapshot } from '../explain/trace.ts';

/** A program's run before one instruction: numbers, not what is known of them. */
export interface ConcreteState {
  /** Slot of the instruction. */
  at: number;
  /** r0 … r10, unsigned. */
  registers: readonly bigint[];
  /** r10 of every frame, main first. */
  framePointers: readonly bigint[];
  byteAt(address: bigint): number;
  /** Address of the first value of a map, by the map's index. */
  valueAddress(map: string): bigint;
}

interface Node {
  at: number;
  state: Snapshot;
  back: Node | undefined;
  next: Node[];
}

const isJump = (code: number): boolean => (code & 7) === 5 || (code & 7) === 6;

/** Thrown by the recorder of a program that has more steps than wanted. */
export class TooManySteps extends Error {}

/** Every path that a verification walks, with its states, as a tree; of use with `exploreAll`. */
export class ExploredPaths implements VerifierObserver {
  readonly roots: Node[] = [];
  readonly #limit: number;
  #steps = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  step(env: Env): void {
    if (++this.#steps > this.#limit) throw new TooManySteps();
    const { insnIdx: at, cur } = env;
    let back = cur.trail as Node | undefined;
    // Arithmetic that is walked once more with other values (a fork of signs) comes instead, not after.
    if (back?.at === at && !isJump(env.insns[at]!.code)) back = back.back;
    const node: Node = { at, state: snapshot(env, back?.state), back, next: [] };
    cur.trail = node;
    (back?.next ?? this.roots).push(node);
  }

  get steps(): number {
    return this.#steps;
  }
}

const lowHalf = (value: bigint): number => Number(BigInt.asIntN(32, value));
const highHalf = (value: bigint): number => Number(BigInt.asIntN(32, value >> 32n));

/** `a <= b` of 64-bit numbers in halves, unsigned. */
const notAbove = (aLo: number, aHi: number, bLo: number, bHi: number): boolean =>
  aHi >>> 0 < bHi >>> 0 || (aHi === bHi && aLo >>> 0 <= bLo >>> 0);
/** The same, signed. */
const notAboveSigned = (aLo: number, aHi: number, bLo: number, bHi: number): boolean =>
  aHi < bHi || (aHi === bHi && aLo >>> 0 <= bLo >>> 0);

/** Whether a scalar's known bits and all four readings of its bounds allow `value`. */
export function allows(reg: RegView, value: bigint): boolean {
  const lo = lowHalf(value);
  const hi = highHalf(value);
  return (
    (lo & ~reg.maskLo) === reg.varLo &&
    (hi & ~reg.maskHi) === reg.varHi &&
    notAbove(reg.uminLo, reg.uminHi, lo, hi) &&
    notAbove(lo, hi, reg.umaxLo, reg.umaxHi) &&
    notAboveSigned(reg.sminLo, reg.sminHi, lo, hi) &&
    notAboveSigned(lo, hi, reg.smaxLo, reg.smaxHi) &&
    reg.u32min <= lo >>> 0 &&
    lo >>> 0 <= reg.u32max &&
    reg.s32min <= lo &&
    lo <= reg.s32max
  );
}

function allowsRegister(reg: RegView, value: bigint, run: ConcreteState): boolean {
  const base = reg.type & T.BASE_TYPE_MASK;
  switch (base) {
    case T.SCALAR_VALUE:
      return allows(reg, value);
    case T.PTR_TO_STACK:
      return allows(reg, BigInt.asUintN(64, value - run.framePointers[reg.frameno]! - BigInt(reg.off)));
    case T.PTR_TO_MAP_VALUE:
      return allows(reg, BigInt.asUintN(64, value - run.valueAddress(reg.map!.name) - BigInt(reg.off)));
    default:
      return true;
  }
}

function describeMismatch(state: Snapshot, run: ConcreteState): string | undefined {
  const depth = run.framePointers.length - 1;
  if (state.current !== depth) return `frame ${state.current}, not ${depth}`;
  const { regs, stack } = state.frames[depth]!;
  for (const [i, reg] of regs.entries())
    if (!allowsRegister(reg, run.registers[i]!, run)) return `r${i} = 0x${run.registers[i]!.toString(16)}`;
  for (const [spi, slot] of stack.entries()) {
    const top = run.framePointers[depth]! - 8n * BigInt(spi);
    for (let j = 0; j < 8; j++)
      if (slot.slotType[j] === T.STACK_ZERO && run.byteAt(top - 1n - BigInt(j)) !== 0)
        return `a byte of stack ${-8 * (spi + 1)}`;
    if (!slot.slotType.every((kind) => kind === T.STACK_SPILL)) continue;
    let value = 0n;
    for (let j = 0; j < 8; j++) value = (value << 8n) | BigInt(run.byteAt(top - 1n - BigInt(j)));
    if (!allowsRegister(slot.spilled, value, run)) return `stack ${-8 * (spi + 1)} = 0x${value.toString(16)}`;
  }
  return undefined;
}

/**
 * Follows a run through the explored paths: at every instruction some path that agreed with the run so far must hold a
 * state that allows what the run holds.
 */
export class RunFollower {
  #candidates: readonly Node[];

  constructor(paths: ExploredPaths) {
    this.#candidates = paths.roots;
  }

  /** What no explored path allows at this step of the run; undefined if one allows all. */
  step(run: ConcreteState): string | undefined {
    const here = this.#candidates.filter(({ at }) => at === run.at);
    if (here.length === 0) return `insn ${run.at}: no path leads here`;
    let why = '';
    const matching = here.filter(({ state }) => {
      const mismatch = describeMismatch(state, run);
      if (mismatch !== undefined) why = mismatch;
      return mismatch === undefined;
    });
    this.#candidates = matching.flatMap(({ next }) => next);
    return matching.length === 0 ? `insn ${run.at}: ${why}` : undefined;
  }
}
