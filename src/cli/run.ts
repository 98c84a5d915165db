import { TrampetError } from '../base/index.ts';
import { parseLink } from '../net/index.ts';
import { judge, parseAssertion, type Verdict } from './_asserts.ts';
import { TextFile } from './_files.ts';
import { html } from './_html.ts';
import { live } from './_live.ts';
import { bulkFlows, pathsOf, type RunPlan } from './_plan.ts';
import { QlogFile } from './_qlog.ts';
import { Records } from './_records.ts';
import { callLine, csv, junit } from './_reports.ts';
import { printRuns } from './_run_print.ts';
import { isScenario, readScenario, type ScenarioFile } from './_scenario.ts';
import { namesOf, type ProgramRecord, type RunDocument, simulate } from './_simulate.ts';
import { svg } from './_svg.ts';
import { CliError } from './error.ts';
import { faultsForObject, printFaults } from './faults.ts';
import { COMMON, number, parse, seconds } from './options.ts';
import { green, json, out } from './print.ts';
import { CFI_MODES, chooseKernel, kernelHelp, openFor, targetFor, traceReader } from './session.ts';

/** The release whose struct_ops calls survive FineIBT. */
const KERNEL = '6.18+hashfix';

export const RUN_USAGE = `usage: trampet run OBJ|SCENARIO.yaml [options]

Loads the object, registers its ops tables and runs bulk TCP flows with the congestion controls. In a terminal the flows
are drawn while they run. A scenario says more: sources, start and stop, live replacement (examples/scenarios/README.md).
Options go before what it says.

  --link SPEC       rate, round-trip time, buffer, and what happens to packets
                    (default 20mbit,40ms,100p; e.g. 1gbit,10ms,500p,loss=0.1%,ecn=65p)
                    loss=1%  ecn=20p  codel=5ms:100ms[:ecn]  fq_codel=5ms:100ms  red=20p:60p:10%[:ecn]  jitter=2ms
                    reorder=1%:5ms  stall=5s:600ms  drop=10;11  rates=0s:20mbit;5s:2mbit  trace=FILE (mahimahi)
  --second SPEC     a second bottleneck behind the first
  --vs OBJ2         runs against the congestion control of another object; may be given several times
  --flows N         flows of each object (default 1)
  --for TIME        simulated time (default 30s)
  --table NAME      the ops table to drive, if the object has several
  --seed N          of losses and everything else that is random (default 1)
  --all-cfi         in each of the modes off, kcfi and fineibt
  --assert 'A OP B' goodput > 18mbit, rtt < 60ms, faults == 0; may be given several times; exit code 1 if one fails
                    all flows: goodput rtt rtt95 loss retransmits rtos dropped lost marked segments fairness
                    calls calls.MEMBER instructions faults; one flow: goodput[NAME] > 5mbit
  --events          what programs print and put into ring buffers, as the run goes on
  --record-type T   the struct of the object that records of ring buffers are, to show their members
  --junit FILE      the verdicts as JUnit XML
  --svg FILE        picture of window, round-trip time, in flight, goodput and queue on one time axis
  --html FILE       the same as a page with tables, in one file that needs no network
  --csv FILE        the samples: cwnd, ssthresh, srtt, in flight, rate, queue
  --jsonl FILE      every call of a member: time, arguments, result, cwnd and ssthresh before and after
  --qlog FILE       packets, losses, metrics and congestion states as qlog 0.3, which qvis draws
  --json            one JSON document`;

