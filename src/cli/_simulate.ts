import { hex32, hex64 } from '../base/index.ts';
import { type Kernel, KernelOops, type StructOpsMap } from '../kernel/index.ts';
import type { LinkSpec } from '../net/index.ts';
import type { ResolvedObject } from '../object/index.ts';
import { type FlowResult, type FlowSample, type OpCall, runFlow } from '../subsystems/index.ts';
import type { CfiMode, KernelFault } from '../target/index.ts';
import { CliError } from './error.ts';
import { faultsForObject } from './faults.ts';
import { type KernelChoice, pickTable, registerTables, startSession } from './session.ts';

const TCP = 'tcp_congestion_ops';

/** One flow of a run. */
export interface FlowDocument {
  name: string;
  /** The congestion control. */
  congestion: string;
  result: FlowResult['flow'];
  samples: FlowSample[];
}

/** What a run gives, as --json prints it. */
export interface RunDocument {
  schema: 1;
  object: string;
  kernel: string;
  cfi: CfiMode;
  seed: number;
  hashSeed: number;
  verified: false;
  link: LinkSpec;
  seconds: number;
  ops: { name: string; type: string; members: { member: string; program: string; hash: string; address: string }[] }[];
  calls: number;
  callsByMember: Record<string, number>;
  instructions: number;
  /** Millions of guest instructions a second of real time: the one figure that differs from run to run. */
  mips: number;
  faults: { kind: string; lines: string[] }[];
  kernelFaults: KernelFault[];
  /** Empty if the guest died. */
  flows: FlowDocument[];
  trace: string[];
}

export interface SimulateOptions {
  cfi: CfiMode;
  link: LinkSpec;
  seconds: number;
  /** The table to drive, if the object has several. */
  table?: string | undefined;
  onSample?: (sample: FlowSample, share: number) => void;
  onCall?: ((call: OpCall) => void) | undefined;
}

/** Boots a kernel, loads the object, registers its tables and runs its congestion control. @throws TrampetError */
export function simulate(resolved: ResolvedObject, choice: KernelChoice, options: SimulateOptions): RunDocument {
  const { cfi, link, seconds, onSample, onCall } = options;
  const session = startSession(resolved, choice, cfi);
  const { kernel } = session;
  if (!resolved.structOps.some(({ type }) => type === TCP))
    throw new CliError(
      'the object has no tcp_congestion_ops table to run',
      'refused',
      "bpf_dummy_ops are run by 'trampet test'",
    );
  const maps = registerTables(session);
  const congestion = nameOf(
    kernel,
    pickTable(
      maps.filter(({ type }) => type === TCP),
      options.table,
    ),
  );
  const document: RunDocument = {
    schema: 1,
    object: resolved.file.name,
    kernel: kernel.target.release,
    cfi,
    seed: choice.seed,
    hashSeed: kernel.target.hashSeed,
    verified: false,
    link,
    seconds,
    ops: maps.map((map) => describeTable(kernel, map)),
    calls: 0,
    callsByMember: {},
    instructions: 0,
    mips: 0,
    faults: [],
    kernelFaults: faultsForObject(kernel.target, resolved),
    flows: [],
    trace: kernel.trace,
  };
  const before = kernel.machine.instructions;
  const start = performance.now();
  try {
    const { flow, samples } = runFlow(kernel, {
      congestion,
      link,
      seconds,
      seed: choice.seed,
      ...(onSample === undefined ? {} : { onSample }),
      ...(onCall === undefined ? {} : { onCall }),
    });
    document.flows.push({ name: congestion, congestion, result: flow, samples });
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
  return document;
}

function nameOf(kernel: Kernel, map: StructOpsMap): string {
  const bytes = kernel.memory.bytes(map.kdata + kernel.field(map.type, 'name').offset, 16);
  return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
}

function describeTable(kernel: Kernel, map: StructOpsMap): RunDocument['ops'][number] {
  return {
    name: map.name,
    type: map.type,
    members: map.members.map(({ member, program, hash, address }) => ({
      member,
      program: program.name,
      hash: hex32(hash),
      address: hex64(kernel.memory.address(address)),
    })),
  };
}
