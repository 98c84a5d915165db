import { fromHex, TrampetError } from '../base/index.ts';
import { readInsns } from '../bpf/index.ts';
import { type JitContext, type JitFunction, jitFunction } from '../jit/index.ts';
import { compareCode } from './_compare.ts';
import { contextOf, type Golden, type GoldenSubprogram, low, releaseOf, wide } from './_golden.ts';
import type { Checker, Outcome } from './types.ts';

/** JIT images: the recorded final instructions, compiled, against the image in the kernel's memory. */
export const checkImages: Checker = {
  kind: 'images',
  *check(directory, mode, object) {
    const golden = directory.golden(mode, object) as Golden | undefined;
    if (golden?.programs === undefined || golden.kernelSymbols === undefined) return;
    const release = releaseOf(golden);
    for (const program of golden.programs) {
      for (const part of program.subprogs ?? []) {
        const name = part.name === program.name ? program.name : `${program.name}/${part.name}`;
        if (release === undefined) yield { name, status: 'unsupported', why: `kernel ${golden.version} is not known` };
        else yield compareImage(name, part, program.type, object, contextOf(golden, release, directory));
      }
    }
  },
};

function compareImage(name: string, part: GoldenSubprogram, type: string, object: string, ctx: JitContext): Outcome {
  const fn: JitFunction = {
    insns: readInsns(fromHex(part.jitInsnsHex)),
    stackDepth: part.stackDepth,
    isSubprogram: part.funcIdx > 0,
    tailCallReachable: part.tailCallReachable,
    exceptionCallback: part.exceptionCb,
    exceptionBoundary: part.exceptionBoundary,
    fromClassic: part.fromCbpf,
    unprivileged: object.includes('unpriv') && type !== '',
    ...(part.privStack ? { privateStack: wide(part.privStackPtr!) } : {}),
  };
  try {
    const image = jitFunction(fn, ctx, () => low(part.image));
    return compareCode(name, image.bytes, part.hexBeforeTailCallFixup ?? part.hex, BigInt(part.image));
  } catch (error) {
    if (error instanceof TrampetError) {
      return error.kind === 'unsupported'
        ? { name, status: 'unsupported', why: error.message }
        : { name, status: 'failed', at: '-', want: 'an image', got: error.message };
    }
    throw error;
  }
}
