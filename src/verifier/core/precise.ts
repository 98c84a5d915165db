import type { Insn } from '../../bpf/index.ts';
import { add, boundsSync, setConst } from '../domain/index.ts';
import { Backtrack } from './backtrack.ts';
import type { VerifierEnv } from './env.ts';
import { insnText } from './liveregs.ts';
import { printVerifierState } from './log.ts';
import * as T from './reg_types.table.ts';
import { copyReg, type Env, type LinkedReg, RegState, reject, type VerifierState } from './types.ts';

/** Flags of a history entry: a stack access through a register other than R10, with its frame and slot. */
export const INSN_F_STACK_ACCESS = 1 << 9;

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

/** Registers and spills of the same id as an operand of `insn` (`collect_linked_regs`), at most six. */
export function collectLinkedRegs(state: VerifierState, insn: Insn): LinkedReg[] {
  const regs = state.frame[state.curframe]!.regs;
  const ids = new Set<number>();
  const note = (reg: RegState) => {
    if (reg.type === T.SCALAR_VALUE && reg.id) ids.add(reg.id & 0x7fffffff);
  };
  note(regs[insn.dst]!);
  if (insn.code & 8) note(regs[insn.src]!);
  if (ids.size === 0) return [];
  const linked: LinkedReg[] = [];
  const take = (reg: RegState, frameno: number, isReg: boolean, at: number) => {
    if (reg.type !== T.SCALAR_VALUE || !ids.has(reg.id & 0x7fffffff) || reg.id === 0) return;
    if (linked.length < 6) linked.push({ frameno, isReg, at });
    else reg.id = 0;
  };
  for (let f = state.curframe; f >= 0; f--) {
    const func = state.frame[f]!;
    for (let i = 0; i < 11; i++) take(func.regs[i]!, f, true, i);
    for (let i = 0; i < func.stack.length; i++)
      if (func.stack[i]!.slotType[0] === T.STACK_SPILL) take(func.stack[i]!.spilled, f, false, i);
  }
  return linked;
}

/** Gives every linked register what is known now of `known` (`sync_linked_regs`). */
export function syncLinkedRegs(_env: Env, state: VerifierState, known: RegState, linked: readonly LinkedReg[]): void {
  for (const { frameno, isReg, at } of linked) {
    const func = state.frame[frameno]!;
    const reg = isReg ? func.regs[at]! : func.stack[at]!.spilled;
    if (reg.type !== T.SCALAR_VALUE || reg === known) continue;
    if ((reg.id & 0x7fffffff) !== (known.id & 0x7fffffff)) continue;
    const { subregDef, off, id } = reg;
    if (!(reg.id & T.BPF_ADD_CONST) && !(known.id & T.BPF_ADD_CONST)) {
      copyReg(reg, known);
      reg.subregDef = subregDef;
      continue;
    }
    const distance = new RegState();
    setConst(distance, off - known.off, (off - known.off) >> 31);
    copyReg(reg, known);
    reg.off = off;
    reg.id = id;
    reg.subregDef = subregDef;
    add(reg, distance, false);
    boundsSync(reg);
  }
}

/** Marks R`regno` and all that it was computed from as precise (`mark_chain_precision`). */
export function markChainPrecision(env: Env, regno: number): void {
  const bt = new Backtrack(env.cur.curframe);
  bt.setReg(regno);
  backtrack(env as VerifierEnv, bt, env.insnIdx, env.cur, new Set([regno]));
}

/** The current state was covered by `old`: what `old` needed precisely, it needs too (`propagate_precision`). */
export function propagatePrecision(env: VerifierEnv, old: VerifierState): void {
  const bt = new Backtrack(env.cur.curframe);
  for (let f = old.curframe; f >= 0; f--) {
    const func = old.frame[f]!;
    const names: string[] = [];
    for (let i = 0; i < 10; i++) {
      const reg = func.regs[i]!;
      if (reg.type !== T.SCALAR_VALUE || !reg.precise || !(env.aux[old.insnIdx]!.liveRegsBefore & (1 << i))) continue;
      names.push(`r${i}`);
      bt.setReg(i, f);
    }
    func.stack.forEach((slot, i) => {
      if (slot.slotType[0] !== T.STACK_SPILL || slot.spilled.type !== T.SCALAR_VALUE || !slot.spilled.precise) return;
      names.push(`fp${(-i - 1) * 8}`);
      bt.slots[f]!.add(i);
    });
    if (names.length > 0 && env.input.logLevel & 2) env.verbose(`frame ${f}: propagating ${names.join(',')}\n`);
  }
  backtrack(env, bt, env.cur.lastInsnIdx, env.cur, new Set());
}

