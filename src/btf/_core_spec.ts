import type { Btf } from './btf.ts';
import { BtfError } from './error.ts';
import type { CoreRelocation } from './ext.ts';
import type { BtfType } from './types.ts';

/** enum bpf_core_relo_kind, in libbpf's words. */
export const CORE_KINDS = [
  'byte_off',
  'byte_sz',
  'field_exists',
  'signed',
  'lshift_u64',
  'rshift_u64',
  'local_type_id',
  'target_type_id',
  'type_exists',
  'type_size',
  'enumval_exists',
  'enumval_value',
  'type_matches',
] as const;
export type CoreKind = (typeof CORE_KINDS)[number];

/** One step that has meaning: a named member, an enumerator, or an index. */
export interface Accessor {
  type: number;
  index: number;
  /** Absent for array steps. */
  name?: string;
}

/** A path into a type, in one BTF. */
export interface Spec {
  btf: Btf;
  kind: CoreKind;
  root: number;
  accessors: Accessor[];
  /** Member indices as stored, anonymous ones included. */
  raw: number[];
  bitOffset: number;
}

export const SPEC_MAX = 64;
const FIELD_KINDS: ReadonlySet<CoreKind> = new Set([
  'byte_off',
  'byte_sz',
  'field_exists',
  'signed',
  'lshift_u64',
  'rshift_u64',
]);
const ENUM_KINDS: ReadonlySet<CoreKind> = new Set(['enumval_exists', 'enumval_value']);

export const isFieldKind = (kind: CoreKind) => FIELD_KINDS.has(kind);
export const isEnumKind = (kind: CoreKind) => ENUM_KINDS.has(kind);
export const isTypeKind = (kind: CoreKind) => !isFieldKind(kind) && !isEnumKind(kind);

/** `task_struct___old` → `task_struct`: the name without its flavour. */
export function essentialName(name: string): string {
  const at = name.lastIndexOf('___');
  return at > 0 && at + 3 < name.length ? name.slice(0, at) : name;
}

/** Whether array `array`, reached through `before`, is the flexible last member of a struct. */
export function isFlexible(btf: Btf, before: Accessor | undefined, length: number): boolean {
  if (before?.name === undefined || length > 0) return false;
  const owner = btf.type(before.type);
  return (owner.kind === 'struct' || owner.kind === 'union') && before.index === owner.members.length - 1;
}

/** The local type's path, from the access string (`0:1:2`), as libbpf's bpf_core_parse_spec (6.12). */
export function parseSpec(btf: Btf, relocation: CoreRelocation): Spec {
  const kind = CORE_KINDS[relocation.kind];
  if (kind === undefined)
    throw new BtfError(`CO-RE relocation kind ${relocation.kind} is not known`, 'CORE_KIND', undefined, 'unsupported');
  const spec: Spec = { btf, kind, root: relocation.type, accessors: [], raw: [], bitOffset: 0 };
  if (isTypeKind(kind)) return spec;
  const bad = () =>
    new BtfError(
      `CO-RE access string '${relocation.access}' does not fit type id ${relocation.type} '${btf.name(relocation.type)}'`,
      'CORE_ACCESS',
    );
  if (!/^\d{1,9}(:\d{1,9})*$/.test(relocation.access)) throw bad();
  spec.raw = relocation.access.split(':').map(Number);
  if (spec.raw.length > SPEC_MAX) throw bad();
  let type: BtfType = btf.resolve(relocation.type);
  const first = spec.raw[0]!;
  if (isEnumKind(kind)) {
    const value = type.kind === 'enum' || type.kind === 'enum64' ? type.values[first] : undefined;
    if (value === undefined || spec.raw.length > 1) throw bad();
    spec.accessors.push({ type: type.id, index: first, name: value.name });
    return spec;
  }
  spec.accessors.push({ type: type.id, index: first });
  spec.bitOffset = first * btf.sizeOf(type.id) * 8;
  for (const index of spec.raw.slice(1)) {
    if (type.kind === 'struct' || type.kind === 'union') {
      const member = type.members[index];
      if (member === undefined) throw bad();
      spec.bitOffset += member.bitOffset;
      if (member.name !== '') spec.accessors.push({ type: type.id, index, name: member.name });
      type = btf.resolve(member.type);
    } else if (type.kind === 'array') {
      if (index >= type.length && !isFlexible(btf, spec.accessors.at(-1), type.length)) throw bad();
      type = btf.resolve(type.element);
      spec.accessors.push({ type: type.id, index });
      spec.bitOffset += index * btf.sizeOf(type.id) * 8;
    } else throw bad();
  }
  return spec;
}

const KIND_WORDS: Partial<Record<BtfType['kind'], string>> = {
  struct: 'struct',
  union: 'union',
  enum: 'enum',
  enum64: 'enum64',
  typedef: 'typedef',
};

/** `<byte_off> [12] struct sock.sk_pacing_rate (0:4:1 @ offset 424)`, as libbpf's bpf_core_format_spec prints it. */
export function formatSpec(spec: Spec): string {
  const type = spec.btf.type(spec.root);
  let text = `<${spec.kind}> [${spec.root}] ${KIND_WORDS[type.kind] ?? type.kind} ${type.name || '<anon>'}`;
  if (isEnumKind(spec.kind)) {
    const target = spec.btf.resolve(spec.root);
    const value = target.kind === 'enum' || target.kind === 'enum64' ? target.values[spec.raw[0] ?? -1] : undefined;
    if (value !== undefined) text += `::${value.name} = ${value.value}`;
  } else if (isFieldKind(spec.kind)) {
    spec.accessors.forEach((accessor, i) => {
      if (accessor.name !== undefined) text += `.${accessor.name}`;
      else if (i > 0 || accessor.index > 0) text += `[${accessor.index}]`;
    });
    const bits = spec.bitOffset % 8;
    text += ` (${spec.raw.join(':')} @ offset ${Math.floor(spec.bitOffset / 8)}${bits === 0 ? '' : `.${bits}`})`;
  }
  return text;
}
