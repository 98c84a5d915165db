// jit: BPF instructions and ops prototypes → x86-64 images.
// Takes: functions after all of the verifier's rewrites, a context (features, symbols, layout), and where images go.
// Gives: the kernel's bytes, with offsets per instruction, exception table, tail call pokes and annotations.
// Mirrors: arch/x86/net/bpf_jit_comp.c of 6.12; btf_distill_func_proto of kernel/bpf/btf.c.
// Leaves out: the XDP dispatcher.

export { emitCfi, emitEndbr } from './_frame.ts';
export { TRAMP_F, type TrampolineFrame, type TrampolineLink, type TrampolineSpec } from './_layout.ts';
export { blindConstants } from './blind.ts';
export { JitError } from './error.ts';
export { encodeExtable } from './extable.ts';
export { jitFunction } from './jit.ts';
export { type FuncModel, funcModel, registerCount } from './model.ts';
export { POKE_SIZE, type PokeSite, pokeBytes, type TextChange, tailCallChanges } from './poke.ts';
export { emitTrampoline, TRAMPOLINE_SAFETY, type TrampolineImage } from './trampoline.ts';
export type { ExtableEntry, JitContext, JitFunction, JitImage, JitSymbols, Poke, Segment, Wide } from './types.ts';