function needsMark(state: VerifierState, bt: Backtrack): void {
  for (let f = 0; f <= state.curframe && f < bt.regs.length; f++) {
    const func = state.frame[f]!;
    for (let i = 0; i < 10; i++) {
      if (!(bt.regs[f]! & (1 << i))) continue;
      const reg = func.regs[i]!;
      if (reg.type !== T.SCALAR_VALUE || reg.precise) bt.clearReg(i, f);
      else reg.precise = true;
    }
    for (const i of [...bt.slots[f]!]) {
      const slot = func.stack[i];
      if (!slot || slot.slotType[0] !== T.STACK_SPILL || slot.spilled.type !== T.SCALAR_VALUE || slot.spilled.precise)
        bt.slots[f]!.delete(i);
      else slot.spilled.precise = true;
    }
  }
}

function backtrack(env: VerifierEnv, bt: Backtrack, from: number, start: VerifierState, initial: Set<number>): void {
  const func = start.frame[bt.frame]!;
  for (const regno of initial) if (func.regs[regno]!.type !== T.SCALAR_VALUE) return;
  const loud = (env.input.logLevel & 2) !== 0;
  let subseq = -1;
  let last = from;
  let skipFirst = initial.size > 0;
  if (bt.empty()) return;
  let state: VerifierState | null = start;
  while (state) {
    const first = state.firstInsnIdx;
    const history = state.jmpHistory;
    let h = history.length;
    if (loud)
      env.verbose(`mark_precise: frame${bt.frame}: last_idx ${last} first_idx ${first} subseq_idx ${subseq} \n`);
    if (last < 0) {
      for (let i = 1; i <= 5; i++) bt.clearReg(i);
      return;
    }
    for (let i = last; ; ) {
      const entry = h > 0 && history[h - 1]!.idx === i ? history[h - 1]! : undefined;
      if (skipFirst) skipFirst = false;
      else {
        if (loud)
          env.verbose(
            `mark_precise: frame${bt.frame}: regs=${bt.regsText()} stack=${bt.slotsText()} before ${i}: ${insnText(env, i)}\n`,
          );
        if (!bt.step(env, i, subseq, entry)) {
          markAllPrecise(start);
          return;
        }
      }
      if (bt.empty()) return;
      subseq = i;
      if (i === first && (h === 0 || (h === 1 && history[0]!.idx === i))) break;
      if (h > 0 && history[h - 1]!.idx === i) {
        i = history[h - 1]!.prevIdx;
        h--;
      } else i--;
      if (i < 0 || i >= env.insns.length) reject(env, 'EFAULT', `verifier bug: backtracking idx ${i}`);
    }
    state = state.parent;
    if (!state) return;
    needsMark(state, bt);
    if (loud) {
      env.verbose(`mark_precise: frame${bt.frame}: parent state regs=${bt.regsText()} stack=${bt.slotsText()}: `);
      printVerifierState(env, state, bt.frame, true);
    }
    if (bt.empty()) return;
    subseq = first;
    last = state.lastInsnIdx;
  }
}

/** Backtracking gave up: every scalar up to the root is precise (`mark_all_scalars_precise`). */
function markAllPrecise(start: VerifierState): void {
  for (let state: VerifierState | null = start; state; state = state.parent) {
    for (const func of state.frame) {
      for (let i = 0; i < 10; i++) if (func.regs[i]!.type === T.SCALAR_VALUE) func.regs[i]!.precise = true;
      for (const slot of func.stack)
        if (slot.slotType[0] === T.STACK_SPILL && slot.spilled.type === T.SCALAR_VALUE) slot.spilled.precise = true;
    }
  }
}
