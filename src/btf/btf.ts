import { decodeType } from './_decode.ts';
import { indexTypes, readHeader, type TypeTable } from './_table.ts';
import { BtfError } from './error.ts';
import { type BtfKind, type BtfStruct, type BtfType, KINDS, type MemberPlace } from './types.ts';

/** Longest chain of typedefs and modifiers, and deepest nesting, that real BTF has; beyond it is a cycle. */
const MAX_DEPTH = 32;
const VOID: BtfType = { kind: 'void', id: 0, name: '' };

/**
 * A set of C types. Opening one indexes it in a single pass over the bytes; each type is decoded when it is first
 * asked for. Types of a split BTF follow those of its base.
 */
export class Btf {
  readonly #table: TypeTable;
  readonly #base: Btf | undefined;
  readonly #firstId: number;
  readonly #cache: (BtfType | undefined)[] = [];
  #names: NameIndex | undefined;
  #tags: Map<number, number[]> | undefined;

  constructor(table: TypeTable, base: Btf | undefined) {
    this.#table = table;
    this.#base = base;
    this.#firstId = base === undefined ? 1 : base.typeCount;
  }

  /** Number of types, void included: ids are 0 … typeCount − 1. */
  get typeCount(): number {
    return this.#firstId + this.#table.offsets.length;
  }

