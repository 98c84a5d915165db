import { copyFileSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { root } from '../support.ts';
import { trampet } from './support.ts';

const folder = mkdtempSync(join(tmpdir(), 'trampet-scenario-'));
copyFileSync(join(root, 'examples/reno.bpf.o'), join(folder, 'reno.bpf.o'));
copyFileSync(join(root, 'examples/cubic.bpf.o'), join(folder, 'cubic.bpf.o'));
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

  it.each([
    ['a: [', 3, 'at line 1'],
    ['', 3, 'a scenario is a mapping'],
    ['- 1', 3, 'a scenario is a mapping'],
    [`${GOOD}color: red\n`, 3, "'color' is no part of a scenario"],
    ['flows: []', 3, 'names no flow'],
    ['flows: 3', 3, "'flows' is no list"],
    ['flows: [{table: x}]', 3, "a flow has no 'object'"],
    ['flows: [{object: reno.bpf.o, speed: 3}]', 3, "'speed' is no part of a flow"],
    ['flows: [{object: reno.bpf.o}, {object: reno.bpf.o}]', 1, 'reg: -EEXIST'],
    ['flows: [{object: reno.bpf.o}, {object: reno.bpf.o, table: x}]', 3, "'table' is no part of a flow"],
    ['flows: [{object: nosuch.bpf.o}]', 3, 'no such file'],
    ['link: {}\nflows: [{object: reno.bpf.o}]', 3, "'link' is no text"],
    ['link: 0mbit,1ms\nflows: [{object: reno.bpf.o}]', 2, 'out of bounds'],
    ['assert: [luck > 1]\nflows: [{object: reno.bpf.o}]', 2, "'luck' is not one of"],
    ['flows: *nobody', 3, ''],
  ])('%j exits with %i', (text, code, why) => {
    const { status, stdout, stderr } = trampet('run', scenario(text));
    expect(stderr).toContain(why);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(stdout).toBe('');
    expect(status).toBe(code);
  });
});
