import { toHex } from '../base/index.ts';
import { writeInsns } from '../bpf/index.ts';
import { contextOf, readGolden, releaseOf } from './_golden.ts';
import { compareImage } from './check_images.ts';
import { acceptedPrograms, rewritten } from './check_rewritten.ts';
import type { Checker } from './types.ts';

/** From the object to machine code: our own final instructions, compiled, against the image in the kernel's memory. */
export const checkObjectImages: Checker = {
  kind: 'object images',
  *check(directory, mode, object) {
    const results = acceptedPrograms(directory, mode, object);
    const golden = results.length === 0 ? undefined : readGolden(directory, mode, object);
    const release = golden === undefined ? undefined : releaseOf(golden);
    if (golden === undefined || release === undefined) return;
    const context = contextOf(golden, release, directory);
    for (const { result, target } of results) {
      const { name } = result.program;
      const known = golden.programs?.find((program) => program.name === name && program.subprogs.length > 0);
      if (known === undefined) continue;
      const own = rewritten(result, target);
      if ('why' in own) {
        yield { name, status: 'unsupported', why: own.why };
        continue;
      }
      for (const [i, part] of known.subprogs.entries()) {
        const mine = own.functions[i];
        if (mine === undefined) yield { name: part.name, status: 'failed', at: '-', want: 'a function', got: 'none' };
        else {
          const ours = {
            ...part,
            jitInsnsHex: toHex(writeInsns(mine.insns)),
            stackDepth: mine.stackDepth,
            tailCallReachable: mine.tailCallReachable,
            exceptionCb: mine.exceptionCallback,
            exceptionBoundary: i === 0 && 'verdict' in result && result.verdict.seenException,
            privStack: mine.privateStack,
          };
          yield compareImage(part.name, ours, known.type, object, context);
        }
      }
    }
  },
};
