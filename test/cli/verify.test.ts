import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { root } from '../support.ts';

const trampet = (...args: string[]) =>
  spawnSync(process.execPath, ['dist/cli/main.js', ...args], { cwd: root, encoding: 'utf8' });

describe('trampet verify', () => {
  it('accepts the examples that the kernel accepts', () => {
    for (const name of ['reno', 'dctcp', 'dummy', 'bbr_like']) {
      const { status, stdout } = trampet('verify', `examples/${name}.bpf.o`);
      expect(stdout).not.toMatch(/refused|unknown/);
      expect(status).toBe(0);
    }
  });

  it('explains every refusal of an object', () => {
    const { status, stdout } = trampet('verify', 'test/objects/refused.bpf.o');
    expect(status).toBe(1);
    expect(stdout).toBe(readFileSync(`${root}test/cli/refused.txt`, 'utf8'));
    for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(100);
  });

  it('shows only the slice', () => {
    const { status, stdout } = trampet('verify', 'test/objects/refused.bpf.o', 'past_state', '--slice');
    expect(status).toBe(1);
    expect(stdout).toMatch(/^refused {3}past_state {2}-EACCES\n {2}refused\.bpf\.c:90/);
    expect(stdout).not.toMatch(/Reason|Suggestion/);
  });

  it('tells in JSON why, where, by which way, and what was known', () => {
    const document = JSON.parse(
      trampet('verify', 'test/objects/refused.bpf.o', 'index_unchecked', '--json', '--states').stdout,
    );
    const [found] = document.programs;
    expect(found).toMatchObject({
      verdict: 'refused',
      errno: 'EACCES',
      class: 'unbounded-index',
      at: { insn: 16, file: './refused.bpf.c', line: 47 },
      log: null,
    });
    expect(found.path.map(({ insn }: { insn: number }) => insn)).toEqual([7, 8, 9, 13, 14, 16]);
    expect(found.states[0]).toMatchObject({ insn: 0, visits: 1, states: [{ frame: 0 }] });
  });

  it("prints the kernel's log", () => {
    const { stdout } = trampet('verify', 'examples/reno.bpf.o', 'reno_undo_cwnd', '--log');
    expect(stdout).toContain('func#0 @0');
    expect(stdout).toContain('R1=ctx()');
    expect(stdout).toMatch(/processed 3 insns \(limit 1000000\)[^\n]*\n$/);
    const several = trampet('verify', 'test/objects/refused.bpf.o', '--log').stdout;
    expect(several.match(/-- BEGIN PROG LOAD LOG --/g)).toHaveLength(6);
    expect(several).not.toMatch(/Reason/);
  });

  it('speaks JSON', () => {
    const document = JSON.parse(trampet('verify', 'examples/dctcp.bpf.o', 'dctcp_init', '--json').stdout);
    expect(document).toMatchObject({
      schema: 1,
      object: 'dctcp',
      programs: [{ program: 'dctcp_init', verdict: 'accepted' }],
    });
  });

  it.each([
    [['package.json'], 3],
    [['examples/reno.bpf.o', 'nope'], 2],
    [[], 2],
  ])('%j exits with %i and one line', (args, code) => {
    const { status, stderr } = trampet('verify', ...args);
    expect(status).toBe(code);
    expect(stderr.trim().split('\n').length).toBeLessThanOrEqual(2);
  });
});
