import { CLASS, EXIT, type Insn, JMP, PSEUDO_CALL, SRC_X } from '../bpf/index.ts';
import { REG, X } from '../x86/index.ts';
import { emitCall, emitIndirectJump, emitReturn, MAX_TAIL_CALL_CNT, popSaved, skippedByTailCall } from './_frame.ts';
import { isImm8, type JitState, roundUp8 } from './_state.ts';
import { JitError } from './error.ts';

/** x86 condition code of each BPF comparison. */
const CONDITION: Record<number, number> = {
  [JMP.JEQ]: 4,
  [JMP.JSET]: 5,
  [JMP.JNE]: 5,
  [JMP.JGT]: 7,
  [JMP.JLT]: 2,
  [JMP.JGE]: 3,
  [JMP.JLE]: 6,
  [JMP.JSGT]: 15,
  [JMP.JSLT]: 12,
  [JMP.JSGE]: 13,
  [JMP.JSLE]: 14,
};

/** Instructions of the classes JMP and JMP32 at slot `index` (0-based); false for one that the JIT does not know. */
export function emitJump(state: JitState, insn: Insn, index: number): boolean {
  const { code } = insn;
  const op = code & 0xf0;
  if ((code & 7) === CLASS.JMP) {
    if (op === JMP.CALL && (code & SRC_X) === 0) return emitBpfCall(state, insn);
    if (op === JMP.TAIL_CALL) {
      if (insn.imm !== 0) emitTailCallDirect(state, index);
      else emitTailCallIndirect(state);
      return true;
    }
    if (code === EXIT) {
      emitExit(state, index);
      return true;
    }
  }
  if (op === JMP.JA) {
    const distance = (code & 7) === CLASS.JMP ? insn.off : insn.imm;
    emitGoto(state, index, distance === -1 ? -2 : distanceOf(state, index, distance));
    return true;
  }
  const condition = CONDITION[op];
  if (condition === undefined) return false;
  emitCompare(state, insn, op);
  emitConditional(state, index, condition, distanceOf(state, index, insn.off));
  return true;
}

/** Distance between the end of instruction `index` and its target, as of the passes so far. */
function distanceOf({ addrs }: JitState, index: number, slots: number): number {
  return addrs[index + 1 + slots]! - addrs[index + 1]!;
}

function emitCompare(state: JitState, insn: Insn, op: number): void {
  const { e } = state;
  const size = (insn.code & 7) === CLASS.JMP ? 8 : 4;
  const dst = state.regs[insn.dst]!;
  if ((insn.code & SRC_X) !== 0) e.reg(op === JMP.JSET ? X.test_EvGv : X.cmp_EvGv, size, dst, state.regs[insn.src]!);
  else if (op === JMP.JSET) e.regImm32(X.test_EvIz, size, dst, insn.imm);
  else if (insn.imm === 0) e.reg(X.test_EvGv, size, dst, dst);
  else if (isImm8(insn.imm)) e.regImm8(X.cmp_EvIb, size, dst, insn.imm);
  else e.regImm32(X.cmp_EvIz, size, dst, insn.imm);
}

const isShort = (state: JitState, distance: number) => distance <= state.ctx.era.shortJumpMax && distance >= -128;

/** In the last passes jumps keep their size: what shrank is made up with nops in front. `start` is where the instruction began. */
function pad(state: JitState, index: number, jumpSize: number, allowed: readonly number[]): void {
  if (!state.padding) return;
  const { e, addrs } = state;
  const missing = addrs[index + 1]! - addrs[index]! - (e.length - addrs[index]!) - jumpSize;
  if (!allowed.includes(missing))
    throw new JitError(`unexpected jump padding: ${missing} bytes`, 'EFAULT', `insn ${index}`);
  e.nops(missing);
}

function emitConditional(state: JitState, index: number, condition: number, distance: number): void {
  if (isShort(state, distance)) {
    pad(state, index, 2, [0, 4]);
    state.e.rel8(X.jcc_Jb[condition]!, distance);
  } else state.e.rel32(X.jcc_Jz[condition]!, distance);
}

function emitGoto(state: JitState, index: number, distance: number): void {
  if (distance === 0) pad(state, index, 0, [0, 2, 5]);
  else emitPlainJump(state, index, distance);
}

function emitPlainJump(state: JitState, index: number, distance: number): void {
  if (isShort(state, distance)) {
    pad(state, index, 2, [0, 3]);
    state.e.rel8(X.jmp_Jb, distance);
  } else state.e.rel32(X.jmp_Jz, distance);
}

function emitExit(state: JitState, index: number): void {
  const { e, ctx, fn } = state;
  if (state.seenExit) {
    emitPlainJump(state, index, state.cleanup - state.addrs[index + 1]!);
    return;
  }
  state.seenExit = true;
  state.cleanup = e.length;
  if (fn.fromClassic && fn.unprivileged && ctx.features.clearBhbLoop) {
    e.plus(X.push_Zq, 8, REG.rax);
    e.plus(X.push_Zq, 8, REG.rcx);
    emitCall(e, ctx, ctx.symbols.clearBhbLoop, state.image);
    e.plus(X.pop_Zq, 8, REG.rcx);
    e.plus(X.pop_Zq, 8, REG.rax);
    e.raw(0xf3, 0x48, 0x0f, 0x1e, 0xf8);
  }
  popSaved(state);
  e.op(X.leave);
  emitReturn(e, ctx, state.image);
}

