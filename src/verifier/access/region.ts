import * as T from '../core/reg_types.table.ts';
import { type Env, type RecordField, type RegView, reject } from '../core/types.ts';
import { isConst, tnumText } from '../domain/index.ts';
import { BPF_F_RDONLY_PROG, BPF_F_WRONLY_PROG } from '../tables/maps.table.ts';
import { BPF_KPTR, BPF_KPTR_PERCPU, BPF_UPTR, SPECIAL_STRUCTS } from '../tables/special_fields.table.ts';
import { constOff, decimal, MAX_VAR_OFF, overflowsInt, smax, smin, umax } from './numbers.ts';

export const BPF_READ = 1;
export const BPF_WRITE = 2;

const POINTERS = BPF_KPTR | BPF_UPTR;

/** Name of a special field in messages (`btf_field_type_name`). */
export function fieldName(type: number): string {
  if (type === BPF_UPTR) return 'uptr';
  if (type & BPF_KPTR) return type === BPF_KPTR_PERCPU ? 'percpu_kptr' : 'kptr';
  return SPECIAL_STRUCTS.find((struct) => struct.type === type)?.name ?? 'unknown';
}

/** `[off, off + size)` against a region of `memSize` bytes; says what is wrong (`__check_mem_access`). */
function fits(env: Env, regno: number, off: number, size: number, memSize: number, zeroSizeAllowed: boolean): boolean {
  const sizeOk = size > 0 || (size === 0 && zeroSizeAllowed);
  if (off >= 0 && sizeOk && off + size <= memSize) return true;
  const reg = env.peek(regno);
  const at = off | 0;
  switch (reg.type) {
    case T.PTR_TO_MAP_KEY:
      env.verbose(`invalid access to map key, key_size=${memSize} off=${at} size=${size}\n`);
      break;
    case T.PTR_TO_MAP_VALUE:
      env.verbose(`invalid access to map value, value_size=${memSize} off=${at} size=${size}\n`);
      break;
    case T.PTR_TO_PACKET:
    case T.PTR_TO_PACKET_META:
    case T.PTR_TO_PACKET_END:
      env.verbose(`invalid access to packet, off=${at} size=${size}, R${regno}(id=${reg.id},off=${at},r=${memSize})\n`);
      break;
    default:
      env.verbose(`invalid access to memory, mem_size=${memSize} off=${at} size=${size}\n`);
  }
  return false;
}

/** Both ends of the register's range against a region (`check_mem_region_access`). */
export function checkMemRegion(
  env: Env,
  regno: number,
  off: number,
  size: number,
  memSize: number,
  zeroSizeAllowed: boolean,
): void {
  const reg = env.peek(regno);
  const low = smin(reg);
  if (low < 0 && (overflowsInt(off + low) || low + off < 0)) {
    reject(env, 'EACCES', `R${regno} min value is negative, either use unsigned index or do a if (index >=0) check.`);
  }
  if (!fits(env, regno, low + off, size, memSize, zeroSizeAllowed)) {
    reject(env, 'EACCES', `R${regno} min value is outside of the allowed memory range`);
  }
  if (umax(reg) >= MAX_VAR_OFF) {
    reject(env, 'EACCES', `R${regno} unbounded memory access, make sure to bounds check any such access`);
  }
  if (!fits(env, regno, umax(reg) + off, size, memSize, zeroSizeAllowed)) {
    reject(env, 'EACCES', `R${regno} max value is outside of the allowed memory range`);
  }
}

/** What the map's flags allow a program (`check_map_access_type`). */
export function checkMapAccessType(env: Env, regno: number, off: number, size: number, access: number): void {
  const map = env.peek(regno).map!;
  const where = () => `value_size=${map.valueSize} off=${off} size=${size}`;
  if (access === BPF_WRITE && map.flags & BPF_F_RDONLY_PROG) {
    reject(env, 'EACCES', `write into map forbidden, ${where()}`);
  }
  if (access === BPF_READ && map.flags & BPF_F_WRONLY_PROG) {
    reject(env, 'EACCES', `read from map forbidden, ${where()}`);
  }
}

