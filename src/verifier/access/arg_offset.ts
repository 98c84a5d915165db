import { typeStr } from '../core/log.ts';
import * as T from '../core/reg_types.table.ts';
import { type Env, reject } from '../core/types.ts';
import { checkPtrOff } from './region.ts';

/** Registers that may have a fixed and a variable offset as arguments. */
const ANY_OFFSET: ReadonlySet<number> = new Set([
  T.PTR_TO_STACK,
  T.PTR_TO_PACKET,
  T.PTR_TO_PACKET_META,
  T.PTR_TO_MAP_KEY,
  T.PTR_TO_MAP_VALUE,
  T.PTR_TO_MEM,
  T.PTR_TO_MEM | T.MEM_RDONLY,
  T.PTR_TO_MEM | T.MEM_RINGBUF,
  T.PTR_TO_BUF,
  T.PTR_TO_BUF | T.MEM_RDONLY,
  T.PTR_TO_ARENA,
  T.SCALAR_VALUE,
]);

/** Registers that may have a fixed offset. */
const FIXED_OFFSET: ReadonlySet<number> = new Set([
  T.PTR_TO_BTF_ID,
  T.PTR_TO_BTF_ID | T.MEM_ALLOC,
  T.PTR_TO_BTF_ID | T.PTR_TRUSTED,
  T.PTR_TO_BTF_ID | T.MEM_RCU,
  T.PTR_TO_BTF_ID | T.MEM_ALLOC | T.NON_OWN_REF,
  T.PTR_TO_BTF_ID | T.MEM_ALLOC | T.NON_OWN_REF | T.MEM_RCU,
]);

/** Whether R`regno` as an argument may have the offset it has (`check_func_arg_reg_off`); `released`: it is given back. */
export function checkArgOffset(env: Env, regno: number, released: boolean, dynptr: boolean): void {
  const { type, off } = env.peek(regno);
  if (released) {
    if (dynptr && type === T.PTR_TO_STACK) return;
    if (off) {
      reject(env, 'EINVAL', `R${regno} must have zero offset when passed to release func or trusted arg to kfunc`);
    }
    checkPtrOff(env, regno, typeStr(type), false);
    return;
  }
  if (!ANY_OFFSET.has(type)) checkPtrOff(env, regno, typeStr(type), FIXED_OFFSET.has(type));
}
