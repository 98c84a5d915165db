import { SIZE } from '../../bpf/index.ts';
import type { Btf } from '../../btf/index.ts';
import type { VerifierEnv } from '../core/env.ts';
import { typeStr } from '../core/log.ts';
import { markChainPrecision } from '../core/precise.ts';
import * as T from '../core/reg_types.table.ts';
import { markRegUnknown, registerIsNull } from '../core/regs.ts';
import {
  copyReg,
  type Env,
  type MapInfo,
  type RecordField,
  RegState,
  Reject,
  reject,
  type StackSlot,
} from '../core/types.ts';
import { isConst, tnumText } from '../domain/index.ts';
import * as P from '../tables/contexts.table.ts';
import type { HelperProto } from '../tables/helpers.table.ts';
import type { DynptrFacts } from './dynptr.ts';
import { readKernelStruct } from './kernel_struct.ts';
import { accessBuffer } from './memory.ts';
import { constOff, smax, smin, umax } from './numbers.ts';
import { markNotNull } from './pointers.ts';
import * as R from './region.ts';
import { checkStackBounds, frameOf } from './stack.ts';

/** What the arguments of one call have shown (`struct bpf_call_arg_meta`). */
export interface CallMeta {
  func: number;
  name: string;
  proto: HelperProto;
  map: MapInfo | null;
  mapUid: number;
  /** The memory of the argument that is looked at need not be initialized: the helper writes it. */
  raw: boolean;
  /** Register and bytes of uninitialized stack that the helper writes. */
  regno: number;
  accessSize: number;
  refObjId: number;
  releaseRegno: number;
  /** Upper bound of the last memory size. */
  sizeMax: { lo: number; hi: number; s32: number } | null;
  memSize: number;
  subprogno: number;
  /** Constant key into an array, or -1. */
  constKey: number;
  /** The initialized dynptr among the arguments. */
  dynptr: DynptrFacts | null;
  /** The field that is exchanged. */
  kptr: RecordField | null;
  /** Type of the per-processor variable that is asked for. */
  retBtf: Btf | null;
  retBtfId: number;
  objectOfCpu: boolean;
}

/** Program types whose contexts are not the kernel's own structs (`convert_ctx_access`). */
const CONVERTED_CTX: readonly number[] = [
  P.PROG_SOCKET_FILTER,
  P.PROG_SCHED_CLS,
  P.PROG_SCHED_ACT,
  P.PROG_XDP,
  P.PROG_PERF_EVENT,
  P.PROG_CGROUP_SKB,
  P.PROG_CGROUP_SOCK,
  P.PROG_LWT_IN,
  P.PROG_LWT_OUT,
  P.PROG_LWT_XMIT,
  P.PROG_SOCK_OPS,
  P.PROG_SK_SKB,
  P.PROG_SK_MSG,
  P.PROG_CGROUP_SOCK_ADDR,
  P.PROG_LWT_SEG6LOCAL,
  P.PROG_SK_REUSEPORT,
  P.PROG_FLOW_DISSECTOR,
  P.PROG_CGROUP_SYSCTL,
  P.PROG_CGROUP_SOCKOPT,
  P.PROG_SK_LOOKUP,
];

function scrub(slot: StackSlot): void {
  for (let i = 0; i < 8; i++) if (slot.slotType[i] !== T.STACK_INVALID) slot.slotType[i] = T.STACK_MISC;
}

/** Stack that a helper reads or writes must be there and, unless it only writes, initialized (`check_stack_range_initialized`). */
function checkStackRange(
  env: Env,
  regno: number,
  size: number,
  zeroSizeAllowed: boolean,
  access: number,
  meta: CallMeta | null,
): void {
  const reg = env.reg(regno);
  if (size === 0 && !zeroSizeAllowed) reject(env, 'EACCES', 'invalid zero-sized read');
  checkStackBounds(env, regno, reg.off, size, access, false);
  const fixed = isConst(reg);
  const from = (fixed ? constOff(reg) : smin(reg)) + reg.off;
  const end = (fixed ? constOff(reg) : smax(reg)) + reg.off + size;
  const frame = frameOf(env, reg);
  if (meta?.raw && fixed) {
    for (let at = from; at < end; at++) {
      if (frame.peekSlot((-at - 1) >> 3)?.slotType[(-at - 1) & 7] === T.STACK_DYNPTR) {
        reject(env, 'EACCES', `potential write to dynptr at off=${at} disallowed`);
      }
    }
    meta.accessSize = size;
    meta.regno = regno;
    return;
  }
  for (let at = from; at < end; at++) {
    const slot = frame.slot((-at - 1) >> 3);
    const byte = (-at - 1) & 7;
    const type = slot.slotType[byte]!;
    (env as VerifierEnv).live.markRead(env, frame.frameno, env.insnIdx, (-at - 1) >> 3);
    if (type === T.STACK_MISC) continue;
    if (type === T.STACK_ZERO || type === T.STACK_INVALID) {
      if (access === R.BPF_WRITE) slot.slotType[byte] = T.STACK_MISC;
      continue;
    }
    if (slot.slotType[7] === T.STACK_SPILL) {
      if (access === R.BPF_WRITE) {
        markRegUnknown(env, slot.spilled);
        scrub(slot);
      }
      continue;
    }
    if (fixed) reject(env, 'EACCES', `invalid read from stack R${regno} off ${from}+${at - from} size ${size}`);
    reject(env, 'EACCES', `invalid read from stack R${regno} var_off ${tnumText(reg)}+${at - from} size ${size}`);
  }
}

