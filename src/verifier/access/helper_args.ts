import { markChainPrecision, markSlotPrecision } from '../core/precise.ts';
import * as T from '../core/reg_types.table.ts';
import { checkRegArg, registerIsNull } from '../core/regs.ts';
import { type Env, type RegState, reject } from '../core/types.ts';
import { isConst } from '../domain/index.ts';
import * as A from '../tables/arg_types.table.ts';
import * as P from '../tables/contexts.table.ts';
import { SOCK_MAPS } from '../tables/map_helpers.table.ts';
import { MAP_ARRAY, MAP_BLOOM_FILTER, MAP_PERCPU_ARRAY } from '../tables/maps.table.ts';
import { BPF_TIMER } from '../tables/special_fields.table.ts';
import { checkArgOffset } from './arg_offset.ts';
import { checkFieldPointer } from './async.ts';
import { checkDynptrArg, requireOwnedDynptr } from './dynptr.ts';
import { type CallMeta, checkHelperMemory, checkSizeArgument } from './helper_memory.ts';
import { checkType } from './helper_types.ts';
import { exchangedField } from './kptr.ts';
import { processHelperLock } from './locks.ts';
import { requireAligned } from './memory.ts';
import { constOff } from './numbers.ts';
import { BPF_READ, BPF_WRITE } from './region.ts';
import { checkConstString } from './strings.ts';

/** Program types whose helpers may be given packet data. */
const PACKET_TYPES: readonly number[] = [...P.PACKET_WRITERS, ...P.PACKET_READERS];

const ARRAYS: readonly number[] = [MAP_ARRAY, MAP_PERCPU_ARRAY];

/** The key of an array lookup where the stack shows it (`get_constant_map_key`): of its bytes all must be zero. */
function constantKey(env: Env, reg: RegState, keySize: number): number {
  if (reg.type !== T.PTR_TO_STACK || !isConst(reg)) return -1;
  const slotOff = -(reg.off + constOff(reg)) - 1;
  const slot = env.cur.frame[reg.frameno]!.peekSlot(slotOff >> 3)!;
  const off = slotOff & 7;
  const run = (type: number): number => {
    let n = 0;
    while (n <= off && slot.slotType[off - n] === type) n++;
    return n;
  };
  if (run(T.STACK_ZERO) >= keySize) return 0;
  if (slot.slotType[7] !== T.STACK_SPILL || slot.spilled.type !== T.SCALAR_VALUE) return -1;
  if (run(T.STACK_SPILL) !== keySize || !isConst(slot.spilled)) return -1;
  markSlotPrecision(env, reg.frameno, slotOff >> 3);
  const value = constOff(slot.spilled);
  return value >= 0 && value <= 0x7fffffff ? value : -1;
}

/** Values of sockmaps are sockets, and what a bloom filter is asked for is not written (`resolve_map_arg_type`). */
function resolveMapArgument(env: Env, argType: number, { map, name }: CallMeta): number {
  if ((argType & T.BASE_TYPE_MASK) !== A.ARG_PTR_TO_MAP_VALUE) return argType;
  if (!map) throw reject(env, 'EACCES', 'invalid map_ptr to access map->type');
  if (SOCK_MAPS.includes(map.type)) {
    if (argType !== A.ARG_PTR_TO_MAP_VALUE) reject(env, 'EINVAL', 'invalid arg_type for sockmap/sockhash');
    return A.ARG_PTR_TO_BTF_ID_SOCK_COMMON;
  }
  return map.type === MAP_BLOOM_FILTER && name === 'map_peek_elem' ? A.ARG_PTR_TO_MAP_VALUE : argType;
}

/** R`regno` as an argument of type `declared` (`check_func_arg`). */
export function checkArgument(env: Env, regno: number, declared: number, meta: CallMeta): void {
  checkRegArg(env, regno, 'src');
  if (declared === A.ARG_ANYTHING) return;
  const argType = resolveMapArgument(env, declared, meta);
  const reg = env.reg(regno);
  const base = argType & T.BASE_TYPE_MASK;
  const isPacket = reg.type === T.PTR_TO_PACKET || reg.type === T.PTR_TO_PACKET_META;
  if (isPacket && !(meta.proto.pktAccess && PACKET_TYPES.includes(env.input.progType))) {
    reject(env, 'EACCES', 'helper access to the packet is not allowed');
  }
  if (!(registerIsNull(reg) && argType & T.PTR_MAYBE_NULL)) {
    checkType(env, regno, argType, meta);
    checkArgOffset(env, regno, (argType & T.OBJ_RELEASE) !== 0, base === A.ARG_PTR_TO_DYNPTR);
  }
  if (argType & T.OBJ_RELEASE) {
    if (base === A.ARG_PTR_TO_DYNPTR) requireOwnedDynptr(env, regno);
    else if (!reg.refObjId && !registerIsNull(reg)) {
      reject(env, 'EINVAL', `R${regno} must be referenced when passed to release function`);
    }
    meta.releaseRegno = regno;
  }
  if (reg.refObjId && base !== A.ARG_KPTR_XCHG_DEST) {
    if (meta.refObjId) {
      const ids = `R${regno} ${reg.refObjId} ${meta.refObjId}`;
      reject(env, 'EFAULT', `verifier bug: more than one arg with ref_obj_id ${ids}`);
    }
    meta.refObjId = reg.refObjId;
  }
  checkByArgument(env, regno, reg, argType, base, meta);
}

