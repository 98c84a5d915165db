import { type Insn, JMP } from '../../bpf/index.ts';
import { isTrusted } from '../access/kfunc_pointer.ts';
import { isBranchTaken, refineBranch, setConst } from '../domain/index.ts';
import { DST_REG_STACK, SRC_REG_STACK } from './backtrack.ts';
import { pushStack } from './branch.ts';
import { isMayGoto } from './cfg.ts';
import type { VerifierEnv } from './env.ts';
import { printInsnState } from './log.ts';
import { collectLinkedRegs, markChainPrecision, pushInsnHistory, syncLinkedRegs } from './precise.ts';
import * as T from './reg_types.table.ts';
import { checkBounds, checkRegArg } from './regs.ts';
import { RegState, type RegView, reject, type VerifierState } from './types.ts';
import { findPrevEntry, widenImprecise } from './widen.ts';

const { JEQ, JGT, JGE, JNE, JLT, JLE } = JMP;

const isPacket = (reg: RegView) => reg.type === T.PTR_TO_PACKET || reg.type === T.PTR_TO_PACKET_META;

/** A pointer that cannot be NULL (`reg_not_null`). */
function regNotNull(reg: RegView): boolean {
  if (reg.type & T.PTR_MAYBE_NULL) return false;
  switch (reg.type & T.BASE_TYPE_MASK) {
    case T.PTR_TO_SOCKET:
    case T.PTR_TO_TCP_SOCK:
    case T.PTR_TO_MAP_VALUE:
    case T.PTR_TO_MAP_KEY:
    case T.PTR_TO_SOCK_COMMON:
    case T.CONST_PTR_TO_MAP:
      return true;
    case T.PTR_TO_MEM:
      return (reg.type & T.PTR_UNTRUSTED) === 0;
    case T.PTR_TO_BTF_ID:
      return isTrusted(reg);
    default:
      return false;
  }
}

const isPointer = (reg: RegView) => reg.type !== T.SCALAR_VALUE && reg.type !== T.NOT_INIT;

/** Constants that jumps compare with: for the branch walked now and for the other. */
const constant = new RegState();
const otherConstant = new RegState();

function setImmediate(reg: RegState, imm: number): RegState {
  reg.type = T.SCALAR_VALUE;
  setConst(reg, imm, imm >> 31);
  return reg;
}

/** 1, 0 or -1 (unknown), pointers included (`is_branch_taken`). */
function branchTaken(a: RegView, b: RegView, op: number, jmp32: boolean): number {
  if (isPointer(b) && isPointer(a) && !jmp32) return packetBranchTaken(a, b, op);
  if (isPointer(a) || isPointer(b)) {
    if (jmp32) return -1;
    const pointer = isPointer(a) ? a : b;
    const value = pointer === a ? b : a;
    if (isPointer(value) || (value.maskLo | value.maskHi | value.varLo | value.varHi) !== 0) return -1;
    if (!regNotNull(pointer)) return -1;
    if (op === JEQ) return 0;
    return op === JNE ? 1 : -1;
  }
  return isBranchTaken(op, a, b, jmp32);
}

function packetBranchTaken(a: RegView, b: RegView, op: number): number {
  let pkt = a;
  let flipped = op;
  if (b.type === T.PTR_TO_PACKET_END && isPacket(a)) pkt = a;
  else if (a.type === T.PTR_TO_PACKET_END && isPacket(b)) {
    pkt = b;
    flipped = { [JGT]: JLT, [JGE]: JLE, [JLT]: JGT, [JLE]: JGE }[op] ?? op;
  } else return -1;
  if (pkt.pktRange >= 0) return -1;
  const beyond = pkt.pktRange === -2;
  if (flipped === JLE) return beyond ? 0 : -1;
  if (flipped === JGT) return beyond ? 1 : -1;
  if (flipped === JLT) return beyond || pkt.pktRange === -1 ? 0 : -1;
  if (flipped === JGE) return beyond || pkt.pktRange === -1 ? 1 : -1;
  return -1;
}

/** Learns a packet's bounds from a comparison with its end (`try_match_pkt_pointers`). */
function matchPacket(
  env: VerifierEnv,
  insn: Insn,
  dst: RegView,
  src: RegView,
  here: VerifierState,
  there: VerifierState,
): boolean {
  if ((insn.code & 8) === 0 || (insn.code & 7) === 6) return false;
  const op = insn.code & 0xf0;
  const ends = (end: RegView, pkt: RegView) =>
    (end.type === T.PTR_TO_PACKET_END && pkt.type === T.PTR_TO_PACKET) ||
    (pkt.type === T.PTR_TO_PACKET_META &&
      end.type === T.PTR_TO_PACKET &&
      (end.maskLo | end.maskHi | end.varLo | end.varHi | end.off) === 0);
  const dstIsPkt = ends(src, dst);
  if (!dstIsPkt && !ends(dst, src)) return false;
  const pkt = dstIsPkt ? dst : src;
  const regno = dstIsPkt ? insn.dst : insn.src;
  let open: boolean;
  let stateWithRange: VerifierState;
  const normal = dstIsPkt ? op : ({ [JGT]: JLT, [JGE]: JLE, [JLT]: JGT, [JLE]: JGE }[op] ?? op);
  if (normal === JGT) [stateWithRange, open] = [here, false];
  else if (normal === JLT) [stateWithRange, open] = [there, true];
  else if (normal === JGE) [stateWithRange, open] = [here, true];
  else if (normal === JLE) [stateWithRange, open] = [there, false];
  else return false;
  env.ops.findGoodPktPointers(stateWithRange, pkt, pkt.type, open);
  const other = stateWithRange === here ? there : here;
  const reg = other.frame[other.curframe]!.reg(regno);
  if (reg.type === T.PTR_TO_PACKET) reg.pktRange = normal === JGT || normal === JLE ? -2 : -1;
  return true;
}

