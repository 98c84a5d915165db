import { cfiOffset } from '../target/index.ts';
import { Emitter, REG, X } from '../x86/index.ts';
import { emitAccounting, emitCall, emitCfi, emitReturn } from './_frame.ts';
import {
  describeFrame,
  type Layout,
  layOut,
  TRAMP_F,
  type TrampolineFrame,
  type TrampolineLink,
  type TrampolineSpec,
} from './_layout.ts';
import { isImm8, movImm32, movImm64, movReg } from './_state.ts';
import { JitError } from './error.ts';
import type { JitContext, Segment } from './types.ts';

/** Bytes after the code that the kernel accounts for but does not write (BPF_INSN_SAFETY). */
export const TRAMPOLINE_SAFETY = 64;
const PAGE_SIZE = 4096;
/** rdi, rsi, rdx, rcx, r8, r9. */
const ARGUMENTS = [REG.rdi, REG.rsi, REG.rdx, REG.rcx, REG.r8, REG.r9] as const;

export interface TrampolineImage {
  /** Low 32 bits of the address of byte 0. */
  address: number;
  bytes: Uint8Array;
  /** What the kernel accounts for: code and safety bytes. */
  allocated: number;
  entryOffset: number;
  /** Offsets that later text pokes use; −1 without CALL_ORIG. */
  ipAfterCall: number;
  ipEpilogue: number;
  segments: Segment[];
  frame: TrampolineFrame;
}

class TrampolineWriter {
  readonly e = new Emitter();
  readonly segments: Segment[] = [];
  readonly #spec: TrampolineSpec;
  readonly #ctx: JitContext;
  readonly #layout: Layout;
  readonly #image: number;

  constructor(spec: TrampolineSpec, ctx: JitContext, layout: Layout, image: number) {
    this.#spec = spec;
    this.#ctx = ctx;
    this.#layout = layout;
    this.#image = image;
  }

