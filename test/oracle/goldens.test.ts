import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openOracle } from '../../src/oracle/directory.ts';
import { runOracle } from '../../src/oracle/runner.ts';
import { file, root } from '../support.ts';

/** The trimmed goldens; their BTF is the bundled one. */
function goldens(path: string, btf: string) {
  const directory = openOracle(path);
  Object.defineProperty(directory, 'btf', { value: file(btf) });
  return directory;
}

const count = (findings: { kind: string; status: string }[]) => {
  const kinds: Record<string, Record<string, number>> = {};
  for (const { kind, status } of findings) {
    kinds[kind] ??= {};
    kinds[kind][status] = (kinds[kind][status] ?? 0) + 1;
  }
  return kinds;
};

describe('goldens of real kernels', () => {
  it('Linux 6.12: images, trampolines, stubs, call sites and runs in thirteen modes', () => {
    const findings = [...runOracle(goldens(join(root, 'test/golden/linux-6.12'), 'data/btf/vmlinux-6.12.btf'))];
    expect(findings.filter(({ status }) => status === 'failed')).toEqual([]);
    const kinds = count(findings);
    console.log(JSON.stringify(kinds));
    expect(kinds['images']!['passed']).toBeGreaterThan(300);
    expect(kinds['trampolines']!['passed']).toBeGreaterThan(240);
    expect(kinds['stubs']!['passed']).toBeGreaterThan(300);
    expect(kinds['call sites']!['passed']).toBeGreaterThan(100);
    expect(kinds['runs']).toEqual({ passed: 55 });
    expect(kinds['blinded insns']).toEqual({ passed: 19 });
  });

  it('Linux 6.18: instructions as the loader hands them to the kernel', () => {
    const findings = [...runOracle(openOracle(join(root, 'test/golden/linux-6.18')))];
    expect(count(findings)).toEqual({ 'relocated insns': { passed: 11 } });
  });

  it('Linux 6.18: verdicts, level-2 logs and rewritten instructions of its verifier', () => {
    const directory = goldens(join(root, 'test/golden/linux-6.18-verifier'), 'data/btf/vmlinux-6.18.btf');
    const findings = [...runOracle(directory, { only: ['verdict', 'log', 'rewritten insns'] })];
    expect(findings.filter(({ status }) => status !== 'passed')).toEqual([]);
    expect(count(findings)).toEqual({
      verdict: { passed: 59 },
      log: { passed: 59 },
      'rewritten insns': { passed: 15 },
    });
  });

  it('Linux 6.18 with CFI: seven modes, as shipped and with the hash repaired', () => {
    const findings = [...runOracle(openOracle(join(root, 'test/golden/linux-6.18-cfi')))];
    expect(findings.filter(({ status }) => status !== 'passed')).toEqual([]);
    const kinds = count(findings);
    expect(kinds['images']!['passed']).toBeGreaterThan(60);
    expect(kinds['trampolines']!['passed']).toBeGreaterThan(60);
    expect(kinds['stubs']!['passed']).toBeGreaterThan(100);
    expect(kinds['call sites']!['passed']).toBe(410);
  });

  it('one changed byte fails, and is named in assembly', () => {
    const copy = mkdtempSync(join(tmpdir(), 'trampet-oracle-'));
    try {
      cpSync(join(root, 'test/golden/linux-6.12'), copy, { recursive: true });
      const path = join(copy, 'golden/kcfi-norand/cc_renoish.json');
      const golden = JSON.parse(readFileSync(path, 'utf8'));
      const hex: string = golden.programs[0].subprogs[0].hex;
      golden.programs[0].subprogs[0].hex = `${hex.slice(0, 2)}00${hex.slice(4)}`;
      const trampoline: string = golden.trampolines[0].hex;
      golden.trampolines[0].hex = `${trampoline.slice(0, -2)}90`;
      golden.callSites[0].hex = '00'.repeat(20);
      writeFileSync(path, JSON.stringify(golden));
      const failed = [...runOracle(openOracle(copy), { mode: 'kcfi-norand' })].filter(
        ({ status, object, kind }) => status === 'failed' && object === 'cc_renoish' && kind !== 'runs',
      );
      expect(failed.map(({ kind, at }) => `${kind} ${at}`)).toEqual([
        'images +0x1',
        expect.stringMatching(/^trampolines \+0x/),
        'call sites +0x0',
      ]);
      expect(failed[0]).toMatchObject({
        want: 'b8001842d9 mov eax, 0xd9421800',
        got: 'b8811842d9 mov eax, 0xd9421881',
      });
      expect(failed[1]!.want).toContain('nop');
      expect(failed[0]!.listing?.slice(0, 3)).toEqual([
        expect.stringMatching(/^kernel +trampet$/),
        '+000 b8001842d9 mov eax, 0xd9421800 | +000 b8811842d9 mov eax, 0xd9421881',
        expect.stringMatching(/^\+005 90 nop +\+005 90 nop$/),
      ]);
      writeFileSync(path, JSON.stringify({ ...golden, programs: [{ name: 'x', subprogs: [{}] }] }));
      const malformed = [...runOracle(openOracle(copy), { mode: 'kcfi-norand', only: ['images'] })].find(
        ({ object }) => object === 'cc_renoish',
      );
      expect(malformed).toMatchObject({ status: 'failed', name: '(golden)' });
    } finally {
      rmSync(copy, { recursive: true });
    }
  });
});

describe('npm run oracle', () => {
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [join(root, 'dist/oracle/main.js'), ...args], { encoding: 'utf8' });

  it('prints one JSON document', () => {
    const { status, stdout } = run(join(root, 'test/golden/linux-6.12'), '--mode', 'off', '--only', 'images', '--json');
    expect(status).toBe(0);
    const document = JSON.parse(stdout);
    expect(document).toMatchObject({ schema: 1, failures: [] });
    expect(document.kinds.images.passed).toBe(document.kinds.images.compared);
  });

  it.each([
    [['no/such/directory'], 3],
    [[], 2],
    [['x', '--only', 'nothing'], 2],
    [['x', '--nonsense'], 2],
  ])('%j exits with %i', (args, code) => {
    const { status, stderr } = run(...args);
    expect(status).toBe(code);
    expect(stderr).not.toContain('    at ');
  });
});
