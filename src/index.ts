// trampet: the whole of the library; each room is also an entry of its own (`trampet/btf`, `trampet/jit`, …).
export * from './base/index.ts';
export * from './bpf/index.ts';
export * from './btf/index.ts';
export * from './elf/index.ts';
export * from './jit/index.ts';
export * from './kernel/index.ts';
export * from './net/index.ts';
export * from './object/index.ts';
export * from './subsystems/index.ts';
export * from './target/index.ts';
export * from './verifier/index.ts';
export { formatX86, listX86 } from './x86/index.ts';