function checkField(env: Env, reg: RegView, off: number, size: number, field: RecordField, helper: boolean): void {
  const from = smin(reg) + off;
  if (from >= field.offset + field.size || field.offset >= umax(reg) + off + size) return;
  const name = fieldName(field.type);
  if ((field.type & POINTERS) === 0) reject(env, 'EACCES', `${name} cannot be accessed directly by load/store`);
  if (helper) reject(env, 'EACCES', `${name} cannot be accessed indirectly by helper`);
  if (!isConst(reg)) reject(env, 'EACCES', `${name} access cannot have variable offset`);
  if (field.offset !== off + constOff(reg)) {
    reject(env, 'EACCES', `${name} access misaligned expected=${field.offset} off=${off + constOff(reg)}`);
  }
  if (size !== 8) reject(env, 'EACCES', `${name} access size must be BPF_DW`);
}

/** An access to a map value, `off` with the register's own part in it (`check_map_access`). */
export function checkMapAccess(
  env: Env,
  regno: number,
  off: number,
  size: number,
  zeroSizeAllowed: boolean,
  helper: boolean,
): void {
  const reg = env.peek(regno);
  checkMemRegion(env, regno, off, size, reg.map!.valueSize, zeroSizeAllowed);
  for (const field of reg.map!.record?.fields ?? []) checkField(env, reg, off, size, field, helper);
}

/** An access to packet data against what comparisons with its end have shown (`check_packet_access`). */
export function checkPacketAccess(env: Env, regno: number, off: number, size: number, zeroSizeAllowed: boolean): void {
  const reg = env.peek(regno);
  if (smin(reg) < 0) {
    reject(env, 'EACCES', `R${regno} min value is negative, either use unsigned index or do a if (index >=0) check.`);
  }
  if (reg.pktRange < 0 || !fits(env, regno, off, size, reg.pktRange, zeroSizeAllowed)) {
    reject(env, reg.pktRange < 0 ? 'EINVAL' : 'EACCES', `R${regno} offset is outside of the packet`);
  }
  env.maxPktOffset = Math.max(env.maxPktOffset, off + umax(reg) + size - 1);
}

/** A buffer of unknown length: a constant offset, checked at attach (`check_buffer_access`, `check_tp_buffer_access`). */
export function checkBufferAccess(env: Env, kind: string, regno: number, off: number, size: number): void {
  const reg = env.peek(regno);
  if (off < 0) reject(env, 'EACCES', `R${regno} invalid ${kind} buffer access: off=${off}, size=${size}`);
  if (isConst(reg) && constOff(reg) === 0) return;
  reject(env, 'EACCES', `R${regno} invalid variable buffer offset: off=${off}, var_off=${tnumText(reg)}`);
}

/** A pointer that may carry neither a variable nor, unless `fixedOk`, a constant offset (`__check_ptr_off_reg`). */
export function checkPtrOff(env: Env, regno: number, name: string, fixedOk: boolean): void {
  const reg = env.peek(regno);
  if (reg.off < 0) {
    reject(env, 'EACCES', `negative offset ${name} ptr R${regno} off=${reg.off} disallowed`);
  }
  if (!fixedOk && reg.off) {
    reject(env, 'EACCES', `dereference of modified ${name} ptr R${regno} off=${reg.off} disallowed`);
  }
  if (!isConst(reg) || constOff(reg) !== 0) {
    reject(env, 'EACCES', `variable ${name} access var_off=${tnumText(reg)} disallowed`);
  }
}

/** Bounds of a size argument, before the memory itself is looked at (`check_mem_size_reg`). */
export function checkSizeBounds(env: Env, regno: number, zeroSizeAllowed: boolean): void {
  const reg = env.peek(regno);
  if (smin(reg) < 0) {
    reject(env, 'EACCES', `R${regno} min value is negative, either use unsigned or 'var &= const'`);
  }
  if ((reg.uminLo | reg.uminHi) === 0 && !zeroSizeAllowed) {
    const range = `[${decimal(reg.uminLo, reg.uminHi)},${decimal(reg.umaxLo, reg.umaxHi)}]`;
    reject(env, 'EACCES', `R${regno} invalid zero-sized read: u64=${range}`);
  }
  if (umax(reg) >= MAX_VAR_OFF) {
    reject(env, 'EACCES', `R${regno} unbounded memory access, use 'var &= const' or 'if (var < const)'`);
  }
}

/** Whether the variable part of a stack pointer is too wide to look at. */
export const isUnboundedOffset = (reg: RegView): boolean => smax(reg) >= MAX_VAR_OFF || smin(reg) <= -MAX_VAR_OFF;
