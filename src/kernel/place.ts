import { CALL, type Insn, LD_IMM64, PSEUDO, PSEUDO_CALL } from '../bpf/index.ts';
import { blindConstants, type JitFunction, type JitImage, jitFunction } from '../jit/index.ts';
import type { GuestPtr } from '../machine/index.ts';
import type { FunctionRange } from '../verifier/index.ts';
import type { Kernel } from './kernel.ts';

/** A function of a program after all rewrites; calls between functions and LD_IMM64 of functions name the callee's first slot. */
export interface PreparedFunction {
  name: string;
  range: FunctionRange;
  insns: Insn[];
  /** Slot in the loaded program of each instruction. */
  origin: Int32Array;
  stackDepth: number;
}

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
  functions: readonly PreparedFunction[],
  undo: (() => void)[],
): LoadedFunction[] {
  const { memory } = kernel;
  const prepared = kernel.target.features.jitHarden === 2 ? functions.map((part) => blinded(part, kernel)) : functions;
  // A first pass tells every image's size; calls between functions have the same length whatever their distance.
  const somewhere = new Map(prepared.map(({ range }) => [range.start, kernel.jit.symbols.callBase + 1]));
  const entries = prepared.map((part, i) => {
    const sized = jitFunction(
      jitInput(withCallees(part, somewhere, kernel), part, i),
      kernel.jit,
      () => kernel.jit.symbols.callBase,
    );
    const address = kernel.images.alloc(sized.bytes.length, 64);
    undo.push(() => kernel.images.free(address));
    return { address, entry: address + sized.entryOffset };
  });
  const callees = new Map(prepared.map(({ range }, i) => [range.start, entries[i]!.entry]));
  return prepared.map((part, i): LoadedFunction => {
    const insns = withCallees(part, callees, kernel);
    const image = jitFunction(jitInput(insns, part, i), kernel.jit, () => entries[i]!.address);
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

function blinded(part: PreparedFunction, { blinding }: Kernel): PreparedFunction {
  const { insns, origin } = blindConstants(part.insns, () => blinding.u32());
  return { ...part, insns, origin: origin.map((slot) => part.origin[slot]!) };
}

/** The function's instructions with the addresses of those it calls. */
function withCallees(part: PreparedFunction, targets: ReadonlyMap<number, number>, kernel: Kernel): Insn[] {
  return part.insns.map((insn, i, all) => {
    if (insn.code === CALL && insn.src === PSEUDO_CALL)
      return { ...insn, src: 0, imm: (targets.get(insn.imm)! - kernel.jit.symbols.callBase) | 0 };
    if (insn.code === LD_IMM64 && insn.src === PSEUDO.FUNC) return { ...insn, src: 0, imm: targets.get(insn.imm)! | 0 };
    const before = all[i - 1];
    return before?.code === LD_IMM64 && before.src === PSEUDO.FUNC ? { ...insn, imm: -1 } : insn;
  });
}

function jitInput(insns: Insn[], part: PreparedFunction, index: number): JitFunction {
  return {
    insns,
    stackDepth: part.stackDepth,
    isSubprogram: index > 0,
    tailCallReachable: false,
    exceptionCallback: false,
    exceptionBoundary: false,
    fromClassic: false,
    unprivileged: false,
  };
}
