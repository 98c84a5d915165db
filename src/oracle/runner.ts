import { checkBlinding } from './check_blinding.ts';
import { checkCallSites } from './check_call_sites.ts';
import { checkImages } from './check_images.ts';
import { checkObjectImages } from './check_object_images.ts';
import { checkPokes } from './check_pokes.ts';
import { checkRelocated } from './check_relocated.ts';
import { checkRewritten } from './check_rewritten.ts';
import { checkRuns } from './check_runs.ts';
import { checkStubs } from './check_stubs.ts';
import { checkTrampolines } from './check_trampolines.ts';
import { checkTypeIds } from './check_type_ids.ts';
import { checkLogs, checkVerdicts } from './check_verdicts.ts';
import type { Checker, OracleDirectory, Outcome } from './types.ts';

/** Every kind of golden that is compared, in the order of the table. */
export const CHECKERS: readonly Checker[] = [
  checkTypeIds,
  checkRelocated,
  checkVerdicts,
  checkLogs,
  checkRewritten,
  checkObjectImages,
  checkBlinding,
  checkImages,
  checkPokes,
  checkTrampolines,
  checkStubs,
  checkCallSites,
  checkRuns,
];

/** An outcome with its place. */
export interface Finding extends Outcome {
  kind: string;
  mode: string;
  object: string;
}

export interface RunOptions {
  mode?: string;
  only?: readonly string[];
  object?: string;
}

/** Compares everything in a directory; a golden that cannot be read is a failure of its kind. */
export function* runOracle(directory: OracleDirectory, options: RunOptions = {}): Generator<Finding> {
  const modes = directory.modes.filter((mode) => options.mode === undefined || mode === options.mode);
  for (const checker of CHECKERS) {
    if (options.only !== undefined && !options.only.includes(checker.kind)) continue;
    for (const mode of checker.once === true ? ['-'] : modes) {
      for (const object of checker.once === true ? ['-'] : directory.objects) {
        if (options.object !== undefined && checker.once !== true && object !== options.object) continue;
        const place = { kind: checker.kind, mode, object };
        try {
          for (const outcome of checker.check(directory, mode, object)) yield { ...place, ...outcome };
        } catch (error) {
          yield {
            ...place,
            name: '(golden)',
            status: 'failed',
            at: '-',
            want: 'a golden of the known layout',
            got: error instanceof Error ? error.message : String(error),
          };
        }
      }
    }
  }
}
