import { cfiOffset } from '../target/index.ts';
import { type Emitter, REG, X } from '../x86/index.ts';
import { type JitState, movImm64, roundUp8 } from './_state.ts';
import type { JitContext, Wide } from './types.ts';

const ENDBR64 = [0xf3, 0x0f, 0x1e, 0xfa] as const;
export const MAX_TAIL_CALL_CNT = 33;
const CALLEE_SAVED = [REG.rbx, REG.r13, REG.r14, REG.r15] as const;
const PRIVATE_STACK_GUARD = 8;
const ALL = [true, true, true, true] as const;

/** `endbr64` where the configuration has IBT; whether the CPU enforces it does not matter. */
export function emitEndbr(e: Emitter, ctx: JitContext): void {
  if (ctx.features.ibt) e.raw(...ENDBR64);
}

/** FineIBT+BHI: where the seven bytes of a preamble's branch stand, and the size of the thunks that it calls. */
const BRANCH_AT = 9;
const PREAMBLE_SIZE = 16;
const BHI_THUNK_SIZE = 32;

/** What a preamble says of the function's type: its hash, and its number of argument registers (FineIBT+BHI only). */
export interface CfiType {
  hash: number;
  arity: number;
}

/**
 * What stands in front of everything that is called indirectly (emit_cfi):
 *
 *     kcfi      b8 HH HH HH HH  90 × padding │ endbr64
 *     fineibt   endbr64  sub reg, hash  j… trap │ poison
 *     off       │ endbr64
 *
 * The bar is the address that callers use, `cfiOffset` bytes from the start. With BHI the branch is a call of the arity's
 * thunk. `image`: low half of the address that these bytes get.
 */
export function emitCfi(e: Emitter, ctx: JitContext, { hash, arity }: CfiType, image: number): void {
  switch (ctx.features.cfi) {
    case 'fineibt': {
      const { era } = ctx;
      const at = e.length;
      e.raw(...era.fineibtJit);
      new DataView(e.bytes.buffer).setUint32(at + era.fineibtHashOffset, hash >>> 0, true);
      if (ctx.features.cfiBhi) {
        const thunk = ctx.symbols.bhiArgs + BHI_THUNK_SIZE * arity;
        e.bytes.set([0x2e, 0x2e, 0xe8], at + BRANCH_AT);
        new DataView(e.bytes.buffer).setInt32(at + BRANCH_AT + 3, (thunk - (image + at + PREAMBLE_SIZE)) | 0, true);
      }
      e.raw(...era.endbrPoison);
      return;
    }
    case 'kcfi':
      e.plus(X.mov_ZvIv, 4, REG.rax);
      e.u32(hash);
      for (let i = 0; i < ctx.features.callPadding; i++) e.op(X.nop);
      emitEndbr(e, ctx);
      return;
    case 'off':
      emitEndbr(e, ctx);
  }
}

/** Prologue up to the first instruction (emit_prologue and the pushes after it in do_jit). */
export function emitPrologue(state: JitState): void {
  const { e, fn, ctx } = state;
  const mark = (what: string, start: number) => state.segments.push({ start, end: e.length, what });
  const { program, subprogram } = ctx.hashes;
  emitCfi(e, ctx, fn.isSubprogram ? { hash: subprogram, arity: 5 } : { hash: program, arity: 1 }, state.image);
  const entry = cfiOffset(ctx.features);
  if (entry > 0) mark('CFI preamble', 0);
  const start = e.length;
  if (start > entry) mark(ctx.features.cfi === 'fineibt' ? 'poisoned endbr' : 'entry: indirect calls land here', entry);
  e.nops(5);
  mark('patch site for fentry and fexit', start);
  const frame = e.length;
  if (!fn.fromClassic) {
    const pointer = ctx.era.tailCallByPointer;
    if (fn.tailCallReachable && !fn.isSubprogram) e.reg(X.xor_EvGv, pointer ? 8 : 4, REG.rax, REG.rax);
    else e.nops(pointer ? 3 : 2);
  }
  if (fn.exceptionCallback) {
    // rsp and rbp of the frame to return to come as arguments 2 and 3.
    e.reg(X.mov_EvGv, 8, REG.rsp, REG.rsi);
    e.reg(X.mov_EvGv, 8, REG.rbp, REG.rdx);
    popCalleeSaved(e, ALL);
    e.plus(X.pop_Zq, 8, REG.r12);
    e.reg(X.mov_EvGv, 8, REG.rsp, REG.rbp);
  } else {
    e.plus(X.push_Zq, 8, REG.rbp);
    e.reg(X.mov_EvGv, 8, REG.rbp, REG.rsp);
  }
  emitEndbr(e, ctx);
  if (fn.stackDepth > 0 && fn.privateStack === undefined) e.regImm32(X.sub_EvIz, 8, REG.rsp, roundUp8(fn.stackDepth));
  if (fn.tailCallReachable) {
    if (ctx.era.tailCallByPointer) emitTailCallCounter(e, fn.isSubprogram);
    else e.plus(X.push_Zq, 8, REG.rax);
  }
  if (fn.exceptionBoundary) {
    e.plus(X.push_Zq, 8, REG.r12);
    pushCalleeSaved(e, ALL);
  } else {
    if (fn.arena !== undefined) e.plus(X.push_Zq, 8, REG.r12);
    pushCalleeSaved(e, state.used);
  }
  if (fn.arena !== undefined) movImm64(e, ctx.era, REG.r12, fn.arena.kernel.lo, fn.arena.kernel.hi);
  if (fn.privateStack !== undefined) emitPrivateStack(state, fn.privateStack);
  mark('prologue', frame);
}

