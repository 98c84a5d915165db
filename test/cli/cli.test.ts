import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { example, file } from '../support.ts';
import { trampet } from './support.ts';

const folder = mkdtempSync(join(tmpdir(), 'trampet-cli-'));
const temporary = (name: string, bytes: Uint8Array | string) => {
  writeFileSync(join(folder, name), bytes);
  return join(folder, name);
};

describe('trampet', () => {
  it('helps', () => {
    for (const args of [[], ['--help'], ['help']])
      expect(trampet(...args)).toMatchObject({
        status: 0,
        stdout: expect.stringContaining('trampet run cubic.bpf.o --all-cfi'),
      });
    for (const command of ['run', 'test', 'inspect', 'jit', 'trampoline', 'hash', 'break', 'sweep', 'merge'])
      expect(trampet(command, '--help')).toMatchObject({
        status: 0,
        stdout: expect.stringContaining(`usage: trampet ${command}`),
      });
    expect(trampet('--version').stdout.trim()).toMatch(/^\d+\.\d+\.\d+$/);
  });

  const cut = temporary('cut.bpf.o', example('cubic').subarray(0, 3000));
  const elf32 = example('cubic');
  elf32[4] = 1;
  it.each([
    [['nonsense'], 2, "'nonsense' is no command"],
    [['run'], 2, 'run takes one object'],
    [['run', 'examples/cubic.bpf.o', '--nonsense'], 2, '--nonsense'],
    [['run', 'examples/cubic.bpf.o', '--cfi', 'maybe'], 2, "'maybe' is not one of off, kcfi, fineibt"],
    [['run', 'examples/cubic.bpf.o', '--link', 'fast'], 2, "link 'fast'"],
    [['run', 'examples/cubic.bpf.o', '--for', '-1s'], 2, ''],
    [['run', 'no/such.bpf.o'], 3, 'no such file'],
    [['run', 'package.json'], 3, 'package.json: not an ELF file'],
    [['run', cut], 3, 'cut.bpf.o'],
    [['run', temporary('32.bpf.o', elf32)], 3, 'ELF class 1 is not supported'],
    [['run', 'examples/cubic.bpf.o', '--kernel', '6.8'], 3, 'no BTF of Linux 6.8 is bundled'],
    [['run', 'examples/cubic.bpf.o', '--kernel', '6.12', '--cfi', 'fineibt,paranoid'], 2, 'no paranoid fineibt'],
    [['run', 'examples/cubic.bpf.o', '--cfi', 'kcfi,bhi'], 2, "'bhi' depends on fineibt"],
    [['run', 'examples/cubic.bpf.o', '--mitigations', 'luck'], 2, "'luck' is not one of"],
    [['run', 'examples/cubic.bpf.o', '--kernel', '5.4'], 3, 'kernel 5.4 is not known'],
    [['run', 'examples/cubic.bpf.o', '--btf', 'package.json'], 3, 'not BTF'],
    [['run', 'examples/dummy.bpf.o'], 1, 'no tcp_congestion_ops table'],
    [['run', 'examples/faulty_no_name.bpf.o'], 1, 'init_member(name): -EINVAL'],
    [['run', 'examples/faulty_missing_member.bpf.o'], 1, 'validate: -EINVAL'],
    [['run', 'examples/faulty_wrong_table.bpf.o'], 1, 'invalid reuse of prog shared'],
    [['jit', 'examples/cubic.bpf.o', 'nobody'], 2, "no program 'nobody'"],
    [['trampoline', 'examples/cubic.bpf.o', 'cubic.release'], 2, "no program for 'release'"],
    [['hash', 'int f(nosuch)'], 2, "unknown type 'nosuch'"],
  ])('%j exits with %i', (args, code, why) => {
    const { status, stdout, stderr } = trampet(...args);
    expect(stderr).toContain(why);
    expect(stderr.trim().split('\n').length).toBeLessThanOrEqual(2);
    expect(status).toBe(code);
    expect(stdout).toBe('');
  });

  it('run prints the table, the plot and no CFI fault in all three modes', () => {
    const { status, stdout } = trampet('run', 'examples/cubic.bpf.o', '--all-cfi', '--for', '5s');
    expect(status).toBe(0);
    expect(stdout.match(/^(off|kcfi|fineibt)( +[\d.]+( M)?){3} +0 CFI faults$/gm)).toHaveLength(3);
    expect(stdout).toContain('0x0d1ab0f2');
    expect(stdout).toContain('verified: ');
    expect(stdout).toMatch(/[⠁-⣿]/);
  });

  it('run names members whose stub has not the hash of their prototype', () => {
    const { status, stdout } = trampet('run', 'examples/reno.bpf.o', '--kernel', '6.18', '--for', '1s');
    expect(status).toBe(1);
    expect(stdout).toContain(
      "cong_avoid: the hash read from its stub is 0x0f2e512a, its prototype's 0x512ae4fe: checked calls trap",
    );
  });

  it('run --json has everything', () => {
    const document = JSON.parse(
      trampet('run', 'examples/cubic.bpf.o', '--json', '--for', '2s', '--cfi', 'kcfi', '--hash-seed', '0x1234').stdout,
    );
    expect(document).toMatchObject({
      schema: 1,
      object: 'cubic',
      kernel: '6.18+hashfix',
      cfi: 'kcfi',
      seed: 1,
      hashSeed: 0x1234,
      faults: [],
    });
    expect(document.ops[0]).toMatchObject({ name: 'cubic', type: 'tcp_congestion_ops', refcnt: 2, state: 'INUSE' });
    expect(document.ops[0].members[0]).toEqual({
      member: 'ssthresh',
      program: 'cubic_ssthresh',
      hash: '0x0d1aa2c6',
      typeId: '0x0d1aa2c6',
      address: expect.stringMatching(/^0xffffffffc[0-9a-f]{7}$/),
      calls: document.callsByMember.ssthresh,
    });
    expect(Object.values(document.callsByMember as Record<string, number>).reduce((a, b) => a + b)).toBe(
      document.calls,
    );
    expect(document.instructions).toBeGreaterThan(10000);
    expect(Object.keys(document.flow)).toEqual(
      expect.arrayContaining(['goodputBps', 'rttMsMean', 'retransmits', 'rtos']),
    );
    expect(Object.keys(document.samples[0])).toEqual([
      't',
      'cwnd',
      'ssthresh',
      'srttMs',
      'inFlight',
      'rateBps',
      'queuePackets',
    ]);
    expect(
      JSON.parse(trampet('run', 'examples/reno.bpf.o', '--json', '--for', '1s', '--all-cfi').stdout).runs,
    ).toHaveLength(3);
  });

  it('takes gzipped BTF', () => {
    const gz = temporary('vmlinux.btf.gz', gzipSync(file('data/btf/vmlinux-6.12.btf')));
    expect(trampet('run', 'examples/reno.bpf.o', '--for', '1s', '--btf', gz).status).toBe(0);
  });

  it('test speaks TAP and judges cases', () => {
    const good = temporary(
      'good.txt',
      'test_1(5) = 5 state 90 # comment\n\ntest_1(null) = 0xf2f3\ntest_2(7, -100, 0x8f3c, -5, 1) state 36564\n',
    );
    expect(trampet('test', 'examples/dummy.bpf.o', good)).toMatchObject({
      status: 0,
      stdout: expect.stringContaining('ok 3 - test_2'),
    });
    const bad = trampet(
      'test',
      'examples/dummy.bpf.o',
      temporary('bad.txt', 'test_1(5) = 6\nnobody(1)\ntest_sleepable(null)\n'),
    );
    expect(bad.status).toBe(1);
    expect(bad.stdout.match(/^not ok/gm)).toHaveLength(3);
    expect(trampet('test', 'examples/dummy.bpf.o', temporary('junk.txt', 'what?'))).toMatchObject({
      status: 3,
      stderr: expect.stringContaining('junk.txt:1'),
    });
    expect(JSON.parse(trampet('test', 'examples/dummy.bpf.o', '--json').stdout).cases).toHaveLength(3);
  });

  it('jit, trampoline, inspect, hash and break print and speak JSON', () => {
    expect(trampet('jit', 'examples/cubic.bpf.o', 'cubic_ssthresh').stdout).toMatch(
      /endbr64.*\n[\s\S]*; \d+: .*cwnd[\s\S]*mov/,
    );
    expect(JSON.parse(trampet('jit', 'examples/cubic.bpf.o', 'cubic_ssthresh', '--json').stdout)).toMatchObject({
      schema: 1,
      verified: true,
      notVerified: [],
      functions: [{ name: 'cubic_ssthresh' }],
    });
    expect(trampet('trampoline', 'examples/cubic.bpf.o', 'cubic.ssthresh').stdout).toMatch(
      /sub r10d, 0xd1ab0f2[\s\S]*the table points here/,
    );
    expect(
      JSON.parse(trampet('trampoline', 'examples/cubic.bpf.o', 'ssthresh', '--cfi', 'kcfi', '--json').stdout),
    ).toMatchObject({ hash: '0x0d1ab0f2', entryOffset: 16 });
    expect(trampet('inspect', 'examples/cubic.bpf.o', '--core').stdout).toContain('<byte_off>');
    expect(JSON.parse(trampet('inspect', 'examples/cubic.bpf.o', '--json').stdout)).toMatchObject({
      schema: 1,
      license: 'GPL',
      ops: [{ name: 'cubic' }],
    });
    expect(trampet('hash', 'u32 f(struct sock *sk)').stdout).toContain('0x0d1ab0f2');
    expect(JSON.parse(trampet('hash', 'u32 f(struct sock *sk)', '--json').stdout)).toMatchObject({
      mangled: '_ZTSFjP4sockE',
      hash: '0x0d1ab0f2',
    });
    expect(trampet('break', 'examples/cubic.bpf.o', 'cubic.ssthresh', '--how', 'wrong-type').stdout).toContain(
      'CFI failure at call_tcp_congestion_ops_ssthresh+0x17',
    );
    expect(JSON.parse(trampet('break', 'examples/cubic.bpf.o', 'cubic.ssthresh', '--json').stdout).modes).toHaveLength(
      3,
    );
  });
});
