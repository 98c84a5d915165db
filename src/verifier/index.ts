// verifier: what must hold before a program is compiled, and the kernel's rewrites.
// Takes: a linked program with its references settled. Gives: its functions, stack depths, probed loads, and sequences
// that replace instructions.
// Mirrors: the structural checks of kernel/bpf/verifier.c and its do_misc_fixups, bpf_patch_insn_data (6.12).
// Leaves out: verification. Values are not tracked, and no program is proved safe; whoever loads must say so.
export type { InsnAux, MapInfo, Verdict, VerifierInput } from './core/types.ts';
export { VerifierError } from './error.ts';
export { followTypes, MAX_BPF_STACK, type TypeFlow } from './flow.ts';
export { applyReplacements, type Replacement } from './patch.ts';
export { type CallRewriter, type RewrittenFunction, rewriteAccepted } from './rewrite/index.ts';
export { extendExchange, guardDivision, type InlineFacts, type InlineMap, inlineHelper } from './rewrite.ts';
export { checkStructure, type FunctionRange, jumpDistance } from './structure.ts';
export type { ProgramContext, RegType } from './types.ts';
export { verifyProgram } from './verify.ts';