/** rbp-relative place of the tail call counter, or of the pointer to it. */
const counterPlace = ({ ctx, fn }: JitState) => (ctx.era.tailCallByPointer ? -16 : -8) - roundUp8(fn.stackDepth);

function emitBpfCall(state: JitState, insn: Insn): boolean {
  const { e, ctx, fn } = state;
  if (insn.imm === 0) return false;
  const reloads = ctx.era.counterReload === 'calls' || insn.src === PSEUDO_CALL;
  if (fn.tailCallReachable && reloads) e.mem(X.mov_GvEv, 8, REG.rbp, counterPlace(state), REG.rax, 4);
  if (fn.privateStack !== undefined) e.plus(X.push_Zq, 8, REG.r9);
  emitCall(e, ctx, ctx.symbols.callBase + insn.imm, state.image);
  if (fn.privateStack !== undefined) e.plus(X.pop_Zq, 8, REG.r9);
  return true;
}

/** Jumps to the end (`label` bytes from `start`) if the limit is reached. A counter by value is counted up here. */
function emitLimitCheck(state: JitState, start: number, label: number): void {
  const { e, ctx } = state;
  const out = () => e.rel8(X.jcc_Jb[3]!, label - (e.length + 2 - start));
  if (ctx.era.tailCallByPointer) {
    e.mem(X.mov_GvEv, 8, REG.rbp, counterPlace(state), REG.rax, 4);
    e.mem(X.cmp_EvIb, 8, REG.rax, 0);
    e.u8(MAX_TAIL_CALL_CNT);
    out();
    return;
  }
  // The upper half of the pushed rax.
  const place = counterPlace(state) + 4;
  e.mem(X.mov_GvEv, 4, REG.rbp, place, REG.rax, 4);
  e.regImm8(X.cmp_EvIb, 4, REG.rax, MAX_TAIL_CALL_CNT);
  out();
  e.regImm8(X.add_EvIb, 4, REG.rax, 1);
  e.mem(X.mov_EvGv, 4, REG.rbp, place, REG.rax, 4);
}

/** Counts the call by the pointer, and takes down the frame. */
function emitLeaveForTailCall(state: JitState): void {
  const { e, fn, ctx } = state;
  if (ctx.era.tailCallByPointer) {
    e.mem(X.add_EvIb, 8, REG.rax, 0);
    e.u8(1);
  }
  popSaved(state);
  e.plus(X.pop_Zq, 8, REG.rax);
  if (ctx.era.tailCallByPointer) e.plus(X.pop_Zq, 8, REG.rax);
  if (fn.stackDepth > 0) e.regImm32(X.add_EvIz, 8, REG.rsp, roundUp8(fn.stackDepth));
}

/** bpf_tail_call with an index known only at run time: rdi ctx, rsi array, rdx index. */
function emitTailCallIndirect(state: JitState): void {
  const { e, ctx } = state;
  const start = e.length;
  const out = (condition: number) => e.rel8(X.jcc_Jb[condition]!, state.indirectLabel - (e.length + 2 - start));
  e.reg(X.mov_EvGv, 4, REG.rdx, REG.rdx);
  e.mem(X.cmp_EvGv, 4, REG.rsi, ctx.offsets.bpfArrayMaxEntries, REG.rdx, 1);
  out(6);
  emitLimitCheck(state, start, state.indirectLabel);
  e.memIndex(X.mov_GvEv, 8, REG.rsi, REG.rdx, 8, ctx.offsets.bpfArrayPtrs, REG.rcx, 4);
  e.reg(X.test_EvGv, 8, REG.rcx, REG.rcx);
  out(4);
  emitLeaveForTailCall(state);
  e.mem(X.mov_GvEv, 8, REG.rcx, ctx.offsets.bpfProgBpfFunc, REG.rcx, 1);
  e.regImm8(X.add_EvIb, 8, REG.rcx, skippedByTailCall(ctx));
  emitIndirectJump(e, ctx, REG.rcx, state.image);
  state.indirectLabel = e.length - start;
}

/** bpf_tail_call with a constant index: a jump over the sequence until the slot is filled, then a direct jump at its end. */
function emitTailCallDirect(state: JitState, index: number): void {
  const { e } = state;
  const start = e.length;
  emitLimitCheck(state, start, state.directLabel);
  const bypass = e.length;
  e.rel32(X.jmp_Jz, state.directLabel - (bypass + 5 - start));
  emitLeaveForTailCall(state);
  e.nops(5);
  state.directLabel = e.length - start;
  state.pokes.push({ insn: index, target: e.length - 5, bypass });
}