/** `size` bytes behind R`regno` that a helper reads or writes (`check_helper_mem_access`). */
export function checkHelperMemory(
  env: Env,
  regno: number,
  size: number,
  access: number,
  zeroSizeAllowed: boolean,
  meta: CallMeta | null,
): void {
  const reg = env.reg(regno);
  const readOnly = (): void => {
    if (access === R.BPF_WRITE && (reg.type & T.MEM_RDONLY || reg.type === T.PTR_TO_MAP_KEY))
      reject(env, 'EACCES', `R${regno} cannot write into ${typeStr(reg.type)}`);
  };
  switch (reg.type & T.BASE_TYPE_MASK) {
    case T.PTR_TO_PACKET:
    case T.PTR_TO_PACKET_META:
      R.checkPacketAccess(env, regno, reg.off, size, zeroSizeAllowed);
      return;
    case T.PTR_TO_MAP_KEY:
      readOnly();
      R.checkMemRegion(env, regno, reg.off, size, reg.map!.keySize, false);
      return;
    case T.PTR_TO_MAP_VALUE:
      R.checkMapAccessType(env, regno, reg.off, size, access);
      R.checkMapAccess(env, regno, reg.off, size, zeroSizeAllowed, true);
      return;
    case T.PTR_TO_MEM:
      readOnly();
      R.checkMemRegion(env, regno, reg.off, size, reg.memSize, zeroSizeAllowed);
      return;
    case T.PTR_TO_STACK:
      checkStackRange(env, regno, size, zeroSizeAllowed, access, meta);
      return;
    case T.PTR_TO_BUF:
      readOnly();
      accessBuffer(env, regno, reg.off, size);
      return;
    case T.PTR_TO_BTF_ID:
      readKernelStruct(env, regno, reg.off, size);
      return;
    case T.PTR_TO_CTX:
      if (CONVERTED_CTX.includes(env.input.progType)) break;
      if (size > 0) env.ops.checkMemAccess(env, env.insnIdx, regno, size - 1, SIZE.B, access, -1, false, false);
      else if (!zeroSizeAllowed) throw new Reject('EACCES');
      return;
  }
  if (zeroSizeAllowed && size === 0 && registerIsNull(reg)) return;
  env.verbose(`R${regno} type=${typeStr(reg.type)} `);
  reject(env, 'EACCES', `expected=${typeStr(T.PTR_TO_STACK)}`);
}

/** R`regno` is the size of the memory behind the register before it (`check_mem_size_reg`). */
export function checkSizeArgument(
  env: Env,
  regno: number,
  access: number,
  zeroSizeAllowed: boolean,
  meta: CallMeta | null,
): void {
  const reg = env.reg(regno);
  if (meta) meta.sizeMax = { lo: reg.umaxLo, hi: reg.umaxHi, s32: reg.umaxLo };
  R.checkSizeBounds(env, regno, zeroSizeAllowed);
  checkHelperMemory(env, regno - 1, umax(reg), access, zeroSizeAllowed, isConst(reg) ? meta : null);
  markChainPrecision(env, regno);
}

/** Memory of known size that a function may read and write; null is left to it (`check_mem_reg`). */
export function checkMemoryArgument(env: Env, regno: number, size: number): void {
  const reg = env.reg(regno);
  if (registerIsNull(reg)) return;
  const saved = new RegState();
  copyReg(saved, reg);
  const mayBeNull = (reg.type & T.PTR_MAYBE_NULL) !== 0;
  if (mayBeNull) markNotNull(reg);
  checkHelperMemory(env, regno, size, R.BPF_READ, true, null);
  checkHelperMemory(env, regno, size, R.BPF_WRITE, true, null);
  if (mayBeNull) copyReg(reg, saved);
}
