import { hex32, hex64 } from '../base/index.ts';
import {
  type Kernel,
  KernelOops,
  type LoadedProgram,
  type StructOpsMap,
  type StructOpsState,
} from '../kernel/index.ts';
import type { LinkSpec } from '../net/index.ts';
import type { ResolvedObject } from '../object/index.ts';
import {
  type FlowReport,
  type FlowSample,
  type FlowSpec,
  type OpCall,
  runFlows,
  type SenderEvent,
} from '../subsystems/index.ts';
import type { CfiMode, KernelFault } from '../target/index.ts';
import { type Verification, verificationOf } from './_verified.ts';
import { CliError } from './error.ts';
import { faultsForObject } from './faults.ts';
import { type KernelChoice, loadMore, pickTable, registerTables, startSession } from './session.ts';

const TCP = 'tcp_congestion_ops';

/** What a run gives, as --json prints it. */
export interface RunDocument extends Verification {
  schema: 1;
  object: string;
  kernel: string;
  cfi: CfiMode;
  seed: number;
  hashSeed: number;
  link: LinkSpec;
  seconds: number;
  ops: {
    /** Of the struct_ops map, and how it stood once the tables were registered, as bpftool tells it. */
    id: number;
    name: string;
    type: string;
    refcnt: number;
    state: StructOpsState;
    members: { member: string; program: string; hash: string; typeId: string | null; address: string; calls: number }[];
  }[];
  calls: number;
  callsByMember: Record<string, number>;
  instructions: number;
  /** Millions of guest instructions a second of real time: the one figure that differs from run to run. */
  mips: number;
  faults: { kind: string; lines: string[] }[];
  kernelFaults: KernelFault[];
  /** Figures of the first flow; null if the guest died. */
  flow: Omit<FlowReport, 'samples'> | null;
  /** The first flow's course. */
  samples: FlowSample[];
  /** Every flow; empty if the guest died. */
  flows: FlowReport[];
  /** Jain's index of the flows' goodputs: 1 if all are equal; null if the guest died. */
  fairness: number | null;
  /** What happened at which second besides the flows' own doing. */
  marks: { t: number; label: string }[];
  trace: string[];
}

export interface SimulateOptions {
  cfi: CfiMode;
  link: LinkSpec;
  seconds: number;
  /** Flows of each object (default 1); all begin at once. */
  flows?: number;
  /** The table to drive, if an object has several. */
  table?: string | undefined;
  onSample?: (flow: string, sample: FlowSample, share: number) => void;
  onCall?: ((call: OpCall) => void) | undefined;
  onSender?: ((event: SenderEvent) => void) | undefined;
}

/**
 * Boots a kernel, loads the objects, registers their tables and runs their congestion controls over one link.
 * @throws TrampetError
 */
export function simulate(
  objects: readonly ResolvedObject[],
  choice: KernelChoice,
  options: SimulateOptions,
): RunDocument {
  const { cfi, link, seconds, onSample, onCall, onSender } = options;
  const session = startSession(objects[0]!, choice, cfi);
  const { kernel } = session;
  const maps: StructOpsMap[] = [];
  const controls: string[] = [];
  const loaded: LoadedProgram[] = [];
  objects.forEach((resolved, i) => {
    if (!resolved.structOps.some(({ type }) => type === TCP))
      throw new CliError(
        'the object has no tcp_congestion_ops table to run',
        'refused',
        "bpf_dummy_ops are run by 'trampet test'",
      );
    const one = i === 0 ? session : loadMore(session, resolved);
    const own = registerTables(one);
    loaded.push(...one.loaded.programs);
    maps.push(...own);
    const tables = own.filter(({ type }) => type === TCP);
    controls.push(nameOf(kernel, pickTable(tables, options.table)));
  });
  const document: RunDocument = {
    schema: 1,
    object: objects.map(({ file }) => file.name).join(' vs '),
    kernel: kernel.target.release,
    cfi,
    seed: choice.seed,
    hashSeed: kernel.target.hashSeed,
    ...verificationOf(loaded),
    link,
    seconds,
    ops: maps.map((map) => describeTable(kernel, map)),
    calls: 0,
    callsByMember: {},
    instructions: 0,
    mips: 0,
    faults: [],
    kernelFaults: objects.flatMap((resolved) => faultsForObject(kernel.target, resolved)),
    flow: null,
    samples: [],
    flows: [],
    fairness: null,
    marks: [],
    trace: kernel.trace,
  };
  const before = kernel.machine.instructions;
  const start = performance.now();
  try {
    const { flows, fairness } = runFlows(
      kernel,
      { link, flows: specs(controls, options.flows ?? 1), seconds, seed: choice.seed },
      {
        ...(onSample === undefined ? {} : { onSample }),
        ...(onCall === undefined ? {} : { onCall }),
        ...(onSender === undefined ? {} : { onSender }),
      },
    );
    document.flows = flows;
    const { samples, ...figures } = flows[0]!;
    document.flow = figures;
    document.samples = samples;
    document.fairness = fairness;
  } catch (error) {
    if (!(error instanceof KernelOops)) throw error;
    document.faults.push({ kind: error.report.kind, lines: error.report.lines });
  }
  document.instructions = kernel.machine.instructions - before;
  document.mips = Math.round(document.instructions / (performance.now() - start) / 100) / 10;
  for (const [member, count] of kernel.calls) {
    document.callsByMember[member] = count;
    document.calls += count;
  }
  maps.forEach((map, i) => {
    const counts = kernel.tableCalls.get(map.kdata);
    for (const member of document.ops[i]!.members) member.calls = counts?.get(member.member) ?? 0;
  });
  return document;
}

/** `count` bulk flows of each congestion control; where there are several they are numbered. */
function specs(controls: readonly string[], count: number): FlowSpec[] {
  return controls.flatMap((congestion) =>
    Array.from({ length: count }, (_, i) => ({
      name: count === 1 ? congestion : `${congestion} ${i + 1}`,
      congestion,
      source: { kind: 'bulk' } as const,
      startNs: 0,
    })),
  );
}

function nameOf(kernel: Kernel, map: StructOpsMap): string {
  const bytes = kernel.memory.bytes(map.kdata + kernel.field(map.type, 'name').offset, 16);
  return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
}

function describeTable(kernel: Kernel, map: StructOpsMap): RunDocument['ops'][number] {
  return {
    id: map.id,
    name: map.name,
    type: map.type,
    // Without the reference of the one who made it (bpf_struct_ops_map_sys_lookup_elem).
    refcnt: Math.max(0, map.refcount - 1),
    state: map.state,
    members: map.members.map(({ member, program, hash, typeId, address }) => ({
      member,
      program: program.name,
      hash: hex32(hash),
      typeId: typeId === undefined ? null : hex32(typeId),
      address: hex64(kernel.memory.address(address)),
      calls: 0,
    })),
  };
}
