// btf: C types as the kernel and clang write them down, and what follows from them.
// Takes: raw BTF, .BTF.ext, ELF files with .BTF, C prototypes.
// Gives: types and layouts, lazily decoded; C printing; kCFI type ids; CO-RE resolution; BTF of our own.
// Mirrors: Documentation/bpf/btf.rst; tools/lib/bpf/{btf,relo_core}.c; clang's Itanium mangling for -fsanitize=kcfi.
// Leaves out: BTF deduplication, printing of struct bodies, vector types.

export { Btf, parseBtf } from './btf.ts';
export { BtfBuilder, type NewType } from './builder.ts';
export { CORE_KINDS, type CoreResolution, CoreResolver } from './core.ts';
export { type CFunction, type CType, functionType } from './ctype.ts';
export { BtfError } from './error.ts';
export { type BtfExt, type CoreRelocation, type FuncInfo, type LineInfo, parseBtfExt } from './ext.ts';
export { kcfiHash, kcfiTypeId, mangle, mangleNormalized } from './mangle.ts';
export { formatDecl, formatType } from './print.ts';
export { type Prototype, parsePrototype } from './prototype.ts';
export { readBtf } from './read.ts';
export { reduceBtf } from './reduce.ts';
export type {
  BtfDatasecEntry,
  BtfEnum,
  BtfFuncProto,
  BtfInt,
  BtfKind,
  BtfMember,
  BtfStruct,
  BtfType,
  MemberPlace,
} from './types.ts';
