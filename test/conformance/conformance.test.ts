import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { TrampetError, toHex } from '../../src/base/index.ts';
import { assemble, Guest, generate, interpret, parseTest } from '../../src/conformance/index.ts';
import { type CfiMode, type Features, makeTarget } from '../../src/target/index.ts';
import { btf, root } from '../support.ts';

const guest = (release = '6.12', cfi: CfiMode = 'fineibt', features: Partial<Features> = {}) =>
  new Guest(makeTarget({ release, btf: btf(release), cfi, features }));
const shared = guest();
const lines = (text: string) =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');

/** Programs in the notation of the test files, with what RFC 9669 says of them. */
const PROGRAMS: readonly [what: string, asm: string, r0: bigint][] = [
  ['constants', 'lddw %r0, 0x1122334455667788\nexit', 0x1122334455667788n],
  ['32 bits zero-extend', 'lddw %r0, -1\nadd32 %r0, 1\nexit', 0n],
  ['division by zero is 0', 'mov %r0, 7\nmov %r1, 0\ndiv %r0, %r1\nexit', 0n],
  ['remainder by zero keeps', 'mov %r0, 7\nmov %r1, 0\nmod %r0, %r1\nexit', 7n],
  ['least value by −1', 'lddw %r0, 0x8000000000000000\nmov %r1, -1\nsdiv %r0, %r1\nexit', 1n << 63n],
  ['signed remainder', 'mov %r0, -13\nsmod %r0, 5\nexit', (1n << 64n) - 3n],
  ['sign extension', 'mov %r1, 0x80\nmovsx864 %r0, %r1\nexit', (1n << 64n) - 128n],
  ['byte swap', 'lddw %r0, 0x8877665544332211\nbe32 %r0\nexit', 0x11223344n],
  ['signed load', 'stdw [%r10-8], -2\nldxsb %r0, [%r10-8]\nexit', (1n << 64n) - 2n],
  ['shift counts are cut', 'mov %r0, 1\nmov %r1, 65\nlsh %r0, %r1\nexit', 2n],
  ['labels', 'mov %r0, 1\nja32 out\nmov %r0, 2\nout:\nexit', 1n],
  ['relative jump', 'mov %r0, 1\njsgt32 %r0, -1, +1\nmov %r0, 2\nexit', 1n],
  [
    'function',
    'mov %r6, 5\nmov %r1, 8\ncall local f\nadd %r0, %r6\nexit\nf:\nmov %r6, 100\nmov %r0, %r1\nadd %r0, 1\nexit',
    14n,
  ],
  ['helper', 'mov %r1, 1\nmov %r2, 2\nmov %r3, 3\nmov %r4, 4\nmov %r5, 5\ncall 0\nexit', 0x0102030405n],
  ['unwinding helper', 'mov %r1, 0\ncall 5\nmov %r0, 9\nexit', 0n],
  [
    'compare and exchange in 32 bits clears the upper half',
    'lddw %r0, 0xffffffff00000007\nstdw [%r10-8], 7\nmov %r1, 3\nlock cmpxchg32 [%r10-8], %r1\nexit',
    7n,
  ],
  ['fetch', 'stdw [%r10-8], 6\nmov %r0, 3\nlock fetch xor [%r10-8], %r0\nldxdw %r1, [%r10-8]\nadd %r0, %r1\nexit', 11n],
];

describe('instructions', () => {
  it.each(PROGRAMS)('%s', (_, asm, r0) => {
    const insns = assemble(lines(asm), 'test');
    expect(interpret(insns, new Uint8Array(0), shared.memoryBase).r0).toBe(r0);
    expect(shared.run(insns, new Uint8Array(0)).r0).toBe(r0);
  });

  it('reads a file: memory, comments, sections that say nothing', () => {
    const test = parseTest(
      '# made up\n-- c\nint f;\n-- asm\nldxw %r0, [%r1+4] # second word\nexit\n-- mem\n01 00 00 00\n0a0b0c0d\n-- result\n0xd0c0b0a\n',
      'made up',
    );
    expect(test.memory).toHaveLength(8);
    expect(interpret(test.insns, test.memory, shared.memoryBase).r0).toBe(test.result);
    expect(shared.run(test.insns, test.memory).r0).toBe(test.result);
  });

  it.each([
    ['-- asm\nfrobnicate %r0\n-- result\n0', "unknown instruction in 'frobnicate %r0'"],
    ['-- asm\nja nowhere\nexit\n-- result\n0', "unknown label 'nowhere'"],
    ['-- asm\nmov %r11, 0\n-- result\n0', 'is no register'],
    ['-- asm\nexit\n-- mem\nabc\n-- result\n0', 'pairs of hex digits'],
    ['-- asm\nexit', 'neither a result nor an error'],
    ['', 'neither assembly nor raw instructions'],
    ['-- raw\n0xzz\n-- result\n0', 'is no number'],
  ])('refuses %j', (text, why) => expect(() => parseTest(text, 'bad')).toThrow(why));

  it('refuses what the kernel refuses', () => {
    for (const asm of ['mov %r1, 0\ncall %r1\nexit', 'mov %r0, 1\ndiv %r0, 0\nexit', 'call 99\nexit'])
      expect(() => shared.run(assemble(lines(asm), 'test'), new Uint8Array(0))).toThrow(TrampetError);
  });
});

