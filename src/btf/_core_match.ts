import { type Accessor, essentialName, isEnumKind, isFlexible, isTypeKind, SPEC_MAX, type Spec } from './_core_spec.ts';
import type { Btf } from './btf.ts';
import { BtfError } from './error.ts';
import type { BtfType } from './types.ts';

const MAX_DEPTH = 32;
const isComposite = (type: BtfType) => type.kind === 'struct' || type.kind === 'union';
const isEnum = (type: BtfType) => type.kind === 'enum' || type.kind === 'enum64';
/** Same kind, enums of either width being one. */
export const sameKind = (a: BtfType, b: BtfType) => a.kind === b.kind || (isEnum(a) && isEnum(b));

/** The path in `target` that corresponds to the local one, if type `root` there has it (bpf_core_spec_match). */
export function matchSpec(local: Spec, target: Btf, root: number): Spec | undefined {
  const spec: Spec = { btf: target, kind: local.kind, root, accessors: [], raw: [], bitOffset: 0 };
  if (isTypeKind(local.kind)) {
    const fits =
      local.kind === 'type_matches'
        ? typesMatch(local.btf, local.root, target, root, false, 0)
        : typesCompatible(local.btf, local.root, target, root, 0);
    return fits ? spec : undefined;
  }
  if (isEnumKind(local.kind)) {
    const type = target.resolve(root);
    if (type.kind !== 'enum' && type.kind !== 'enum64') return undefined;
    const wanted = essentialName(local.accessors[0]!.name!);
    const index = type.values.findIndex((value) => essentialName(value.name) === wanted);
    if (index < 0) return undefined;
    spec.accessors.push({ type: type.id, index, name: type.values[index]!.name });
    spec.raw.push(index);
    return spec;
  }
  let id = root;
  for (const [i, accessor] of local.accessors.entries()) {
    const type = target.resolve(id);
    if (accessor.name !== undefined) {
      const next = matchMember(local.btf, accessor, target, type, spec, 0);
      if (next === undefined) return undefined;
      id = next;
      continue;
    }
    let element = type;
    if (i > 0) {
      if (type.kind !== 'array') return undefined;
      if (accessor.index >= type.length && !isFlexible(target, spec.accessors.at(-1), type.length)) return undefined;
      element = target.resolve(type.element);
    }
    id = element.id;
    spec.accessors.push({ type: element.id, index: accessor.index });
    spec.raw.push(accessor.index);
    spec.bitOffset += accessor.index * target.sizeOf(element.id) * 8;
  }
  return spec;
}

/** Finds the local member by name, through anonymous members, and gives its type; the path is added to `spec`. */
function matchMember(
  localBtf: Btf,
  accessor: Accessor,
  target: Btf,
  type: BtfType,
  spec: Spec,
  depth: number,
): number | undefined {
  if (type.kind !== 'struct' && type.kind !== 'union') return undefined;
  const owner = localBtf.type(accessor.type);
  if ((owner.kind !== 'struct' && owner.kind !== 'union') || depth > MAX_DEPTH) return undefined;
  const wanted = owner.members[accessor.index]!;
  for (const [index, member] of type.members.entries()) {
    if (spec.raw.length === SPEC_MAX) throw new BtfError('CO-RE access nests too deeply', 'CORE_ACCESS');
    if (member.name === '') {
      spec.raw.push(index);
      spec.bitOffset += member.bitOffset;
      const found = matchMember(localBtf, accessor, target, target.resolve(member.type), spec, depth + 1);
      if (found !== undefined) return found;
      spec.raw.pop();
      spec.bitOffset -= member.bitOffset;
    } else if (member.name === wanted.name) {
      if (!fieldsCompatible(localBtf, wanted.type, target, member.type)) return undefined;
      spec.raw.push(index);
      spec.bitOffset += member.bitOffset;
      spec.accessors.push({ type: type.id, index, name: member.name });
      return member.type;
    }
  }
  return undefined;
}

const namesAgree = (a: string, b: string) => a === '' || b === '' || essentialName(a) === essentialName(b);

