import { matchSpec, sameKind } from './_core_match.ts';
import {
  CORE_KINDS,
  type CoreKind,
  essentialName,
  formatSpec,
  isEnumKind,
  isFieldKind,
  parseSpec,
  type Spec,
} from './_core_spec.ts';
import type { Btf } from './btf.ts';
import { BtfError } from './error.ts';
import type { CoreRelocation } from './ext.ts';
import type { BtfType } from './types.ts';

export { CORE_KINDS };

/** What a CO-RE relocation comes to against a target: `struct bpf_core_relo_res`, with both paths in words. */
export interface CoreResolution {
  kind: CoreKind;
  /** The local path, as libbpf prints it: `<byte_off> [2] struct sock.sk_pacing_rate (0:1 @ offset 8)`. */
  local: string;
  /** The target's path; undefined where no candidate has it. */
  target: string | undefined;
  /** True: the value does not exist in the target, and the instruction is to be poisoned. */
  poison: boolean;
  originalValue: bigint;
  value: bigint;
  /** Whether the instruction must hold `originalValue` now. */
  validate: boolean;
  /** Size of the field in memory, local and target; 0 where it does not matter. */
  originalSize: number;
  size: number;
  /** The access cannot be resized (signed or of different kinds), should the sizes differ. */
  resizeUnsafe: boolean;
}

interface Value {
  value: bigint;
  size: number;
  type: number;
  validate: boolean;
}

/** Resolves the CO-RE relocations of one object against one target, as libbpf's relo_core.c (6.12). */
export class CoreResolver {
  readonly #local: Btf;
  readonly #target: Btf;
  readonly #candidates = new Map<number, number[]>();

  constructor(local: Btf, target: Btf) {
    this.#local = local;
    this.#target = target;
  }

