import { TrampetError } from '../base/index.ts';
import { emitTrampoline, type JitContext, TRAMP_F, type TrampolineLink } from '../jit/index.ts';
import { compareCode } from './_compare.ts';
import { contextOf, type GoldenTrampoline, low, readGolden, releaseOf, wide } from './_golden.ts';
import type { Checker, Outcome } from './types.ts';

/** Trampolines: rebuilt from prototype, flags and links, against the image in the kernel's memory. */
export const checkTrampolines: Checker = {
  kind: 'trampolines',
  *check(directory, mode, object) {
    const golden = readGolden(directory, mode, object);
    if (golden?.trampolines === undefined || golden.kernelSymbols === undefined) return;
    const release = releaseOf(golden);
    for (const trampoline of golden.trampolines) {
      if (release === undefined)
        yield { name: trampoline.symbol, status: 'unsupported', why: `kernel ${golden.version} is not known` };
      else yield compareTrampoline(trampoline, contextOf(golden, release, directory));
    }
  },
};

function compareTrampoline(golden: GoldenTrampoline, ctx: JitContext): Outcome {
  const links = (kind: string): TrampolineLink[] =>
    golden.links
      .filter((link) => link.kind === kind)
      .map((link) => ({
        cookie: wide(link.cookie),
        prog: wide(link.progPtr),
        bpfFunc: low(link.bpfFunc),
        enter: ctx.symbols[link.enter as `__bpf_${string}`]!,
        exit: ctx.symbols[link.exit as `__bpf_${string}`]!,
      }));
  const flags = Number(golden.flags);
  const { model } = golden;
  const name = golden.symbol;
  try {
    const image = emitTrampoline(
      {
        model: {
          argSizes: model.argSizes,
          argFlags: model.argFlags,
          returnSize: model.retSize,
          returnFlags: model.retFlags,
        },
        flags,
        fentry: (flags & TRAMP_F.INDIRECT) !== 0 ? links('struct_ops') : links('fentry'),
        fexit: links('fexit'),
        fmodRet: links('fmod_ret'),
        hash: low(golden.funcHash),
        arity: 0,
        func: wide(golden.targetAddr),
        funcHasEndbr: ctx.features.ibt,
        image: wide(golden.im),
      },
      ctx,
      () => low(golden.addr),
    );
    if (image.allocated !== golden.allocLen)
      return { name, status: 'failed', at: 'size', want: String(golden.allocLen), got: String(image.allocated) };
    return compareCode(name, image.bytes, golden.hex, BigInt(golden.addr));
  } catch (error) {
    if (error instanceof TrampetError) {
      return error.kind === 'unsupported'
        ? { name, status: 'unsupported', why: error.message }
        : { name, status: 'failed', at: '-', want: 'a trampoline', got: error.message };
    }
    throw error;
  }
}
