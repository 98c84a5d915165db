import { isMayGoto } from './cfg.ts';
import type { VerifierEnv } from './env.ts';
import { EXACT, NOT_EXACT, RANGE_WITHIN, sameCallsites, statesEqual, statesMaybeLooping } from './equal.ts';
import { printLinfo, printVerifierState } from './log.ts';
import { propagatePrecision, pushInsnHistory } from './precise.ts';
import * as T from './reg_types.table.ts';
import { addBackedge, enterScc, exitScc, marksIncomplete } from './scc.ts';
import { reject, type VerifierState } from './types.ts';

/** The path through `state` ended: its ancestors have one branch less to explore (`update_branch_counts`). */
export function updateBranchCounts(env: VerifierEnv, state: VerifierState): void {
  for (let at: VerifierState | null = state; at; at = at.parent) {
    if (--at.branches > 0) break;
    exitScc(env, at);
    if (at.evicted) env.evictedStates--;
  }
}

/** The iterator that R1 points to goes on (`BPF_ITER_STATE_ACTIVE`). */
function iterActive(state: VerifierState): boolean {
  const pointer = state.frame[state.curframe]!.peek(1);
  const slot = state.frame[pointer.frameno]!.peekSlot((-(pointer.off + pointer.varLo) - 1) >> 3);
  return slot !== undefined && slot.spilled.iterState === T.BPF_ITER_STATE_ACTIVE;
}

/** Depths of iterators differ: no endless loop, the iterator goes on (`iter_active_depths_differ`). */
function iterDepthsDiffer(old: VerifierState, cur: VerifierState): boolean {
  for (let f = 0; f <= old.curframe; f++) {
    const func = old.frame[f]!;
    for (let i = 0; i < func.depth; i++) {
      const { slotType, spilled } = func.peekSlot(i)!;
      if (slotType[0] !== T.STACK_ITER || spilled.iterState !== T.BPF_ITER_STATE_ACTIVE) continue;
      if (spilled.iterDepth !== cur.frame[f]?.peekSlot(i)?.spilled.iterDepth) return true;
    }
  }
  return false;
}

/** Whether `cur` went around a loop from `old`, whose paths are not all explored, and came back with nothing new. */
function loopsOn(env: VerifierEnv, at: number, old: VerifierState, cur: VerifierState): boolean {
  const aux = env.aux[at]!;
  if (aux.isIterNext) return statesEqual(env, old, cur, RANGE_WITHIN) && iterActive(cur);
  if (isMayGoto(env.insns[at]!) && old.mayGotoDepth !== cur.mayGotoDepth && statesEqual(env, old, cur, RANGE_WITHIN))
    return true;
  if (aux.callsCallback) return statesEqual(env, old, cur, RANGE_WITHIN);
  if (
    statesMaybeLooping(old, cur) &&
    statesEqual(env, old, cur, EXACT) &&
    !iterDepthsDiffer(old, cur) &&
    old.mayGotoDepth === cur.mayGotoDepth &&
    old.callbackUnrollDepth === cur.callbackUnrollDepth
  ) {
    printLinfo(env, at, '; ');
    env.verbose(`infinite loop detected at insn ${at}\ncur state:`);
    printVerifierState(env, cur, cur.curframe, true);
    env.verbose('old state:');
    printVerifierState(env, old, cur.curframe, true);
    reject(env, 'EINVAL', '');
  }
  return false;
}

/** Registers and slots that nobody reads any more are forgotten in checkpoints that are done (`clean_live_states`). */
function cleanStates(env: VerifierEnv, at: number, states: readonly VerifierState[]): void {
  for (const state of states) {
    if (state.branches > 0 || state.cleaned || state.insnIdx !== at || !sameCallsites(state, env.cur)) continue;
    if (marksIncomplete(env, state)) continue;
    cleanState(env, state);
  }
}

