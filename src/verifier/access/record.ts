import type { Btf, BtfType } from '../../btf/index.ts';
import * as T from '../core/reg_types.table.ts';
import type { BtfRecord, Env, RecordField, RegView } from '../core/types.ts';
import { VerifierError } from '../error.ts';
import { BPF_F_RDONLY_PROG, BPF_F_WRONLY_PROG } from '../tables/maps.table.ts';
import * as F from '../tables/special_fields.table.ts';
import { isStruct, skipModifiers } from './btf_walk.ts';

/** BTF_FIELDS_MAX: special fields of one value. */
const MAX_FIELDS = 11;
/** MAX_RESOLVE_DEPTH. */
const MAX_DEPTH = 32;
/** Fields that map values may have. */
const MAP_FIELDS =
  F.BPF_SPIN_LOCK |
  F.BPF_RES_SPIN_LOCK |
  F.BPF_TIMER |
  F.BPF_KPTR |
  F.BPF_LIST_HEAD |
  F.BPF_RB_ROOT |
  F.BPF_REFCOUNT |
  F.BPF_WORKQUEUE |
  F.BPF_UPTR |
  F.BPF_TASK_WORK;
/** Fields that objects of bpf_obj_new may have. */
const OBJECT_FIELDS =
  F.BPF_SPIN_LOCK |
  F.BPF_RES_SPIN_LOCK |
  F.BPF_LIST_HEAD |
  F.BPF_LIST_NODE |
  F.BPF_RB_ROOT |
  F.BPF_RB_NODE |
  F.BPF_REFCOUNT |
  F.BPF_KPTR;
/** Fields that an array may have several of (`btf_repeat_fields`). */
const REPEATABLE = F.BPF_KPTR | F.BPF_UPTR | F.BPF_GRAPH_ROOT;
const KPTR_SIZE = 8;

/** The kernel finds no special fields in such a value, however many it has. */
class Malformed extends Error {}

const malformed = (why: string): never => {
  throw new Malformed(why);
};

interface Search {
  btf: Btf;
  vmlinux: Btf;
  mask: number;
  seen: number;
}

/** What may carry the tag that says what a list or tree contains: a member of a struct, or a variable. */
interface Owner {
  id: number;
  component: number;
}

function findKptr(search: Search, type: BtfType, off: number): RecordField | null {
  const { btf, mask } = search;
  const at = type.kind === 'volatile' ? btf.type(type.type) : type;
  if (at.kind !== 'ptr') return null;
  const tag = btf.type(at.type);
  if (tag.kind !== 'type_tag') return null;
  if (btf.type(tag.type).kind === 'type_tag') return malformed('several tags of one pointer');
  const kind = F.KPTR_TAGS[tag.name];
  if (kind === undefined) return malformed(`tag '${tag.name}' of a pointer`);
  if (!(kind & mask)) return null;
  const target = skipModifiers(btf, tag.type);
  if (!isStruct(target.type)) return malformed('a pointer that is not to a struct');
  const inKernel = search.vmlinux.find(target.type.name, target.type.kind);
  const field = { type: kind, offset: off, size: KPTR_SIZE };
  if (kind === F.BPF_UPTR) return { ...field, btf, btfId: target.id };
  if (inKernel === undefined) return { ...field, btf, btfId: target.id };
  if (kind !== F.BPF_KPTR_REF) return { ...field, btf: search.vmlinux, btfId: inKernel };
  const destructor = F.KPTR_DESTRUCTORS[target.type.name];
  if (destructor === undefined || search.vmlinux.find(destructor, 'func') === undefined)
    return malformed(`a map cannot own a ${target.type.name}`);
  return { ...field, btf: search.vmlinux, btfId: inKernel, dtor: true };
}

/** `contains:TYPE:MEMBER` of a list head or a tree's root. */
function containsTag(btf: Btf, owner: Owner): string {
  let value: string | null = null;
  for (const id of btf.tagsOf(owner.id)) {
    const tag = btf.type(id);
    if (tag.kind !== 'decl_tag' || tag.component !== owner.component || !tag.name.startsWith('contains:')) continue;
    if (value !== null) malformed('two contains tags');
    value = tag.name.slice('contains:'.length);
  }
  return value ?? malformed('no contains tag');
}

