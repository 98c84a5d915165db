import { CALL, CLASS, type Insn, JMP, LD_IMM64, PSEUDO, PSEUDO_CALL } from '../bpf/index.ts';
import { blindConstants, type JitFunction, type JitImage, jitFunction } from '../jit/index.ts';
import type { GuestPtr } from '../machine/index.ts';
import type { RewrittenFunction } from '../verifier/index.ts';
import type { Kernel } from './kernel.ts';

const TAIL_CALL = CLASS.JMP | JMP.TAIL_CALL;

/** A function of a loaded program: the main one, or a subprogram. */
export interface LoadedFunction {
  name: string;
  /** Final instructions, as the JIT got them. */
  insns: Insn[];
  /** Slot in the resolved program of each final instruction. */
  origin: Int32Array;
  stackDepth: number;
  image: JitImage;
  /** The address that is called. */
  entry: GuestPtr;
}

/**
 * Compiles the functions of a program and gives them places in BPF text, symbols and exception handlers
 * (jit_subprogs, bpf_jit_binary_pack_finalize). What undoes it is appended to `undo`.
 */
export function placeFunctions(
  kernel: Kernel,
  functions: readonly RewrittenFunction[],
  undo: (() => void)[],
): LoadedFunction[] {
  const { memory } = kernel;
  const prepared = kernel.target.features.jitHarden === 2 ? functions.map((part) => blinded(part, kernel)) : functions;
  const stacks = prepared.map((part) => privateStack(kernel, part, undo));
  // A first pass tells every image's size; calls between functions have the same length whatever their distance.
  const somewhere = prepared.map(() => kernel.jit.symbols.callBase + 1);
  const entries = prepared.map((part, i) => {
    const sized = jitFunction(
      jitInput(withCallees(part, somewhere, kernel), part, i, stacks[i]),
      kernel.jit,
      () => kernel.jit.symbols.callBase,
    );
    const address = kernel.images.alloc(sized.bytes.length, 64);
    undo.push(() => kernel.images.free(address));
    return { address, entry: address + sized.entryOffset };
  });
  const callees = entries.map(({ entry }) => entry);
  return prepared.map((part, i): LoadedFunction => {
    const insns = withCallees(part, callees, kernel);
    const image = jitFunction(jitInput(insns, part, i, stacks[i]), kernel.jit, () => entries[i]!.address);
    memory.poke(image.address, image.bytes);
    const symbol = `bpf_prog_${part.name}`;
    kernel.symbols.add(symbol, entries[i]!.entry, image.bytes.length - image.entryOffset);
    undo.push(() => kernel.symbols.remove(symbol));
    for (const entry of image.extable) {
      const at = image.address + entry.offset;
      kernel.extable.set(at, { resume: at + entry.length, register: entry.register });
      undo.push(() => kernel.extable.delete(at));
    }
    return {
      name: part.name,
      insns,
      origin: part.origin,
      stackDepth: part.stackDepth,
      image,
      entry: entries[i]!.entry,
    };
  });
}

/** PRIV_STACK_GUARD_SZ, at either end of a private stack. */
const GUARD = 8;

/** The per-CPU address of the stack that holds the function's frame, where it has one of its own (6.13). */
function privateStack(
  kernel: Kernel,
  { privateStack: wanted, stackDepth }: RewrittenFunction,
  undo: (() => void)[],
): JitFunction['privateStack'] {
  if (!wanted || !kernel.target.era.privateStacks) return undefined;
  const stack = kernel.percpu.alloc(((stackDepth + 7) & ~7) + 2 * GUARD, 8);
  undo.push(() => kernel.percpu.free(stack));
  return { lo: stack - kernel.percpuBase, hi: 0 };
}

function blinded(part: RewrittenFunction, { blinding }: Kernel): RewrittenFunction {
  // Tail calls of blinded programs are never direct.
  const indirect = part.insns.map((insn) => (insn.code === TAIL_CALL ? { ...insn, imm: 0 } : insn));
  const { insns, origin } = blindConstants(indirect, () => blinding.u32());
  return { ...part, insns, origin: origin.map((slot) => part.origin[slot]!) };
}

/** The function's instructions with the addresses of those it calls. */
function withCallees(part: RewrittenFunction, targets: readonly GuestPtr[], kernel: Kernel): Insn[] {
  return part.insns.map((insn, i, all) => {
    if (insn.code === CALL && insn.src === PSEUDO_CALL)
      return { ...insn, imm: (targets[insn.off]! - kernel.jit.symbols.callBase) | 0 };
    if (insn.code === LD_IMM64 && insn.src === PSEUDO.FUNC) return { ...insn, imm: targets[insn.off]! | 0 };
    const before = all[i - 1];
    return before?.code === LD_IMM64 && before.src === PSEUDO.FUNC ? { ...insn, imm: -1 } : insn;
  });
}

function jitInput(
  insns: Insn[],
  part: RewrittenFunction,
  index: number,
  stack: JitFunction['privateStack'],
): JitFunction {
  return {
    insns,
    stackDepth: part.stackDepth,
    isSubprogram: index > 0,
    tailCallReachable: part.tailCallReachable,
    exceptionCallback: part.exceptionCallback,
    exceptionBoundary: false,
    fromClassic: false,
    unprivileged: false,
    ...(stack === undefined ? {} : { privateStack: stack }),
  };
}
