import { formatLink } from '../net/index.ts';
import type { FlowSample } from '../subsystems/index.ts';
import type { RunDocument } from './_simulate.ts';
import { verificationLines } from './_verified.ts';
import { printMismatches } from './faults.ts';
import { bold, cyan, dim, green, out, plot, red, table, yellow } from './print.ts';

/** Flows that are drawn in the terminal; the table has all. */
const PLOTS = 4;

/** The figures of runs of one object, for people. */
export function printRuns(documents: readonly RunDocument[]): void {
  const [first] = documents as [RunDocument];
  out(
    `${bold(first.object)}  Linux ${first.kernel}  ${dim(formatLink(first.link))}  ${dim(`${first.seconds} s, seed ${first.seed}`)}`,
  );
  for (const line of verificationLines(first)) out(line);
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
  for (const { name, samples } of shown.flows.slice(0, PLOTS)) printPlot(name, samples, shown.seconds);
  if (shown.flows.length > 1) printFlows(shown);
  out();
  for (const line of table(documents.map(summary), [1, 2, 3, 4, 5, 6, 7])) out(line);
  for (const { faults } of documents) for (const { lines } of faults) for (const line of lines) out(red(line));
  for (const line of shown.trace.slice(0, 20)) out(dim(`bpf_trace_printk: ${line}`));
}

function summary(document: RunDocument): string[] {
  const { flows } = document;
  const sum = (figure: 'goodputBps' | 'retransmits' | 'rtos') => flows.reduce((all, flow) => all + flow[figure], 0);
  const figures =
    flows.length === 0
      ? ['', '', '', '']
      : [
          `${(sum('goodputBps') / 1e6).toFixed(2)} Mbit/s`,
          `RTT ${(flows.reduce((all, { rttMsMean }) => all + rttMsMean, 0) / flows.length).toFixed(1)} ms`,
          `${sum('retransmits')} retransmits`,
          `${sum('rtos')} RTOs`,
        ];
  return [
    `cfi ${bold(document.cfi)}`,
    ...figures,
    `${document.calls} calls`,
    `${(document.instructions / 1e6).toFixed(1)} M instructions`,
    dim(`${document.mips} MIPS`),
    document.faults.length === 0 ? green('0 CFI faults') : red(`died: ${document.faults[0]!.kind}`),
  ];
}

/** Each flow of several, and how fairly they share. */
function printFlows({ flows, fairness }: RunDocument): void {
  const rows = flows.map(({ name, goodputBps, rttMsMean, rttMsP95, retransmits, rtos }) => [
    bold(name),
    (goodputBps / 1e6).toFixed(2),
    rttMsMean.toFixed(1),
    rttMsP95.toFixed(1),
    `${retransmits}`,
    `${rtos}`,
  ]);
  out();
  const head = ['flow', 'Mbit/s', 'RTT ms', '95 %', 'retransmits', 'RTOs'].map(dim);
  for (const line of table([head, ...rows], [1, 2, 3, 4, 5])) out(line);
  out(dim(`fairness ${fairness!.toFixed(3)}`));
}

function printPlot(name: string, samples: readonly FlowSample[], time: number): void {
  const width = Math.max(40, Math.min(100, (process.stdout.columns ?? 100) - 10));
  const top = Math.max(...samples.map(({ cwnd }) => cwnd), 10);
  out(`\n${'cwnd'.padStart(6)}   ${cyan('⣀⣀ cwnd')}  ${yellow('⣀⣀ ssthresh')}  ${dim(`packets · ${name}`)}`);
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
