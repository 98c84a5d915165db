import { copyFileSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Random } from '../../src/base/index.ts';
import { readScenario } from '../../src/cli/_scenario.ts';
import { CliError } from '../../src/cli/error.ts';
import { root } from '../support.ts';
import { trampet } from './support.ts';

const folder = mkdtempSync(join(tmpdir(), 'trampet-scenario-'));
for (const name of ['reno', 'cubic', 'aimd'])
  copyFileSync(join(root, `examples/${name}.bpf.o`), join(folder, `${name}.bpf.o`));
let count = 0;
const scenario = (text: string) => {
  const path = join(folder, `${count++}.yaml`);
  writeFileSync(path, text);
  return path;
};
const GOOD = `link: 10mbit,20ms,50p,loss=1%
for: 1s
seed: 4
assert:
  - faults == 0
  - goodput > 11mbit
flows:
  - object: reno.bpf.o
    table: reno
`;

describe('run SCENARIO.yaml', () => {
  it('flows of several objects share the link, as with --vs', () => {
    const path = scenario('for: 2s\nflows:\n  - object: reno.bpf.o\n  - object: cubic.bpf.o\n');
    const ours = JSON.parse(trampet('run', path, '--flows', '2', '--json').stdout);
    const pair = ['run', 'examples/reno.bpf.o', '--vs', 'examples/cubic.bpf.o', '--flows', '2', '--for', '2s'];
    const theirs = JSON.parse(trampet(...pair, '--json').stdout);
    expect(ours.flows).toEqual(theirs.flows);
    expect(ours.flows.map(({ name }: { name: string }) => name)).toEqual(
      ['ex_reno', 'ex_cubic'].flatMap((name) => [`${name} 1`, `${name} 2`]),
    );
    expect(ours.fairness).toBeLessThanOrEqual(1);
    expect(ours.object).toBe('reno vs cubic');
    expect(trampet(...pair).stdout).toContain('fairness');
  });

  it('is what the options say, and options go before it', () => {
    const path = scenario(GOOD);
    const same = ['run', 'examples/reno.bpf.o', '--link', '10mbit,20ms,50p,loss=1%', '--for', '1s', '--json'];
    for (const seed of [[], ['--seed', '5']]) {
      const { status, stdout, stderr } = trampet('run', path, '--json', ...seed);
      expect(status).toBe(1);
      expect(stderr).toMatch(/^assertion failed: goodput > 11mbit: .*\n$/);
      const ours = JSON.parse(stdout);
      const theirs = JSON.parse(trampet(...same, '--seed', seed[1] ?? '4').stdout);
      expect(ours.flows).toEqual(theirs.flows);
      expect(ours.asserts.map(({ holds }: { holds: boolean }) => holds)).toEqual([true, false]);
    }
  });

  it("a flow's hosts are as the file says", async () => {
    const hosts = 'gso_max_segs: 44, rmem: 128KB, rmem_max: 6MB, timestamps: false, both_ends: true';
    const { flows } = await readScenario(scenario(`flows: [{object: reno.bpf.o, hosts: {${hosts}}}]`));
    expect(flows[0]!.hosts).toEqual({
      gsoMaxSegs: 44,
      receiveMemory: { initial: 128e3, most: 6e6 },
      noTimestamps: true,
      bothEnds: true,
    });
  });

  it.each([
    ['a: [', /yaml:1: /],
    ['', /:1: a scenario is a mapping of name, link/],
    ['- 1', /:1: a scenario is a mapping/],
    [`${GOOD}color: red\n`, /:10: color: 'color' is no part of a scenario/],
    ['flows: []', /:1: flows: a scenario needs flows/],
    ['for: 3s', /:1: a scenario needs flows/],
    ['flows: 3', /:1: flows: is no list/],
    ['flows: [{table: x}]', /:1: flows\[0\]: a flow has no 'object'/],
    ['flows:\n  - object: reno.bpf.o\n    speed: 3', /:3: flows\[0\]\.speed: 'speed' is no part of a flow/],
    ['flows:\n  - object: reno.bpf.o\n    start: soon', /:3: flows\[0\]\.start: 'soon' is no duration/],
    ['flows: [{object: reno.bpf.o, source: {request: 0, think: 1s}}]', /source\.request: '0' is no number of bytes/],
    ['flows: [{object: reno.bpf.o, source: {rate: 2mbit, think: 1s}}]', /source: a source is 'bulk'/],
    ['flows: [{object: reno.bpf.o, hosts: {rmem_max: 1MB}}]', /hosts\.rmem_max: needs an rmem/],
    ['flows: [{object: reno.bpf.o, hosts: {timestamps: 0}}]', /hosts\.timestamps: is neither true nor false/],
    [
      'flows:\n  - object: reno.bpf.o\n    hosts: {both_ends: yes}',
      /:3: flows\[0\]\.hosts\.both_ends: is neither true nor/,
    ],
    ['flows: [{object: reno.bpf.o, hosts: {gso_max_segs: 0}}]', /hosts\.gso_max_segs: .*'0' is no number from 1/],
    ['flows: [{object: reno.bpf.o, hosts: {mtu: 9000}}]', /hosts\.mtu: 'mtu' is no part of hosts \(gso_max_segs, /],
    ['flows: [{object: reno.bpf.o, count: 0}]', /flows\[0\]\.count: /],
    ['flows: [{object: reno.bpf.o, count: 9999}, {object: reno.bpf.o, count: 2}]', /more than 10000 flows/],
    ['flows: [{object: reno.bpf.o, crosses: all}]', /crosses: is not one of first, second, both/],
    ['link: {}\nflows: [{object: reno.bpf.o}]', /:1: link: is no text/],
    ['for: 1s\nlink: 0mbit,1ms\nflows: [{object: reno.bpf.o}]', /:2: link: .*out of bounds/],
    ['link: trace=nosuch.up,1ms\nflows: [{object: reno.bpf.o}]', /:1: link: .*no such file/],
    ['assert: [luck > 1]\nflows: [{object: reno.bpf.o}]', /:1: assert\[0\]: .*'luck' is not one of/],
    ['events: [{at: 1s}]\nflows: [{object: reno.bpf.o}]', /events\[0\]: an event is one of update, setsockopt/],
    ['events: [{at: 1s, flow: a, unregister: b}]\nflows: [{object: reno.bpf.o}]', /'flow' says whose setsockopt/],
    ['flows: *nobody', /yaml/],
  ])('%j cannot be read', async (text, why) => {
    const error = await readScenario(scenario(text)).catch((cause) => cause);
    expect(error).toBeInstanceOf(CliError);
    expect(error).toMatchObject({ kind: 'unreadable', message: expect.stringMatching(why) });
    expect(error.message).not.toContain('\n');
  });

  it.each([
    ['flows: 3', 3, /^trampet: .*yaml:1: flows: is no list$/m],
    ['flows: [{object: reno.bpf.o, start: 5s, stop: 5s}]', 1, /starts at 5000000000 ns/],
    ['flows: [{object: reno.bpf.o, table: x}]', 3, /yaml: no ops table 'x'/],
    ['flows: [{object: reno.bpf.o, crosses: both}]', 1, /crosses a second link, and there is none/],
    ['flows: [{object: nosuch.bpf.o}]', 3, /no such file/],
    ['events: [{at: 1s, unregister: b}]\nflows: [{object: reno.bpf.o}]', 1, /no table of congestion control 'b'/],
    ['events: [{at: 1s, flow: a, setsockopt: b}]\nflows: [{object: reno.bpf.o}]', 1, /there is none of that name/],
    ['events: [{at: 1s, flow: ex_reno, setsockopt: b}]\nflows: [{object: reno.bpf.o}]', 1, /-ENOENT/],
    ['events: [{at: 1s, update: cubic.bpf.o}]\nflows: [{object: reno.bpf.o}]', 1, /table 'cubic' has no link/],
    ['events: [{at: 1s, update: aimd.bpf.o, table: steep}]\nflows: [{object: reno.bpf.o}]', 1, /'steep' replaces none/],
  ])('%j exits with %i', (text, code, why) => {
    const { status, stdout, stderr } = trampet('run', scenario(text));
    expect(stderr).toMatch(why);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(stdout).toBe('');
    expect(status).toBe(code);
  });

  it('mutated files are read, or refused in one line that names the file', async () => {
    const files = readdirSync(join(root, 'examples/scenarios')).filter((name) => name.endsWith('.yaml'));
    const texts = files.map((name) => readFileSync(join(root, 'examples/scenarios', name), 'utf8'));
    const pieces = [
      '[',
      '{',
      '}',
      ':',
      '- ',
      '\n',
      '\t',
      '&a ',
      '*a',
      '!!int ',
      '"',
      '0',
      '-1',
      '1e999',
      'null',
      '~',
      '<<: ',
      '?',
      '#',
      '9'.repeat(30),
    ];
    const random = new Random(7);
    const pick = (n: number) => Math.floor(random.unit() * n);
    let read = 0;
    for (let i = 0; i < 400; i++) {
      let text = texts[pick(texts.length)]!;
      for (let n = 0; n <= pick(3); n++) {
        const at = pick(text.length);
        text = text.slice(0, at) + pieces[pick(pieces.length)] + text.slice(at + pick(4));
      }
      try {
        await readScenario(scenario(text));
        read++;
      } catch (error) {
        expect(error).toBeInstanceOf(CliError);
        const { kind, message } = error as CliError;
        expect(kind).toBe('unreadable');
        expect(message).toMatch(/^.*\.yaml:.* .+$/);
        expect(message).not.toContain('\n');
      }
    }
    expect(read).toBeGreaterThan(20);
  });

  it('live replacement, setsockopt and unregistering happen at their times, and the report shows them', () => {
    const path = join(root, 'examples/scenarios/live-update.yaml');
    const { status, stdout } = trampet('run', path, '--json');
    expect(status).toBe(0);
    const { marks, ops, flows, object } = JSON.parse(stdout);
    expect(object).toBe('AIMD, steep at first, gentle for those who come later');
    expect(marks).toEqual([
      { t: 10, label: 'update gentle' },
      { t: 30, label: 'unregister ex_aimd' },
    ]);
    const reductions = (name: string) => flows.find((flow: { name: string }) => flow.name === name).calls.ssthresh;
    const calls = ops.map(({ name, members }: { name: string; members: { calls: number }[] }) => [
      name,
      members[0]!.calls,
    ]);
    expect(Object.fromEntries(calls)).toEqual({ steep: reductions('before'), gentle: reductions('after') });
    expect(ops[0]).toMatchObject({ refcnt: 1, state: 'READY' });
    const switched = join(root, 'examples/scenarios/switch.yaml');
    const text = trampet('run', switched).stdout;
    expect(text).toContain('▲ 15 s  download: setsockopt ex_vegas');
    expect(text).toMatch(/^cubic .*refcnt 1 .*\n(.*\n)*vegas .*refcnt 2 /m);
  });

  it('--events tells what programs print and submit, in order', () => {
    const run = ['run', 'examples/aimd.bpf.o', '--for', '8s', '--events'];
    const lines = trampet(...run)
      .stdout.split('\n')
      .filter((line) => /^ +\d+\.\d{6} {2}/.test(line));
    const { records, ops, trace, traceLost } = JSON.parse(trampet(...run, '--json').stdout);
    const calls = ops[0].members[0].calls;
    expect(records).toHaveLength(2 * calls);
    expect(lines).toHaveLength(2 * calls);
    expect(trace).toEqual(records.flatMap(({ text }: { text?: string }) => text ?? []));
    expect(traceLost).toBe(0);
    expect(records[1]).toEqual({ ns: records[0].ns, text: expect.stringMatching(/^window \d+ -> \d+$/) });
    expect(records[0]).toEqual({
      ns: expect.any(Number),
      map: 'reductions',
      data: expect.stringMatching(/^[0-9a-f]{32}$/),
    });
    expect(lines[1]).toContain(`  bpf_trace_printk  ${records[1].text}`);
    const typed = JSON.parse(trampet(...run, '--json', '--record-type', 'reduction').stdout).records[0];
    const [from, to] = /(\d+) -> (\d+)/.exec(records[1].text)!.slice(1).map(Number);
    expect(typed).toEqual({ ...records[0], value: { ns: records[0].ns, from, to } });
    expect(trampet(...run, '--record-type', 'nosuch')).toMatchObject({ status: 2, stdout: '' });
  });
});
