import { linkWords, lossOf, totalGoodput } from './_figures.ts';
import { flowColor, HEIGHT, LEAST_HEIGHT, picture } from './_picture.ts';
import type { RunDocument } from './_simulate.ts';
import { verificationLines } from './_verified.ts';
import { printMismatches } from './faults.ts';
import { bold, cyan, dim, green, out, red, table, visible, windowSize } from './print.ts';

/** Flows that the table names; --json has all. */
const MOST_FLOWS = 24;
const STATES = ['Open', 'Disorder', 'CWR', 'Recovery', 'Loss'] as const;
const PRINTED = 20;

/** The figures of runs of one plan, for people; `traced`: what programs printed too. */
export function printRuns(documents: readonly RunDocument[], traced: boolean): void {
  const [first] = documents as [RunDocument];
  const shown = documents.at(-1)!;
  out(
    `${bold(first.object)}  Linux ${first.kernel}  ${dim(linkWords(first))}  ${dim(`${first.seconds} s, seed ${first.seed}`)}`,
  );
  for (const line of verificationLines(first)) out(line);
  if (shown.flows.length > 0) {
    out();
    const { columns, rows = HEIGHT + 5 } = windowSize();
    const height = Math.max(LEAST_HEIGHT, Math.min(HEIGHT, rows - 5));
    for (const line of picture({ ...shown, shared: shown.second === null }, { width: columns, height })) out(line);
    for (const { t, label } of shown.marks) out(dim(`${' '.repeat(17)}▲ ${t} s  ${label}`));
    out();
    printFlows(shown, columns);
  }
  for (const ops of shown.ops) printOps(ops, shown);
  out();
  const head = ['cfi', 'calls', 'guest instructions', 'a call', ''].map(dim);
  for (const line of table([head, ...documents.map(machine)], [1, 2, 3])) out(line);
  for (const { faults } of documents) for (const { lines } of faults) for (const line of lines) out(red(line));
  if (!traced) return;
  const { trace, traceLost } = shown;
  if (traceLost > 0) out(dim(`bpf_trace_printk: ${traceLost} lines are lost; --events has all`));
  for (const line of trace.slice(0, PRINTED)) out(dim(`bpf_trace_printk: ${line}`));
  if (trace.length > PRINTED) out(dim(`… ${trace.length - PRINTED} more lines; --events has all`));
}

function printOps(ops: RunDocument['ops'][number], { cfi }: RunDocument): void {
  out(`\n${bold(ops.name)}  struct ${ops.type}  ${dim(`id ${ops.id}  refcnt ${ops.refcnt}  state ${ops.state}`)}`);
  const lines = ops.members.map(({ member, program, hash, address, calls }) => [
    `  ${cyan(member)}`,
    program,
    cfi === 'off' ? dim('no hash') : hash,
    dim(address),
    `${calls}`,
  ]);
  for (const line of table([['  member', 'program', 'type hash', 'in the table', 'calls'].map(dim), ...lines], [4]))
    out(line);
  printMismatches(ops.members);
}

/** What the machine did: a row a CFI mode. */
function machine({ cfi, calls, instructions, faults }: RunDocument): string[] {
  return [
    bold(cfi),
    `${calls}`,
    `${(instructions / 1e6).toFixed(1)} M`,
    calls === 0 ? '-' : `${Math.round(instructions / calls)}`,
    faults.length === 0 ? green('0 CFI faults') : red(`died: ${faults[0]!.kind}`),
  ];
}

/** How each flow did, how long it was in each congestion state, and how fairly they share; in two tables if it must. */
function printFlows({ flows, fairness, seconds }: RunDocument, columns: number): void {
  const named = flows.slice(0, MOST_FLOWS);
  const names = ['flow', ...named.map((flow, n) => flowColor(n)(`━━ ${flow.name}`))];
  const figures = [
    ['Mbit/s', 'RTT ms', '95 %', 'loss', 'rexmit', 'RTOs'],
    ...named.map(({ goodputBps, rttMsMean, rttMsP95, retransmits, rtos }, n) => [
      (goodputBps / 1e6).toFixed(2),
      rttMsMean.toFixed(1),
      rttMsP95.toFixed(1),
      percent(lossOf([named[n]!])),
      `${retransmits}`,
      `${rtos}`,
    ]),
  ];
  const states = [
    [...STATES],
    ...named.map(({ secondsInState }) => STATES.map((state) => duration(secondsInState[state]))),
  ];
  const rows = (...parts: string[][][]) => {
    const cells = names.map((name, i) => [name, ...parts.flatMap((part) => part[i]!)]);
    return table([cells[0]!.map(dim), ...cells.slice(1)], cells[0]!.map((_, i) => i).slice(1));
  };
  const whole = rows(figures, states);
  const wide = Math.max(...whole.map(visible)) <= columns;
  for (const line of wide ? whole : [...rows(figures), ...rows(states)]) out(line);
  if (flows.length > MOST_FLOWS) out(dim(`… ${flows.length - MOST_FLOWS} more flows; --json has all`));
  if (flows.length > 1) {
    const all = totalGoodput(flows, seconds);
    out(`all ${(all / 1e6).toFixed(2)} Mbit/s, fairness ${fairness!.toFixed(3)}`);
  }
}

const percent = (share: number) => (share === 0 ? '0' : `${Number((share * 100).toPrecision(2))} %`);
const duration = (seconds: number) => (seconds === 0 ? '-' : `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`);
