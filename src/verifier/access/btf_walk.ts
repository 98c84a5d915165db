import type { Btf, BtfMember, BtfStruct, BtfType } from '../../btf/index.ts';
import * as T from '../core/reg_types.table.ts';
import { type Env, reject } from '../core/types.ts';

/** What a load from a kernel struct finds. */
export interface FieldAccess {
  /** 0: not a struct. */
  btfId: number;
  flag: number;
  fieldName: string;
  /** A pointer to something else than a struct, through which loads are probed. */
  memory: boolean;
}

const SCALAR: FieldAccess = { btfId: 0, flag: 0, fieldName: '', memory: false };
const MEMORY: FieldAccess = { ...SCALAR, memory: true };
const MODIFIERS = new Set(['typedef', 'const', 'volatile', 'restrict', 'type_tag']);
const SIZED = new Set(['int', 'enum', 'enum64', 'struct', 'union', 'ptr', 'array', 'float']);
const TAG_FLAGS: Readonly<Record<string, number>> = { user: T.MEM_USER, percpu: T.MEM_PERCPU, rcu: T.MEM_RCU };

/** The type behind typedefs, qualifiers and tags. */
export function skipModifiers(btf: Btf, id: number): { id: number; type: BtfType } {
  let at = id;
  let type = btf.type(at);
  while (MODIFIERS.has(type.kind)) {
    at = (type as { type: number }).type;
    type = btf.type(at);
  }
  return { id: at, type };
}

export const isStruct = (type: BtfType): type is BtfStruct => type.kind === 'struct' || type.kind === 'union';

/** Whether a type is of a kind whose size is known (`btf_resolve_size`). */
export const hasSize = (type: BtfType): boolean => SIZED.has(type.kind);

/** Flag of the first type tag of what a pointer points to. */
export function tagFlag(btf: Btf, id: number): number {
  const type = btf.type(id);
  return type.kind === 'type_tag' ? (TAG_FLAGS[type.name] ?? 0) : 0;
}

interface Walk {
  env: Env;
  btf: Btf;
  size: number;
  /** Inside of a union the members' pointers cannot be trusted. */
  flag: number;
  walkFlexArrays: boolean;
}

/**
 * What lies at `[off, off + size)` of a struct (`btf_struct_access`): a pointer to another struct, or a scalar. Refuses
 * accesses that leave a member.
 */
export function btfStructAccess(
  env: Env,
  btf: Btf,
  id: number,
  off: number,
  size: number,
  local: boolean,
): FieldAccess {
  const walk: Walk = { env, btf, size, flag: 0, walkFlexArrays: !local };
  const found = walkStruct(walk, id, off);
  return local && found.btfId ? SCALAR : found;
}

function walkStruct(walk: Walk, id: number, off: number): FieldAccess {
  const { env, btf, size } = walk;
  const { type } = skipModifiers(btf, id);
  if (!isStruct(type)) return reject(env, 'EINVAL', `Type '${btf.name(id)}' is not a struct`);
  if (type.kind === 'union' && type.members.length !== 1) walk.flag |= T.PTR_UNTRUSTED;
  if (off + size > type.size) return walkFlexArray(walk, type, off);
  for (const member of type.members) {
    const moff = Math.floor(member.bitOffset / 8);
    if (off + size <= moff) break;
    if (member.bitSize) {
      if (off <= moff && Math.ceil((member.bitOffset + member.bitSize) / 8) <= off + size) return SCALAR;
      continue;
    }
    if (off < moff) break;
    if (off >= moff + btf.sizeOf(member.type)) continue;
    return walkMember(walk, type, member, moff, off);
  }
  return reject(env, 'EINVAL', `struct ${type.name} doesn't have field at offset ${off}`);
}

function walkFlexArray(walk: Walk, type: BtfStruct, off: number): FieldAccess {
  const { btf, env, size } = walk;
  const last = type.members.at(-1);
  const array = last && walk.walkFlexArrays ? skipModifiers(btf, last.type).type : undefined;
  if (last && array?.kind === 'array' && array.length === 0 && off >= last.bitOffset / 8) {
    const element = skipModifiers(btf, array.element);
    if (element.type.kind === 'int') return SCALAR;
    if (isStruct(element.type) && element.type.size) {
      return walkStruct(walk, element.id, (off - last.bitOffset / 8) % element.type.size);
    }
  }
  return reject(env, 'EACCES', `access beyond struct ${type.name} at off ${off} size ${size}`);
}

function walkMember(walk: Walk, parent: BtfStruct, member: BtfMember, start: number, off: number): FieldAccess {
  const { btf, env, size } = walk;
  const end = start + btf.sizeOf(member.type);
  let { id, type } = skipModifiers(btf, member.type);
  while (type.kind === 'array') ({ id, type } = skipModifiers(btf, type.element));
  const width = btf.sizeOf(id);
  const moff = width ? start + Math.floor((off - start) / width) * width : start;
  if (isStruct(type)) return walkStruct(walk, id, off - moff);
  if (type.kind === 'ptr') {
    if (width !== size || off !== moff) {
      const where = `with moff ${moff} in struct ${parent.name} with off ${off} size ${size}`;
      return reject(env, 'EACCES', `cannot access ptr member ${member.name} ${where}`);
    }
    const target = skipModifiers(btf, type.type);
    if (isStruct(target.type)) {
      const flag = walk.flag | tagFlag(btf, type.type);
      return { btfId: target.id, flag, fieldName: member.name, memory: false };
    }
    return MEMORY;
  }
  if (off + size > end && !(walk.flag & T.PTR_UNTRUSTED)) {
    const where = `${member.name} (mend:${end}) in struct ${parent.name} with off ${off} size ${size}`;
    return reject(env, 'EACCES', `access beyond the end of member ${where}`);
  }
  return SCALAR;
}
