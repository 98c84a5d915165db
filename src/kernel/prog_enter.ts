import type { GuestPtr } from '../machine/index.ts';
import type { GateHandler } from './types.ts';

/** What the functions around a program's run keep: the per-CPU parts of `struct bpf_prog`, and the task's run context. */
export interface ProgramRuns {
  /** Programs with recursion check that run at present: `prog->active`. */
  active: Map<GuestPtr, number>;
  /** Runs that were skipped because the program ran already: `prog->stats->misses`. */
  misses: Map<GuestPtr, number>;
  /** Run contexts from the outermost on: `current->bpf_ctx`. */
  contexts: GuestPtr[];
}

export const noRuns = (): ProgramRuns => ({ active: new Map(), misses: new Map(), contexts: [] });

const count = (map: Map<GuestPtr, number>, key: GuestPtr, by: number): number => {
  const now = (map.get(key) ?? 0) + by;
  if (now === 0) map.delete(key);
  else map.set(key, now);
  return now;
};

/**
 * `__bpf_prog_enter…`, `__bpf_prog_exit…`, `__bpf_tramp_enter` and `__bpf_tramp_exit` of kernel/bpf/trampoline.c (6.12).
 * Those with recursion check answer 0, which skips the program, while it runs already.
 */
export function progEnterGates(runs: () => ProgramRuns): Map<string, GateHandler> {
  const gates = new Map<string, GateHandler>();
  for (const suffix of ['', '_sleepable']) {
    gates.set(`__bpf_prog_enter${suffix}`, (call) => {
      runs().contexts.push(call.ptr(1));
      call.ret(1);
    });
    gates.set(`__bpf_prog_exit${suffix}`, () => void runs().contexts.pop());
    gates.set(`__bpf_prog_enter${suffix}_recur`, (call) => {
      const { active, misses, contexts } = runs();
      contexts.push(call.ptr(1));
      const first = count(active, call.ptr(0), 1) === 1;
      if (!first) count(misses, call.ptr(0), 1);
      call.ret(first ? 1 : 0);
    });
    gates.set(`__bpf_prog_exit${suffix}_recur`, (call) => {
      const { active, contexts } = runs();
      contexts.pop();
      count(active, call.ptr(0), -1);
    });
  }
  // References to the image, which lives until no guest code runs: Kernel.callRcu.
  for (const name of ['__bpf_tramp_enter', '__bpf_tramp_exit']) gates.set(name, () => {});
  return gates;
}
