import type { Insn } from '../../bpf/index.ts';
import { add, boundsSync, setConst, zext32 } from '../domain/index.ts';
import { Backtrack, INSN_F_STACK_ACCESS } from './backtrack.ts';
import type { VerifierEnv } from './env.ts';
import { printVerifierState } from './log.ts';
import * as T from './reg_types.table.ts';
import {
  copyReg,
  type Env,
  type FuncState,
  type LinkedReg,
  RegState,
  type RegView,
  reject,
  type SlotView,
  type VerifierState,
} from './types.ts';

/** R1-R5. */
const ARGUMENTS = 0x3e;
/** LINKED_REGS_MAX. */
const MAX_LINKED = 6;

/** The flags for an access to slot `spi` of frame `frameno` (`insn_stack_access_flags`). */
export const insnStackAccessFlags = (frameno: number, spi: number): number =>
  INSN_F_STACK_ACCESS | (spi << 3) | frameno;

/** Adds the current instruction to the jump history, or flags to its entry (`push_jmp_history`). */
export function pushInsnHistory(env: Env, flags: number, linkedRegs: readonly LinkedReg[] = []): void {
  const history = env.cur.jmpHistory;
  const last = history[history.length - 1];
  const core = env as VerifierEnv;
  if (core.historyAt === env.insnProcessed && last) {
    last.flags |= flags;
    if (linkedRegs.length > 0) last.linkedRegs = linkedRegs;
    return;
  }
  history.push({ idx: env.insnIdx, prevIdx: core.prevInsnIdx, flags, linkedRegs });
  core.historyAt = env.insnProcessed;
}

/** Registers that are still read and spills of the same id as an operand of `insn` (`collect_linked_regs`), at most six. */
export function collectLinkedRegs(env: Env, state: VerifierState, insn: Insn): LinkedReg[] {
  const func = state.frame[state.curframe]!;
  const linked: LinkedReg[] = [];
  if (insn.code & 8) collectLinked(env, state, func.peek(insn.src), linked);
  collectLinked(env, state, func.peek(insn.dst), linked);
  return linked;
}

function collectLinked(env: Env, state: VerifierState, operand: RegView, linked: LinkedReg[]): void {
  if (operand.type !== T.SCALAR_VALUE || operand.id === 0) return;
  const id = operand.id & ~T.BPF_ADD_CONST;
  const is = (reg: RegView) => reg.type === T.SCALAR_VALUE && (reg.id & ~T.BPF_ADD_CONST) === id;
  const take = (frameno: number, isReg: boolean, at: number) => {
    if (linked.length < MAX_LINKED) linked.push({ frameno, isReg, at });
    else linkedReg(state, { frameno, isReg, at }).id = 0;
  };
  for (let f = state.curframe; f >= 0; f--) {
    const func = state.frame[f]!;
    const live = env.aux[f === state.curframe ? env.insnIdx : state.frame[f + 1]!.callsite]!.liveRegsBefore;
    for (let i = 0; i < 10; i++) if (live & (1 << i) && is(func.peek(i))) take(f, true, i);
    for (let i = 0; i < func.depth; i++) {
      const { slotType, spilled } = func.peekSlot(i)!;
      if (slotType[7] === T.STACK_SPILL && is(spilled)) take(f, false, i);
    }
  }
}

function linkedReg(state: VerifierState, { frameno, isReg, at }: LinkedReg): RegState {
  const func = state.frame[frameno]!;
  return isReg ? func.reg(at) : func.slot(at).spilled;
}

/** Gives every linked register what is known now of `known` (`sync_linked_regs`). */
export function syncLinkedRegs(_env: Env, state: VerifierState, known: RegState, linked: readonly LinkedReg[]): void {
  for (const link of linked) {
    const reg = linkedReg(state, link);
    if (reg.type !== T.SCALAR_VALUE || reg === known) continue;
    if ((reg.id & ~T.BPF_ADD_CONST) !== (known.id & ~T.BPF_ADD_CONST)) continue;
    // A 32-bit and a 64-bit distance do not add up.
    if (((reg.id ^ known.id) & T.BPF_ADD_CONST) === T.BPF_ADD_CONST) continue;
    const wraps = (reg.id | known.id) & T.BPF_ADD_CONST32;
    const { subregDef, off, id } = reg;
    if ((!(reg.id & T.BPF_ADD_CONST) && !(known.id & T.BPF_ADD_CONST)) || reg.off === known.off) {
      copyReg(reg, known);
      reg.subregDef = subregDef;
      continue;
    }
    const distance = new RegState();
    const by = off - known.off;
    setConst(distance, by | 0, Math.floor(by / 2 ** 32));
    copyReg(reg, known);
    reg.off = off;
    reg.id = id;
    reg.subregDef = subregDef;
    add(reg, distance, false);
    if (wraps) zext32(reg);
    boundsSync(reg);
  }
}

/** The one walk back at a time. */
const bt = new Backtrack();

/** Marks R`regno` and all that it was computed from as precise (`mark_chain_precision`). */
export function markChainPrecision(env: Env, regno: number): void {
  if (env.peek(regno).type !== T.SCALAR_VALUE) return;
  bt.begin(env.cur.curframe);
  bt.setReg(regno);
  backtrack(env as VerifierEnv, env.cur);
}

/** Marks the scalar spilled to slot `spi` of frame `frameno` as precise, like {@link markChainPrecision}. */
export function markSlotPrecision(env: Env, frameno: number, spi: number): void {
  bt.begin(env.cur.curframe);
  bt.setSlot(spi, frameno);
  backtrack(env as VerifierEnv, env.cur);
}