/** `trampet run`: exit code 0, or 1 if the guest died or an assertion fails. */
export async function run(args: string[]): Promise<number> {
  const { values, positionals } = parse(args, {
    ...COMMON,
    kernel: { type: 'string', default: KERNEL },
    seed: { type: 'string' },
    link: { type: 'string' },
    second: { type: 'string' },
    for: { type: 'string' },
    table: { type: 'string' },
    vs: { type: 'string', multiple: true, default: [] },
    flows: { type: 'string', default: '1' },
    'all-cfi': { type: 'boolean', default: false },
    assert: { type: 'string', multiple: true, default: [] },
    junit: { type: 'string' },
    csv: { type: 'string' },
    svg: { type: 'string' },
    html: { type: 'string' },
    jsonl: { type: 'string' },
    qlog: { type: 'string' },
    events: { type: 'boolean', default: false },
    'record-type': { type: 'string' },
  });
  if (values.help) {
    out(`${RUN_USAGE}\n${kernelHelp(KERNEL)}`);
    return 0;
  }
  const path = positionals[0];
  if (path === undefined || positionals.length > 1)
    throw new CliError('run takes one object, or one scenario', 'usage', RUN_USAGE.split('\n')[0]!);
  const scenario = isScenario(path) ? await readScenario(path) : undefined;
  const choice = chooseKernel({ ...values, seed: values.seed ?? scenario?.seed ?? '1' });
  const plan = planFor(path, scenario, values);
  const assertions = [...(scenario?.assert ?? []), ...values.assert.map(parseAssertion)];
  const objects = new Map(pathsOf(plan).map((name) => [name, openFor(name, choice)]));
  const told = new Records(objects, values['record-type']);
  const calls = values.jsonl === undefined ? undefined : new TextFile(values.jsonl);
  const object = plan.name ?? namesOf(plan, objects);
  const qlog = values.qlog === undefined ? undefined : new QlogFile(new TextFile(values.qlog), object);
  const documents = (values['all-cfi'] ? CFI_MODES : [choice.cfi]).map((cfi) => {
    qlog?.run(`${object} · cfi ${cfi}`);
    const shown = live({ ...plan, object, cfi }, !values.json);
    const records: object[] = [];
    const tell = (record: ProgramRecord) =>
      values.json ? void records.push(told.json(record)) : shown.print([told.line(record)]);
    try {
      const document = simulate(plan, objects, choice, {
        cfi,
        onSample: (flow, sample, share) => shown.sample(flow, sample, share),
        onCall: calls && ((call) => calls.write(callLine(cfi, call))),
        onSender: qlog && ((event) => qlog.event(event)),
        onRecord: values.events ? tell : undefined,
      });
      return values.events ? { ...document, records } : document;
    } catch (error) {
      // What makes no sense was said by the scenario, not by the command line.
      if (scenario === undefined || !(error instanceof TrampetError) || error.kind !== 'usage') throw error;
      throw new CliError(`${path}: ${error.message}`, 'unreadable', error.hint);
    } finally {
      shown.end();
    }
  });
  calls?.close();
  qlog?.close();
  const verdicts = documents.map((document) => assertions.map((assertion) => judge(assertion, document)));
  for (const [file, text] of [
    [values.csv, () => csv(documents)],
    [values.svg, () => svg(documents)],
    [values.html, () => html(documents, verdicts)],
    [values.junit, () => junit(documents, verdicts)],
  ] as const)
    if (file !== undefined) writeText(file, text());
  if (values.json) printJson(documents, verdicts);
  else {
    printRuns(documents, !values.events);
    for (const { cfi, faults } of documents)
      if (faults.length > 0)
        for (const one of objects.values()) printFaults(faultsForObject(targetFor(choice, cfi), one));
  }
  const failed = tellVerdicts(documents, verdicts, values.json);
  return failed || documents.some(({ faults }) => faults.length > 0) ? 1 : 0;
}

/** What the command line says goes before what the scenario says, and that before what is so without either. */
function planFor(path: string, scenario: ScenarioFile | undefined, values: PlanValues): RunPlan {
  const flows = number('flows', values.flows, 1, 10_000);
  const link = (text: string) => parseLink(text, { readTrace: traceReader('.') });
  const own = scenario?.flows.map((flow) => ({
    ...flow,
    count: flow.count * flows,
    table: values.table ?? flow.table,
  }));
  return {
    name: scenario?.name,
    link: values.link !== undefined ? link(values.link) : (scenario?.link ?? link('20mbit,40ms,100p')),
    second: values.second !== undefined ? link(values.second) : scenario?.second,
    seconds: values.for !== undefined ? seconds('for', values.for) : (scenario?.seconds ?? 30),
    flows: [
      ...(own ?? bulkFlows(path, flows, values.table)),
      ...values.vs.flatMap((other) => bulkFlows(other, flows, values.table)),
    ],
    events: scenario?.events ?? [],
    load: scenario?.load ?? [],
  };
}

interface PlanValues {
  flows: string;
  vs: string[];
  table?: string | undefined;
  link?: string | undefined;
  second?: string | undefined;
  for?: string | undefined;
}

function writeText(path: string, text: string): void {
  const file = new TextFile(path);
  file.write(text);
  file.close();
}

function printJson(documents: readonly RunDocument[], verdicts: readonly Verdict[][]): void {
  const whole = documents.map((document, i) => ({ ...document, asserts: verdicts[i]! }));
  json(whole.length === 1 ? whole[0] : { schema: 1, runs: whole });
}

/** A line on stderr for each assertion that failed; whether there was one. */
function tellVerdicts(documents: readonly RunDocument[], verdicts: readonly Verdict[][], quiet: boolean): boolean {
  let failed = 0;
  documents.forEach(({ object, cfi }, i) => {
    for (const { text, holds, why } of verdicts[i]!)
      if (!holds) {
        failed++;
        process.stderr.write(`assertion failed: ${text}: ${why} (${object}, cfi ${cfi})\n`);
      }
  });
  const count = verdicts.flat().length;
  if (failed === 0 && count > 0 && !quiet)
    out(green(`${count} ${count === 1 ? 'assertion holds' : 'assertions hold'}`));
  return failed > 0;
}