function findRoot(search: Search, special: F.SpecialStruct, owner: Owner, off: number): RecordField {
  const { btf } = search;
  const [, typeName, member] = /^([^:]*):(.+)$/.exec(containsTag(btf, owner)) ?? malformed('contains tag');
  const id = btf.find(typeName!, 'struct') ?? malformed(`no struct ${typeName}`);
  const node = special.type === F.BPF_LIST_HEAD ? 'bpf_list_node' : 'bpf_rb_node';
  const places = btf.struct(id).members.filter(({ name }) => name === member);
  const place = places[0];
  if (places.length !== 1 || !place) return malformed(`not one member ${member}`);
  const type = btf.type(place.type);
  if (!isStruct(type) || type.name !== node || place.bitOffset % 64 !== 0) malformed(`${member} is no ${node}`);
  return { type: special.type, offset: off, size: special.size, btf, btfId: id, nodeOffset: place.bitOffset / 8 };
}

/** The field that `type`, which is no array, is at `off`, if any; null: a struct to look into. */
function findSpecial(search: Search, type: BtfType, owner: Owner, off: number, expected: number): RecordField[] | null {
  const special = F.SPECIAL_STRUCTS.find((s) => s.type & search.mask && s.name === type.name);
  if (!special) {
    if (isStruct(type)) return null;
    const kptr = expected && expected !== KPTR_SIZE ? null : off % KPTR_SIZE ? null : findKptr(search, type, off);
    return kptr ? [kptr] : [];
  }
  if (special.once) {
    if (search.seen & special.type) malformed(`two ${special.name}`);
    search.seen |= special.type;
  }
  if ((expected && expected !== special.size) || off % special.align) return [];
  if (!isStruct(type) || type.size !== special.size) return [];
  if (special.type & F.BPF_GRAPH_ROOT) return [findRoot(search, special, owner, off)];
  return [{ type: special.type, offset: off, size: special.size }];
}

function repeat(fields: RecordField[], count: number, size: number): RecordField[] {
  if (count <= 1 || fields.length === 0) return fields;
  if (fields.some(({ type }) => !(type & REPEATABLE))) malformed('an array of fields that there may be one of');
  if (fields.length * count > MAX_FIELDS) malformed('too many special fields');
  const all: RecordField[] = [];
  for (let i = 0; i < count; i++) all.push(...fields.map((f) => ({ ...f, offset: f.offset + i * size })));
  return all;
}

/** Special fields of a member or variable of type `id` (`btf_find_field_one`); `expected` is its size, 0 if not known. */
function findOne(
  search: Search,
  id: number,
  owner: Owner,
  off: number,
  expected: number,
  depth: number,
): RecordField[] {
  const { btf } = search;
  let type = btf.type(id);
  let count = 1;
  for (let i = 0; type.kind === 'array'; i++) {
    if (i === MAX_DEPTH) malformed('arrays nest too deep');
    count *= type.length;
    type = btf.type(type.element);
  }
  if (count === 0) return [];
  const found = findSpecial(search, type, owner, off, expected && expected / count);
  if (found) return repeat(found, count, found[0]?.size ?? 0);
  if (!isStruct(type)) return [];
  if (expected && expected !== type.size * count) return [];
  if (depth + 1 >= MAX_DEPTH) malformed('structs nest too deep');
  const inner = findInStruct(search, type, depth + 1).map((f) => ({ ...f, offset: f.offset + off }));
  return repeat(inner, count, type.size);
}

function findInStruct(search: Search, type: BtfType, depth: number): RecordField[] {
  if (!isStruct(type)) return [];
  const fields: RecordField[] = [];
  for (const [i, member] of type.members.entries()) {
    if (member.bitOffset % 8) malformed('a bit field that does not start at a byte');
    const owner = { id: type.id, component: i };
    fields.push(...findOne(search, member.type, owner, member.bitOffset / 8, 0, depth));
    if (fields.length > MAX_FIELDS) malformed('too many special fields');
  }
  return fields;
}

/** A variable of a data section: BTF id of the `var`, place and bytes. */
interface Variable {
  type: number;
  offset: number;
  size: number;
}

function findInSection(search: Search, type: BtfType, variables: readonly Variable[] | undefined): RecordField[] {
  if (type.kind !== 'datasec') return malformed('a value that is no struct');
  return (variables ?? type.entries).flatMap(({ type: id, offset, size }) => {
    const variable = search.btf.type(id);
    const of = variable.kind === 'var' ? variable.type : malformed('no variable');
    return findOne(search, of, { id, component: -1 }, offset, size, 0);
  });
}