function fieldsCompatible(localBtf: Btf, localId: number, targetBtf: Btf, targetId: number): boolean {
  let local = localBtf.resolve(localId);
  let target = targetBtf.resolve(targetId);
  for (let depth = 0; local.kind === 'array' && target.kind === 'array'; depth++) {
    if (depth > MAX_DEPTH) return false;
    local = localBtf.resolve(local.element);
    target = targetBtf.resolve(target.element);
  }
  if (isComposite(local) && isComposite(target)) return true;
  if (!sameKind(local, target)) return false;
  switch (local.kind) {
    case 'ptr':
    case 'float':
      return true;
    case 'fwd':
    case 'enum':
    case 'enum64':
      return namesAgree(local.name, target.name);
    case 'int':
      return local.bitOffset === 0 && target.kind === 'int' && target.bitOffset === 0;
    default:
      return false;
  }
}

/** __bpf_core_types_are_compat: the same shape of kinds, names of what is pointed to left aside. */
function typesCompatible(localBtf: Btf, localId: number, targetBtf: Btf, targetId: number, depth: number): boolean {
  if (depth > MAX_DEPTH) return false;
  const local = localBtf.resolve(localId);
  const target = targetBtf.resolve(targetId);
  if (!sameKind(local, target)) return false;
  switch (local.kind) {
    case 'void':
    case 'struct':
    case 'union':
    case 'enum':
    case 'enum64':
    case 'fwd':
      return true;
    case 'int':
      return local.bitOffset === 0 && target.kind === 'int' && target.bitOffset === 0;
    case 'ptr':
      return target.kind === 'ptr' && typesCompatible(localBtf, local.type, targetBtf, target.type, depth + 1);
    case 'array':
      return target.kind === 'array' && typesCompatible(localBtf, local.element, targetBtf, target.element, depth + 1);
    case 'func_proto':
      return (
        target.kind === 'func_proto' &&
        local.params.length === target.params.length &&
        local.params.every((param, i) =>
          typesCompatible(localBtf, param.type, targetBtf, target.params[i]!.type, depth + 1),
        ) &&
        typesCompatible(localBtf, local.returns, targetBtf, target.returns, depth + 1)
      );
    default:
      return false;
  }
}

/** __bpf_core_types_match: names and members too; behind a pointer, only names. */
function typesMatch(
  localBtf: Btf,
  localId: number,
  targetBtf: Btf,
  targetId: number,
  behindPointer: boolean,
  depth: number,
): boolean {
  if (depth > MAX_DEPTH) return false;
  const local = localBtf.resolve(localId);
  const target = targetBtf.resolve(targetId);
  if (local.kind !== 'int' && essentialName(local.name) !== essentialName(target.name)) return false;
  if (!sameKind(local, target)) {
    return (
      behindPointer && ((local.kind === 'fwd' && isComposite(target)) || (isComposite(local) && target.kind === 'fwd'))
    );
  }
  switch (local.kind) {
    case 'void':
    case 'fwd':
      return true;
    case 'enum':
    case 'enum64': {
      if (target.kind !== 'enum' && target.kind !== 'enum64') return false;
      const names = new Set(target.values.map((value) => essentialName(value.name)));
      return local.size === target.size && local.values.every((value) => names.has(essentialName(value.name)));
    }
    case 'struct':
    case 'union':
      if (behindPointer) return true;
      return (
        (target.kind === 'struct' || target.kind === 'union') &&
        local.members.every((member) =>
          target.members.some(
            (other) =>
              essentialName(member.name) === essentialName(other.name) &&
              typesMatch(localBtf, member.type, targetBtf, other.type, false, depth + 1),
          ),
        )
      );
    case 'int':
      return target.kind === 'int' && local.size === target.size && local.signed === target.signed;
    case 'ptr':
      return target.kind === 'ptr' && typesMatch(localBtf, local.type, targetBtf, target.type, true, depth + 1);
    case 'array':
      return (
        target.kind === 'array' &&
        local.length === target.length &&
        typesMatch(localBtf, local.element, targetBtf, target.element, behindPointer, depth + 1)
      );
    case 'func_proto':
      return (
        target.kind === 'func_proto' &&
        local.params.length === target.params.length &&
        local.params.every((param, i) =>
          typesMatch(localBtf, param.type, targetBtf, target.params[i]!.type, behindPointer, depth + 1),
        ) &&
        typesMatch(localBtf, local.returns, targetBtf, target.returns, behindPointer, depth + 1)
      );
    default:
      return false;
  }
}
