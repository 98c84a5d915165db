// verifier: verdict and log of a program, and the kernel's rewrites.
// Takes: a linked program with its references settled.
// Gives: a verdict with its log, and the functions that the JIT gets.
// Mirrors: kernel/bpf/{verifier,tnum,liveness}.c (6.18); of the rewrites also 6.12.
// Leaves out: what docs/parity/verifier.md lists; of a program that cannot be judged for that the structure is checked.
export { assumeAccepted, assumePlain } from './assumed.ts';
export type { InsnAux, MapInfo, Verdict, VerifierInput } from './core/types.ts';
export { VerifierError } from './error.ts';
export { explainRefusal } from './explain/explain.ts';
export { type InsnStates, type KnownState, recordStates } from './explain/states.ts';
export type { Explanation, PathStep, Place } from './explain/types.ts';
export { mapInfos, verifierInput } from './input.ts';
export { type Judgement, judgeProgram } from './judge.ts';
export { type ConcreteState, ExploredPaths, RunFollower, TooManySteps } from './prove/paths.ts';
export {
  type Accepted,
  type RewriteTarget,
  type Rewritten,
  type RewrittenFunction,
  rewriteAccepted,
  type TailCall,
} from './rewrite/index.ts';
export { MAP_OPERATIONS, MAP_OPS } from './tables/map_ops.table.ts';
export type { ProgramContext } from './types.ts';
export { verifyProgram } from './verify.ts';
