import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { trampet } from './support.ts';

const folder = mkdtempSync(join(tmpdir(), 'trampet-pictures-'));
const at = (name: string) => join(folder, name);
const read = (name: string) => readFileSync(at(name), 'utf8');

describe('run draws', () => {
  it('--svg and --html: whole, finite, without a reference to the network', () => {
    const args = ['run', 'examples/cubic.bpf.o', '--for', '3s', '--all-cfi', '--assert', 'rtt < 1s'];
    expect(trampet(...args, '--svg', at('a.svg'), '--html', at('a.html')).status).toBe(0);
    const [svg, html] = [read('a.svg'), read('a.html')];
    for (const text of [svg, html]) {
      expect(text).not.toMatch(/NaN|Infinity|undefined/);
      expect(text.replace('xmlns="http://www.w3.org/2000/svg"', '')).not.toMatch(/https?:|@import|src=/);
      for (const title of ['Window', 'Round-trip time', 'In flight', 'Rate', 'Queue'])
        expect(text).toContain(`>${title} <tspan`);
      expect(text).toContain('prefers-color-scheme:dark');
    }
    const lines = /<path class="(?:main|dash)" style="stroke:var\(--(?:c0|soft)\)" d="M[^"]{100,}"/g;
    expect(svg.match(lines)).toHaveLength(6);
    expect(html.match(lines)).toHaveLength(12);
    expect(html.match(/<td><span class="good">0<\/span><\/td>/g)).toHaveLength(3);
    expect(html).toContain('<th scope="row"><code>rtt &lt; 1s</code></th>');
    const data = JSON.parse(/<script type="application\/json" id="run">(.*?)<\/script>/.exec(html)![1]!);
    expect(data.flows[0].samples).toHaveLength(200);
  });

  it('a run whose guest died: the report tells it', () => {
    const args = ['run', 'examples/reno.bpf.o', '--for', '1s', '--kernel', '6.18'];
    expect(trampet(...args, '--svg', at('b.svg'), '--html', at('b.html')).status).toBe(1);
    expect(read('b.html')).toContain('<h2>Fault</h2>\n<pre>CFI failure at ');
    for (const name of ['b.svg', 'b.html']) expect(read(name)).not.toMatch(/NaN|Infinity|undefined/);
  });
});