  /** Type `id`; throws BtfError when it does not exist or refers to a type that does not. */
  type(id: number): BtfType {
    if (id < this.#firstId) return id === 0 ? VOID : this.#baseOf(id).type(id);
    const slot = id - this.#firstId;
    const known = this.#cache[slot];
    if (known !== undefined) return known;
    if (!(slot < this.#table.offsets.length))
      throw new BtfError(`type id ${id} does not exist (of ${this.typeCount})`, 'BTF_ID');
    const type = decodeType(this.#table, slot, id, this.typeCount, (offset) => this.string(offset));
    this.#cache[slot] = type;
    return type;
  }

  /** Kind of type `id`, without decoding it. */
  kind(id: number): BtfKind {
    if (id < this.#firstId) return id === 0 ? 'void' : this.#baseOf(id).kind(id);
    const offset = this.#table.offsets[id - this.#firstId];
    if (offset === undefined) throw new BtfError(`type id ${id} does not exist (of ${this.typeCount})`, 'BTF_ID');
    return KINDS[(this.#table.view.getUint32(offset + 4, true) >>> 24) & 0x1f]!;
  }

  name(id: number): string {
    if (id < this.#firstId) return id === 0 ? '' : this.#baseOf(id).name(id);
    const offset = this.#table.offsets[id - this.#firstId];
    if (offset === undefined) throw new BtfError(`type id ${id} does not exist (of ${this.typeCount})`, 'BTF_ID');
    return this.string(this.#table.view.getUint32(offset, true));
  }

  /** The string at `offset` of the string section (that of the base first). */
  string(offset: number): string {
    const start = this.#base === undefined ? 0 : this.#base.stringSize;
    if (offset < start) return this.#base!.string(offset);
    return this.#table.string(offset - start);
  }

  get stringSize(): number {
    return (this.#base?.stringSize ?? 0) + this.#table.strings.length;
  }

  /** First type called `name` of one of `kinds` (any kind if none is given), as libbpf's btf__find_by_name_kind. */
  find(name: string, ...kinds: BtfKind[]): number | undefined {
    return this.findAll(name, ...kinds)[0];
  }

  /** All types called `name` of one of `kinds`, by id. */
  findAll(name: string, ...kinds: BtfKind[]): number[] {
    this.#names ??= new NameIndex(this.#table);
    const own = this.#names
      .slots(name)
      .map((slot) => slot + this.#firstId)
      .filter((id) => (kinds.length === 0 || kinds.includes(this.kind(id))) && this.name(id) === name);
    return this.#base === undefined ? own : [...this.#base.findAll(name, ...kinds), ...own];
  }

  /** Declaration tags of type `id` and of its members or parameters, by id. */
  tagsOf(id: number): readonly number[] {
    if (this.#tags === undefined) {
      this.#tags = new Map();
      for (let at = this.#firstId; at < this.typeCount; at++) {
        if (this.kind(at) !== 'decl_tag') continue;
        const { type } = this.type(at) as { type: number };
        const known = this.#tags.get(type);
        if (known === undefined) this.#tags.set(type, [at]);
        else known.push(at);
      }
    }
    const own = this.#tags.get(id) ?? [];
    return this.#base === undefined ? own : [...this.#base.tagsOf(id), ...own];
  }

  /** Strips typedefs, qualifiers and type tags. */
  resolve(id: number): BtfType {
    let type = this.type(id);
    for (let depth = 0; ; depth++) {
      switch (type.kind) {
        case 'typedef':
        case 'volatile':
        case 'const':
        case 'restrict':
        case 'type_tag':
          break;
        default:
          return type;
      }
      if (depth === MAX_DEPTH)
        throw new BtfError('chain of typedefs and qualifiers has no end', 'BTF_CYCLE', `type id ${id}`);
      type = this.type(type.type);
    }
  }

  /** Bytes of a value of type `id`; throws BtfError for what has no size. */
  sizeOf(id: number): number {
    let count = 1;
    let type = this.resolve(id);
    for (let depth = 0; type.kind === 'array'; depth++) {
      if (depth === MAX_DEPTH) throw new BtfError('arrays nest without end', 'BTF_CYCLE', `type id ${id}`);
      count *= type.length;
      type = this.resolve(type.element);
    }
    const size = count * this.#plainSize(type);
    if (size > 0xffffffff) throw new BtfError(`size ${size} is absurd`, 'BTF_RANGE', `type id ${id}`);
    return size;
  }

  #plainSize(type: BtfType): number {
    switch (type.kind) {
      case 'int':
      case 'struct':
      case 'union':
      case 'enum':
      case 'enum64':
      case 'float':
      case 'datasec':
        return type.size;
      case 'ptr':
        return 8;
      case 'var':
        return this.sizeOf(type.type);
      default:
        throw new BtfError(`${type.kind} '${type.name}' has no size`, 'BTF_SIZE', `type id ${type.id}`);
    }
  }

  /** Natural alignment in bytes, as libbpf's btf__align_of computes it (1 for packed structs). */
  alignOf(id: number, depth = 0): number {
    if (depth > MAX_DEPTH) throw new BtfError('structs nest without end', 'BTF_CYCLE', `type id ${id}`);
    const type = this.resolve(id);
    switch (type.kind) {
      case 'int':
      case 'enum':
      case 'enum64':
      case 'float':
        return Math.min(8, type.size);
      case 'ptr':
        return 8;
      case 'array':
        return this.alignOf(type.element, depth + 1);
      case 'struct':
      case 'union': {
        let align = 1;
        for (const member of type.members) {
          const own = this.alignOf(member.type, depth + 1);
          if (member.bitSize === 0 && member.bitOffset % (8 * own) !== 0) return 1;
          align = Math.max(align, own);
        }
        return type.size % align === 0 ? align : 1;
      }
      default:
        throw new BtfError(`${type.kind} has no alignment`, 'BTF_SIZE', `type id ${id}`);
    }
  }

  /** The struct or union behind a name or id. */
  struct(nameOrId: string | number): BtfStruct {
    const id = typeof nameOrId === 'number' ? nameOrId : this.find(nameOrId, 'struct', 'union');
    if (id === undefined)
      throw new BtfError(`struct ${nameOrId} is not in the target's BTF`, 'BTF_NAME', undefined, 'unsupported');
    const type = this.resolve(id);
    if (type.kind !== 'struct' && type.kind !== 'union')
      throw new BtfError(`'${type.name}' is a ${type.kind}, not a struct`, 'BTF_KIND');
    return type;
  }

  /** Place of `path` (`icsk_ca_ops`, `rack.rtt_us`) in a struct; members of anonymous structs count as its own. */
  member(structNameOrId: string | number, path: string): MemberPlace {
    let struct = this.struct(structNameOrId);
    let bits = 0;
    const parts = path.split('.');
    for (const [i, part] of parts.entries()) {
      const found = this.#memberOf(struct, part, 0);
      if (found === undefined) {
        throw new BtfError(
          `struct ${struct.name || '(anonymous)'} has no member '${part}'`,
          'BTF_MEMBER',
          undefined,
          'unsupported',
        );
      }
      bits += found.bitOffset;
      if (i + 1 < parts.length) {
        struct = this.struct(found.type);
        continue;
      }
      const type = this.resolve(found.type);
      return {
        offset: Math.floor(bits / 8),
        size: this.sizeOf(found.type),
        type: found.type,
        bitOffset: bits,
        bitSize: found.bitSize,
        signed: (type.kind === 'int' || type.kind === 'enum' || type.kind === 'enum64') && type.signed,
      };
    }
    throw new BtfError('empty member path', 'BTF_MEMBER');
  }

  #memberOf(
    struct: BtfStruct,
    name: string,
    depth: number,
  ): { bitOffset: number; bitSize: number; type: number } | undefined {
    if (depth > MAX_DEPTH)
      throw new BtfError('anonymous structs nest without end', 'BTF_CYCLE', `type id ${struct.id}`);
    for (const member of struct.members) {
      if (member.name === name) return member;
      if (member.name !== '') continue;
      const inner = this.resolve(member.type);
      if (inner.kind !== 'struct' && inner.kind !== 'union') continue;
      const found = this.#memberOf(inner, name, depth + 1);
      if (found !== undefined) return { ...found, bitOffset: found.bitOffset + member.bitOffset };
    }
    return undefined;
  }

  #baseOf(id: number): Btf {
    if (this.#base === undefined || id < 0) throw new BtfError(`type id ${id} does not exist`, 'BTF_ID');
    return this.#base;
  }
}

/** Hash chains from name to type slots, built on the bytes of the strings without decoding them. */
class NameIndex {
  readonly #buckets: Int32Array;
  readonly #next: Int32Array;
  readonly #mask: number;

  constructor(table: TypeTable) {
    const count = table.offsets.length;
    let size = 64;
    while (size < count) size *= 2;
    this.#mask = size - 1;
    this.#buckets = new Int32Array(size).fill(-1);
    this.#next = new Int32Array(count);
    const { strings, view, offsets } = table;
    for (let slot = count - 1; slot >= 0; slot--) {
      const start = view.getUint32(offsets[slot]!, true);
      if (start === 0 || start >= strings.length) continue;
      let hash = 0x811c9dc5;
      for (let at = start; strings[at]! !== 0 && at < strings.length; at++)
        hash = Math.imul(hash ^ strings[at]!, 0x01000193);
      const bucket = hash & this.#mask;
      this.#next[slot] = this.#buckets[bucket]!;
      this.#buckets[bucket] = slot;
    }
  }

  /** Slots whose name may be `name`, ascending. */
  slots(name: string): number[] {
    let hash = 0x811c9dc5;
    for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193);
    const found: number[] = [];
    for (let slot = this.#buckets[hash & this.#mask]!; slot >= 0; slot = this.#next[slot]!) found.push(slot);
    return found;
  }
}

/**
 * Opens raw BTF (`.BTF` of an object, /sys/kernel/btf/vmlinux); `base` is given for split BTF of modules.
 * @throws BtfError if the header or a type's extent is wrong; references are checked when a type is decoded.
 */
export function parseBtf(raw: Uint8Array, base?: Btf): Btf {
  return new Btf(indexTypes(readHeader(raw)), base);
}
