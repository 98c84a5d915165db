import { hex32, hex64 } from '../base/index.ts';
import { type Kernel, KernelOops, type StructOpsMap } from '../kernel/index.ts';
import { formatLink, type LinkSpec, parseLink } from '../net/index.ts';
import type { ResolvedObject } from '../object/index.ts';
import { type FlowResult, type FlowSample, runFlow } from '../subsystems/index.ts';
import type { CfiMode, KernelFault } from '../target/index.ts';
import { CliError } from './error.ts';
import { faultsForObject, printFaults, printMismatches } from './faults.ts';
import { COMMON, parse, seconds } from './options.ts';
import { bold, cyan, dim, green, json, out, plot, progress, red, table, yellow } from './print.ts';
import {
  CFI_MODES,
  chooseKernel,
  type KernelChoice,
  NOT_VERIFIED,
  openFor,
  pickTable,
  registerTables,
  startSession,
  targetFor,
} from './session.ts';

export const RUN_USAGE = `usage: trampet run OBJ [options]

Loads the object, registers its ops tables and runs a bulk TCP flow with the congestion control.

  --link SPEC       rate, round-trip time, buffer, loss, ECN threshold, stall
                    (default 20mbit,40ms,100p; e.g. 1gbit,10ms,500p,loss=0.1%,ecn=65p)
  --for TIME        simulated time (default 30s)
  --table NAME      the ops table to drive, if the object has several
  --cfi MODE        off | kcfi | fineibt (default fineibt)   --all-cfi  all three
  --kernel REL      6.12                                     --btf FILE raw, ELF or gz; 'live': the running kernel's
  --seed N          for loss and bpf_get_prandom_u32         --hash-seed N  boot-time seed of type hashes (0: none)
  --json            one JSON document`;

const TCP = 'tcp_congestion_ops';

/** What a run gives, as --json prints it. */
interface RunDocument {
  schema: 1;
  object: string;
  kernel: string;
  cfi: CfiMode;
  seed: number;
  hashSeed: number;
  verified: false;
  link: LinkSpec;
  ops: {
    name: string;
    type: string;
    members: { member: string; program: string; hash: string; typeId: string | null; address: string }[];
  }[];
  calls: number;
  callsByMember: Record<string, number>;
  instructions: number;
  mips: number;
  faults: { kind: string; lines: string[] }[];
  kernelFaults: KernelFault[];
  flow: FlowResult['flow'] | null;
  samples: FlowSample[];
  trace: string[];
}

/** `trampet run`: exit code 0, or 1 if the guest died. */
export function run(args: string[]): number {
  const { values, positionals } = parse(args, {
    ...COMMON,
    kernel: { type: 'string', default: '6.18+hashfix' },
    link: { type: 'string', default: '20mbit,40ms,100p' },
    for: { type: 'string', default: '30s' },
    table: { type: 'string' },
    'all-cfi': { type: 'boolean', default: false },
  });
  if (values.help) {
    out(RUN_USAGE);
    return 0;
  }
  const path = positionals[0];
  if (path === undefined || positionals.length > 1)
    throw new CliError('run takes one object', 'usage', RUN_USAGE.split('\n')[0]!);
  const choice = chooseKernel(values);
  const link = parseLink(values.link);
  const time = seconds('for', values.for);
  const resolved = openFor(path, choice);
  const modes = values['all-cfi'] ? CFI_MODES : [choice.cfi];
  const documents = modes.map((cfi) => runOnce(resolved, choice, cfi, link, time, values.table));
  progress('');
  if (values.json) json(documents.length === 1 ? documents[0] : { schema: 1, runs: documents });
  else {
    printRuns(documents, time);
    for (const { cfi, faults } of documents)
      if (faults.length > 0) printFaults(faultsForObject(targetFor(choice, cfi), resolved));
  }
  return documents.some(({ faults }) => faults.length > 0) ? 1 : 0;
}

