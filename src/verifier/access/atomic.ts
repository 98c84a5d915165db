import type { Insn } from '../../bpf/index.ts';
import { typeStr } from '../core/log.ts';
import * as T from '../core/reg_types.table.ts';
import { checkRegArg } from '../core/regs.ts';
import { type Env, reject } from '../core/types.ts';
import { BPF_READ, BPF_WRITE } from './region.ts';

const FETCH = 0x01;
const XCHG = 0xe1;
const CMPXCHG = 0xf1;
const LOAD_ACQUIRE = 0x100;
const STORE_RELEASE = 0x110;
const READ_MODIFY_WRITE = new Set([0x00, 0x01, 0x40, 0x41, 0x50, 0x51, 0xa0, 0xa1, XCHG, CMPXCHG]);
/** What the x86-64 JIT does in arenas as one instruction (`bpf_jit_supports_insn`). */
const ARENA_OPERATIONS = new Set([0x00, FETCH, 0x40, 0x50, 0xa0, XCHG, CMPXCHG, LOAD_ACQUIRE, STORE_RELEASE]);
const DW = 0x18;
const W = 0;
/** Pointers through which no atomic access is allowed (`atomic_ptr_type_ok`). */
const REFUSED: readonly number[] = [T.PTR_TO_CTX, T.PTR_TO_PACKET, T.PTR_TO_PACKET_META, T.PTR_TO_FLOW_KEYS];

function checkPointerType(env: Env, insn: Insn, regno: number): void {
  const { type } = env.reg(regno);
  const isSocket = [T.PTR_TO_SOCKET, T.PTR_TO_SOCK_COMMON, T.PTR_TO_TCP_SOCK, T.PTR_TO_XDP_SOCK].includes(type);
  if (!isSocket && !REFUSED.includes(type) && type !== T.PTR_TO_ARENA) return;
  if (type === T.PTR_TO_ARENA && ARENA_OPERATIONS.has(insn.imm)) return;
  const verb = insn.imm === LOAD_ACQUIRE || insn.imm === STORE_RELEASE ? 'BPF_ATOMIC loads from' : '';
  const what = insn.imm === STORE_RELEASE ? 'BPF_ATOMIC stores into' : verb || 'BPF_ATOMIC stores into';
  reject(env, 'EACCES', `${what} R${regno} ${typeStr(type)} is not allowed`);
}

function checkReadModifyWrite(env: Env, insn: Insn): void {
  const { insnIdx } = env;
  const size = insn.code & DW;
  if (size !== W && size !== DW) reject(env, 'EINVAL', 'invalid atomic operand size');
  checkRegArg(env, insn.src, 'src');
  checkRegArg(env, insn.dst, 'src');
  if (insn.imm === CMPXCHG) checkRegArg(env, 0, 'src');
  checkPointerType(env, insn, insn.dst);
  const load = (insn.imm & FETCH) === 0 ? -1 : insn.imm === CMPXCHG ? 0 : insn.src;
  if (load >= 0) checkRegArg(env, load, 'dst_no_mark');
  env.ops.checkMemAccess(env, insnIdx, insn.dst, insn.off, size, BPF_READ, -1, true, false);
  if (load >= 0) env.ops.checkMemAccess(env, insnIdx, insn.dst, insn.off, size, BPF_READ, load, true, false);
  env.ops.checkMemAccess(env, insnIdx, insn.dst, insn.off, size, BPF_WRITE, -1, true, false);
}

/** `check_atomic` of 6.18: read-modify-write operations, load-acquire and store-release. Throws `Reject`. */
export function checkAtomic(env: Env, insn: Insn): void {
  const { insnIdx } = env;
  const size = insn.code & DW;
  if (insn.imm === LOAD_ACQUIRE) {
    checkRegArg(env, insn.src, 'src');
    checkRegArg(env, insn.dst, 'dst_no_mark');
    checkPointerType(env, insn, insn.src);
    const { type } = env.reg(insn.src);
    env.ops.checkMemAccess(env, insnIdx, insn.src, insn.off, size, BPF_READ, insn.dst, true, false);
    env.ops.saveAuxPtrType(env, type, true);
    return;
  }
  if (insn.imm === STORE_RELEASE) {
    checkRegArg(env, insn.src, 'src');
    checkRegArg(env, insn.dst, 'src');
    checkPointerType(env, insn, insn.dst);
    const { type } = env.reg(insn.dst);
    env.ops.checkMemAccess(env, insnIdx, insn.dst, insn.off, size, BPF_WRITE, insn.src, true, false);
    env.ops.saveAuxPtrType(env, type, false);
    return;
  }
  if (!READ_MODIFY_WRITE.has(insn.imm)) {
    reject(env, 'EINVAL', `BPF_ATOMIC uses invalid atomic opcode ${(insn.imm >>> 0).toString(16).padStart(2, '0')}`);
  }
  const { type } = env.reg(insn.dst);
  checkReadModifyWrite(env, insn);
  env.ops.saveAuxPtrType(env, type, false);
}
