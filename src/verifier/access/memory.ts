import type { VerifierEnv } from '../core/env.ts';
import { printLinfo, typeStr } from '../core/log.ts';
import * as T from '../core/reg_types.table.ts';
import { markRegKnown, markRegKnownZero, markRegUnknown } from '../core/regs.ts';
import { type Env, Reject, reject } from '../core/types.ts';
import { boundsSync, coerceToSize, coerceToSizeSx, isConst, tnumText } from '../domain/index.ts';
import * as P from '../tables/contexts.table.ts';
import { BPF_F_RDONLY_PROG } from '../tables/maps.table.ts';
import * as F from '../tables/special_fields.table.ts';
import type { Access } from './_access.ts';
import { type CtxAccess, checkCtxAccess } from './ctx.ts';
import { kernelStruct, mapStruct } from './kernel_struct.ts';
import { accessKptr } from './kptr.ts';
import { constOff } from './numbers.ts';
import { fieldAt } from './record.ts';
import * as R from './region.ts';
import { hookRange } from './return_code.ts';
import { checkFlowKeys, checkSockAccess } from './sockets.ts';
import { accessStack, checkStackBounds } from './stack.ts';

const { BPF_READ, BPF_WRITE } = R;

const BYTES: Readonly<Record<number, number>> = { 0: 4, 8: 2, 16: 1, 24: 8 };

const WORDS_OF_POINTER: Readonly<Record<number, string>> = {
  [T.PTR_TO_FLOW_KEYS]: 'flow keys ',
  [T.PTR_TO_MAP_KEY]: 'key ',
  [T.PTR_TO_MAP_VALUE]: 'value ',
  [T.PTR_TO_CTX]: 'context ',
  [T.PTR_TO_STACK]: 'stack ',
  [T.PTR_TO_SOCKET]: 'sock ',
  [T.PTR_TO_SOCK_COMMON]: 'sock_common ',
  [T.PTR_TO_TCP_SOCK]: 'tcp_sock ',
  [T.PTR_TO_XDP_SOCK]: 'xdp_sock ',
};

/** NET_IP_ALIGN where alignment is asked for. */
const PACKET_ALIGN = 2;

/**
 * x86-64 has efficient unaligned access: without BPF_F_STRICT_ALIGNMENT only the stack is strict
 * (`check_ptr_alignment`).
 */
function checkAlignment(at: Access, strictOnce: boolean): void {
  const { env, reg, size } = at;
  if (reg.type === T.PTR_TO_ARENA || size === 1) return;
  if (!strictOnce && !env.strictAlignment && reg.type !== T.PTR_TO_STACK) return;
  const isPacket = reg.type === T.PTR_TO_PACKET || reg.type === T.PTR_TO_PACKET_META;
  const sum = (reg.varLo + at.off + (isPacket ? PACKET_ALIGN : 0)) | 0;
  if (((sum | reg.maskLo) & (size - 1)) === 0) return;
  const words = isPacket ? 'packet ' : (WORDS_OF_POINTER[reg.type] ?? '');
  const place = `${isPacket ? `${PACKET_ALIGN}+` : ''}${tnumText(reg)}+${reg.off}+${at.off - reg.off}`;
  reject(env, 'EACCES', `misaligned ${words}access off ${place} size ${size}`);
}

/** Memory that a helper takes as one number. */
export function requireAligned(env: Env, regno: number, size: number): void {
  const reg = env.peek(regno);
  const off = reg.off;
  const at = { env, insnIdx: env.insnIdx, regno, reg, off, size, access: BPF_READ, valueRegno: -1, isLdsx: false };
  checkAlignment(at, true);
}

function intoValue(at: Access): void {
  if (at.access === BPF_READ && at.valueRegno >= 0) markRegUnknown(at.env, at.env.reg(at.valueRegno));
}

function readOnly(at: Access): never {
  return reject(at.env, 'EACCES', `R${at.regno} cannot write into ${typeStr(at.reg.type)}`);
}