/**
 * `cur` was covered by `old`: what `old` needed precisely, `cur` and its ancestors need too (`propagate_precision`).
 * Tells whether a mark is new.
 */
export function propagatePrecision(env: VerifierEnv, old: VerifierState, cur: VerifierState): boolean {
  const loud = (env.input.logLevel & 2) !== 0;
  bt.begin(cur.curframe);
  for (let f = old.curframe; f >= 0; f--) {
    const func = old.frame[f]!;
    const names: string[] = [];
    for (let i = 0; i < 10; i++) {
      const reg = func.peek(i);
      if (reg.type !== T.SCALAR_VALUE || !reg.precise) continue;
      if (loud) names.push(`r${i}`);
      bt.setReg(i, f);
    }
    for (let i = 0; i < func.depth; i++) {
      const slot = func.peekSlot(i)!;
      if (!isSpilledScalar(slot) || !slot.spilled.precise) continue;
      if (loud) names.push(`fp${(-i - 1) * 8}`);
      bt.setSlot(i, f);
    }
    if (names.length > 0) env.verbose(`frame ${f}: propagating ${names.join(',')}\n`);
  }
  return backtrack(env, cur);
}

const isSpilledScalar = (slot: SlotView): boolean =>
  slot.slotType[7] === T.STACK_SPILL && slot.spilled.type === T.SCALAR_VALUE;

/** Marks what is asked for in one frame of an ancestor; what is marked already need not be followed further. */
function markFrame(func: FuncState, f: number): boolean {
  let changed = false;
  for (let i = 0; i < 10; i++) {
    if (!(bt.regs[f]! & (1 << i))) continue;
    const reg = func.peek(i);
    if (reg.type !== T.SCALAR_VALUE || reg.precise) bt.clearReg(i, f);
    else func.reg(i).precise = changed = true;
  }
  for (let i = 0; bt.hasSlots(f) && i < 64; i++) {
    if (!bt.hasSlot(i, f)) continue;
    const slot = func.peekSlot(i);
    if (!slot || !isSpilledScalar(slot) || slot.spilled.precise) bt.clearSlot(i, f);
    else func.slot(i).spilled.precise = changed = true;
  }
  return changed;
}

/** At the entry of a global function only its arguments may be asked for. */
function markArguments(env: VerifierEnv, state: VerifierState): boolean {
  const func = state.frame[0]!;
  const isEntry = state.curframe === 0 && func.subprogno > 0 && func.callsite === -1;
  if (!isEntry || bt.hasSlots(0) || bt.regs[0]! & ~ARGUMENTS)
    reject(env, 'EFAULT', 'verifier bug: backtracking func entry');
  let changed = false;
  for (let i = 1; i <= 5; i++) {
    if (!(bt.regs[0]! & (1 << i)) || func.peek(i).type !== T.SCALAR_VALUE) continue;
    func.reg(i).precise = changed = true;
  }
  return changed;
}

/** Walks back from `start` through its history and its ancestors (`__mark_chain_precision`); tells of new marks. */
function backtrack(env: VerifierEnv, start: VerifierState): boolean {
  if (bt.empty()) return false;
  const loud = (env.input.logLevel & 2) !== 0;
  let changed = false;
  let subseq = -1;
  let first = start.firstInsnIdx;
  let last = start.insnIdx;
  let skip = true;
  for (let state: VerifierState | null = start; state; ) {
    const history = state.jmpHistory;
    let h = history.length;
    if (loud)
      env.verbose(`mark_precise: frame${bt.frame}: last_idx ${last} first_idx ${first} subseq_idx ${subseq} \n`);
    if (last < 0) return markArguments(env, state) || changed;
    for (let i = last; ; ) {
      if (skip) skip = false;
      else if (!bt.step(env, i, subseq, h > 0 && history[h - 1]!.idx === i ? history[h - 1] : undefined)) {
        markAllScalarsPrecise(env, start);
        return changed;
      }
      if (bt.empty()) return changed;
      subseq = i;
      if (i === first && (h === 0 || (h === 1 && history[0]!.idx === i))) break;
      if (h > 0 && history[h - 1]!.idx === i) i = history[--h]!.prevIdx;
      else i--;
      if (i < 0 || i >= env.insns.length) reject(env, 'EFAULT', `verifier bug: backtracking idx ${i}`);
    }
    state = state.parent;
    if (!state) break;
    for (let f = bt.frame; f >= 0; f--) {
      if (markFrame(state.frame[f]!, f)) changed = true;
      if (!loud) continue;
      env.verbose(`mark_precise: frame${f}: parent state regs=${bt.regsText(f)} stack=${bt.slotsText(f)}: `);
      printVerifierState(env, state, f, true);
    }
    if (bt.empty()) return changed;
    subseq = first;
    last = state.lastInsnIdx;
    first = state.firstInsnIdx;
  }
  markAllScalarsPrecise(env, start);
  return changed;
}

/** Backtracking gave up: every scalar up to the root is precise (`mark_all_scalars_precise`). */
export function markAllScalarsPrecise(env: VerifierEnv, start: VerifierState): void {
  if (env.input.logLevel & 2)
    env.verbose(`mark_precise: frame${start.curframe}: falling back to forcing all scalars precise\n`);
  for (let state = start.parent; state; state = state.parent) {
    for (const func of state.frame) {
      for (let i = 0; i < 10; i++) if (func.peek(i).type === T.SCALAR_VALUE) func.reg(i).precise = true;
      for (let i = 0; i < func.depth; i++) if (isSpilledScalar(func.peekSlot(i)!)) func.slot(i).spilled.precise = true;
    }
  }
}
