import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { root } from '../support.ts';
import { trampet } from './support.ts';

const folder = mkdtempSync(join(tmpdir(), 'trampet-sweep-'));
const at = (name: string) => join(folder, name);
const read = (name: string) => readFileSync(at(name), 'utf8');
const LINKS = ['--link', '20mbit,40ms,100p', '--link', '10mbit,20ms,50p,loss=1%'];
const GRID = ['sweep', 'examples/reno.bpf.o', 'examples/cubic.bpf.o', ...LINKS, '--seeds', '1..3', '--for', '1s'];

describe('sweep', () => {
  it('gives the same lines on one thread and on two, and those that run gives', () => {
    const one = trampet(...GRID, '--jobs', '1');
    expect(one).toMatchObject({ status: 0, stderr: '' });
    expect(trampet(...GRID, '--jobs', '2').stdout).toBe(one.stdout);
    const lines = one.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.map(({ object, link, seed }) => `${object} ${link} ${seed}`)).toEqual(
      ['reno', 'cubic'].flatMap((object) =>
        [LINKS[1], LINKS[3]].flatMap((link) => [1, 2, 3].map((seed) => `${object} ${link} ${seed}`)),
      ),
    );
    const single = trampet('run', 'examples/reno.bpf.o', '--link', LINKS[3]!, '--seed', '2', '--for', '1s', '--json');
    const { flows, calls, instructions } = JSON.parse(single.stdout);
    const { goodputBps, retransmits, lost } = flows[0];
    expect(lines[4]).toMatchObject({ goodputBps, retransmits, lost, calls, instructions, faults: [] });
  });

  it('resumes: a line that was cut off is done again, whole ones are not', () => {
    expect(trampet(...GRID, '--out', at('whole')).status).toBe(0);
    const whole = read('whole');
    writeFileSync(at('cut'), whole.slice(0, -40));
    expect(trampet(...GRID, '--out', at('cut')).stdout).toContain('11 of 12 runs were there already');
    expect(read('cut')).toBe(whole);
    expect(trampet(...GRID, '--out', at('cut')).stdout).toContain('12 of 12 runs were there already');
    expect(read('cut')).toBe(whole);
  });

  it('killed in the middle, it goes on where it was', async () => {
    const child = spawn(process.execPath, [join(root, 'dist/cli/main.js'), ...GRID, '--out', at('killed')], {
      cwd: root,
    });
    const gone = new Promise((resolve) => child.on('exit', resolve));
    while (child.exitCode === null && !(existsSync(at('killed')) && read('killed').includes('\n')))
      await new Promise((resolve) => setTimeout(resolve, 5));
    child.kill('SIGKILL');
    await gone;
    const left = read('killed');
    expect(read('whole').startsWith(left)).toBe(true);
    const { status, stdout } = trampet(...GRID, '--out', at('killed'));
    expect(status).toBe(0);
    expect(stdout).toContain(`${left.split('\n').length - 1} of 12 runs were there already`);
    expect(read('killed')).toBe(read('whole'));
  });

  it('shards merge into what one machine does', () => {
    for (const part of [1, 2, 3]) trampet(...GRID, '--shard', `${part}/3`, '--out', at(`part${part}`));
    expect(read('part1').split('\n')).toHaveLength(5);
    const merged = trampet('merge', at('part3'), at('part1'), at('part2'), at('part1'));
    expect(merged.status).toBe(0);
    expect(merged.stdout).toBe(trampet('merge', at('whole')).stdout);
    const table = trampet('merge', at('whole'), '--out', at('merged')).stdout.trimEnd().split('\n');
    expect(table).toHaveLength(5);
    expect(table[1]).toMatch(/^cubic {3}10mbit,20ms,50p,loss=1% {2}fineibt +3( +\d+\.\d+){7} +0$/);
    expect(read('merged')).toBe(merged.stdout);
  });

  it('a guest that dies is a result', () => {
    const { status, stdout } = trampet(...GRID.slice(0, 2), '--kernel', '6.18', '--seeds', '1', '--for', '1s');
    expect(status).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ goodputBps: null, faults: [expect.any(String)] });
  });

  writeFileSync(at('bad'), 'x\n');
  writeFileSync(at('other'), '{"schema":2}\n');
  it.each([
    [['sweep'], 2, 'sweep takes objects'],
    [['sweep', 'no/such.bpf.o'], 3, 'no such file'],
    [['sweep', 'examples/dummy.bpf.o'], 1, 'no tcp_congestion_ops table'],
    [[...GRID, '--seeds', '5..1'], 2, "--seeds '5..1' is no range"],
    [[...GRID, '--seeds', '0..4294967295'], 2, 'is no range'],
    [[...GRID, '--shard', '4/3'], 2, "--shard '4/3'"],
    [[...GRID, '--shard', '0/3'], 2, "--shard '0/3'"],
    [[...GRID, '--jobs', '0'], 2, '--jobs'],
    [[...GRID, '--link', 'fast'], 2, "link 'fast'"],
    [[...GRID, '--out', at('bad')], 3, 'bad:1: no JSON'],
    [['merge'], 2, 'merge takes files'],
    [['merge', at('other')], 3, 'other:1: no line of a sweep'],
    [['merge', at('nosuch')], 3, 'no such file'],
  ])('%j exits with %i', (args, code, why) => {
    const { status, stdout, stderr } = trampet(...args);
    expect(stderr).toContain(why);
    expect(stderr.trim().split('\n').length).toBeLessThanOrEqual(2);
    expect(stdout).toBe('');
    expect(status).toBe(code);
  });

  it('two results of one run that differ are refused', () => {
    const [line] = read('whole').split('\n') as [string];
    writeFileSync(at('differs'), `${JSON.stringify({ ...JSON.parse(line), calls: 1 })}\n`);
    const { status, stderr } = trampet('merge', at('whole'), at('differs'));
    expect(status).toBe(1);
    expect(stderr).toContain('two results of one run differ: reno');
  });
});