/** r9 = top of this CPU's private stack, above its lower guard word (emit_priv_frame_ptr). */
function emitPrivateStack({ e, fn, ctx }: JitState, stack: Wide): void {
  const low = (stack.lo >>> 0) + PRIVATE_STACK_GUARD + roundUp8(fn.stackDepth);
  movImm64(e, ctx.era, REG.r9, low | 0, (stack.hi + Math.floor(low / 0x1_0000_0000)) | 0);
  e.u8(0x65);
  e.memAbsolute(X.add_GvEv, 8, ctx.symbols.thisCpuOffset, REG.r9);
}

/**
 * The tail call counter by pointer: rax is the counter itself at the program's entry, a pointer to it after a tail call
 * from a subprogram (values above the limit).
 */
function emitTailCallCounter(e: Emitter, isSubprogram: boolean): void {
  if (!isSubprogram) {
    e.regImm8(X.cmp_EvIb, 8, REG.rax, MAX_TAIL_CALL_CNT);
    e.rel8(X.jcc_Jb[7]!, 6);
    e.plus(X.push_Zq, 8, REG.rax);
    e.reg(X.mov_EvGv, 8, REG.rax, REG.rsp);
    e.rel8(X.jmp_Jb, 1);
    e.plus(X.push_Zq, 8, REG.rax);
    e.plus(X.push_Zq, 8, REG.rax);
  } else {
    e.plus(X.push_Zq, 8, REG.rax);
    e.plus(X.push_Zq, 8, REG.rax);
  }
}

function pushCalleeSaved(e: Emitter, used: readonly boolean[]): void {
  CALLEE_SAVED.forEach((register, i) => {
    if (used[i]) e.plus(X.push_Zq, 8, register);
  });
}

function popCalleeSaved(e: Emitter, used: readonly boolean[]): void {
  for (let i = 3; i >= 0; i--) if (used[i]) e.plus(X.pop_Zq, 8, CALLEE_SAVED[i]!);
}

/** Restores what the prologue pushed after the frame. */
export function popSaved(state: JitState): void {
  const { e, fn } = state;
  if (fn.exceptionBoundary) {
    popCalleeSaved(e, ALL);
    e.plus(X.pop_Zq, 8, REG.r12);
  } else {
    popCalleeSaved(e, state.used);
    if (fn.arena !== undefined) e.plus(X.pop_Zq, 8, REG.r12);
  }
}

/** A return, or a jump to the active return thunk (emit_return). `image` is the address of the emitter's byte 0. */
export function emitReturn(e: Emitter, ctx: JitContext, image: number): void {
  if (ctx.features.rethunk) {
    e.rel32(X.jmp_Jz, (ctx.symbols.returnThunk - (image + e.length + 5)) | 0);
    return;
  }
  e.op(X.ret);
  if (ctx.features.sls) e.op(X.int3);
}

/** An indirect jump through `register` (emit_indirect_jump): bare, fenced, or through one of three kinds of thunks. */
export function emitIndirectJump(e: Emitter, ctx: JitContext, register: number, image: number): void {
  const { features, symbols } = ctx;
  const thunk = (array: number, stride = 32) =>
    e.rel32(X.jmp_Jz, (array + stride * register - (image + e.length + 5)) | 0);
  // Under paranoid FineIBT the thunk is entered two bytes early, at the branch that belongs to a caller's hash check.
  if (features.its) thunk(symbols.itsThunks - (features.cfiParanoid ? 2 : 0), 64);
  else if (features.retpolineLfence) {
    e.op(X.lfence);
    e.reg(X.jmp_Eq, 8, register);
  } else if (features.retpoline) thunk(features.callDepth ? symbols.indirectJumpThunks : symbols.indirectThunks);
  else {
    e.reg(X.jmp_Eq, 8, register);
    if (features.retpolineConfig || features.sls) e.op(X.int3);
  }
}

/** Call depth accounting before a call: `sar qword gs:[rip + counter], 5` (x86_call_depth_emit_accounting). */
export function emitAccounting(e: Emitter, ctx: JitContext, image: number, callee = 0): void {
  if (!ctx.features.callDepth || ctx.accountedCallees.has(callee)) return;
  e.raw(0x65, 0x48, 0xc1, 0x3d);
  e.u32((ctx.symbols.callDepth - (image + e.length + 5)) | 0);
  e.u8(5);
}

/** A direct call with accounting. */
export function emitCall(e: Emitter, ctx: JitContext, target: number, image: number): void {
  emitAccounting(e, ctx, image, target >>> 0);
  e.rel32(X.call_Jz, (target - (image + e.length + 5)) | 0);
}

/** Bytes of a callee that a tail call skips: nop5, nop or xor of 3 or 2, push rbp, mov rbp rsp, and the entry's ENDBR. */
export const skippedByTailCall = ({ era, features }: Pick<JitContext, 'era' | 'features'>): number =>
  (era.tailCallByPointer ? 12 : 11) + (features.ibt ? 4 : 0);