/** A load from a frozen read-only map whose bytes are known gives a constant. */
function loadKnownBytes(at: Access, data: Uint8Array): void {
  const from = at.off + constOff(at.reg);
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const dst = at.env.reg(at.valueRegno);
  let lo = 0;
  let hi = 0;
  if (at.size === 8) {
    lo = view.getInt32(from, true);
    hi = view.getInt32(from + 4, true);
  } else if (at.size === 4) {
    lo = view.getInt32(from, true);
    hi = at.isLdsx ? lo >> 31 : 0;
  } else {
    const bits = 32 - at.size * 8;
    const raw = at.size === 2 ? view.getUint16(from, true) : view.getUint8(from);
    lo = at.isLdsx ? (raw << bits) >> bits : raw;
    hi = at.isLdsx ? lo >> 31 : 0;
  }
  dst.type = T.SCALAR_VALUE;
  markRegKnown(dst, lo, hi);
}

function mapValue(at: Access): void {
  const { env, regno, reg, off, size } = at;
  R.checkMapAccessType(env, regno, off, size, at.access);
  R.checkMapAccess(env, regno, off, size, false, false);
  const map = reg.map!;
  if (isConst(reg)) {
    const place = off + constOff(reg);
    const field = fieldAt(map.record, place, F.BPF_KPTR | F.BPF_UPTR);
    if (field) {
      accessKptr(env, env.insns[at.insnIdx]!, at.valueRegno, field);
      return;
    }
    if (at.access === BPF_READ && at.valueRegno >= 0 && map.frozen && map.flags & BPF_F_RDONLY_PROG && map.data) {
      loadKnownBytes(at, map.data);
      return;
    }
  }
  intoValue(at);
}

function memory(at: Access): void {
  const { env, reg, regno } = at;
  if (reg.type & T.PTR_MAYBE_NULL) reject(env, 'EACCES', `R${regno} invalid mem access '${typeStr(reg.type)}'`);
  if (at.access === BPF_WRITE && reg.type & T.MEM_RDONLY) readOnly(at);
  const probed = (reg.type & (T.MEM_RDONLY | T.PTR_UNTRUSTED)) === (T.MEM_RDONLY | T.PTR_UNTRUSTED);
  if (!probed) R.checkMemRegion(env, regno, at.off, at.size, reg.memSize, false);
  intoValue(at);
}

function setFromContext(at: Access, found: CtxAccess): void {
  const { env } = at;
  const dst = env.reg(at.valueRegno);
  if (found.type === T.SCALAR_VALUE) {
    markRegUnknown(env, dst);
    const range = found.returned ? hookRange(env) : null;
    if (range) {
      Object.assign(dst, { s32min: range.minval, s32max: range.maxval });
      Object.assign(dst, { sminLo: range.minval, sminHi: range.minval >> 31, smaxLo: range.maxval, smaxHi: 0 });
      boundsSync(dst);
    }
    return;
  }
  markRegKnownZero(dst);
  if (found.type & T.PTR_MAYBE_NULL) dst.id = ++env.idGen;
  dst.subregDef = T.DEF_NOT_SUBREG;
  dst.btf = found.btf;
  dst.btfId = found.btfId;
  dst.type = found.type;
}

function context(at: Access): void {
  const { env, regno } = at;
  R.checkPtrOff(env, regno, typeStr(at.reg.type), env.input.progType === P.PROG_SYSCALL);
  try {
    const found = checkCtxAccess(env, at.insnIdx, at.off, at.size, at.access, at.isLdsx);
    if (at.access === BPF_READ && at.valueRegno >= 0) setFromContext(at, found);
  } catch (error) {
    if (error instanceof Reject) printLinfo(env as VerifierEnv, at.insnIdx, '; ');
    throw error;
  }
}

function packet(at: Access): void {
  const { env } = at;
  if (at.access === BPF_WRITE) {
    if (!P.PACKET_WRITERS.includes(env.input.progType)) reject(env, 'EACCES', 'cannot write into packet');
    env.seenDirectWrite = true;
  }
  R.checkPacketAccess(env, at.regno, at.off, at.size, false);
  intoValue(at);
}

function buffer(at: Access): void {
  if (at.reg.type & T.MEM_RDONLY && at.access === BPF_WRITE) readOnly(at);
  accessBuffer(at.env, at.regno, at.off, at.size);
  intoValue(at);
}

