// verifier: verdict and log of a program, structural checks, and the kernel's rewrites.
// Takes: a linked program with its references settled. Gives: a verdict with its log; functions, stack depths, probed
// loads, and sequences that replace instructions.
// Mirrors: kernel/bpf/{verifier,tnum,liveness}.c (6.18); of do_misc_fixups and bpf_patch_insn_data also 6.12.
// Leaves out: what docs/parity/verifier.md lists; loading a program checks its structure and does not ask for a verdict.
export type { InsnAux, MapInfo, Verdict, VerifierInput } from './core/types.ts';
export { VerifierError } from './error.ts';
export { followTypes, MAX_BPF_STACK, type TypeFlow } from './flow.ts';
export { mapInfos, verifierInput } from './input.ts';
export { applyReplacements, type Replacement } from './patch.ts';
export {
  type RewriteTarget,
  type Rewritten,
  type RewrittenFunction,
  rewriteAccepted,
  type TailCall,
} from './rewrite/index.ts';
export { extendExchange, guardDivision, type InlineFacts, type InlineMap, inlineHelper } from './rewrite.ts';
export { checkStructure, type FunctionRange, jumpDistance } from './structure.ts';
export type { ProgramContext, RegType } from './types.ts';
export { verifyProgram } from './verify.ts';
