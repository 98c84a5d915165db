import type { FlowReport } from '../subsystems/index.ts';
import type { Verdict } from './_asserts.ts';
import { chart, DRAWN, escaped, flowVariable, type Geometry, NARROW, STYLE, WIDE } from './_chart.ts';
import { linkWords, lossOf, totalGoodput } from './_figures.ts';
import { PAGE_SCRIPT, PAGE_STYLE } from './_html_parts.ts';
import type { RunDocument } from './_simulate.ts';
import { drawn } from './_svg.ts';
import { verificationText } from './_verified.ts';

/** Flows that the tables list. */
const LISTED = 200;
const STATES = ['Open', 'Disorder', 'CWR', 'Recovery', 'Loss'] as const;

const number = (value: number) => value.toLocaleString('en-US', { maximumFractionDigits: 0 });
const percent = (share: number) => (share === 0 ? '0' : `${Number((share * 100).toPrecision(2))} %`);
const mbit = (bps: number) => `${(bps / 1e6).toFixed(2)} Mbit/s`;
/** A table; the first `texts` of its columns are text. */
const table = (head: readonly string[], rows: readonly string[], texts = 1) =>
  `<div class="scroll"><table>\n<thead><tr>${head.map((text, i) => `<th scope="col"${i < texts ? ' class="text"' : ''}>${text}</th>`).join('')}</tr></thead>\n<tbody>\n${rows.join('\n')}\n</tbody>\n</table></div>`;
/** A row; cells that are text stand before the figures. */
const row = (first: string, figures: readonly string[], texts: readonly string[] = []) =>
  `<tr><th scope="row">${first}</th>${texts.map((cell) => `<td class="text">${cell}</td>`).join('')}${figures.map((cell) => `<td>${cell}</td>`).join('')}</tr>`;

/** A report in one file that needs no network: key figures, the chart, tables of flows, members and CFI modes. */
export function html(documents: readonly RunDocument[], verdicts: readonly (readonly Verdict[])[]): string {
  const run = drawn(documents);
  const data = {
    seconds: run.seconds,
    flows: run.flows.slice(0, DRAWN).map(({ name, samples }) => ({
      name,
      samples: samples.map((s) => [s.t, s.cwnd, s.ssthresh, s.srttMs, s.inFlight, s.rateBps, s.queuePackets]),
    })),
  };
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escaped(run.object)} · trampet</title>
<style>${STYLE}
${PAGE_STYLE}</style>
</head>
<body>
<main>
<h1>${escaped(run.object)}</h1>
<p>${escaped(`${linkWords(run)} · ${run.seconds} s · seed ${run.seed} · Linux ${run.kernel}`)}</p>
${tiles(run, documents)}
${figure(run)}
${asserted(documents, verdicts)}
${flowTables(run)}
${run.ops.map(opsTable).join('\n')}
<h2>Machine</h2>
${table(['CFI mode', 'calls', 'guest instructions', 'a call', 'faults'], documents.map(machine))}
${documents.flatMap(({ faults }) => faults.map(({ lines }) => `<h2>Fault</h2>\n<pre>${escaped(lines.join('\n'))}</pre>`)).join('\n')}
<footer>trampet: ${escaped(verificationText(run))}.</footer>
</main>
<script type="application/json" id="run">${JSON.stringify(data).replaceAll('<', '\\u003c')}</script>
<script>${PAGE_SCRIPT}</script>
</body>
</html>
`;
}

/** The figures that one looks for first. */
function tiles(run: RunDocument, documents: readonly RunDocument[]): string {
  const { flows, link, second, fairness } = run;
  const faults = documents.reduce((sum, document) => sum + document.faults.length, 0);
  const tile = (value: string, what: string, mood = '') =>
    `<div><b class="${mood}">${value}</b><span>${what}</span></div>`;
  const sum = (of: (flow: FlowReport) => number) => flows.reduce((all, flow) => all + of(flow), 0);
  const goodput = totalGoodput(flows, run.seconds);
  const parts =
    flows.length === 0
      ? []
      : [
          tile(
            mbit(goodput),
            second === null ? `goodput, ${Math.round((100 * goodput) / link.rateBps)} % of the link` : 'goodput',
          ),
          tile(
            `${(sum(({ rttMsMean }) => rttMsMean) / flows.length).toFixed(1)} ms`,
            second === null ? `mean RTT, ${link.rttNs / 1e6} ms without queue` : 'mean RTT',
          ),
          tile(number(sum(({ retransmits }) => retransmits)), `retransmits, ${number(sum(({ rtos }) => rtos))} RTOs`),
          ...(flows.length > 1 ? [tile(fairness!.toFixed(3), "fairness (Jain's index)")] : []),
        ];
  const modes = documents.map(({ cfi }) => cfi).join(', ');
  parts.push(tile(`${faults}`, `CFI faults (${modes})`, faults === 0 ? 'good' : 'bad'));
  return `<section class="tiles">${parts.join('')}</section>`;
}

function figure(run: RunDocument): string {
  if (run.flows.length === 0) return '';
  const names = run.flows.map(
    ({ name }, n) => `<span><i style="background:${flowVariable(n)}"></i>${escaped(name)}</span>`,
  );
  return `<figure>
