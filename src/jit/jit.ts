import { CLASS, type Insn, LD_IMM64 } from '../bpf/index.ts';
import { cfiOffset } from '../target/index.ts';
import { Emitter } from '../x86/index.ts';
import { emitAlu } from './_alu.ts';
import { emitJump } from './_branch.ts';
import { emitPrologue } from './_frame.ts';
import { emitAtomic, emitLoad, emitStore, isAtomic } from './_memory.ts';
import { BPF_TO_X86, type JitState, movImm64, PRIVATE_STACK_REGS } from './_state.ts';
import { JitError } from './error.ts';
import type { JitContext, JitFunction, JitImage } from './types.ts';

const MAX_PASSES = 20;
/** From this pass on, jumps are padded so that the image stops shrinking. */
const PADDING_PASSES = MAX_PASSES - 5;
/** First guess of an instruction's size. */
const GUESS = 64;
const MAX_INSN_SIZE = 128;

/**
 * Compiles one function as bpf_int_jit_compile (arch/x86/net/bpf_jit_comp.c) does: passes until the size is stable, then
 * one more at the address that `place` gives for that size (low 32 bits of the image's first byte).
 * @throws JitError for an instruction that the kernel's JIT does not know, or a program that does not converge.
 */
export function jitFunction(fn: JitFunction, ctx: JitContext, place: (size: number) => number): JitImage {
  const count = fn.insns.length;
  const state: JitState = {
    e: new Emitter(),
    fn,
    ctx,
    image: 0,
    addrs: new Int32Array(count + 1),
    padding: false,
    regs: fn.privateStack === undefined ? BPF_TO_X86 : PRIVATE_STACK_REGS,
    used: usedCalleeSaved(fn.insns),
    cleanup: GUESS * (count + 1),
    seenExit: false,
    directLabel: 0,
    indirectLabel: 0,
    extable: [],
    pokes: [],
    segments: [],
  };
  for (let i = 0; i <= count; i++) state.addrs[i] = GUESS * (i + 1);
  let before = 0;
  for (let pass = 0; pass < MAX_PASSES; pass++) {
    state.padding = pass >= PADDING_PASSES;
    const size = runPass(state);
    if (size === before) {
      state.image = place(size);
      if (runPass(state) !== size) throw new JitError('the image changed its size in the last pass', 'EFAULT');
      return {
        address: state.image,
        bytes: state.e.take(),
        entryOffset: cfiOffset(ctx.features),
        insnOffsets: state.addrs,
        extable: state.extable,
        pokes: state.pokes,
        segments: state.segments,
      };
    }
    before = size;
  }
  throw new JitError(`the image does not converge in ${MAX_PASSES} passes`, 'EFAULT');
}

/** rbx, r13, r14, r15 are saved if R6 … R9 appear in any instruction. */
function usedCalleeSaved(insns: readonly Insn[]): boolean[] {
  const used = [false, false, false, false];
  for (const { dst, src } of insns) {
    if (dst >= 6 && dst <= 9) used[dst - 6] = true;
    if (src >= 6 && src <= 9) used[src - 6] = true;
  }
  return used;
}

/** One pass over all instructions (do_jit); returns the image's size. */
function runPass(state: JitState): number {
  const { e, fn, addrs } = state;
  e.clear();
  state.seenExit = false;
  state.extable = [];
  state.pokes = [];
  state.segments = [];
  emitPrologue(state);
  addrs[0] = e.length;
  for (let i = 0; i < fn.insns.length; i++) {
    const insn = fn.insns[i]!;
    const start = e.length;
    if (insn.code === LD_IMM64) {
      const second = fn.insns[i + 1];
      if (second === undefined) throw new JitError('64-bit load has no second half', 'EINVAL', `insn ${i}`);
      movImm64(e, state.ctx.era, state.regs[insn.dst]!, insn.imm, second.imm);
      addrs[++i] = e.length;
    } else if (!emitInsn(state, insn, i)) {
      throw new JitError(`bpf_jit: unknown opcode ${insn.code.toString(16).padStart(2, '0')}`, 'EINVAL', `insn ${i}`);
    }
    if (e.length - start > MAX_INSN_SIZE) throw new JitError('bpf_jit: fatal insn size error', 'EFAULT', `insn ${i}`);
    addrs[i + 1] = e.length;
  }
  return e.length;
}

function emitInsn(state: JitState, insn: Insn, index: number): boolean {
  switch (insn.code & 7) {
    case CLASS.ALU:
    case CLASS.ALU64:
      return emitAlu(state, insn);
    case CLASS.LDX:
      return emitLoad(state, insn);
    case CLASS.ST:
      return emitStore(state, insn);
    case CLASS.STX:
      return isAtomic(insn) ? emitAtomic(state, insn) : emitStore(state, insn);
    case CLASS.JMP:
    case CLASS.JMP32:
      return emitJump(state, insn, index);
    default:
      return false;
  }
}