function runOnce(
  resolved: ResolvedObject,
  choice: KernelChoice,
  cfi: CfiMode,
  link: LinkSpec,
  time: number,
  tableName: string | undefined,
): RunDocument {
  const session = startSession(resolved, choice, cfi);
  const { kernel } = session;
  if (!resolved.structOps.some(({ type }) => type === TCP))
    throw new CliError(
      'the object has no tcp_congestion_ops table to run',
      'refused',
      "bpf_dummy_ops are run by 'trampet test'",
    );
  const maps = registerTables(session);
  const driven = pickTable(
    maps.filter(({ type }) => type === TCP),
    tableName,
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
    ops: maps.map((map) => describeTable(kernel, map)),
    calls: 0,
    callsByMember: {},
    instructions: 0,
    mips: 0,
    faults: [],
    kernelFaults: faultsForObject(kernel.target, resolved),
    flow: null,
    samples: [],
    trace: kernel.trace,
  };
  const before = kernel.machine.instructions;
  const start = performance.now();
  try {
    const result = runFlow(kernel, {
      congestion: nameOf(kernel, driven),
      link,
      seconds: time,
      seed: choice.seed,
      onSample: (sample, share) =>
        progress(
          `${cfi.padEnd(7)} ${'█'.repeat(Math.round(share * 30)).padEnd(30, '░')} ${sample.t.toFixed(1)} s  cwnd ${sample.cwnd}`,
        ),
    });
    document.flow = result.flow;
    document.samples = result.samples;
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
    members: map.members.map(({ member, program, hash, typeId, address }) => ({
      member,
      program: program.name,
      hash: hex32(hash),
      typeId: typeId === undefined ? null : hex32(typeId),
      address: hex64(kernel.memory.address(address)),
    })),
  };
}

function printRuns(documents: readonly RunDocument[], time: number): void {
  const [first] = documents as [RunDocument];
  out(
    `${bold(first.object)}  Linux ${first.kernel}  ${dim(formatLink(first.link))}  ${dim(`${time} s, seed ${first.seed}`)}`,
  );
  out(dim(NOT_VERIFIED));
  const shown = documents.at(-1)!;
  for (const ops of shown.ops) {
    out(`\n${bold(ops.name)}  struct ${ops.type}  ${dim(`cfi ${shown.cfi}`)}`);
    const rows = ops.members.map(({ member, program, hash, address }) => [
      `  ${cyan(member)}`,
      program,
      shown.cfi === 'off' ? dim('no hash') : hash,
      dim(address),
      `${shown.callsByMember[member] ?? 0}`,
    ]);
    for (const line of table([['  member', 'program', 'type hash', 'in the table', 'calls'].map(dim), ...rows], [4]))
      out(line);
    printMismatches(ops.members);
  }
  if (shown.samples.length > 0) printPlot(shown, time);
  out();
  const rows = documents.map((document) => {
    const { flow } = document;
    const faults = document.faults.length === 0 ? green('0 CFI faults') : red(`died: ${document.faults[0]!.kind}`);
    const figures =
      flow === null
        ? ['', '', '', '']
        : [
            `${(flow.goodputBps / 1e6).toFixed(2)} Mbit/s`,
            `RTT ${flow.rttMsMean.toFixed(1)} ms`,
            `${flow.retransmits} retransmits`,
            `${flow.rtos} RTOs`,
          ];
    return [
      `cfi ${bold(document.cfi)}`,
      ...figures,
      `${document.calls} calls`,
      `${(document.instructions / 1e6).toFixed(1)} M instructions`,
      dim(`${document.mips} MIPS`),
      faults,
    ];
  });
  for (const line of table(rows, [1, 2, 3, 4, 5, 6, 7])) out(line);
  for (const { faults } of documents) for (const { lines } of faults) for (const line of lines) out(red(line));
  for (const line of shown.trace.slice(0, 20)) out(dim(`bpf_trace_printk: ${line}`));
}

function printPlot(document: RunDocument, time: number): void {
  const { samples } = document;
  const width = Math.max(40, Math.min(100, (process.stdout.columns ?? 100) - 10));
  const top = Math.max(...samples.map(({ cwnd }) => cwnd), 10);
  out(`\n${'cwnd'.padStart(6)}   ${cyan('⣀⣀ cwnd')}  ${yellow('⣀⣀ ssthresh')}  ${dim('packets')}`);
  const lines = plot(
    [
      { values: samples.map(({ cwnd }) => cwnd), color: cyan },
      { values: samples.map(({ ssthresh }) => (ssthresh === null || ssthresh > top ? null : ssthresh)), color: yellow },
    ],
    width,
    12,
    top,
  );
  for (const line of lines) out(line);
  out(dim(`${' '.repeat(7)}└${'─'.repeat(width)}`));
  out(dim(`${' '.repeat(8)}0${`${time} s`.padStart(width - 1)}`));
}
