import { hex32, hex64 } from '../base/index.ts';
import { type Kernel, KernelOops, type StructOpsMap, type StructOpsState } from '../kernel/index.ts';
import type { LinkSpec } from '../net/index.ts';
import { type FlowReport, type FlowSample, type OpCall, runFlows, type SenderEvent } from '../subsystems/index.ts';
import type { CfiMode, KernelFault } from '../target/index.ts';
import type { Objects, RunPlan } from './_plan.ts';
import { Stage } from './_stage.ts';
import { type Verification, verificationOf } from './_verified.ts';
import { faultsForObject } from './faults.ts';
import type { KernelChoice } from './session.ts';

/** What a run gives, as --json prints it. */
export interface RunDocument extends Verification {
  schema: 1;
  object: string;
  kernel: string;
  cfi: CfiMode;
  seed: number;
  hashSeed: number;
  link: LinkSpec;
  /** The second bottleneck, if there is one. */
  second: LinkSpec | null;
  seconds: number;
  ops: {
    /** Of the struct_ops map, as bpftool tells it at the end, while the flows are still on. */
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
  /** What programs printed, the last lines of it, and how many lines came before those. */
  trace: string[];
  traceLost: number;
}

export interface SimulateOptions {
  cfi: CfiMode;
  onSample?: (flow: string, sample: FlowSample, share: number) => void;
  onCall?: ((call: OpCall) => void) | undefined;
  onSender?: ((event: SenderEvent) => void) | undefined;
  /** What programs print, and what they put into ring buffers. */
  onRecord?: ((record: ProgramRecord) => void) | undefined;
}

/**
 * Boots a kernel, loads the plan's objects, registers their tables and runs the flows.
 * @throws TrampetError
 */
export function simulate(plan: RunPlan, objects: Objects, choice: KernelChoice, options: SimulateOptions): RunDocument {
  const { cfi, onSample, onCall, onSender, onRecord } = options;
  const { link, second, seconds } = plan;
  const marks: RunDocument['marks'] = [];
  const stage = new Stage(plan, objects, choice, cfi, (atNs, label) => void marks.push({ t: atNs / 1e9, label }));
  const { kernel, maps } = stage;
  const document: RunDocument = {
    schema: 1,
    object: plan.name ?? namesOf(plan, objects),
    kernel: kernel.target.release,
    cfi,
    seed: choice.seed,
    hashSeed: kernel.target.hashSeed,
    ...verificationOf(stage.programs),
    link,
    second: second ?? null,
    seconds,
    ops: maps.map((map) => describeTable(kernel, map)),
    calls: 0,
    callsByMember: {},
    instructions: 0,
    faults: [],
    kernelFaults: [...objects.values()].flatMap((resolved) => faultsForObject(kernel.target, resolved)),
    flow: null,
    samples: [],
    flows: [],
    fairness: null,
    marks,
    trace: [],
    traceLost: 0,
  };
  const counts = maps.map(({ kdata }) => kernel.tableCalls.get(kdata));
  if (onRecord !== undefined) listen(kernel, onRecord);
  /** While the flows still hold what they use. */
  const atEnd = () => {
    for (const [i, { refcount, state }] of maps.entries())
      Object.assign(document.ops[i]!, { refcnt: shown(refcount), state });
  };
  const before = kernel.machine.instructions;
  try {
    const { flows, fairness } = runFlows(
      kernel,
      {
        link,
        ...(second === undefined ? {} : { second }),
        flows: stage.flows,
        events: stage.events,
        seconds,
        seed: choice.seed,
      },
      {
        actions: [...stage.actions, { atNs: seconds * 1e9, run: atEnd }],
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
  document.trace = kernel.trace.lines;
  document.traceLost = kernel.trace.lost;
  document.instructions = kernel.machine.instructions - before;
  for (const [member, count] of kernel.calls) {
    document.callsByMember[member] = count;
    document.calls += count;
  }
  for (const [i, { members }] of document.ops.entries())
    for (const member of members) member.calls = counts[i]?.get(member.member) ?? 0;
  return document;
}

/** What a program printed, or put into a ring buffer. */
export type ProgramRecord = { ns: number } & ({ text: string } | { map: string; data: Uint8Array });

function listen(kernel: Kernel, listener: (record: ProgramRecord) => void): void {
  kernel.onRecord = listener;
  kernel.onPrint = (text) => listener({ ns: kernel.now(), text });
}

/** Names of the flows' objects. */
export function namesOf({ flows }: RunPlan, objects: Objects): string {
  return [...new Set(flows.map(({ object }) => object))].map((path) => objects.get(path)!.file.name).join(' vs ');
}

/** References besides that of the one who made the map (bpf_struct_ops_map_sys_lookup_elem). */
const shown = (refcount: number) => Math.max(0, refcount - 1);

function describeTable(kernel: Kernel, map: StructOpsMap): RunDocument['ops'][number] {
  return {
    id: map.id,
    name: map.name,
    type: map.type,
    refcnt: shown(map.refcount),
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
