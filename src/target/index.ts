// target: the kernel that we pretend to run on.
// Takes: a release, a CFI mode, vmlinux BTF, features and a hash seed.
// Gives: a Target that every later room asks; all facts that depend on a version stand in eras.ts.
// Mirrors: arch/x86/include/asm/cfi.h, arch/x86/kernel/alternative.c, kernel configuration and boot options.
// Leaves out: JIT and boot of 6.8 (`jit` and `boot` say so); FineIBT+BHI.
export { ERAS } from './eras.ts';
export { TargetError } from './error.ts';
export { HZ, KCONFIG } from './kconfig.ts';
export {
  CFI_HASHES,
  cfiOffset,
  DEFAULT_FEATURES,
  eraOf,
  faultsOf,
  formOf,
  makeTarget,
  seedHash,
  structOffsets,
  type TargetOptions,
} from './target.ts';
export type { CfiMode, CpuFeatures, Era, Features, KernelFault, Release, StructOffsets, Target } from './types.ts';
