// object: a `.bpf.o` as a blueprint, and that blueprint settled against a target kernel.
// Takes: the bytes of an object of clang ≥ 14; the target's BTF, configuration and symbols.
// Gives: programs with their subprograms linked and relocated, maps, ops tables in the kernel's layout.
// Mirrors: tools/lib/bpf/libbpf.c of 6.12, from open to just before the system calls.
// Leaves out: legacy map definitions, USDT, light skeletons, linking of several objects.

export { POISON_CORE } from './_patch.ts';
export { ObjectError } from './error.ts';
export { openObject } from './open.ts';
export { encodeForLoad, type MapFd, resolveObject } from './resolve.ts';
export type {
  CodeBlueprint,
  CodeRelocation,
  ExternBlueprint,
  MapBlueprint,
  ObjectFile,
  ProgramLine,
  ProgramReference,
  ResolvedObject,
  ResolvedProgram,
  ResolveTarget,
  StructOpsBlueprint,
  StructOpsTable,
} from './types.ts';