/** `btf_parse_fields` (kernel/bpf/btf.c, 6.18); null without special fields. @throws Malformed */
function parseFields(
  btf: Btf,
  vmlinux: Btf,
  id: number,
  mask: number,
  variables?: readonly Variable[],
): BtfRecord | null {
  const search: Search = { btf, vmlinux, mask, seen: 0 };
  const type = btf.type(id);
  const fields = isStruct(type) ? findInStruct(search, type, 0) : findInSection(search, type, variables);
  if (fields.length === 0) return null;
  if (fields.length > MAX_FIELDS) malformed('too many special fields');
  let next = 0;
  let fieldMask = 0;
  for (const { type: kind, offset, size } of fields) {
    if (offset < next) malformed('fields overlap');
    next = offset + size;
    fieldMask |= kind;
  }
  const has = (kinds: number): boolean => (fieldMask & kinds) !== 0;
  if (has(F.BPF_SPIN_LOCK) && has(F.BPF_RES_SPIN_LOCK)) malformed('two kinds of locks');
  if (has(F.BPF_GRAPH_ROOT) && !has(F.BPF_LOCKS)) malformed('a list or tree without a lock');
  if (!has(F.BPF_REFCOUNT) && has(F.BPF_LIST_NODE) && has(F.BPF_RB_NODE)) malformed('two kinds of nodes, no refcount');
  return { fields: fields.sort((a, b) => a.offset - b.offset), fieldMask };
}

/** What a map of this type and flags knows of its values; false: the kernel refuses a map with this BTF (`map_check_btf`). */
export function mapRecord(
  btf: Btf,
  vmlinux: Btf,
  valueId: number,
  map: { type: number; flags: number; variables?: readonly Variable[] },
): BtfRecord | null | false {
  const record = valueRecord(btf, vmlinux, skipModifiers(btf, valueId).id, map.variables);
  if (!record) return null;
  if (map.flags & (BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG)) return false;
  const allowed = record.fields.every(({ type }) => F.MAPS_OF_FIELD.get(type)?.includes(map.type));
  return allowed && record;
}

function valueRecord(btf: Btf, vmlinux: Btf, id: number, variables: readonly Variable[] | undefined): BtfRecord | null {
  try {
    return parseFields(btf, vmlinux, id, MAP_FIELDS, variables);
  } catch (error) {
    if (error instanceof Malformed) return null;
    throw error;
  }
}

const METAS = new WeakMap<Btf, Map<number, BtfRecord | null>>();

/** What a program's own struct has in it (`btf_find_struct_meta`); null for plain data. */
export function structRecord(btf: Btf, vmlinux: Btf, id: number): BtfRecord | null {
  let metas = METAS.get(btf);
  if (!metas) {
    metas = new Map();
    METAS.set(btf, metas);
  }
  const known = metas.get(id);
  if (known !== undefined) return known;
  const record = btf === vmlinux || !hasDirectField(btf, id) ? null : objectRecord(btf, vmlinux, id);
  metas.set(id, record);
  return record;
}

function objectRecord(btf: Btf, vmlinux: Btf, id: number): BtfRecord | null {
  try {
    return parseFields(btf, vmlinux, id, OBJECT_FIELDS);
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    throw new VerifierError(`the kernel refuses this BTF: ${error.message}`, `struct ${btf.name(id)}`);
  }
}

/** Only structs that have a special field themselves, not in a member's struct, are more than plain data. */
function hasDirectField(btf: Btf, id: number): boolean {
  const type = btf.type(id);
  if (!isStruct(type)) return false;
  return type.members.some(({ type: member }) => {
    const found = btf.type(member);
    if (F.SPECIAL_STRUCTS.some((s) => s.type & OBJECT_FIELDS && s.name === found.name)) return isStruct(found);
    const pointer = found.kind === 'volatile' ? btf.type(found.type) : found;
    const tag = pointer.kind === 'ptr' ? btf.type(pointer.type) : null;
    return tag?.kind === 'type_tag' && tag.name in F.KPTR_TAGS && tag.name !== 'uptr';
  });
}

/** Whether a register's type is a pointer to an object of bpf_obj_new, owned or not (`type_is_ptr_alloc_obj`). */
export const isAllocated = (type: number): boolean =>
  (type & T.BASE_TYPE_MASK) === T.PTR_TO_BTF_ID && (type & T.MEM_ALLOC) !== 0;

/** Special fields of what the register points to (`reg_btf_record`). */
export function recordOf(env: Env, reg: RegView): BtfRecord | null {
  if ((reg.type & T.BASE_TYPE_MASK) === T.PTR_TO_MAP_VALUE) return reg.map?.record ?? null;
  return isAllocated(reg.type) && reg.btf ? structRecord(reg.btf, env.vmlinux, reg.btfId) : null;
}

/** Whether what the register points to has a field of one of `kinds` (`btf_record_has_field`). */
export const hasField = (record: BtfRecord | null, kinds: number): boolean => ((record?.fieldMask ?? 0) & kinds) !== 0;

/** The field of one of `kinds` at `offset` (`btf_record_find`). */
export const fieldAt = (record: BtfRecord | null, offset: number, kinds: number): RecordField | undefined =>
  record?.fields.find((field) => field.offset === offset && field.type & kinds);