function cleanState(env: VerifierEnv, state: VerifierState): void {
  env.live.query(env, state);
  state.cleaned = true;
  for (let f = 0; f <= state.curframe; f++) {
    const func = state.frame[f]!;
    const at = f === state.curframe ? state.insnIdx : state.frame[f + 1]!.callsite;
    const live = env.aux[at]!.liveRegsBefore;
    for (let i = 0; i < 10; i++) if (!(live & (1 << i))) func.forget(i);
    for (let i = 0; i < func.depth; i++) if (!env.live.alive(env, f, i)) func.forgetSlot(i);
  }
}

/** The bucket of `explored_states` that holds checkpoints of instruction `at` for the current frame. */
function bucketOf(env: VerifierEnv, at: number): VerifierState[] {
  const key = ((at ^ env.func().callsite) >>> 0) % env.insns.length;
  let states = env.explored.get(key);
  if (!states) {
    states = [];
    env.explored.set(key, states);
  }
  return states;
}

/** Whether a state that covers the current one was explored; else a checkpoint may be made (`is_state_visited`). */
export function isStateVisited(env: VerifierEnv, at: number): boolean {
  const { cur } = env;
  const aux = env.aux[at]!;
  const force = env.testStateFreq || aux.forceCheckpoint || cur.jmpHistory.length > 40;
  const jumps = env.jmpsProcessed - env.prevJmpsProcessed;
  const walked = env.insnProcessed - env.prevInsnProcessed;
  let add = force || (jumps >= 2 && walked >= 8);
  const states = bucketOf(env, at);
  cleanStates(env, at, states);
  const count = states.length;
  for (let i = 0; i < states.length; i++) {
    const old = states[i]!;
    if (old.insnIdx !== at) continue;
    if (old.branches > 0) {
      const was = old.frame[old.curframe]!;
      const otherAsync = was.inAsyncCallbackFn && was.asyncEntryCnt !== env.func().asyncEntryCnt;
      if (!otherAsync && loopsOn(env, at, old, cur)) return hit(env, old, at, true);
      if (!force && jumps < 20 && walked < 100) add = false;
    } else {
      const loop = marksIncomplete(env, old);
      if (statesEqual(env, old, cur, loop ? RANGE_WITHIN : NOT_EXACT)) return hit(env, old, at, loop);
    }
    if (add) old.missCnt++;
    const n = aux.forceCheckpoint && old.branches > 0 ? 64 : 3;
    if (old.missCnt <= old.hitCnt * n + n) continue;
    states.splice(i--, 1);
    env.exploredStates--;
    old.evicted = old.branches > 0;
    if (old.evicted) env.evictedStates++;
  }
  env.maxStatesPerInsn = Math.max(env.maxStatesPerInsn, count);
  if (add) checkpoint(env, at, states);
  return false;
}

function hit(env: VerifierEnv, old: VerifierState, at: number, loop: boolean): boolean {
  old.hitCnt++;
  if (env.aux[at]!.jmpPoint) pushInsnHistory(env, 0);
  propagatePrecision(env, old, env.cur);
  if (loop) addBackedge(env, old, at);
  return true;
}

function checkpoint(env: VerifierEnv, at: number, states: VerifierState[]): void {
  const { cur } = env;
  env.totalStates++;
  env.exploredStates++;
  env.updatePeakStates();
  env.prevJmpsProcessed = env.jmpsProcessed;
  env.prevInsnProcessed = env.insnProcessed;
  for (const func of cur.frame) {
    for (let i = 0; i < 10; i++) if (func.peek(i).precise) func.reg(i).precise = false;
    for (let i = 0; i < func.depth; i++) if (func.peekSlot(i)!.spilled.precise) func.slot(i).spilled.precise = false;
  }
  const saved = cur.copy(false);
  saved.insnIdx = at;
  enterScc(env, saved);
  cur.parent = saved;
  cur.firstInsnIdx = at;
  cur.dfsDepth = saved.dfsDepth + 1;
  cur.jmpHistory = [];
  env.historyAt = -1;
  states.unshift(saved);
}
