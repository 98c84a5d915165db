import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Random } from '../../src/base/index.ts';
import { explain, prototypesByHash, readReports } from '../../src/splat/index.ts';
import { btf, file, root } from '../support.ts';

const text = (name: string) => new TextDecoder().decode(file(`test/golden/splat/${name}.txt`));
const prototypes = prototypesByHash(btf('6.18'));
const explained = (log: string) => readReports(log).map((report) => explain(report, prototypes));

const PROGRAM = 0xd9421881;
const CONG_AVOID = 0x512ae4fe;
const PKTS_ACKED = 0xe7224ec2;

describe('reports of real kernels', () => {
  it.each([
    ['6.18-shipped-fineibt', 'fineibt eax', CONG_AVOID, 0x0f2e512a, 'stub-hash'],
    ['6.18-shipped-fineibt-dummy', 'fineibt eax', 0xb456af0c, 0x0f2eb456, 'stub-hash'],
    ['6.18-wronghash-fineibt', 'fineibt eax', CONG_AVOID, PROGRAM, undefined],
    ['6.18-wronghash-kcfi', 'kcfi', CONG_AVOID, PROGRAM, undefined],
    ['6.18-nopreamble-kcfi', 'kcfi', CONG_AVOID, 0, undefined],
    ['6.18-shipped-paranoid', 'paranoid', CONG_AVOID, undefined, undefined],
    ['6.18-shipped-paranoid-its', 'paranoid its', CONG_AVOID, undefined, undefined],
    ['6.18-paranoid-its-tailcall', 'paranoid its', 1, undefined, 'paranoid-its'],
    ['6.12-unfixed1-kcfi', 'kcfi', PKTS_ACKED, 0x00142163, 'no-offset'],
    ['6.12-unfixed2-kcfi', 'kcfi', PKTS_ACKED, PROGRAM, undefined],
    ['6.12-unfixed2-fineibt', 'fineibt r10', PKTS_ACKED, PROGRAM, undefined],
  ] as const)('%s: %s, wanted %i, found %i, %s', (name, kind, wanted, found, fault) => {
    const [explanation] = explained(text(name));
    expect(explanation).toMatchObject({ kind, wanted: { id: wanted }, warned: false });
    expect(explanation!.found?.id).toBe(found);
    expect(explanation!.resembles?.id).toBe(fault);
  });

  it('names prototypes, members of tables first', () => {
    const [explanation] = explained(text('6.18-wronghash-kcfi'));
    expect(explanation!.wanted!.prototypes[0]).toBe(
      'tcp_congestion_ops.cong_avoid: void (*cong_avoid)(struct sock *, u32, u32)',
    );
    expect(explanation!.found!.prototypes[0]).toContain('a BPF program');
    expect(explanation!.targetIs).toContain('tcp_congestion_ops.cong_avoid');
  });

  it('takes the seed of a boot off', () => {
    const [report] = readReports(text('6.18-wronghash-kcfi'));
    const seeded = { ...report!, expected: (report!.expected! ^ 0x1234567) >>> 0 };
    expect(explain(seeded, prototypes, 0x1234567).wanted!.prototypes[0]).toContain('cong_avoid');
  });

  it('cfi=warn: each report by itself', () => {
    const all = explained(text('6.18-wronghash-kcfi-warn'));
    expect(all.length).toBeGreaterThan(1);
    expect(all[0]).toMatchObject({ kind: 'kcfi', warned: true, wanted: { id: 0xa540670c }, found: { id: PROGRAM } });
  });

  it.each(['6.18-options-ignored', '6.12-unfixed1-fineibt'])('%s holds none', (name) => {
    expect(readReports(text(name))).toEqual([]);
  });

  it.each([
    ['a timestamp', (line: string) => `[  123.456789] ${line}`],
    ['a thread', (line: string) => `[  123.456789] [    T42] ${line}`],
    ['syslog', (line: string) => `Nov 24 10:00:00 host kernel: [1.0] ${line}`],
    ['a level', (line: string) => `<4>[    1.000000] ${line}`],
    ['colours', (line: string) => `\x1b[32m[    1.0] \x1b[0m\x1b[31m${line}\x1b[0m`],
    ['a quotation', (line: string) => `> ${line}\r`],
  ])('with %s in front of each line', (_, decorate) => {
    const plain = text('6.12-unfixed2-fineibt');
    expect(explained(plain.split('\n').map(decorate).join('\n'))).toEqual(explained(plain));
  });

  it('a missing ENDBR says where it landed', () => {
    const [explanation] = explained(
      'traps: Missing ENDBR: bpf__tcp_congestion_ops_ssthresh+0x4/0xab\nkernel BUG at arch/x86/kernel/cet.c:102!\n',
    );
    expect(explanation).toMatchObject({ kind: 'ibt', where: 'bpf__tcp_congestion_ops_ssthresh+0x4/0xab' });
    expect(explanation!.targetIs).toContain('tcp_congestion_ops.ssthresh');
  });

  it('without Code and registers it says what is missing', () => {
    const [explanation] = explained('CFI failure at f+0x1/0x2 (target: g+0x0/0x10; expected type: 0x512ae4fe)');
    expect(explanation).toMatchObject({ kind: 'unknown', kernels: 'not in this report' });
    expect(explanation!.found).toBeUndefined();
    expect(explanation!.notes.join()).toContain('not in this report');
  });

  it('mutated reports throw nothing', () => {
    const names = readdirSync(join(root, 'test/golden/splat'));
    const random = new Random(7);
    let found = 0;
    for (let round = 0; round < 3000; round++) {
      const bytes = file(`test/golden/splat/${names[random.below(names.length)]}`);
      for (let i = random.below(8); i >= 0; i--) bytes[random.below(bytes.length)] = random.below(256);
      const log = new TextDecoder().decode(bytes.subarray(0, random.below(bytes.length)));
      for (const explanation of explained(log)) {
        found++;
        expect(explanation.check).not.toBe('');
      }
    }
    expect(found).toBeGreaterThan(500);
  });
});

describe('trampet splat', () => {
  const run = (input: string, ...args: string[]) =>
    spawnSync(process.execPath, [join(root, 'dist/cli/main.js'), 'splat', ...args], { input, encoding: 'utf8' });

  it('reads standard input', () => {
    const { status, stdout } = run(text('6.18-shipped-fineibt'));
    expect(status).toBe(0);
    expect(stdout).toContain('known fault (stub-hash)');
    expect(stdout).toContain('wanted   0x512ae4fe');
  });

  it('prints one document', () => {
    const { stdout } = run(text('6.12-unfixed2-kcfi'), '--json');
    expect(JSON.parse(stdout)).toMatchObject({ schema: 1, reports: [{ kind: 'kcfi', found: { id: '0xd9421881' } }] });
  });

  it('a text without a report exits with 1 and one line', () => {
    const { status, stderr } = run('nothing here');
    expect(status).toBe(1);
    expect(stderr.trim().split('\n')).toHaveLength(1);
  });
});
