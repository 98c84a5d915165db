import { ERRNO, TrampetError, toHex } from '../base/index.ts';
import { readBtf } from '../btf/index.ts';
import { bootKernel, type Kernel, type LoadedObject, loadObject } from '../kernel/index.ts';
import { openObject, resolveObject } from '../object/index.ts';
import { dummySubsystem, tcpSubsystem, testRun } from '../subsystems/index.ts';
import { makeTarget } from '../target/index.ts';
import { featuresOf, type Golden, releaseOf } from './_golden.ts';
import { seedOf } from './check_stubs.ts';
import { replayLines } from './replay_lines.ts';
import type { Checker, OracleDirectory, Outcome } from './types.ts';

/** What the reference runs pass to `bpf_dummy_ops` programs: the state's value, then up to four arguments. */
const STATE = 5;
const ARGUMENTS = [-100, 0x8f3c, -5, { lo: 0x87654321 | 0, hi: 0x12345678 }] as const;

/**
 * What the recorder ran, run again: dummy ops from the object on in our guest; other test runs by executing the recorded
 * images themselves. Return values and global data are compared.
 */
export const checkRuns: Checker = {
  kind: 'runs',
  *check(directory, mode, object) {
    const golden = directory.golden(mode, object) as Golden | undefined;
    const lines = (golden?.runs ?? []).filter(
      (line): line is string => typeof line === 'string' && /^(RUN|FLOW|TRIG|GLOBALS) /.test(line),
    );
    if (golden === undefined || lines.length === 0) return;
    if (!lines.some((line) => /^RUN test_\w+ null=/.test(line))) {
      yield* replayLines(directory, golden, object, lines, mode);
      return;
    }
    const guest = startGuest(directory, golden, object);
    for (const line of lines) {
      const name = nameOf(line);
      if (typeof guest === 'string') yield { name, status: 'unsupported', why: guest };
      else yield compareLine(guest, name, line);
    }
  },
};

const nameOf = (line: string) =>
  line
    .split(' ')
    .slice(0, line.includes(' null=') ? 3 : 2)
    .join(' ');

interface Guest {
  kernel: Kernel;
  loaded: LoadedObject;
}

/** The guest with the object loaded, or why there is none. */
function startGuest(directory: OracleDirectory, golden: Golden, object: string): Guest | string {
  const release = releaseOf(golden);
  if (release === undefined) return `kernel ${golden.version} is not known`;
  const features = featuresOf(golden);
  try {
    const btf = readBtf(directory.btf);
    const target = makeTarget({ release, cfi: features.cfi, btf, features, hashSeed: seedOf(golden) });
    const kernel = bootKernel({
      target,
      subsystems: [dummySubsystem, tcpSubsystem],
    });
    return {
      kernel,
      loaded: loadObject(
        kernel,
        resolveObject(openObject(directory.object(object), `${object}.bpf.o`), { btf, release: golden.version }),
      ),
    };
  } catch (error) {
    if (error instanceof TrampetError && error.kind === 'unsupported') return error.message;
    throw error;
  }
}

function compareLine({ kernel, loaded }: Guest, name: string, line: string): Outcome {
  const got = line.startsWith('RUN')
    ? runLine(kernel, loaded, line)
    : line.startsWith('GLOBALS')
      ? globalsLine(kernel, loaded, line)
      : undefined;
  if (got === undefined) return { name, status: 'unsupported', why: 'no test run of bpf_dummy_ops' };
  return got === line ? { name, status: 'passed' } : { name, status: 'failed', at: '-', want: line, got };
}

function runLine(kernel: Kernel, loaded: LoadedObject, line: string): string | undefined {
  const match = /^RUN (\w+) null=([01])/.exec(line);
  const program = loaded.programs.find((candidate) => candidate.name === match?.[1]);
  if (match === null || program === undefined) return undefined;
  const params = program.resolved.structOps?.member === 'test_2' ? ARGUMENTS : [];
  const head = `RUN ${match[1]} null=${match[2]}`;
  try {
    const { returned, state } = testRun(kernel, program, [match[2] === '1' ? null : STATE, ...params]);
    // Without a state the recorder prints what its own stayed at.
    const shown = state ?? Number(/state=(-?\d+)/.exec(line)?.[1]);
    return `${head} err=0 retval=${returned} state=${shown}`;
  } catch (error) {
    const errno = error instanceof TrampetError ? (ERRNO as Record<string, number>)[error.code] : undefined;
    if (errno === undefined) throw error;
    return `${head} err=-${errno} retval=0 state=${STATE}`;
  }
}

function globalsLine(kernel: Kernel, loaded: LoadedObject, line: string): string | undefined {
  const name = line.split(' ')[1]!;
  const map = loaded.maps.find((candidate) => candidate.name === name);
  return map === undefined
    ? undefined
    : `GLOBALS ${name} ${toHex(kernel.memory.bytes(map.values, map.blueprint.valueSize))}`;
}
