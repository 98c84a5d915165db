import { spawnSync } from 'node:child_process';
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

  it("prints the kernel's log", () => {
    const { stdout } = trampet('verify', 'examples/reno.bpf.o', 'reno_undo_cwnd', '--log');
    expect(stdout).toContain('func#0 @0');
    expect(stdout).toContain('R1=ctx()');
    expect(stdout).toMatch(/processed 3 insns \(limit 1000000\)/);
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
