import type { OpCall } from '../subsystems/index.ts';
import type { Verdict } from './_asserts.ts';
import { escaped } from './_chart.ts';
import type { RunDocument } from './_simulate.ts';

const CSV_COLUMNS = ['cfi', 'flow', 't', 'cwnd', 'ssthresh', 'srtt_ms', 'in_flight', 'rate_bps', 'queue_packets'];
const quoted = (text: string) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/** The samples of every run as comma-separated values (RFC 4180); an infinite ssthresh is empty. */
export function csv(documents: readonly RunDocument[]): string {
  const lines = [CSV_COLUMNS.join(',')];
  for (const { cfi, flows } of documents)
    for (const { name, samples } of flows)
      for (const { t, cwnd, ssthresh, srttMs, inFlight, rateBps, queuePackets } of samples)
        lines.push([cfi, quoted(name), t, cwnd, ssthresh ?? '', srttMs, inFlight, rateBps, queuePackets].join(','));
  return `${lines.join('\n')}\n`;
}

/** A call of a member as one line of JSON. */
export function callLine(cfi: string, call: OpCall): string {
  return `${JSON.stringify({ cfi, ...call })}\n`;
}

/** Verdicts as JUnit XML: a suite a run; its first case is that the guest lived. */
export function junit(documents: readonly RunDocument[], verdicts: readonly (readonly Verdict[])[]): string {
  const suites = documents.map((document, i) => {
    const name = escaped(`${document.object} cfi ${document.cfi}`);
    const died = document.faults[0];
    const cases = [
      { text: 'runs without a fault', why: died?.kind, more: died?.lines.join('\n') ?? '' },
      ...verdicts[i]!.map(({ text, holds, why }) => ({ text, why: holds ? undefined : why, more: '' })),
    ];
    const failures = cases.filter(({ why }) => why !== undefined).length;
    const lines = cases.map(({ text, why, more }) => {
      const head = `    <testcase classname="${name}" name="${escaped(text)}"`;
      return why === undefined
        ? `${head}/>`
        : `${head}><failure message="${escaped(why)}">${escaped(more)}</failure></testcase>`;
    });
    return `  <testsuite name="${name}" tests="${cases.length}" failures="${failures}">\n${lines.join('\n')}\n  </testsuite>`;
  });
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n${suites.join('\n')}\n</testsuites>\n`;
}
