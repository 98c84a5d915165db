import type { Btf, BtfStruct } from '../../btf/index.ts';
import type { Env } from '../core/types.ts';
import { isStruct, skipModifiers } from './btf_walk.ts';

const NOCAST_SUFFIX = '___init';

/** Two names of which one is the other with `___init`: never to be taken for each other (`btf_type_ids_nocast_alias`). */
export function isNocastAlias(a: string, b: string): boolean {
  return a === b + NOCAST_SUFFIX || b === a + NOCAST_SUFFIX;
}

/** Whether `tname` is what the program sees as `pname` (`btf_is_projection_of`). */
export const isProjectionOf = (pname: string, tname: string): boolean =>
  (pname === '__sk_buff' && tname === 'sk_buff') || (pname === 'xdp_md' && tname === 'xdp_buff');

/** The outermost struct or union that starts at `off` inside of `struct`; 0 without. */
function nestedAt(env: Env, btf: Btf, struct: BtfStruct, off: number): number {
  if (off >= struct.size) {
    const last = struct.members.at(-1);
    const array = last && skipModifiers(btf, last.type).type;
    const start = last ? last.bitOffset / 8 : 0;
    if (array?.kind === 'array' && array.length === 0 && off >= start) {
      const { type } = skipModifiers(btf, array.element);
      if (type.kind === 'int') return 0;
      if (isStruct(type) && type.size) return nestedAt(env, btf, type, (off - start) % type.size);
    }
    env.verbose(`access beyond struct ${struct.name} at off ${off} size 1\n`);
    return 0;
  }
  for (const member of struct.members) {
    const start = member.bitOffset / 8;
    if (member.bitSize || off >= start + btf.sizeOf(member.type)) continue;
    if (off < start) break;
    let { id, type } = skipModifiers(btf, member.type);
    while (type.kind === 'array') ({ id, type } = skipModifiers(btf, type.element));
    if (!isStruct(type) || type.size === 0) return 0;
    const within = (off - start) % type.size;
    return within === 0 ? id : nestedAt(env, btf, type, within);
  }
  env.verbose(`struct ${struct.name} doesn't have field at offset ${off}\n`);
  return 0;
}

/** Whether at `off` of struct `id` there is, however deep, a struct `wanted` (`btf_struct_ids_match`). */
export function structIdsMatch(
  env: Env,
  btf: Btf,
  id: number,
  off: number,
  wantedBtf: Btf,
  wanted: number,
  strict: boolean,
): boolean {
  if (off === 0 && btf === wantedBtf && id === wanted) return true;
  if (strict) return false;
  let at = id;
  let rest = off;
  for (;;) {
    const { type } = skipModifiers(btf, at);
    at = isStruct(type) ? nestedAt(env, btf, type, rest) : 0;
    if (at === 0) return false;
    if (btf === wantedBtf && at === wanted) return true;
    rest = 0;
  }
}
