// conformance: the instruction set, judged from outside.
// Takes: bpf_conformance files, or a seed for generated programs; a kernel, a CFI mode.
// Gives: what a plain interpreter and what JIT and machine make of a program, side by side.
// Mirrors: RFC 9669; the test format and helpers of the bpf_conformance and uBPF projects.
// Leaves out: helpers of the kernel, kfuncs; programs run with the rewrites that keep divisions defined.
export { assemble } from './assemble.ts';
export { ConformanceError } from './error.ts';
export { type GeneratedProgram, generate } from './generate.ts';
export { Guest } from './guest.ts';
export { HELPERS, type Helper } from './helpers.ts';
export { type Execution, interpret, type Watcher } from './interpreter.ts';
export { type ConformanceTest, parseTest } from './parse.ts';
export { type Soundness, SoundnessCheck } from './soundness.ts';
export { type Choices, VALUE_SIZE, verifiableProgram } from './verifiable.ts';
