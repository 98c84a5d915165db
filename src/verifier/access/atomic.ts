import { ATOMIC, type Insn, SIZE } from '../../bpf/index.ts';
import { typeStr } from '../core/log.ts';
import * as T from '../core/reg_types.table.ts';
import { checkBounds, checkRegArg } from '../core/regs.ts';
import { type Env, reject } from '../core/types.ts';
import { BPF_READ, BPF_WRITE } from './region.ts';

const { FETCH, XCHG, CMPXCHG, LOAD_ACQ, STORE_REL } = ATOMIC;
const { DW, W } = SIZE;
const READ_MODIFY_WRITE = new Set<number>([0x00, 0x01, 0x40, 0x41, 0x50, 0x51, 0xa0, 0xa1, XCHG, CMPXCHG]);
/** What the x86-64 JIT does in arenas as one instruction (`bpf_jit_supports_insn`). */
const ARENA_OPERATIONS = new Set<number>([0x00, FETCH, 0x40, 0x50, 0xa0, XCHG, CMPXCHG, LOAD_ACQ, STORE_REL]);
/** Pointers through which no atomic access is allowed. */
const REFUSED: readonly number[] = [
  T.PTR_TO_CTX,
  T.PTR_TO_PACKET,
  T.PTR_TO_PACKET_META,
  T.PTR_TO_FLOW_KEYS,
  T.PTR_TO_SOCKET,
  T.PTR_TO_SOCK_COMMON,
  T.PTR_TO_TCP_SOCK,
  T.PTR_TO_XDP_SOCK,
];

/** `atomic_ptr_type_ok`. */
function checkPointerType(env: Env, insn: Insn, regno: number, what: string): void {
  const { type } = env.peek(regno);
  if (type === T.PTR_TO_ARENA ? ARENA_OPERATIONS.has(insn.imm) : !REFUSED.includes(type)) return;
  reject(env, 'EACCES', `BPF_ATOMIC ${what} R${regno} ${typeStr(type)} is not allowed`);
}

/** `check_atomic_rmw`. Privileged programs may store pointers. */
function checkReadModifyWrite(env: Env, insn: Insn): void {
  const { insnIdx } = env;
  const size = insn.code & DW;
  if (size !== W && size !== DW) reject(env, 'EINVAL', 'invalid atomic operand size');
  checkRegArg(env, insn.src, 'src');
  checkRegArg(env, insn.dst, 'src');
  if (insn.imm === CMPXCHG) checkRegArg(env, 0, 'src');
  checkPointerType(env, insn, insn.dst, 'stores into');
  const load = (insn.imm & FETCH) === 0 ? -1 : insn.imm === CMPXCHG ? 0 : insn.src;
  if (load >= 0) checkRegArg(env, load, 'dst');
  env.ops.checkMemAccess(env, insnIdx, insn.dst, insn.off, size, BPF_READ, -1, true, false);
  if (load >= 0) env.ops.checkMemAccess(env, insnIdx, insn.dst, insn.off, size, BPF_READ, load, true, false);
  env.ops.saveAuxPtrType(env, env.peek(insn.dst).type, false);
  env.ops.checkMemAccess(env, insnIdx, insn.dst, insn.off, size, BPF_WRITE, -1, true, false);
}

function checkLoad(env: Env, insn: Insn): void {
  checkRegArg(env, insn.src, 'src');
  checkRegArg(env, insn.dst, 'dst_no_mark');
  const { type } = env.peek(insn.src);
  env.ops.checkMemAccess(env, env.insnIdx, insn.src, insn.off, insn.code & DW, BPF_READ, insn.dst, true, false);
  env.ops.saveAuxPtrType(env, type, false);
  checkBounds(env, env.reg(insn.dst), 'atomic_load');
  checkPointerType(env, insn, insn.src, 'loads from');
}

function checkStore(env: Env, insn: Insn): void {
  checkRegArg(env, insn.src, 'src');
  checkRegArg(env, insn.dst, 'src');
  const { type } = env.peek(insn.dst);
  env.ops.checkMemAccess(env, env.insnIdx, insn.dst, insn.off, insn.code & DW, BPF_WRITE, insn.src, true, false);
  env.ops.saveAuxPtrType(env, type, false);
  checkPointerType(env, insn, insn.dst, 'stores into');
}

/** `check_atomic` of 6.18: read-modify-write operations, load-acquire and store-release. Throws `Reject`. */
export function checkAtomic(env: Env, insn: Insn): void {
  if (insn.imm === LOAD_ACQ) checkLoad(env, insn);
  else if (insn.imm === STORE_REL) checkStore(env, insn);
  else if (READ_MODIFY_WRITE.has(insn.imm)) checkReadModifyWrite(env, insn);
  else {
    const opcode = (insn.imm >>> 0).toString(16).padStart(2, '0');
    reject(env, 'EINVAL', `BPF_ATOMIC uses invalid atomic opcode ${opcode}`);
  }
}
