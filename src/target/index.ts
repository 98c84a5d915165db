// target: the kernel that we pretend to run on.
// Takes: a release, a CFI mode, vmlinux BTF, features and a hash seed.
// Gives: a Target that every later room asks; all facts that depend on a version stand in eras.ts.
// Mirrors: arch/x86/include/asm/cfi.h, arch/x86/kernel/alternative.c, kernel configuration and boot options.
// Leaves out: JIT and boot of 6.8 and 6.18 (`jit` and `boot` say so); BHI and paranoid FineIBT.
export { ERAS } from './eras.ts';
export { TargetError } from './error.ts';
export {
  cfiHashes,
  cfiOffset,
  DEFAULT_FEATURES,
  makeTarget,
  seedHash,
  structOffsets,
  type TargetOptions,
} from './target.ts';
export type { CfiMode, CpuFeatures, Era, Features, Release, StructOffsets, Target } from './types.ts';