/** Bytes of a buffer whose length is checked at attach. */
export function accessBuffer(env: Env, regno: number, off: number, size: number): void {
  const isReadOnly = (env.peek(regno).type & T.MEM_RDONLY) !== 0;
  R.checkBufferAccess(env, isReadOnly ? 'rdonly' : 'rdwr', regno, off, size);
  if (isReadOnly) env.maxRdonlyAccess = Math.max(env.maxRdonlyAccess, off + size);
  else env.maxRdwrAccess = Math.max(env.maxRdwrAccess, off + size);
}

function stack(at: Access): void {
  checkStackBounds(at.env, at.regno, at.off, at.size, at.access, false);
  accessStack(at.env, at.regno, at.off, at.size, at.access, at.valueRegno, at.insnIdx);
}

function mapKey(at: Access): void {
  if (at.access === BPF_WRITE) reject(at.env, 'EACCES', `write to change key R${at.regno} not allowed`);
  R.checkMemRegion(at.env, at.regno, at.off, at.size, at.reg.map!.keySize, false);
  intoValue(at);
}

function socket(at: Access): void {
  if (at.access === BPF_WRITE) readOnly(at);
  checkSockAccess(at.env, at.insnIdx, at.regno, at.off, at.size);
  intoValue(at);
}

function flowKeys(at: Access): void {
  checkFlowKeys(at.env, at.off, at.size);
  intoValue(at);
}

function tracepointBuffer(at: Access): void {
  R.checkBufferAccess(at.env, 'tracepoint', at.regno, at.off, at.size);
  at.env.maxTpAccess = Math.max(at.env.maxTpAccess, at.off + at.size);
  intoValue(at);
}

/** Pointers that are checked whatever their flags, and those that must carry none. */
const ANY_FLAGS: Readonly<Record<number, (at: Access) => void>> = { [T.PTR_TO_MEM]: memory };
const NOT_NULL: Readonly<Record<number, (at: Access) => void>> = {
  [T.PTR_TO_BTF_ID]: kernelStruct,
  [T.PTR_TO_BUF]: buffer,
};
const PLAIN: Readonly<Record<number, (at: Access) => void>> = {
  [T.PTR_TO_MAP_KEY]: mapKey,
  [T.PTR_TO_MAP_VALUE]: mapValue,
  [T.PTR_TO_CTX]: context,
  [T.PTR_TO_STACK]: stack,
  [T.PTR_TO_PACKET]: packet,
  [T.PTR_TO_PACKET_META]: packet,
  [T.PTR_TO_ARENA]: intoValue,
  [T.PTR_TO_SOCKET]: socket,
  [T.PTR_TO_SOCK_COMMON]: socket,
  [T.PTR_TO_TCP_SOCK]: socket,
  [T.PTR_TO_XDP_SOCK]: socket,
  [T.PTR_TO_FLOW_KEYS]: flowKeys,
  [T.PTR_TO_TP_BUFFER]: tracepointBuffer,
  [T.CONST_PTR_TO_MAP]: mapStruct,
};
function handlerOf(type: number): ((at: Access) => void) | undefined {
  const base = type & T.BASE_TYPE_MASK;
  return ANY_FLAGS[base] ?? (type & T.PTR_MAYBE_NULL ? undefined : NOT_NULL[base]) ?? PLAIN[type];
}

/** A load or a store through R`regno` (`check_mem_access`, kernel/bpf/verifier.c, 6.18). Throws `Reject`. */
export function checkMemAccess(
  env: Env,
  insnIdx: number,
  regno: number,
  off: number,
  bpfSize: number,
  access: number,
  valueRegno: number,
  strictAlignmentOnce: boolean,
  isLdsx: boolean,
): void {
  const reg = env.peek(regno);
  const size = BYTES[bpfSize]!;
  const at: Access = { env, insnIdx, regno, reg, off: off + reg.off, size, access, valueRegno, isLdsx };
  checkAlignment(at, strictAlignmentOnce);
  const handler = handlerOf(reg.type);
  if (!handler) {
    reject(env, 'EACCES', `R${regno} invalid mem access '${typeStr(reg.type)}'`);
  }
  handler(at);
  if (access !== BPF_READ || size === 8 || valueRegno < 0) return;
  const dst = env.reg(valueRegno);
  if (dst.type !== T.SCALAR_VALUE) return;
  if (isLdsx) coerceToSizeSx(dst, size);
  else coerceToSize(dst, size);
}
