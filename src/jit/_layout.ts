import { JitError } from './error.ts';
import { type FuncModel, registerCount } from './model.ts';
import type { JitContext, Wide } from './types.ts';

/** BPF_TRAMP_F_* (include/linux/bpf.h, 6.12). */
export const TRAMP_F = {
  RESTORE_REGS: 1,
  CALL_ORIG: 2,
  SKIP_FRAME: 4,
  IP_ARG: 8,
  RET_FENTRY_RET: 16,
  ORIG_STACK: 32,
  SHARE_IPMODIFY: 64,
  TAIL_CALL_CTX: 128,
  INDIRECT: 256,
} as const;

const MAX_REGISTERS = 12;

/** One program on a trampoline. */
export interface TrampolineLink {
  cookie: Wide;
  /** Address of its `struct bpf_prog`. */
  prog: Wide;
  /** Low 32 bits of its `bpf_func`, of the enter and of the exit function. */
  bpfFunc: number;
  enter: number;
  exit: number;
}

export interface TrampolineSpec {
  model: FuncModel;
  flags: number;
  fentry: readonly TrampolineLink[];
  fexit: readonly TrampolineLink[];
  fmodRet: readonly TrampolineLink[];
  /** Hash that `cfi_get_func_hash` read from the stub: INDIRECT only. */
  hash: number;
  /** The arity that `cfi_get_func_arity` made of the stub: INDIRECT with FineIBT+BHI only. */
  arity: number;
  /** The traced function: its address for IP_ARG, and where CALL_ORIG calls. */
  func: Wide;
  /** The traced function starts with an ENDBR, or with a poisoned one. */
  funcHasEndbr: boolean;
  /** Address of `struct bpf_tramp_image`: CALL_ORIG only. */
  image: Wide;
}

/** The stack frame, in bytes below rbp. */
export interface TrampolineFrame {
  size: number;
  slots: { offset: number; what: string }[];
}

export interface Layout {
  nrRegs: number;
  saveReturn: boolean;
  regs: number;
  nregs: number;
  ip: number;
  rbx: number;
  runCtx: number;
  stackArgs: number;
  size: number;
}

/** Places in the frame, as distances below rbp (__arch_prepare_bpf_trampoline). */
export function layOut(spec: TrampolineSpec, ctx: JitContext): Layout {
  const { flags, model } = spec;
  const nrRegs = registerCount(model);
  if (nrRegs > MAX_REGISTERS)
    throw new JitError(`trampoline with ${nrRegs} argument registers (at most ${MAX_REGISTERS})`, 'ENOTSUPP');
  const saveReturn = (flags & (TRAMP_F.CALL_ORIG | TRAMP_F.RET_FENTRY_RET)) !== 0;
  let size = saveReturn ? 8 : 0;
  const below = (bytes: number): number => {
    size += bytes;
    return size;
  };
  const regs = below(8 * nrRegs);
  const nregs = below(8);
  const ip = below((flags & TRAMP_F.IP_ARG) !== 0 ? 8 : 0);
  const rbx = below(8);
  const runCtx = below((ctx.offsets.trampRunCtxSize + 7) & ~7);
  if (nrRegs > 6 && (flags & TRAMP_F.CALL_ORIG) !== 0) {
    below(8 * (nrRegs - usedRegisters(model)));
    // [size + rbp + return address + return address of the traced function] must be a multiple of 16.
    if (size % 16 === 0) below(8);
  }
  return { nrRegs, saveReturn, regs, nregs, ip, rbx, runCtx, stackArgs: size, size };
}

/** Registers that arguments use: a struct that does not fit in what is left goes to the stack, and later ones may still fit. */
function usedRegisters(model: FuncModel): number {
  let used = 0;
  for (const size of model.argSizes) {
    const registers = (size + 7) >> 3;
    if (used + registers <= 6) used += registers;
    if (used >= 6) break;
  }
  return used;
}

/** The frame in words, top first. */
export function describeFrame(layout: Layout, spec: TrampolineSpec): TrampolineFrame {
  const slots: TrampolineFrame['slots'] = [
    { offset: 8, what: 'return address' },
    { offset: 0, what: 'saved rbp' },
  ];
  if (layout.saveReturn) slots.push({ offset: -8, what: 'return value' });
  for (let i = layout.nrRegs - 1; i >= 0; i--)
    slots.push({ offset: -layout.regs + 8 * i, what: `argument ${i + 1}${i === 0 ? "  ← the program's ctx" : ''}` });
  slots.push({ offset: -layout.nregs, what: 'number of argument registers' });
  if ((spec.flags & TRAMP_F.IP_ARG) !== 0) slots.push({ offset: -layout.ip, what: 'address of the traced function' });
  slots.push({ offset: -layout.rbx, what: 'saved rbx' }, { offset: -layout.runCtx, what: 'struct bpf_tramp_run_ctx' });
  if (layout.stackArgs > layout.runCtx)
    slots.push({ offset: -layout.stackArgs, what: 'stack arguments for the traced function' });
  if ((spec.flags & TRAMP_F.TAIL_CALL_CTX) !== 0)
    slots.push({ offset: -layout.size - 8, what: 'pointer to the tail call counter' });
  return { size: layout.size, slots };
}