/** A conditional jump (`check_cond_jmp_op`): sets `env.insnIdx` to the branch walked now. */
export function checkCondJump(env: VerifierEnv, insn: Insn): void {
  const op = insn.code & 0xf0;
  const at = env.insnIdx;
  const here = env.cur;
  const jmp32 = (insn.code & 7) === 6;
  if (isMayGoto(insn)) {
    if (insn.dst !== 0 || insn.imm !== 0) reject(env, 'EINVAL', `invalid may_goto imm ${insn.imm}`);
    const prev = findPrevEntry(env, here.parent, at);
    const through = pushStack(env, at + 1, at, false);
    through.mayGotoDepth++;
    if (prev) widenImprecise(env, prev, through);
    env.insnIdx = at + 1 + insn.off;
    return;
  }
  if (op > 0xd0 || op === 0) reject(env, 'EINVAL', `invalid BPF_JMP/JMP32 opcode ${op.toString(16)}`);
  const func = env.func();
  const bySrc = (insn.code & 8) !== 0;
  if (bySrc) {
    if (insn.imm !== 0) reject(env, 'EINVAL', 'BPF_JMP/JMP32 uses reserved fields');
    checkRegArg(env, insn.src, 'src');
  } else if (insn.src !== 0) reject(env, 'EINVAL', 'BPF_JMP/JMP32 uses reserved fields');
  checkRegArg(env, insn.dst, 'src');
  const left = func.peek(insn.dst);
  const right = bySrc ? func.peek(insn.src) : setImmediate(constant, insn.imm);
  const onStack =
    (right.type === T.PTR_TO_STACK ? SRC_REG_STACK : 0) | (left.type === T.PTR_TO_STACK ? DST_REG_STACK : 0);
  if (onStack) pushInsnHistory(env, onStack);
  const taken = branchTaken(left, right, op, jmp32);
  if (taken >= 0) {
    if (!isPointer(left)) markChainPrecision(env, insn.dst);
    if (bySrc && !isPointer(right)) markChainPrecision(env, insn.src);
    if (env.input.logLevel) printInsnState(env, here, here.curframe);
    env.insnIdx = taken === 1 ? at + insn.off + 1 : at + 1;
    return;
  }
  const linked = collectLinkedRegs(env, here, insn);
  if (linked.length > 1) pushInsnHistory(env, 0, linked);
  const there = pushStack(env, at + insn.off + 1, at, false, false);
  const other = there.frame[there.curframe]!;
  const dst = func.reg(insn.dst);
  const src = bySrc ? func.reg(insn.src) : constant;
  const otherDst = other.reg(insn.dst);
  const otherSrc = bySrc ? other.reg(insn.src) : setImmediate(otherConstant, insn.imm);
  if (dst.type === T.SCALAR_VALUE && src.type === T.SCALAR_VALUE) {
    refineBranch(otherDst, otherSrc, dst, src, op, jmp32);
    checkBounds(env, otherDst, 'true_reg1');
    checkBounds(env, otherSrc, 'true_reg2');
    checkBounds(env, dst, 'false_reg1');
    checkBounds(env, src, 'false_reg2');
  }
  if (bySrc && src.type === T.SCALAR_VALUE && src.id && linked.length > 1) {
    syncLinkedRegs(env, here, src, linked);
    syncLinkedRegs(env, there, otherSrc, linked);
  }
  if (dst.type === T.SCALAR_VALUE && dst.id) {
    syncLinkedRegs(env, here, dst, linked);
    syncLinkedRegs(env, there, otherDst, linked);
  }
  const equal = op === JEQ || op === JNE;
  if (!jmp32 && bySrc && equal && isPointer(src) && isPointer(dst)) {
    const srcNull = (src.type & T.PTR_MAYBE_NULL) !== 0;
    const dstNull = (dst.type & T.PTR_MAYBE_NULL) !== 0;
    const btf = (reg: RegState) => (reg.type & T.BASE_TYPE_MASK) === T.PTR_TO_BTF_ID;
    if (srcNull !== dstNull && !btf(src) && !btf(dst)) {
      const eq = op === JEQ ? there : here;
      env.ops.markPtrOrNullRegs(env, eq, srcNull ? insn.src : insn.dst, false);
    }
  }
  if (!jmp32 && !bySrc && insn.imm === 0 && equal && dst.type & T.PTR_MAYBE_NULL) {
    env.ops.markPtrOrNullRegs(env, here, insn.dst, op === JNE);
    env.ops.markPtrOrNullRegs(env, there, insn.dst, op === JEQ);
  } else matchPacket(env, insn, dst, src, here, there);
  if (env.input.logLevel) printInsnState(env, here, here.curframe);
  env.insnIdx = at + 1;
}
