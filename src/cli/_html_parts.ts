/** Style of a report's page, after that of its charts. */
export const PAGE_STYLE = `*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);font:15px/1.5 system-ui,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:1040px;margin:0 auto;padding:36px 28px 56px}
h1{font-size:28px;line-height:1.2;letter-spacing:-.01em;margin:0 0 6px}
h2{font-size:16px;margin:40px 0 10px}
h2 small{font-weight:400;font-size:13px;color:var(--soft);margin-left:6px}
p,footer{margin:0;color:var(--soft)}
footer{margin-top:36px;font-size:13px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:10px;margin:22px 0}
.tiles div{background:var(--card);border-radius:12px;padding:12px 16px}
.tiles b{display:block;font-size:20px;font-weight:600;font-variant-numeric:tabular-nums;white-space:nowrap}
.tiles span{color:var(--soft);font-size:13px;line-height:1.35;display:block}
figure{margin:0;padding:14px 12px 8px;border:1px solid var(--grid);border-radius:12px;position:relative}
figcaption{display:flex;flex-wrap:wrap;gap:4px 18px;padding:0 0 2px 44px;font-size:13px}
figure svg{display:block;width:100%;height:auto;touch-action:pan-y}
.narrow{display:none!important}
.cursor{stroke:var(--soft)}
i{display:inline-block;width:11px;height:11px;border-radius:50%;margin-right:8px;vertical-align:-1px}
.scroll{overflow-x:auto;border:1px solid var(--grid);border-radius:12px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:8px 14px;text-align:right;white-space:nowrap;font-weight:400}
thead th{font-size:13px;color:var(--soft);background:var(--card)}
td.text,th.text{text-align:left}
th:first-child{text-align:left;position:sticky;left:0;background:var(--back)}
thead th:first-child{background:var(--card)}
tbody tr>*{border-top:1px solid var(--grid)}
code{font:13px ui-monospace,"Cascadia Mono",Menlo,"DejaVu Sans Mono",monospace}
.good{color:var(--good)}.bad{color:var(--bad)}
pre{overflow-x:auto;background:var(--card);padding:14px;border-radius:12px;font:13px/1.5 ui-monospace,Menlo,"DejaVu Sans Mono",monospace}
.bar{display:flex;width:180px;height:10px;border-radius:5px;overflow:hidden;background:var(--grid)}
s{display:block;text-decoration:none}
thead s{display:inline-block;width:9px;height:9px;border-radius:2px;margin-right:6px}
.Open{background:var(--c2)}.Disorder{background:var(--c4)}.CWR{background:var(--c0)}.Recovery{background:var(--c1)}.Loss{background:var(--c3)}
#tip{position:absolute;top:40px;pointer-events:none;background:var(--card);border:1px solid var(--grid);border-radius:8px;padding:8px 12px;font-size:13px;display:none;box-shadow:0 4px 16px #0003;font-variant-numeric:tabular-nums;white-space:nowrap}
#tip b{display:block}
@media(max-width:640px){main{padding:24px 16px 40px}h1{font-size:24px}figure{padding:12px 4px 4px}figcaption{padding-left:36px}.wide{display:none!important}.narrow{display:block!important}th,td{padding:7px 10px}.tiles{grid-template-columns:1fr 1fr}.tiles div:last-child:nth-child(odd){grid-column:1/-1}.tiles b{font-size:17px}}
@media print{figure,.scroll{break-inside:avoid}}`;

/** Follows the pointer over the chart: a line in all panels, and the figures of the nearest sample of each flow. */
export const PAGE_SCRIPT = `const run=JSON.parse(document.getElementById('run').textContent),tip=document.getElementById('tip');
const nearest=(samples,t)=>{let a=0,b=samples.length-1;while(a<b){const m=(a+b)>>1;if(samples[m][0]<t)a=m+1;else b=m}
return a>0&&t-samples[a-1][0]<samples[a][0]-t?samples[a-1]:samples[a]};
for(const svg of document.querySelectorAll('figure svg')){
const line=svg.querySelector('.cursor'),left=+svg.dataset.left,plot=+svg.dataset.plot;
const hide=()=>{tip.style.display='none';line.setAttribute('visibility','hidden')};
svg.addEventListener('pointerleave',hide);
svg.addEventListener('pointermove',(event)=>{
const box=svg.getBoundingClientRect(),scale=box.width/svg.viewBox.baseVal.width;
const share=((event.clientX-box.left)/scale-left)/plot;
if(share<0||share>1)return hide();
const t=share*run.seconds,at=left+share*plot,step=run.flows[0].samples[0]?.[0]??0;
line.setAttribute('x1',at);line.setAttribute('x2',at);line.setAttribute('visibility','visible');
tip.replaceChildren();
const head=document.createElement('b');head.textContent=t.toFixed(2)+' s';tip.append(head);
run.flows.slice(0,8).forEach(({name,samples},n)=>{
if(samples.length===0)return;
const s=nearest(samples,t);if(Math.abs(s[0]-t)>Math.max(step,run.seconds/100))return;
const row=document.createElement('div'),dot=document.createElement('i');dot.style.background='var(--c'+n%6+')';
row.append(dot,name+'  cwnd '+s[1]+', ssthresh '+(s[2]??'∞')+', in flight '+s[4]+', srtt '+s[3].toFixed(1)+' ms, '+(s[5]/1e6).toFixed(2)+' Mbit/s, queue '+s[6]);tip.append(row)});
tip.style.whiteSpace=innerWidth<640?'normal':'nowrap';
tip.style.display='block';
const x=box.left-tip.parentElement.getBoundingClientRect().left+at*scale,space=tip.parentElement.clientWidth;
tip.style.left=Math.max(4,Math.min(space-tip.offsetWidth-4,x+tip.offsetWidth+24>space?x-tip.offsetWidth-16:x+16))+'px'})}`;
