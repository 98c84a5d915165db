import { formatLink } from '../net/index.ts';
import type { RunDocument } from './_simulate.ts';
import { chart, drawn, escaped, LEFT, PLOT, STYLE } from './_svg.ts';

const PAGE_STYLE = `${STYLE}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);font:15px/1.5 system-ui,"Segoe UI",Roboto,sans-serif}
main{max-width:1040px;margin:0 auto;padding:32px 24px 64px}
h1{font-size:26px;margin:0 0 4px}h2{font-size:16px;margin:36px 0 10px}
p{margin:0;color:var(--soft)}
figure{margin:22px 0 0;padding:8px 8px 4px;border:1px solid var(--grid);border-radius:12px;position:relative}
figure svg{display:block;width:100%;height:auto}
.scroll{overflow-x:auto;border:1px solid var(--grid);border-radius:12px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:8px 14px;text-align:right;white-space:nowrap}
th{font-weight:500;color:var(--soft);background:var(--card)}
th:first-child,td:first-child,td.text,th.text{text-align:left}
tr+tr td{border-top:1px solid var(--grid)}
code{font:13px ui-monospace,"Cascadia Mono",Menlo,monospace}
.good{color:var(--c2)}.bad{color:var(--c1)}
pre{overflow-x:auto;background:var(--card);padding:14px;border-radius:12px;font:13px ui-monospace,Menlo,monospace}
.dot{display:inline-block;width:10px;height:10px;border-radius:50%;margin-right:8px}
#tip{position:absolute;top:44px;pointer-events:none;background:var(--card);border:1px solid var(--grid);border-radius:8px;padding:6px 10px;font-size:13px;white-space:pre;display:none}`;

/** Follows the pointer over the chart: a line in all panels, and the figures of the nearest sample. */
const SCRIPT = `const run=JSON.parse(document.getElementById('run').textContent);
const chart=document.querySelector('figure svg'),tip=document.getElementById('tip'),line=document.getElementById('line');
chart.addEventListener('pointerleave',()=>{tip.style.display='none';line.setAttribute('visibility','hidden')});
chart.addEventListener('pointermove',(event)=>{
const box=chart.getBoundingClientRect(),scale=box.width/chart.viewBox.baseVal.width;
const x=(event.clientX-box.left)/scale,share=(x-run.left)/run.plot;
if(share<0||share>1||run.flows.length===0)return;
const count=run.flows[0].samples.length,i=Math.max(0,Math.min(count-1,Math.round(share*count)-1));
const at=run.left+run.flows[0].samples[i][0]/run.seconds*run.plot;
line.setAttribute('x1',at);line.setAttribute('x2',at);line.setAttribute('visibility','visible');
tip.textContent=run.flows.map(({name,samples})=>{const [t,cwnd,ssthresh,rtt,flight,rate,queue]=samples[i];
return name+'  '+t.toFixed(2)+' s\\ncwnd '+cwnd+'  ssthresh '+(ssthresh??'∞')+'  in flight '+flight+'\\nsrtt '+rtt.toFixed(1)+' ms  '+(rate/1e6).toFixed(2)+' Mbit/s  queue '+queue}).join('\\n');
tip.style.display='block';
const left=at*scale+20;tip.style.left=(left+tip.offsetWidth>box.width?at*scale-tip.offsetWidth-4:left)+'px'});`;

const number = (value: number) => value.toLocaleString('en-US', { maximumFractionDigits: 0 });

/** A report in one file that needs no network: the chart, a table of figures, the calls of every member. */
export function html(documents: readonly RunDocument[]): string {
  const run = drawn(documents);
  const body = chart(run, 0);
  const title = run.flows.map(({ name }) => name).join(' · ') || run.object;
  const data = {
    left: LEFT,
    plot: PLOT,
    seconds: run.seconds,
    flows: run.flows.map(({ name, samples }) => ({
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
<title>${escaped(title)} · trampet</title>
<style>${PAGE_STYLE}</style>
</head>
<body>
<main>
<h1>${escaped(title)}</h1>
<p>${escaped(`${formatLink(run.link)} · ${run.seconds} s · seed ${run.seed} · Linux ${run.kernel}`)}</p>
<figure><svg viewBox="0 0 ${body.width} ${body.height}" role="img" aria-label="window, round-trip time, goodput and queue over time">
${body.text}
<line id="line" y1="0" y2="${body.height - 20}" visibility="hidden" style="stroke:var(--soft)"/>
</svg><div id="tip"></div></figure>
<h2>Figures</h2>
<div class="scroll"><table>
<tr><th>flow</th><th class="text">cfi</th><th>goodput</th><th>mean RTT</th><th>95 % RTT</th><th>retransmits</th><th>RTOs</th><th>dropped</th><th>lost</th><th>marked</th><th>guest instructions</th><th>faults</th></tr>
${documents.map(figures).join('\n')}
</table></div>
<h2>Calls</h2>
<div class="scroll"><table>
<tr><th>member</th><th class="text">program</th><th>type hash</th><th>calls</th></tr>
${run.ops.map((ops) => members(run, ops)).join('\n')}
</table></div>
${documents.flatMap(({ faults }) => faults.map(({ lines }) => `<h2>Fault</h2>\n<pre>${escaped(lines.join('\n'))}</pre>`)).join('\n')}
</main>
<script type="application/json" id="run">${JSON.stringify(data).replaceAll('<', '\\u003c')}</script>
<script>${SCRIPT}</script>
</body>
</html>
`;
}

function figures({ flows, cfi, instructions, faults, object }: RunDocument): string {
  const health =
    faults.length === 0
      ? '<td class="good">0</td>'
      : `<td class="bad">${escaped(faults.map(({ kind }) => kind).join(', '))}</td>`;
  if (flows.length === 0)
    return `<tr><td>${escaped(object)}</td><td class="text">${cfi}</td><td colspan="8"></td><td>${number(instructions)}</td>${health}</tr>`;
  return flows
    .map((flow, n) => {
      const cells = [
        `${(flow.goodputBps / 1e6).toFixed(2)} Mbit/s`,
        `${flow.rttMsMean.toFixed(1)} ms`,
        `${flow.rttMsP95.toFixed(1)} ms`,
        ...[flow.retransmits, flow.rtos, flow.dropped, flow.lost, flow.marked, instructions].map(number),
      ];
      return `<tr><td><span class="dot" style="background:var(--c${n % 6})"></span>${escaped(flow.name)}</td><td class="text">${cfi}</td>${cells.map((cell) => `<td>${cell}</td>`).join('')}${health}</tr>`;
    })
    .join('\n');
}

function members(run: RunDocument, ops: RunDocument['ops'][number]): string {
  return ops.members
    .map(
      ({ member, program, hash }) =>
        `<tr><td>${escaped(`${ops.name}.${member}`)}</td><td class="text"><code>${escaped(program)}</code></td><td><code>${run.cfi === 'off' ? '' : hash}</code></td><td>${number(run.callsByMember[member] ?? 0)}</td></tr>`,
    )
    .join('\n');
}
