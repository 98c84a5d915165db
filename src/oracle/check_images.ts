import { fromHex, TrampetError, toHex } from '../base/index.ts';
import { readInsns } from '../bpf/index.ts';
import { encodeExtable, type JitContext, type JitFunction, type JitImage, jitFunction } from '../jit/index.ts';
import { compareCode } from './_compare.ts';
import { contextOf, type GoldenSubprogram, low, readGolden, releaseOf, wide } from './_golden.ts';
import type { Checker, Outcome } from './types.ts';

/** JIT images: the recorded final instructions, compiled, against the image in the kernel's memory. */
export const checkImages: Checker = {
  kind: 'images',
  *check(directory, mode, object) {
    const golden = readGolden(directory, mode, object);
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

/** A recorded function's final instructions, compiled for where the kernel put its image. @throws JitError */
export function compileRecorded(part: GoldenSubprogram, type: string, object: string, ctx: JitContext): JitImage {
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
    ...(part.arenaKernel === undefined
      ? {}
      : { arena: { kernel: wide(part.arenaKernel), userHigh: part.arenaUserHigh ?? 0 } }),
  };
  return jitFunction(fn, ctx, () => low(part.image));
}

/** Compiles the instructions of `part` and compares code and exception table. */
export function compareImage(
  name: string,
  part: GoldenSubprogram,
  type: string,
  object: string,
  ctx: JitContext,
): Outcome {
  try {
    const image = compileRecorded(part, type, object, ctx);
    const extable = toHex(encodeExtable(image, ctx.era));
    if (extable !== (part.extable?.hex ?? ''))
      return { name, status: 'failed', at: 'exception table', want: part.extable?.hex ?? '(none)', got: extable };
    const want = part.hexBeforeTailCallFixup ?? part.hex;
    return compareCode(name, image.bytes, part.livePokes ? withoutPokes(want, image) : want, BigInt(part.image));
  } catch (error) {
    if (error instanceof TrampetError) {
      return error.kind === 'unsupported'
        ? { name, status: 'unsupported', why: error.message }
        : { name, status: 'failed', at: '-', want: 'an image', got: error.message };
    }
    throw error;
  }
}

const NOP5 = '0f1f440000';

/**
 * The recorded image as it was before its tail call slots were filled: where a slot has a program, the bypass is a nop and
 * the last five bytes are a jump to that program.
 */
function withoutPokes(hex: string, image: JitImage): string {
  let result = hex;
  for (const { bypass, target } of image.pokes) {
    const at = (offset: number) => result.slice(2 * offset, 2 * offset + 10);
    const put = (offset: number, bytes: string) => {
      result = result.slice(0, 2 * offset) + bytes + result.slice(2 * offset + 10);
    };
    if (at(bypass) !== NOP5 || !at(target).startsWith('e9')) continue;
    put(bypass, toHex(image.bytes.subarray(bypass, bypass + 5)));
    put(target, NOP5);
  }
  return result;
}
