import { parseLink } from '../net/index.ts';
import { judge, parseAssertion, type Verdict } from './_asserts.ts';
import { TextFile } from './_files.ts';
import { html } from './_html.ts';
import { live } from './_live.ts';
import { QlogFile } from './_qlog.ts';
import { callLine, csv, junit } from './_reports.ts';
import { printRuns } from './_run_print.ts';
import { isScenario, readScenario, type ScenarioFile } from './_scenario.ts';
import { type RunDocument, simulate } from './_simulate.ts';
import { svg } from './_svg.ts';
import { CliError } from './error.ts';
import { faultsForObject, printFaults } from './faults.ts';
import { COMMON, number, parse, seconds } from './options.ts';
import { green, json, out } from './print.ts';
import { CFI_MODES, chooseKernel, openFor, targetFor } from './session.ts';

export const RUN_USAGE = `usage: trampet run OBJ|SCENARIO.yaml [options]

Loads the object, registers its ops tables and runs bulk TCP flows with the congestion controls.
A scenario is a YAML file of link, for, seed, assert (a list) and flows (a list of object, each another); options go before it.

  --link SPEC       rate, round-trip time, buffer, loss, ECN threshold, stall
                    (default 20mbit,40ms,100p; e.g. 1gbit,10ms,500p,loss=0.1%,ecn=65p)
  --vs OBJ2         runs against the congestion control of another object; may be given several times
  --flows N         flows of each object (default 1)
  --for TIME        simulated time (default 30s)
  --table NAME      the ops table to drive, if the object has several
  --cfi MODE        off | kcfi | fineibt (default fineibt)   --all-cfi  all three
                    behind it, since 6.15: ,paranoid ,bhi ,warn
  --kernel REL      default 6.18+hashfix                     --btf FILE raw, ELF or gz; 'live': the running kernel's
  --seed N          for loss and bpf_get_prandom_u32         --hash-seed N  boot-time seed of type hashes (0: none)
  --assert 'A OP B' goodput > 18mbit, rtt < 60ms, faults == 0; may be given several times; exit code 1 if one fails
                    (goodput rtt retransmits rtos dropped lost marked segments calls calls.MEMBER instructions faults)
  --junit FILE      the verdicts as JUnit XML
  --svg FILE        picture of window, round-trip time, goodput and queue on one time axis
  --html FILE       the same as a page with tables, in one file that needs no network
  --csv FILE        the samples: cwnd, ssthresh, srtt, in flight, rate, queue
  --jsonl FILE      every call of a member: time, arguments, result, cwnd and ssthresh before and after
  --qlog FILE       packets, losses, metrics and congestion states as qlog 0.3, which qvis draws
  --json            one JSON document`;

/** `trampet run`: exit code 0, or 1 if the guest died or an assertion fails. */
export function run(args: string[]): number {
  const { values, positionals } = parse(args, {
    ...COMMON,
    kernel: { type: 'string', default: '6.18+hashfix' },
    seed: { type: 'string' },
    link: { type: 'string' },
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
  });
  if (values.help) {
    out(RUN_USAGE);
    return 0;
  }
  const path = positionals[0];
  if (path === undefined || positionals.length > 1)
    throw new CliError('run takes one object', 'usage', RUN_USAGE.split('\n')[0]!);
  const scenario: ScenarioFile = isScenario(path) ? readScenario(path) : { objects: [path], assert: [] };
  const choice = chooseKernel({ ...values, seed: values.seed ?? scenario.seed ?? '1' });
  const link = parseLink(values.link ?? scenario.link ?? '20mbit,40ms,100p');
  const time = seconds('for', values.for ?? scenario.for ?? '30s');
  const assertions = [...scenario.assert, ...values.assert].map(parseAssertion);
  const flows = number('flows', values.flows, 1, 10_000);
  const objects = [...scenario.objects, ...values.vs].map((name) => openFor(name, choice));
  const calls = values.jsonl === undefined ? undefined : new TextFile(values.jsonl);
  const modes = values['all-cfi'] ? CFI_MODES : [choice.cfi];
  const object = objects.map(({ file }) => file.name).join(' vs ');
  const qlog = values.qlog === undefined ? undefined : new QlogFile(new TextFile(values.qlog), object);
  const documents = modes.map((cfi) => {
    qlog?.run(`${object} · cfi ${cfi}`);
    const shown = live({ object, cfi, link, seconds: time }, !values.json);
    try {
      return simulate(objects, choice, {
        cfi,
        flows,
        link,
        seconds: time,
        table: values.table ?? scenario.table,
        onSample: (flow, sample, share) => shown.sample(flow, sample, share),
        onCall: calls && ((call) => calls.write(callLine(cfi, call))),
        onSender: qlog && ((event) => qlog.event(event)),
      });
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
    printRuns(documents);
    for (const { cfi, faults } of documents)
      if (faults.length > 0) for (const object of objects) printFaults(faultsForObject(targetFor(choice, cfi), object));
  }
  const failed = tellVerdicts(documents, verdicts, values.json);
  return failed || documents.some(({ faults }) => faults.length > 0) ? 1 : 0;
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
