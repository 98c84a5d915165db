import { copyState } from './branch.ts';
import { isMayGoto } from './cfg.ts';
import type { VerifierEnv } from './env.ts';
import { clearSingularIds, EXACT, NOT_EXACT, RANGE_WITHIN, statesEqual } from './equal.ts';
import { printVerifierState } from './log.ts';
import { propagatePrecision } from './precise.ts';
import * as T from './reg_types.table.ts';
import { reject, type VerifierState } from './types.ts';

/** Call sites down to the frame that is in a component, and its number (`compute_scc_callchain`); '' outside. */
function sccChain(env: VerifierEnv, state: VerifierState): string {
  const sites: number[] = [];
  for (let f = 0; f <= state.curframe; f++) {
    const at = f === state.curframe ? state.insnIdx : state.frame[f + 1]!.callsite;
    const { scc } = env.aux[at]!;
    if (scc) return `(${[...sites, scc].join(',')})`;
    sites.push(at);
  }
  return '';
}

function enterScc(env: VerifierEnv, state: VerifierState): void {
  const chain = sccChain(env, state);
  if (!chain || env.sccEntries.get(chain)) return;
  env.sccEntries.set(chain, state);
  if (env.input.logLevel & 2) env.verbose(`SCC enter ${chain}\n`);
}

function exitScc(env: VerifierEnv, state: VerifierState): void {
  const chain = sccChain(env, state);
  if (!chain || env.sccEntries.get(chain) !== state) return;
  env.sccEntries.delete(chain);
  if (env.input.logLevel & 2) env.verbose(`SCC exit ${chain}\n`);
}

/** The path through `state` ended: its ancestors have one branch less to explore (`update_branch_counts`). */
export function updateBranchCounts(env: VerifierEnv, state: VerifierState): void {
  for (let at: VerifierState | null = state; at; at = at.parent) {
    if (--at.branches > 0) break;
    exitScc(env, at);
  }
}

function iterActive(state: VerifierState): boolean {
  return state.frame.some((func) =>
    func.stack.some(
      (slot) =>
        slot.slotType[0] === T.STACK_ITER &&
        slot.spilled.refObjId !== 0 &&
        slot.spilled.iterState === T.BPF_ITER_STATE_ACTIVE,
    ),
  );
}

/** Depths of iterators differ: no endless loop, the iterator goes on (`iter_active_depths_differ`). */
function iterDepthsDiffer(old: VerifierState, cur: VerifierState): boolean {
  return old.frame.some((func, f) =>
    func.stack.some((slot, i) => {
      const now = cur.frame[f]?.stack[i];
      return (
        now !== undefined &&
        slot.slotType[0] === T.STACK_ITER &&
        slot.spilled.iterState === T.BPF_ITER_STATE_ACTIVE &&
        slot.spilled.iterDepth !== now.spilled.iterDepth
      );
    }),
  );
}

/** How `cur` relates to `old`, whose paths are not all explored: a converged loop, an endless one, or neither. */
function loopsOn(env: VerifierEnv, at: number, old: VerifierState, cur: VerifierState): boolean {
  const aux = env.aux[at]!;
  if (aux.isIterNext || env.ops.kfuncIsIterNext(env, env.insns[at]!))
    return statesEqual(env, old, cur, RANGE_WITHIN) && iterActive(cur);
  if (isMayGoto(env.insns[at]!) && old.mayGotoDepth !== cur.mayGotoDepth && statesEqual(env, old, cur, RANGE_WITHIN))
    return true;
  if (aux.callsCallback) return statesEqual(env, old, cur, RANGE_WITHIN);
  if (
    statesEqual(env, old, cur, EXACT) &&
    !iterDepthsDiffer(old, cur) &&
    old.mayGotoDepth === cur.mayGotoDepth &&
    old.callbackUnrollDepth === cur.callbackUnrollDepth
  ) {
    env.verbose(`infinite loop detected at insn ${at}\ncur state:`);
    printVerifierState(env, cur, cur.curframe, true);
    env.verbose('old state:');
    printVerifierState(env, old, cur.curframe, true);
    reject(env, 'EINVAL', '');
  }
  return false;
}

function checkpointKey(env: VerifierEnv, at: number): number {
  return (env.func().callsite + 1) * (env.insns.length + 1) + at;
}

/** Whether a state that covers the current one was explored; else a checkpoint may be made (`is_state_visited`). */
export function isStateVisited(env: VerifierEnv, at: number): boolean {
  const { cur } = env;
  const aux = env.aux[at]!;
  const force = env.testStateFreq || aux.forceCheckpoint || cur.jmpHistory.length > 40;
  const jumps = env.jmpsProcessed - env.prevJmpsProcessed;
  const walked = env.insnProcessed - env.prevInsnProcessed;
  let add = force || (jumps >= 2 && walked >= 8);
  const key = checkpointKey(env, at);
  const states = env.explored.get(key) ?? [];
  let count = 0;
  for (const old of [...states]) {
    count++;
    const exploring = old.branches > 0;
    if (exploring) {
      const async =
        old.frame[old.curframe]!.inAsyncCallbackFn &&
        old.frame[old.curframe]!.asyncEntryCnt !== env.func().asyncEntryCnt;
      if (!async && loopsOn(env, at, old, cur)) return hit(env, old);
      if (!force && jumps < 20 && walked < 100) add = false;
    } else if (statesEqual(env, old, cur, NOT_EXACT)) return hit(env, old);
    if (add) old.missCnt++;
    const n = aux.forceCheckpoint && exploring ? 64 : 3;
    if (old.missCnt > old.hitCnt * n + n) states.splice(states.indexOf(old), 1);
  }
  env.maxStatesPerInsn = Math.max(env.maxStatesPerInsn, count);
  if (!add) return false;
  checkpoint(env, at, key, states);
  return false;
}

function hit(env: VerifierEnv, old: VerifierState): boolean {
  old.hitCnt++;
  propagatePrecision(env, old);
  return true;
}

function checkpoint(env: VerifierEnv, at: number, key: number, states: VerifierState[]): void {
  const { cur } = env;
  env.totalStates++;
  env.peakStates = Math.max(env.peakStates, env.totalStates);
  env.prevJmpsProcessed = env.jmpsProcessed;
  env.prevInsnProcessed = env.insnProcessed;
  for (const func of cur.frame) {
    for (const reg of func.regs) reg.precise = false;
    for (const slot of func.stack) slot.spilled.precise = false;
  }
  clearSingularIds(cur);
  const saved = copyState(cur);
  saved.insnIdx = at;
  saved.missCnt = 0;
  saved.hitCnt = 0;
  saved.branches = 1;
  enterScc(env, saved);
  cur.parent = saved;
  cur.firstInsnIdx = at;
  cur.dfsDepth = saved.dfsDepth + 1;
  cur.jmpHistory = [];
  env.historyAt = -1;
  states.unshift(saved);
  env.explored.set(key, states);
}