describe('generated programs: interpreter against JIT and machine', () => {
  const KERNELS: readonly [string, CfiMode, Partial<Features>][] = [
    ['6.12', 'fineibt', {}],
    ['6.12', 'kcfi', { bmi2: false, callDepth: true, retpoline: true, rethunk: true }],
    ['6.18+hashfix', 'fineibt', { cfiParanoid: true, its: true, rethunk: true }],
    ['6.8', 'off', { sls: true }],
  ];
  it.each(KERNELS)('Linux %s, cfi %s %o', (release, cfi, features) => {
    const own = guest(release, cfi, features);
    for (let seed = 1; seed <= 1000; seed++) {
      const { insns, memory } = generate(seed * 7919);
      const want = interpret(insns, memory, own.memoryBase);
      const got = own.run(insns, memory);
      expect(`${seed} ${got.r0} ${toHex(got.memory)}`).toBe(`${seed} ${want.r0} ${toHex(want.memory)}`);
    }
  });

  it.each([1648])('seed %i, which failed once', (seed) => {
    const { insns, memory } = generate(seed);
    expect(shared.run(insns, memory)).toEqual(interpret(insns, memory, shared.memoryBase));
  });
});

describe('trampet conformance', () => {
  it('runs a folder in every CFI mode, and fails if one file does', () => {
    const folder = mkdtempSync(join(tmpdir(), 'trampet-conformance-'));
    const run = (...args: string[]) =>
      spawnSync(process.execPath, [join(root, 'dist/cli/main.js'), 'conformance', folder, '--all-cfi', ...args], {
        encoding: 'utf8',
      });
    try {
      writeFileSync(join(folder, 'good.data'), '-- asm\nmov %r0, 7\nexit\n-- result\n7\n');
      const lines = ['off', 'kcfi', 'fineibt'].map(
        (mode) => `cfi ${mode.padEnd(7)}  interpreter 1/1 passed; jit 1/1 passed`,
      );
      expect(run()).toMatchObject({ status: 0, stdout: `Linux 6.12, seed 1\n${lines.join('\n')}\n` });
      writeFileSync(join(folder, 'bad.data'), '-- asm\nmov %r0, 7\nexit\n-- result\n8\n');
      const { status, stdout } = run('--json');
      expect(status).toBe(1);
      const { runs } = JSON.parse(stdout) as { runs: { cfi: string; engines: unknown[]; others: unknown[] }[] };
      expect(runs.map(({ cfi }) => cfi)).toEqual(['off', 'kcfi', 'fineibt']);
      for (const { engines, others } of runs) {
        expect(engines).toMatchObject([
          { passed: 1, failed: 1 },
          { passed: 1, failed: 1 },
        ]);
        expect(others[1]).toMatchObject({ name: 'bad.data', engine: 'jit', why: 'r0 is 0x7, not 0x8' });
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('trampet-conformance-plugin', () => {
  const plugin = (input: string, ...args: string[]) =>
    spawnSync(process.execPath, [join(root, 'dist/cli/conformance_plugin.js'), ...args], { input, encoding: 'utf8' });

  it('runs a program over memory', () => {
    expect(plugin('61 10 00 00 00 00 00 00 95 00 00 00 00 00 00 00\n', '01020304')).toMatchObject({
      status: 0,
      stdout: '4030201\n',
    });
  });

  it.each(['zz', '', '95000000', '8d00000000000000 9500000000000000'])('refuses %j in one line', (input) => {
    const { status, stderr, stdout } = plugin(input);
    expect(status).toBe(1);
    expect(stdout).toBe('');
    expect(stderr.trim().split('\n')).toHaveLength(1);
  });
});