  /** @throws BtfError if the relocation is malformed, or candidates disagree. */
  resolve(relocation: CoreRelocation): CoreResolution {
    const spec = parseSpec(this.#local, relocation);
    const local = formatSpec(spec);
    const blank = {
      kind: spec.kind,
      local,
      target: undefined,
      poison: false,
      validate: true,
      originalSize: 0,
      size: 0,
      resizeUnsafe: false,
    };
    if (spec.kind === 'local_type_id') {
      return { ...blank, target: local, validate: false, originalValue: BigInt(spec.root), value: BigInt(spec.root) };
    }
    if (this.#local.name(spec.root) === '')
      throw new BtfError(`${local}: anonymous types cannot be relocated`, 'CORE_ANONYMOUS');
    let chosen: CoreResolution | undefined;
    let chosenSpec: Spec | undefined;
    for (const id of this.#candidatesFor(spec.root)) {
      const found = matchSpec(spec, this.#target, id);
      if (found === undefined) continue;
      const result = { ...blank, ...this.#calculate(spec, found), target: formatSpec(found) };
      if (chosen === undefined) {
        chosen = result;
        chosenSpec = found;
      } else if (
        chosenSpec!.bitOffset !== found.bitOffset ||
        chosen.poison !== result.poison ||
        chosen.value !== result.value
      ) {
        throw new BtfError(
          `${local}: candidates in the target disagree (${chosen.target}; ${result.target})`,
          'CORE_AMBIGUOUS',
        );
      }
    }
    return chosen ?? { ...blank, ...this.#calculate(spec, undefined) };
  }

  /** Target types of the same essential name and kind. */
  #candidatesFor(root: number): number[] {
    const known = this.#candidates.get(root);
    if (known !== undefined) return known;
    const type = this.#local.type(root);
    const found = this.#target.findAll(essentialName(type.name)).filter((id) => sameKind(type, this.#target.type(id)));
    this.#candidates.set(root, found);
    return found;
  }

  #calculate(local: Spec, target: Spec | undefined) {
    const original = calculate(local.kind, local);
    const now = calculate(local.kind, target);
    if (original === undefined || now === undefined)
      return { poison: true, originalValue: original?.value ?? 0n, value: 0n };
    let resizeUnsafe = false;
    if (original.size !== now.size) {
      const from = this.#local.type(original.type);
      const to = this.#target.type(now.type);
      resizeUnsafe = !((from.kind === 'ptr' && to.kind === 'ptr') || (isUnsignedInt(from) && isUnsignedInt(to)));
    }
    return {
      originalValue: original.value,
      value: now.value,
      validate: original.validate,
      originalSize: original.size,
      size: now.size,
      resizeUnsafe,
    };
  }
}

const isUnsignedInt = (type: BtfType) => type.kind === 'int' && !(type.signed && !type.char && !type.bool);

/** The value that the relocation asks for; undefined asks for poison. */
function calculate(kind: CoreKind, spec: Spec | undefined): Value | undefined {
  const plain = (value: bigint, validate = true): Value => ({ value, size: 0, type: 0, validate });
  if (isFieldKind(kind))
    return kind === 'field_exists'
      ? plain(spec === undefined ? 0n : 1n)
      : spec === undefined
        ? undefined
        : fieldValue(kind, spec);
  if (isEnumKind(kind)) {
    if (kind === 'enumval_exists') return plain(spec === undefined ? 0n : 1n);
    if (spec === undefined) return undefined;
    const accessor = spec.accessors[0]!;
    const type = spec.btf.type(accessor.type);
    return plain(type.kind === 'enum' || type.kind === 'enum64' ? type.values[accessor.index]!.value : 0n);
  }
  if (spec === undefined) return plain(0n);
  if (kind === 'target_type_id') return plain(BigInt(spec.root), false);
  return plain(kind === 'type_size' ? BigInt(spec.btf.sizeOf(spec.root)) : 1n);
}

function fieldValue(kind: CoreKind, spec: Spec): Value {
  const accessor = spec.accessors.at(-1)!;
  if (accessor.name === undefined) {
    const size = spec.btf.sizeOf(accessor.type);
    if (kind === 'byte_off')
      return { value: BigInt(Math.floor(spec.bitOffset / 8)), size, type: accessor.type, validate: true };
    if (kind === 'byte_sz') return { value: BigInt(size), size: 0, type: 0, validate: true };
    throw new BtfError(`${formatSpec(spec)}: cannot be applied to an array element`, 'CORE_ARRAY');
  }
  const owner = spec.btf.type(accessor.type);
  if (owner.kind !== 'struct' && owner.kind !== 'union') throw new BtfError('a member of no struct', 'CORE_ACCESS');
  const member = owner.members[accessor.index]!;
  const type = spec.btf.resolve(member.type);
  const bits = spec.bitOffset;
  let width = member.bitSize;
  let size: number;
  let offset: number;
  const bitfield = width > 0;
  if (bitfield) {
    // The smallest aligned load that covers the bits.
    size = spec.btf.sizeOf(type.id);
    offset = Math.floor(bits / 8 / size) * size;
    while (bits + width - offset * 8 > size * 8) {
      if (size >= 8) throw new BtfError(`${formatSpec(spec)}: no 64-bit load covers this bitfield`, 'CORE_BITFIELD');
      size *= 2;
      offset = Math.floor(bits / 8 / size) * size;
    }
  } else {
    size = spec.btf.sizeOf(type.id);
    offset = Math.floor(bits / 8);
    width = size * 8;
  }
  const give = (value: number, validate = !bitfield): Value => ({ value: BigInt(value), size: 0, type: 0, validate });
  switch (kind) {
    case 'byte_off':
      return bitfield ? give(offset) : { value: BigInt(offset), size, type: type.id, validate: true };
    case 'byte_sz':
      return give(size);
    case 'signed':
      return give((type.kind === 'int' || type.kind === 'enum' || type.kind === 'enum64') && type.signed ? 1 : 0, true);
    case 'lshift_u64':
      return give(64 - (bits + width - offset * 8));
    default:
      return give(64 - width, true);
  }
}