<figcaption>${names.slice(0, DRAWN).join('')}${names.length > DRAWN ? `<span>and ${names.length - DRAWN} more</span>` : ''}</figcaption>
${svgOf(run, WIDE, 'wide')}
${svgOf(run, NARROW, 'narrow')}
<div id="tip"></div>
</figure>`;
}

function svgOf(run: RunDocument, geometry: Geometry, name: string): string {
  const { text, height } = chart(run, geometry);
  const { left, plot, width } = geometry;
  return `<svg class="${name}" viewBox="0 0 ${width} ${height}" data-left="${left}" data-plot="${plot}" role="img" aria-label="window, round-trip time, in flight, rate and queue over time">
${text}
<line class="cursor" y1="28" y2="${height - 28}" visibility="hidden"/>
</svg>`;
}

/** Each assertion once for all modes that say the same. */
function asserted(documents: readonly RunDocument[], verdicts: readonly (readonly Verdict[])[]): string {
  const told = new Map<string, { verdict: Verdict; modes: string[] }>();
  for (const [i, { cfi }] of documents.entries())
    for (const [n, verdict] of verdicts[i]!.entries()) {
      const key = JSON.stringify([n, verdict]);
      const known = told.get(key);
      if (known === undefined) told.set(key, { verdict, modes: [cfi] });
      else known.modes.push(cfi);
    }
  const rows = [...told.values()].map(({ verdict: { text, holds, why }, modes }) =>
    row(
      `<code>${escaped(text)}</code>`,
      [holds ? '<span class="good">holds</span>' : '<span class="bad">fails</span>'],
      [escaped(why), modes.join(', ')],
    ),
  );
  const head = ['assertion', 'figure', 'CFI modes', 'verdict'];
  return rows.length === 0 ? '' : `<h2>Assertions</h2>\n${table(head, rows, 3)}`;
}

function flowTables(run: RunDocument): string {
  const flows = run.flows.slice(0, LISTED);
  if (flows.length === 0) return '';
  const more = run.flows.length > LISTED ? `<p>and ${run.flows.length - LISTED} more</p>\n` : '';
  const name = (flow: FlowReport, n: number) => `<i style="background:${flowVariable(n)}"></i>${escaped(flow.name)}`;
  const figures = flows.map((flow, n) =>
    row(name(flow, n), [
      mbit(flow.goodputBps),
      `${flow.rttMsMean.toFixed(1)} ms`,
      `${flow.rttMsP95.toFixed(1)} ms`,
      percent(lossOf([flow])),
      ...[flow.dropped, flow.lost, flow.marked, flow.retransmits, flow.rtos].map(number),
    ]),
  );
  const states = flows.map((flow, n) => {
    const { secondsInState } = flow;
    const all = STATES.reduce((sum, state) => sum + secondsInState[state], 0);
    const bars = STATES.filter((state) => secondsInState[state] > 0).map(
      (state) =>
        `<s class="${state}" style="width:${((100 * secondsInState[state]) / all).toFixed(2)}%" title="${state} ${secondsInState[state].toFixed(2)} s"></s>`,
    );
    return row(
      name(flow, n),
      STATES.map((state) => (secondsInState[state] === 0 ? '–' : `${secondsInState[state].toFixed(2)} s`)),
      [`<div class="bar">${bars.join('')}</div>`],
    );
  });
  const head = STATES.map((state) => `<s class="${state}"></s>${state}`);
  return `<h2>Flows</h2>
${table(['flow', 'goodput', 'mean RTT', '95 % RTT', 'loss', 'dropped', 'lost', 'marked', 'retransmits', 'RTOs'], figures)}
${more}<h2>Time in congestion states</h2>
${table(['flow', '', ...head], states, 2)}`;
}

function opsTable({ name, type, id, refcnt, state, members }: RunDocument['ops'][number]): string {
  const rows = members.map(({ member, program, hash, typeId, calls }) =>
    row(
      escaped(member),
      [number(calls)],
      [
        `<code>${escaped(program)}</code>`,
        `<code${typeId !== null && typeId !== hash ? ' class="bad"' : ''}>${typeId === null ? '–' : hash}</code>`,
      ],
    ),
  );
  return `<h2>${escaped(name)} <small>struct ${escaped(type)} · id ${id} · refcnt ${refcnt} · ${state}</small></h2>
${table(['member', 'program', 'type hash', 'calls'], rows, 3)}`;
}

function machine({ cfi, calls, instructions, faults }: RunDocument): string {
  return row(cfi, [
    number(calls),
    number(instructions),
    calls === 0 ? '–' : number(instructions / calls),
    faults.length === 0
      ? '<span class="good">0</span>'
      : `<span class="bad">${escaped(faults.map(({ kind }) => kind).join(', '))}</span>`,
  ]);
}