function checkByArgument(env: Env, regno: number, reg: RegState, argType: number, base: number, meta: CallMeta): void {
  const access = argType & T.MEM_WRITE ? BPF_WRITE : BPF_READ;
  switch (base) {
    case A.ARG_CONST_MAP_PTR:
      if (meta.map && (meta.map !== reg.map || meta.mapUid !== reg.mapUid)) {
        const uids = `in R1 map_uid=${meta.mapUid} doesn't match map pointer in R2 map_uid=${reg.mapUid}`;
        reject(env, 'EINVAL', `timer pointer ${uids}`);
      }
      meta.map = reg.map;
      meta.mapUid = reg.mapUid;
      return;
    case A.ARG_PTR_TO_MAP_KEY:
      if (!meta.map) reject(env, 'EACCES', 'invalid map_ptr to access map->key');
      checkHelperMemory(env, regno, meta.map!.keySize, BPF_READ, false, null);
      if (ARRAYS.includes(meta.map!.type)) meta.constKey = constantKey(env, reg, meta.map!.keySize);
      return;
    case A.ARG_PTR_TO_MAP_VALUE:
      if (argType & T.PTR_MAYBE_NULL && registerIsNull(reg)) return;
      if (!meta.map) reject(env, 'EACCES', 'invalid map_ptr to access map->value');
      meta.raw = (argType & T.MEM_UNINIT) !== 0;
      checkHelperMemory(env, regno, meta.map!.valueSize, access, false, meta);
      return;
    case A.ARG_PTR_TO_DYNPTR:
      meta.dynptr ??= checkDynptrArg(env, regno, env.insnIdx, argType & ~T.BASE_TYPE_MASK, 0);
      return;
    case A.ARG_PTR_TO_PERCPU_BTF_ID:
      if (!reg.btfId) reject(env, 'EACCES', `Helper has invalid btf_id in R${regno}`);
      meta.retBtf = reg.btf;
      meta.retBtfId = reg.btfId;
      return;
    case A.ARG_PTR_TO_SPIN_LOCK:
      processHelperLock(env, regno, meta.name === 'spin_lock');
      return;
    case A.ARG_KPTR_XCHG_DEST:
      meta.kptr = exchangedField(env, regno);
      if (reg.type === T.PTR_TO_MAP_VALUE) meta.map = reg.map;
      return;
    case A.ARG_PTR_TO_TIMER:
      checkFieldPointer(env, regno, BPF_TIMER, meta);
      return;
    case A.ARG_PTR_TO_FUNC:
      meta.subprogno = reg.subprogno;
      return;
    case A.ARG_PTR_TO_MEM:
      meta.raw = (argType & T.MEM_UNINIT) !== 0;
      if (!(argType & T.MEM_FIXED_SIZE)) return;
      checkHelperMemory(env, regno, meta.proto.argSize![regno]!, access, false, meta);
      if (argType & T.MEM_ALIGNED) requireAligned(env, regno, meta.proto.argSize![regno]!);
      return;
    case A.ARG_CONST_SIZE:
    case A.ARG_CONST_SIZE_OR_ZERO: {
      const memory = meta.proto.args[regno - 2]!;
      const how = memory & T.MEM_WRITE ? BPF_WRITE : BPF_READ;
      checkSizeArgument(env, regno, how, base === A.ARG_CONST_SIZE_OR_ZERO, meta);
      return;
    }
    case A.ARG_PTR_TO_CONST_STR:
      checkConstString(env, regno);
      return;
    case A.ARG_CONST_ALLOC_SIZE_OR_ZERO:
      if (!isConst(reg)) reject(env, 'EACCES', `R${regno} is not a known constant'`);
      meta.memSize = constOff(reg);
      markChainPrecision(env, regno);
  }
}
