import type { VerifierEnv } from './env.ts';
import { markAllScalarsPrecise, propagatePrecision } from './precise.ts';
import type { VerifierState } from './types.ts';

/** MAX_BACKEDGE_ITERS. */
const MAX_ROUNDS = 64;

/** One way into a strongly connected component (`struct bpf_scc_visit`): its call chain is the key. */
export interface SccVisit {
  /** As the log shows it. */
  readonly chain: string;
  entry: VerifierState | null;
  /** States that were covered by one whose paths were not all known, newest first. */
  backedges: VerifierState[];
}

/** Call sites down to the frame that is in a component, and its number (`compute_scc_callchain`); '' outside. */
function sccChain(env: VerifierEnv, state: VerifierState): string {
  let sites = '';
  for (let f = 0; f <= state.curframe; f++) {
    const at = f === state.curframe ? state.insnIdx : state.frame[f + 1]!.callsite;
    const { scc } = env.aux[at]!;
    if (scc) return `(${sites}${scc})`;
    sites += `${at},`;
  }
  return '';
}

/** A new checkpoint: the first within a component is its entry (`maybe_enter_scc`). */
export function enterScc(env: VerifierEnv, state: VerifierState): void {
  const chain = sccChain(env, state);
  if (!chain) return;
  let visit = env.sccVisits.get(chain);
  if (!visit) {
    visit = { chain, entry: null, backedges: [] };
    env.sccVisits.set(chain, visit);
  }
  if (visit.entry) return;
  visit.entry = state;
  state.enters = visit;
  if (env.input.logLevel & 2) env.verbose(`SCC enter ${chain}\n`);
}

/** All paths from `state` were walked; if it is its component's entry, the backedges get their marks (`maybe_exit_scc`). */
export function exitScc(env: VerifierEnv, state: VerifierState): void {
  const visit = state.enters;
  if (visit?.entry !== state) return;
  if (env.input.logLevel & 2) env.verbose(`SCC exit ${visit.chain}\n`);
  visit.entry = null;
  env.backedges -= visit.backedges.length;
  env.updatePeakStates();
  spreadPrecision(env, visit.backedges);
  visit.backedges = [];
}

/** Repeats `propagate_precision` over the backedges until nothing changes (`propagate_backedges`). */
function spreadPrecision(env: VerifierEnv, backedges: readonly VerifierState[]): void {
  let changed = true;
  for (let round = 0; changed; round++) {
    if (round > MAX_ROUNDS) {
      if (env.input.logLevel & 2) env.verbose('propagate_backedges: too many iterations\n');
      for (const state of backedges) markAllScalarsPrecise(env, state);
      return;
    }
    changed = false;
    for (const state of backedges) if (propagatePrecision(env, state.equalState!, state)) changed = true;
  }
}

/** The current state was covered by `old`, from which paths are still being walked (`add_scc_backedge`). */
export function addBackedge(env: VerifierEnv, old: VerifierState, at: number): void {
  const chain = sccChain(env, old);
  const visit = chain ? env.sccVisits.get(chain) : undefined;
  if (!visit) return;
  const edge = env.cur.copy(false);
  edge.equalState = old;
  edge.insnIdx = at;
  if (env.input.logLevel & 2) env.verbose(`SCC backedge ${chain}\n`);
  visit.backedges.unshift(edge);
  env.backedges++;
  env.updatePeakStates();
}

/** Whether marks of `state` may still grow, as its component has backedges to settle (`incomplete_read_marks`). */
export function marksIncomplete(env: VerifierEnv, state: VerifierState): boolean {
  if (env.backedges === 0) return false;
  const chain = sccChain(env, state);
  return chain !== '' && (env.sccVisits.get(chain)?.backedges.length ?? 0) > 0;
}
