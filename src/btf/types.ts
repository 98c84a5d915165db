/** One type of BTF (include/uapi/linux/btf.h); `id` is its number, 0 being void. */
export type BtfType =
  | { kind: 'void'; id: number; name: string }
  | BtfInt
  | { kind: 'ptr'; id: number; name: string; type: number }
  | { kind: 'array'; id: number; name: string; element: number; index: number; length: number }
  | BtfStruct
  | BtfEnum
  | { kind: 'fwd'; id: number; name: string; union: boolean }
  | { kind: 'typedef' | 'volatile' | 'const' | 'restrict' | 'type_tag'; id: number; name: string; type: number }
  | { kind: 'func'; id: number; name: string; type: number; linkage: number }
  | BtfFuncProto
  | { kind: 'var'; id: number; name: string; type: number; linkage: number }
  | { kind: 'datasec'; id: number; name: string; size: number; entries: BtfDatasecEntry[] }
  | { kind: 'float'; id: number; name: string; size: number }
  | { kind: 'decl_tag'; id: number; name: string; type: number; component: number };

export type BtfKind = BtfType['kind'];

export interface BtfInt {
  kind: 'int';
  id: number;
  name: string;
  /** Bytes in memory. */
  size: number;
  /** Significant bits, for bitfields of old BTF. */
  bits: number;
  bitOffset: number;
  signed: boolean;
  char: boolean;
  bool: boolean;
}

export interface BtfStruct {
  kind: 'struct' | 'union';
  id: number;
  name: string;
  size: number;
  members: BtfMember[];
}

export interface BtfMember {
  /** Empty for anonymous structs and unions. */
  name: string;
  type: number;
  /** From the start of the struct. */
  bitOffset: number;
  /** Width of a bitfield, 0 for a plain member. */
  bitSize: number;
}

export interface BtfEnum {
  kind: 'enum' | 'enum64';
  id: number;
  name: string;
  size: number;
  signed: boolean;
  values: { name: string; value: bigint }[];
}

export interface BtfFuncProto {
  kind: 'func_proto';
  id: number;
  name: string;
  returns: number;
  /** A last parameter with type 0 and no name stands for `...`. */
  params: { name: string; type: number }[];
}

export interface BtfDatasecEntry {
  /** A `var`, or a `func` for ksyms. */
  type: number;
  offset: number;
  size: number;
}

/** Where a member lies, however deep. */
export interface MemberPlace {
  /** Bytes from the start of the outermost struct; for a bitfield, of the byte that holds its first bit. */
  offset: number;
  /** Bytes; of the underlying type for a bitfield. */
  size: number;
  type: number;
  bitOffset: number;
  /** 0 unless a bitfield. */
  bitSize: number;
  signed: boolean;
}

/** Kinds in the order of BTF_KIND_*; index 0 is void (BTF_KIND_UNKN). */
export const KINDS: readonly BtfKind[] = [
  'void',
  'int',
  'ptr',
  'array',
  'struct',
  'union',
  'enum',
  'fwd',
  'typedef',
  'volatile',
  'const',
  'restrict',
  'func',
  'func_proto',
  'var',
  'datasec',
  'float',
  'decl_tag',
  'type_tag',
  'enum64',
];
