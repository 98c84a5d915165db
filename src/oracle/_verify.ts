import { TrampetError } from '../base/index.ts';
import { openObject, type ResolvedObject, type ResolvedProgram, resolveObject } from '../object/index.ts';
import {
  type MapInfo,
  mapInfos,
  type Verdict,
  type VerifierInput,
  verifierInput,
  verifyProgram,
} from '../verifier/index.ts';
import { type KernelName, targetOf } from './_target.ts';
import type { OracleDirectory } from './types.ts';

// Goldens that hold what the kernel's verifier said of a program. They are data from outside: a field of the wrong shape
// ends in a TypeError, which the runner reports as a malformed golden.

export interface VerifiedGolden {
  object: string;
  kernel?: KernelName;
  programs?: VerifiedProgram[];
  /** Programs that were attached are recorded here once more. */
  attach?: { progs?: Pick<VerifiedProgram, 'name' | 'kprogs'>[] };
}
export interface VerifiedProgram {
  name: string;
  type: number;
  type_name?: string;
  expected_attach: number;
  prog_flags: number;
  attach_btf_id: number;
  license: string;
  accepted: boolean;
  /** Positive. */
  errno: number;
  log2: string | null;
  log2_file?: string;
  maps?: { name: string; kname: string; addr?: string; value_addr?: string }[];
  kprogs?: {
    label: string;
    bpf_func: string;
    stack_depth: number;
    insnsiHex: string;
    aux_addr?: string;
  }[];
  /** What was compiled is another load's, whose maps are not recorded. */
  attached?: boolean;
}

/** What we made of a golden's program; `why` says what is not modelled. */
export type Verified =
  | { program: VerifiedProgram; input: Input; verdict: Verdict }
  | { program: VerifiedProgram; why: string };

type Input = Omit<VerifierInput, 'ops'>;

const SLEEPABLE = 1 << 4;
/** BPF_LOG_LEVEL2 | BPF_LOG_STATS. */
const LOG_LEVEL2 = 2 | 4;

const results = new Map<string, Verified[]>();

/** Every program of a golden through our verifier, at log level 2; each object once, whatever is compared. */
export function verifyAll(directory: OracleDirectory, mode: string, object: string): readonly Verified[] {
  const key = `${directory.path}\n${mode}\n${object}`;
  let known = results.get(key);
  if (known === undefined) {
    known = verifyObject(directory, mode, object);
    results.set(key, known);
  }
  return known;
}

/** What a golden's load of a program hands to the verifier, log level 2; `why` says what is not modelled of it. */
export type Prepared =
  | { program: VerifiedProgram; input: Input; maps: MapInfo[] }
  | { program: VerifiedProgram; why: string };

/** Every program of a golden that records a verdict, ready to be verified. */
export function prepareAll(directory: OracleDirectory, mode: string, object: string): Prepared[] {
  const golden = directory.golden(mode, object) as VerifiedGolden | undefined;
  const programs = golden?.programs?.filter(({ accepted, log2 }) => accepted !== undefined && log2 !== undefined) ?? [];
  if (golden === undefined || programs.length === 0) return [];
  const target = targetOf(directory, golden.kernel);
  const resolved = resolveObject(openObject(directory.object(object), `${object}.bpf.o`), target);
  return programs.map((recorded): Prepared => {
    const attached = golden.attach?.progs?.find(({ name }) => name === recorded.name)?.kprogs;
    const program =
      recorded.kprogs === undefined && attached ? { ...recorded, kprogs: attached, attached: true } : recorded;
    const own = resolved.programs.find(({ name }) => name === program.name);
    if (own === undefined) throw new TypeError(`no program '${program.name}' in the object`);
    return orUnsupported(program, () => {
      const maps = namedMaps(resolved, program);
      return { program, input: inputOf(own, program, resolved, maps), maps };
    });
  });
}

function verifyObject(directory: OracleDirectory, mode: string, object: string): Verified[] {
  return prepareAll(directory, mode, object).map((prepared): Verified => {
    if ('why' in prepared) return prepared;
    const { program, input, maps } = prepared;
    return orUnsupported(program, () => {
      const placed = maps.map(({ address, valueAddress }) => ({ address, valueAddress }));
      if (program.log2 !== null || program.log2_file) takeAddresses(input, recordedLog(directory, program));
      const verdict = verifyProgram(input);
      // The instructions that were compiled name the maps of the load that the golden describes.
      for (const [i, map] of maps.entries()) Object.assign(map, placed[i]);
      return { program, input, verdict };
    });
  });
}

/** What `make` gives, or why it is not modelled. */
function orUnsupported<T>(program: VerifiedProgram, make: () => T): T | { program: VerifiedProgram; why: string } {
  try {
    return make();
  } catch (error) {
    if (error instanceof TrampetError && error.kind === 'unsupported')
      return { program, why: error.message.replace(/^program '[^']*': /, '') };
    throw error;
  }
}

/** As libbpf would load it, with what the golden's load had. */
function inputOf(own: ResolvedProgram, program: VerifiedProgram, resolved: ResolvedObject, maps: MapInfo[]): Input {
  return {
    ...verifierInput(resolved, own, maps, LOG_LEVEL2),
    progType: program.type,
    expectedAttachType: program.expected_attach,
    memberIndex: program.expected_attach,
    sleepable: (program.prog_flags & SLEEPABLE) !== 0,
    progFlags: program.prog_flags,
    license: program.license,
    attachBtfId: program.attach_btf_id,
  };
}

/** Names and addresses that the golden's maps had. */
function namedMaps(resolved: ResolvedObject, golden: VerifiedProgram): MapInfo[] {
  return mapInfos(resolved).map((map, i) => {
    const { name } = resolved.maps[i]!;
    const known = golden.maps?.find((candidate) => candidate.name === name || candidate.kname === name);
    return {
      ...map,
      name: known?.kname ?? map.name,
      ...(known?.addr === undefined ? {} : { address: BigInt(known.addr) }),
      ...(known?.value_addr === undefined ? {} : { valueAddress: BigInt(known.value_addr) }),
    };
  });
}

const PSEUDO_MAP_FD = 1;
const PSEUDO_MAP_VALUE = 2;

/** The load that wrote the log had maps of its own: their addresses are taken from the loads that name them. */
function takeAddresses({ insns, maps }: Input, log: string): void {
  for (const [, at, text] of log.matchAll(/^ *(?:\d+ +)?(\d+): (?:[.\d]{10} )?\(18\) r\d+ = (0x[0-9a-f]+)/gm)) {
    const insn = insns[Number(at)];
    const map = insn && maps[insn.imm];
    if (map === undefined || insn?.code !== 0x18) continue;
    if (insn.src === PSEUDO_MAP_FD) map.address = BigInt(text!);
    else if (insn.src === PSEUDO_MAP_VALUE) map.valueAddress = BigInt(text!) - BigInt(insns[Number(at) + 1]!.imm >>> 0);
  }
}

/** The recorded log; a large one lies beside the goldens, packed. */
export function recordedLog(directory: OracleDirectory, { log2, log2_file: path }: VerifiedProgram): string {
  if (log2 !== null) return log2;
  const bytes = path === undefined ? undefined : directory.file(path);
  if (bytes === undefined) throw new TypeError('the golden has no level-2 log');
  return new TextDecoder().decode(bytes);
}
