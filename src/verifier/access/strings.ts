import * as T from '../core/reg_types.table.ts';
import { type Env, type MapInfo, type RegState, Reject, reject } from '../core/types.ts';
import { isConst } from '../domain/index.ts';
import { BPF_F_RDONLY_PROG, MAP_ARENA, MAP_ARRAY } from '../tables/maps.table.ts';
import { constOff } from './numbers.ts';
import { checkMapAccess } from './region.ts';
import { unsupported } from './unsupported.ts';

/** Map types whose values have a fixed address (`map_direct_value_addr`). */
const DIRECT_VALUE: readonly number[] = [MAP_ARRAY, MAP_ARENA];

/** Programs can never change the map's values, and neither can user space any more (`bpf_map_is_rdonly`). */
const isReadOnlyMap = (map: MapInfo): boolean => map.frozen && (map.flags & BPF_F_RDONLY_PROG) !== 0;

/** The bytes from where the register points to the end of its map's only value. */
function bytesAt(env: Env, reg: RegState): Uint8Array {
  const map = reg.map!;
  if (!map.data) throw unsupported(env, `the bytes of map '${map.name}'`);
  return map.data.subarray(reg.off + constOff(reg), map.valueSize);
}

/** R`regno` is a string that never changes (`check_reg_const_str`, kernel/bpf/verifier.c, 6.18). */
export function checkConstString(env: Env, regno: number): void {
  const reg = env.reg(regno);
  if (reg.type !== T.PTR_TO_MAP_VALUE) throw new Reject('EINVAL');
  const map = reg.map!;
  if (!isReadOnlyMap(map)) reject(env, 'EACCES', `R${regno} does not point to a readonly map'`);
  if (!isConst(reg)) reject(env, 'EACCES', `R${regno} is not a constant address'`);
  if (!DIRECT_VALUE.includes(map.type)) reject(env, 'EACCES', 'no direct value access support for this map type');
  checkMapAccess(env, regno, reg.off, map.valueSize - reg.off, false, true);
  if (map.maxEntries !== 1) reject(env, 'ENOTSUPP', 'direct value access on string failed');
  if (!bytesAt(env, reg).includes(0)) reject(env, 'EINVAL', 'string is not zero-terminated');
}

const CONVERSIONS =
  /^(?:p(?:[ku]s(?=[\s!-/:-@[-`{-~]|$)|[KxsSB]|[iI][46]|(?=[\s!-/:-@[-`{-~]|$))|s(?=[\s!-/:-@[-`{-~]|$)|c|l{0,2}[iduxX])/;

/** Whether `format` is one that the kernel prints with `args` arguments (`bpf_bprintf_prepare`, kernel/bpf/helpers.c, 6.18). */
export function isPrintfFormat(format: string, args: number): boolean {
  let used = 0;
  for (let i = 0; i < format.length; i++) {
    const c = format.charCodeAt(i);
    if (c >= 0x80 || (c < 0x20 && (c < 0x09 || c > 0x0d)) || c === 0x7f) return false;
    if (format[i] !== '%') continue;
    if (format[i + 1] === '%') {
      i++;
      continue;
    }
    if (used++ >= args) return false;
    const rest = format.slice(i + 1);
    const width = /^[0+\- ]*(?:[1-9][0-9]*)?/.exec(rest)![0].length;
    const conversion = CONVERSIONS.exec(rest.slice(width));
    if (!conversion) return false;
    i += width + conversion[0].length;
  }
  return true;
}

/** Format and arguments of `bpf_snprintf`, whose format is in R3 and the size of whose arguments is in R5. */
export function checkFormat(env: Env): void {
  const size = constOff(env.reg(5));
  if (size % 8 !== 0) throw new Reject('EINVAL');
  const bytes = bytesAt(env, env.reg(3));
  const format = String.fromCharCode(...bytes.subarray(0, bytes.indexOf(0)));
  if (!isPrintfFormat(format, size / 8)) reject(env, 'EINVAL', 'Invalid format string');
}
