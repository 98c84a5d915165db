import { type Env, type MapInfo, reject } from '../core/types.ts';
import { isConst } from '../domain/index.ts';
import { SPECIAL_STRUCTS } from '../tables/special_fields.table.ts';
import { constOff, signedDecimal } from './numbers.ts';

/** The map that an argument showed to belong to a call; uid tells inner maps of one template apart. */
interface MapPlace {
  map: MapInfo | null;
  mapUid: number;
}

/** R`regno` points to the field of kind `field` of its map's value (`check_map_field_pointer`, kernel/bpf/verifier.c, 6.18). */
export function checkFieldPointer(env: Env, regno: number, field: number, place: MapPlace): void {
  const reg = env.reg(regno);
  const map = reg.map!;
  const { name } = SPECIAL_STRUCTS.find(({ type }) => type === field)!;
  if (!isConst(reg)) {
    reject(env, 'EINVAL', `R${regno} doesn't have constant offset. ${name} has to be at the constant offset`);
  }
  if (!map.btf) reject(env, 'EINVAL', `map '${map.name}' has to have BTF in order to use ${name}`);
  const known = map.record?.fields.find(({ type }) => type === field);
  if (!known) throw reject(env, 'EINVAL', `map '${map.name}' has no valid ${name}`);
  const at = constOff(reg) + reg.off;
  if (known.offset !== at) {
    const text = `off ${signedDecimal(at, at >> 31)} doesn't point to 'struct ${name}' that is at ${known.offset}`;
    reject(env, 'EINVAL', text);
  }
  place.map = map;
  place.mapUid = reg.mapUid;
}
