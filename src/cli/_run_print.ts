import { formatLink } from '../net/index.ts';
import type { FlowSample } from '../subsystems/index.ts';
import type { RunDocument } from './_simulate.ts';
import { bold, cyan, dim, green, out, plot, red, table, yellow } from './print.ts';
import { NOT_VERIFIED } from './session.ts';

/** The figures of runs of one object, for people. */
export function printRuns(documents: readonly RunDocument[]): void {
  const [first] = documents as [RunDocument];
  out(
    `${bold(first.object)}  Linux ${first.kernel}  ${dim(formatLink(first.link))}  ${dim(`${first.seconds} s, seed ${first.seed}`)}`,
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
  }
  for (const { samples } of shown.flows) printPlot(samples, shown.seconds);
  out();
  for (const line of table(documents.map(summary), [1, 2, 3, 4, 5, 6, 7])) out(line);
  for (const { faults } of documents) for (const { lines } of faults) for (const line of lines) out(red(line));
  for (const line of shown.trace.slice(0, 20)) out(dim(`bpf_trace_printk: ${line}`));
}

function summary(document: RunDocument): string[] {
  const [flow] = document.flows;
  const figures =
    flow === undefined
      ? ['', '', '', '']
      : [
          `${(flow.result.goodputBps / 1e6).toFixed(2)} Mbit/s`,
          `RTT ${flow.result.rttMsMean.toFixed(1)} ms`,
          `${flow.result.retransmits} retransmits`,
          `${flow.result.rtos} RTOs`,
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

function printPlot(samples: readonly FlowSample[], time: number): void {
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