  #mark(what: string, start: number): void {
    if (this.e.length > start) this.segments.push({ start, end: this.e.length, what });
  }

  write(): { ipAfterCall: number; ipEpilogue: number } {
    const { e } = this;
    const { flags, fentry, fexit, fmodRet } = this.#spec;
    const layout = this.#layout;
    let start = 0;
    if ((flags & TRAMP_F.INDIRECT) !== 0) {
      emitCfi(e, this.#ctx, this.#spec, this.#image);
      const entry = cfiOffset(this.#ctx.features);
      if (entry > 0) this.segments.push({ start: 0, end: entry, what: "CFI preamble: the stub's hash" });
      if (e.length > entry)
        this.segments.push({
          start: entry,
          end: e.length,
          what: this.#ctx.features.cfi === 'fineibt' ? 'poisoned endbr: kdata points here' : 'endbr: kdata points here',
        });
    } else {
      emitAccounting(e, this.#ctx, this.#image);
      this.#mark('call depth accounting', 0);
    }
    start = e.length;
    e.plus(X.push_Zq, 8, REG.rbp);
    e.reg(X.mov_EvGv, 8, REG.rbp, REG.rsp);
    if (isImm8(layout.size)) e.regImm8(X.sub_EvIb, 8, REG.rsp, layout.size);
    else e.regImm32(X.sub_EvIz, 8, REG.rsp, layout.size);
    if ((flags & TRAMP_F.TAIL_CALL_CTX) !== 0) e.plus(X.push_Zq, 8, REG.rax);
    this.#store(REG.rbx, -layout.rbx);
    this.#mark('frame', start);
    start = e.length;
    movImm64(e, this.#ctx.era, REG.rax, layout.nrRegs, 0);
    this.#store(REG.rax, -layout.nregs);
    if ((flags & TRAMP_F.IP_ARG) !== 0) {
      movImm64(e, this.#ctx.era, REG.rax, this.#spec.func.lo, this.#spec.func.hi);
      this.#store(REG.rax, -layout.ip);
    }
    this.#saveArguments(layout.regs, false);
    this.#mark('arguments → ctx', start);
    let ipAfterCall = -1;
    let ipEpilogue = -1;
    if ((flags & TRAMP_F.CALL_ORIG) !== 0) this.#callWithImage('__bpf_tramp_enter');
    for (const link of fentry) this.#invoke(link, (flags & TRAMP_F.RET_FENTRY_RET) !== 0);
    const branches = fmodRet.length > 0 ? this.#invokeModifyReturn(fmodRet) : [];
    if ((flags & TRAMP_F.CALL_ORIG) !== 0) ipAfterCall = this.#callOriginal();
    if (fmodRet.length > 0) {
      e.nops((16 - ((this.#image + e.length) & 15)) & 15);
      for (const at of branches) this.#patchBranch(at);
    }
    for (const link of fexit) this.#invoke(link, false);
    start = e.length;
    if ((flags & TRAMP_F.RESTORE_REGS) !== 0) this.#restoreArguments();
    if ((flags & TRAMP_F.CALL_ORIG) !== 0) {
      ipEpilogue = e.length;
      this.#callWithImage('__bpf_tramp_exit');
    } else if ((flags & TRAMP_F.TAIL_CALL_CTX) !== 0) this.#loadCounter();
    if (layout.saveReturn) this.#load(REG.rax, -8);
    this.#load(REG.rbx, -layout.rbx);
    e.op(X.leave);
    if ((flags & TRAMP_F.SKIP_FRAME) !== 0) e.regImm8(X.add_EvIb, 8, REG.rsp, 8);
    emitReturn(e, this.#ctx, this.#image);
    this.#mark('return', start);
    return { ipAfterCall, ipEpilogue };
  }

  #store(register: number, disp: number): void {
    this.e.mem(X.mov_EvGv, 8, REG.rbp, disp, register, 1);
  }

  #load(register: number, disp: number): void {
    this.e.mem(X.mov_GvEv, 8, REG.rbp, disp, register, 1);
  }

  #call(target: number): void {
    emitCall(this.e, this.#ctx, target, this.#image);
  }

  #callWithImage(symbol: '__bpf_tramp_enter' | '__bpf_tramp_exit'): void {
    const start = this.e.length;
    movImm64(this.e, this.#ctx.era, REG.rdi, this.#spec.image.lo, this.#spec.image.hi);
    this.#call(this.#ctx.symbols[symbol]!);
    this.#mark(symbol, start);
  }

  #loadCounter(): void {
    this.e.mem(X.mov_GvEv, 8, REG.rbp, -((this.#layout.size + 7) & ~7) - 8, REG.rax, 4);
  }

  /** Argument registers to the frame; with `onlyStack`, the caller's stack arguments for the traced function (save_args). */
  #saveArguments(top: number, onlyStack: boolean): void {
    const { argSizes } = this.#spec.model;
    let place = top;
    let registers = 0;
    let stackSlots = 0;
    let firstStackPlace = 0;
    for (const size of argSizes) {
      const count = (size + 7) >> 3;
      if (registers + count > 6) {
        for (let j = 0; j < count; j++) {
          // Above rbp: saved rbp, return address, return address of the traced function's caller.
          this.#load(REG.rax, stackSlots * 8 + 0x18);
          this.#store(REG.rax, -place);
          if (stackSlots === 0) firstStackPlace = place;
          place -= 8;
          stackSlots++;
        }
      } else if (onlyStack) registers += count;
      else {
        for (let j = 0; j < count; j++) {
          this.#store(ARGUMENTS[registers]!, -place);
          place -= 8;
          registers++;
        }
      }
    }
    // A lone stack argument of at most 4 bytes may have garbage above it.
    if (stackSlots === 1 && argSizes.at(-1)! <= 4) {
      this.e.mem(X.mov_EvIz, 4, REG.rbp, -(firstStackPlace - 4), 0, 1);
      this.e.u32(0);
    }
  }

  #restoreArguments(): void {
    let place = this.#layout.regs;
    let registers = 0;
    for (const size of this.#spec.model.argSizes) {
      const count = (size + 7) >> 3;
      if (registers + count <= 6) {
        for (let j = 0; j < count; j++) {
          this.#load(ARGUMENTS[registers++]!, -place);
          place -= 8;
        }
      } else place -= 8 * count;
      if (registers >= 6) break;
    }
  }

  /** enter, program unless enter said no, exit (invoke_bpf_prog). */
  #invoke(link: TrampolineLink, saveReturn: boolean): void {
    const { e } = this;
    const { runCtx, regs } = this.#layout;
    const lea = (register: number, disp: number) => e.mem(X.lea_GvM, 8, REG.rbp, disp, register, 1);
    let start = e.length;
    movImm64(e, this.#ctx.era, REG.rdi, link.cookie.lo, link.cookie.hi);
    this.#store(REG.rdi, -runCtx + this.#ctx.offsets.trampRunCtxCookie);
    movImm64(e, this.#ctx.era, REG.rdi, link.prog.lo, link.prog.hi);
    lea(REG.rsi, -runCtx);
    this.#call(link.enter);
    movReg(e, 8, REG.rbx, REG.rax);
    e.reg(X.test_EvGv, 8, REG.rax, REG.rax);
    e.rel8(X.jcc_Jb[4]!, 0);
    const branch = e.length;
    this.#mark('enter; 0 skips the program', start);
    start = e.length;
    lea(REG.rdi, -regs);
    this.#call(link.bpfFunc);
    if (saveReturn) this.#store(REG.rax, -8);
    this.#mark('the program: a direct call, without hash', start);
    start = e.length;
    e.bytes[branch - 1] = e.length - branch;
    movImm64(e, this.#ctx.era, REG.rdi, link.prog.lo, link.prog.hi);
    movReg(e, 8, REG.rsi, REG.rbx);
    lea(REG.rdx, -runCtx);
    this.#call(link.exit);
    this.#mark('exit', start);
  }

  /** fmod_ret programs: a value other than zero skips the traced function. Gives the places of the branches. */
  #invokeModifyReturn(links: readonly TrampolineLink[]): number[] {
    const { e } = this;
    movImm32(e, false, REG.rax, 0);
    this.#store(REG.rax, -8);
    return links.map((link) => {
      this.#invoke(link, true);
      e.mem(X.cmp_EvIb, 8, REG.rbp, -8, 0, 1);
      e.u8(0);
      const at = e.length;
      e.nops(6);
      return at;
    });
  }

  #patchBranch(at: number): void {
    const { e } = this;
    e.bytes.set([0x0f, 0x85], at);
    new DataView(e.bytes.buffer).setInt32(at + 2, e.length - (at + 6), true);
  }

  #callOriginal(): number {
    const { e } = this;
    const { flags, func, funcHasEndbr } = this.#spec;
    const start = e.length;
    this.#restoreArguments();
    this.#saveArguments(this.#layout.stackArgs, true);
    if ((flags & TRAMP_F.TAIL_CALL_CTX) !== 0) this.#loadCounter();
    if ((flags & TRAMP_F.ORIG_STACK) !== 0) {
      this.#load(REG.rbx, 8);
      e.reg(X.call_Eq, 8, REG.rbx);
    } else {
      // Past the ENDBR and the patched call that led here.
      const skip = (flags & TRAMP_F.SKIP_FRAME) !== 0 ? (funcHasEndbr ? 4 : 0) + 5 : 0;
      this.#call((func.lo >>> 0) + skip);
    }
    this.#store(REG.rax, -8);
    const after = e.length;
    e.nops(5);
    this.#mark('the traced function', start);
    return after;
  }
}

/**
 * Emits a trampoline as __arch_prepare_bpf_trampoline (arch/x86/net/bpf_jit_comp.c) does. `place` gets the size that the
 * kernel accounts for and gives the low 32 bits of the image's address.
 * @throws JitError ENOTSUPP for more than 12 argument registers, EFAULT if it exceeds a page.
 */
export function emitTrampoline(
  spec: TrampolineSpec,
  ctx: JitContext,
  place: (allocated: number) => number,
): TrampolineImage {
  if ((spec.flags & TRAMP_F.INDIRECT) !== 0 && (spec.flags & ~(TRAMP_F.INDIRECT | TRAMP_F.RET_FENTRY_RET)) !== 0) {
    throw new JitError(`BPF_TRAMP_F_INDIRECT does not go with flags 0x${spec.flags.toString(16)}`, 'EINVAL');
  }
  const layout = layOut(spec, ctx);
  const sizing = new TrampolineWriter(spec, ctx, layout, 0);
  sizing.write();
  const allocated = sizing.e.length + TRAMPOLINE_SAFETY;
  if (allocated > PAGE_SIZE) throw new JitError(`trampoline of ${allocated} bytes exceeds a page`, 'EFAULT');
  const address = place(allocated);
  const writer = new TrampolineWriter(spec, ctx, layout, address);
  const places = writer.write();
  return {
    address,
    bytes: writer.e.take(),
    allocated: writer.e.length + TRAMPOLINE_SAFETY,
    entryOffset: (spec.flags & TRAMP_F.INDIRECT) !== 0 ? cfiOffset(ctx.features) : 0,
    ...places,
    segments: writer.segments,
    frame: describeFrame(layout, spec),
  };
}
