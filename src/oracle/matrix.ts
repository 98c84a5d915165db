import { TrampetError } from '../base/index.ts';
import type { Btf } from '../btf/index.ts';
import { bootKernel, type Kernel, KernelError, KernelOops, loadObject, StructOpsMap } from '../kernel/index.ts';
import { parseLink } from '../net/index.ts';
import { openObject, resolveObject } from '../object/index.ts';
import { congestionControls, dummySubsystem, runFlows, tcpSubsystem } from '../subsystems/index.ts';
import { type CfiMode, faultsOf, makeTarget } from '../target/index.ts';

const TCP = 'tcp_congestion_ops';

/** Ten links: slow and fast, long and short, full of every thing that happens to packets. */
export const MATRIX_LINKS: readonly string[] = [
  '20mbit,40ms,100p',
  '1mbit,200ms,20p',
  '30mbit,10ms,60p,loss=0.1%',
  '10mbit,100ms,30p,loss=1%',
  '5mbit,30ms,300KB',
  '20mbit,20ms,200p,ecn=30p',
  '12mbit,60ms,1000p,codel',
  '12mbit,60ms,fq_codel:ecn',
  '10mbit,40ms,60p,jitter=5ms,reorder=1%:8ms',
  'rates=0s:15mbit;5s:1mbit;9s:0bit;10s:again,50ms,100p,stall=20s:1500ms',
];

/** How a kernel checks calls: the mode, and the seed of its hashes (0: none). */
type MatrixMode = readonly [CfiMode, number];
const MODES: readonly MatrixMode[] = [
  ['off', 0],
  ['kcfi', 0],
  ['kcfi', 0x1234567],
  ['fineibt', 0],
  ['fineibt', 0x9abcdef1],
];

/**
 * The modes that a release is compared in: not those in which the kernel itself breaks every call of a struct_ops table
 * (docs/kernel-faults.md).
 */
function modesOf({ release, btf }: MatrixOptions): MatrixMode[] {
  const breaks = (cfi: CfiMode) => faultsOf(makeTarget({ release, cfi, btf })).some(({ id }) => id === 'stub-hash');
  return MODES.filter(([cfi]) => !breaks(cfi));
}

export interface MatrixRow {
  /** `reno.bpf.o: ex_reno`. */
  control: string;
  release: string;
  link: string;
  /** Modes that were run; `same`: every one gave what the first one did. */
  modes: number;
  outcome: 'same' | 'differs' | 'fault';
  detail: string;
}

export interface MatrixOptions {
  release: string;
  btf: Btf;
  /** Simulated seconds of each run. */
  seconds: number;
  links?: readonly string[];
}

/**
 * Runs every congestion control of an object over every link in every CFI mode, two flows at once, one of them started
 * later; nothing for an object without any. @throws TrampetError if the object is refused
 */
export function* runMatrix(name: string, bytes: Uint8Array, options: MatrixOptions): Iterable<MatrixRow> {
  const { release, seconds, links = MATRIX_LINKS } = options;
  const { structOps, btf } = openObject(bytes, name);
  if (!structOps.some(({ type }) => btf?.name(type) === TCP)) return;
  const modes = modesOf(options);
  const kernels = modes.map((mode) => load(name, bytes, options, mode));
  for (const congestion of congestionControls(kernels[0]!))
    for (const link of links) {
      const row = { control: `${name}: ${congestion}`, release, link, modes: modes.length };
      let first: string | undefined;
      let outcome: MatrixRow['outcome'] = 'same';
      let detail = '';
      for (const [i, kernel] of kernels.entries()) {
        const [cfi, seed] = modes[i]!;
        const result = run(kernel, congestion, link, seconds);
        if (result.fault !== undefined) {
          outcome = 'fault';
          detail = `${cfi}${seed === 0 ? '' : ' seeded'}: ${result.fault}`;
          break;
        }
        first ??= result.text;
        if (result.text !== first) {
          outcome = 'differs';
          detail = `${cfi}${seed === 0 ? '' : ' seeded'} gives another result than ${modes[0]![0]}`;
        }
      }
      yield { ...row, outcome, detail };
    }
}

function load(name: string, bytes: Uint8Array, { release, btf }: MatrixOptions, [cfi, hashSeed]: MatrixMode): Kernel {
  const target = makeTarget({ release, cfi, btf, hashSeed });
  const kernel = bootKernel({ target, subsystems: [dummySubsystem, tcpSubsystem], seed: 1 });
  const loaded = loadObject(kernel, resolveObject(openObject(bytes, name), target));
  const programs = new Map(loaded.programs.map((program) => [program.name, program]));
  let refused: unknown;
  for (const table of loaded.resolved.structOps.filter(({ type }) => type === TCP)) {
    const map = new StructOpsMap(kernel, { ...table, link: false });
    try {
      map.update({ ...table, link: false }, programs);
    } catch (error) {
      // Some tables are there to be refused, or stand in for one another; one that is taken is enough.
      if (!(error instanceof KernelError)) throw error;
      refused ??= error;
    }
  }
  if (congestionControls(kernel).length === 0) throw refused;
  return kernel;
}

function run(kernel: Kernel, congestion: string, link: string, seconds: number): { text: string; fault?: string } {
  try {
    const result = runFlows(kernel, {
      link: parseLink(link),
      flows: [
        { name: 'first', congestion, source: { kind: 'bulk' }, startNs: 0 },
        { name: 'second', congestion, source: { kind: 'bulk' }, startNs: (seconds * 1e9) / 4 },
      ],
      seconds,
      seed: 1,
    });
    return { text: JSON.stringify(result) };
  } catch (error) {
    if (error instanceof KernelOops) return { text: '', fault: error.report.lines[0] ?? error.report.kind };
    if (error instanceof TrampetError) return { text: '', fault: error.message };
    throw error;
  }
}
