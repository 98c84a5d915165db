import { regText, SLOT_CHARS } from '../core/log.ts';
import { MAX_BPF_REG, NOT_INIT, STACK_INVALID, STACK_SPILL } from '../core/reg_types.table.ts';
import type { Env, VerifierInput, VerifierObserver } from '../core/types.ts';
import { verifyProgram } from '../verify.ts';

/** What the verifier knew of one frame before an instruction, in the log's notation: `{ R1: 'ctx()' }`. */
export interface KnownState {
  frame: number;
  registers: Record<string, string>;
  /** By offset from the frame pointer: `{ '-8': 'scalar()' }`; bytes as in the log where they are no whole value. */
  stack: Record<string, string>;
}

export interface InsnStates {
  insn: number;
  /** Times that the instruction was reached. */
  visits: number;
  /** The first different ones, at most {@link MAX_PER_INSN}. */
  states: KnownState[];
}

/** Different states kept of an instruction. */
const MAX_PER_INSN = 8;

class StatesRecorder implements VerifierObserver {
  readonly found = new Map<number, InsnStates & { seen: Set<string> }>();

  step(env: Env): void {
    const { insnIdx: insn, cur } = env;
    let known = this.found.get(insn);
    if (known === undefined) {
      known = { insn, visits: 0, states: [], seen: new Set() };
      this.found.set(insn, known);
    }
    known.visits++;
    if (known.states.length === MAX_PER_INSN) return;
    const func = cur.frame[cur.curframe]!;
    const registers: Record<string, string> = {};
    for (let i = 0; i < MAX_BPF_REG; i++) {
      const reg = func.peek(i);
      if (reg.type !== NOT_INIT) registers[`R${i}`] = regText(env, cur.curframe, reg);
    }
    const stack: Record<string, string> = {};
    for (let i = 0; i < func.depth; i++) {
      const { slotType, spilled } = func.peekSlot(i)!;
      if (slotType.every((kind) => kind === STACK_INVALID)) continue;
      const isWhole = slotType.every((kind) => kind === STACK_SPILL);
      stack[`${-8 * (i + 1)}`] = isWhole
        ? regText(env, cur.curframe, spilled)
        : Array.from(slotType, (kind) => SLOT_CHARS[kind]).join('');
    }
    const key = JSON.stringify([cur.curframe, registers, stack]);
    if (known.seen.has(key)) return;
    known.seen.add(key);
    known.states.push({ frame: cur.curframe, registers, stack });
  }
}

/** Verifies a program once more and tells what was known before each instruction that was reached, by instruction. */
export function recordStates(input: Omit<VerifierInput, 'ops'>): InsnStates[] {
  const observer = new StatesRecorder();
  verifyProgram({ ...input, observer, logLevel: 0 });
  return [...observer.found.values()]
    .map(({ insn, visits, states }) => ({ insn, visits, states }))
    .sort((a, b) => a.insn - b.insn);
}
