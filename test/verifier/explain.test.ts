import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { CLASSES } from '../../src/verifier/explain/explain.ts';
import {
  type Explanation,
  explainRefusal,
  recordStates,
  type VerifierInput,
  verifyProgram,
} from '../../src/verifier/index.ts';
import { root } from '../support.ts';
import { arrayMap, CGROUP_SKB, congestionOp, program } from './programs.ts';

function explain(input: Omit<VerifierInput, 'ops'>): Explanation {
  const verdict = verifyProgram(input);
  expect(verdict.ok).toBe(false);
  return explainRefusal(input, verdict);
}
const insnsOf = ({ path }: Explanation) => path.map(({ insn }) => insn);

const LOOKUP = `ldxw %r6, [%r1]
  stxw [%r10-4], %r6
  mov %r2, %r10
  add %r2, -4
  map %r1, 0
  call 1`;

describe('explanation of a refusal', () => {
  it('finds the call whose result was not checked', () => {
    const found = explain(program(`${LOOKUP}\nldxdw %r0, [%r0]\nexit`, { maps: [arrayMap()] }));
    expect(found).toMatchObject({
      class: 'null-dereference',
      errno: 'EACCES',
      at: { insn: 7, line: 7, source: 'c_line_7();' },
    });
    expect(found.reason).toMatch(/bpf_map_lookup_elem returned may be NULL/);
    expect(insnsOf(found)).toEqual([6, 7]);
    expect(found.path[0]).toMatchObject({
      operand: 'r0',
      state: "a value of map 'values', or NULL",
      text: 'call bpf_map_lookup_elem',
    });
    expect(found.suggestion).toMatch(/if \(!ptr\)/);
  });

  it('names the variable of C that a call was assigned to', () => {
    const input = program(`${LOOKUP}\nldxdw %r0, [%r0]\nexit`, { maps: [arrayMap()] });
    const line = {
      ...input.lineInfo[5]!,
      text: '  struct flow *f = (struct flow *)bpf_map_lookup_elem(&values, &key);',
    };
    const lineInfo = input.lineInfo.map((info, i) => (i === 5 ? line : info));
    expect(explain({ ...input, lineInfo }).suggestion).toContain('if (!f)');
  });

  it('follows an index through the stack, arithmetic and the branches that test it, and nothing else', () => {
    const text = `${LOOKUP}
      jne %r0, 0, +2
      mov %r0, 0
      exit
      mov %r7, 99
      add %r7, 1
      stxdw [%r10-16], %r6
      ldxdw %r8, [%r10-16]
      jgt %r8, 100, -6
      lsh %r8, 3
      add %r0, %r8
      stb [%r0+0], 1
      exit`;
    const found = explain(program(text, { maps: [arrayMap(32)] }));
    expect(found.class).toBe('out-of-bounds');
    expect(found.reason).toBe('The access may reach up to byte 800 of the map value, which has 32 bytes.');
    expect(insnsOf(found)).toEqual([0, 6, 7, 12, 13, 14, 15, 16, 17]);
    expect(found.path.find(({ insn }) => insn === 14)).toMatchObject({ taken: false, state: '0 … 100', operand: 'r8' });
    expect(found.path.find(({ insn }) => insn === 12)).toMatchObject({ operand: 'stack -16', state: '0 … 4294967295' });
    expect(found.path.at(-1)!.state).toBe("a value of map 'values' + (0 … 800)");
    expect(found.suggestion).toMatch(/if \(i >= 32\).*& 31/);
  });

  it('crosses calls of functions: arguments down, results up', () => {
    const text = `mov %r1, 7
      mov %r2, 9
      call local +2
      ldxdw %r0, [%r0]
      exit
      mov %r0, %r1
      add %r0, 1
      exit`;
    const found = explain(program(text));
    expect(found).toMatchObject({ class: 'not-a-pointer', at: { insn: 3 } });
    expect(insnsOf(found)).toEqual([0, 2, 5, 6, 3]);
    expect(found.path.at(-1)!.state).toBe('8');
  });

  it('tells what a member of a kernel struct is called, and which may be written', () => {
    const off = (name: string) => congestionOp('ssthresh', 'exit').target.vmlinux.member('tcp_sock', name).offset;
    const found = explain(
      congestionOp('ssthresh', `ldxdw %r1, [%r1]\nstw [%r1+${off('mss_cache')}], 9\nmov %r0, 2\nexit`),
    );
    expect(found.class).toBe('tcp-sock-read-only');
    expect(found.reason).toContain("'mss_cache'");
    expect(found.suggestion).toMatch(/icsk_ca_priv.*snd_cwnd.*snd_ssthresh/);
    const past = off('inet_conn.icsk_ca_priv');
    const beyond = explain(
      congestionOp('ssthresh', `ldxdw %r1, [%r1]\nadd %r1, ${past}\nstdw [%r1+104], 9\nmov %r0, 2\nexit`),
    );
    expect(beyond.reason).toContain('8 bytes past icsk_ca_priv, which has 104 bytes');
  });

  it('says where what is not released was taken', () => {
    const text = `map %r1, 0
      mov %r2, 8
      mov %r3, 0
      call 131
      jeq %r0, 0, +2
      mov %r0, 0
      exit
      mov %r0, 1
      exit`;
    const ring = arrayMap(0, { name: 'events', type: 27, keySize: 0, maxEntries: 4096 });
    const found = explain(program(text, { maps: [ring] }));
    expect(found.class).toBe('reference-leak');
    expect(found.reason).toContain('bpf_ringbuf_reserve took (test.c:4, instruction 4)');
    expect(found.suggestion).toContain('bpf_ringbuf_submit()');
    expect(insnsOf(found)).toEqual([4, 5, 7]);
  });

  it.each([
    ['uninitialized', 'the function ends without a return value', 'exit', {}],
    ['uninitialized', 'overwrites r0 to r5', 'mov %r2, 1\ncall 7\nmov %r0, %r2\nexit', {}],
    ['uninitialized', 'before it is set', 'ldxw %r6, [%r1]\njeq %r6, 0, +1\nmov %r7, 1\nmov %r0, %r7\nexit', {}],
    ['stack-bounds', '520 bytes down', 'mov %r0, 0\nstxdw [%r10-520], %r0\nexit', {}],
    ['unreachable', 'dead code', 'mov %r0, 0\nexit\nmov %r0, 1\nexit', {}],
    ['infinite-loop', 'may never end', 'mov %r0, 0\njeq %r0, 7, +2\nmov %r0, 1\nja -3\nexit', {}],
    ['argument-type', 'Argument 2 of bpf_map_lookup_elem', 'map %r1, 0\nmov %r2, 1\ncall 1\nmov %r0, 0\nexit', {}],
    ['helper-not-allowed', 'bpf_override_return is not for programs', 'mov %r2, 0\ncall 58\nexit', {}],
    [
      'gpl-only',
      "says 'Proprietary'",
      'mov %r3, %r1\nmov %r1, %r10\nadd %r1, -8\nmov %r2, 8\ncall 113\nexit',
      { license: 'Proprietary' },
    ],
    ['return-range', 'returns 9; from 0 to 1', 'mov %r0, 9\nexit', { progType: CGROUP_SKB }],
    ['context-access', 'struct __sk_buff has 192 bytes', 'ldxw %r0, [%r1+400]\nexit', {}],
    ['pointer-arithmetic', "'*='", 'mul %r1, 3\nmov %r0, 0\nexit', {}],
    [
      'size-zero',
      'may be as large as 4294967295',
      'ldxw %r4, [%r1]\nmov %r2, 0\nmov %r3, %r10\nadd %r3, -16\ncall 26\nmov %r0, 0\nexit',
      {},
    ],
  ])('%s: %s', (name, reason, text, fields) => {
    const found = explain(program(text, { maps: [arrayMap()], ...fields }));
    expect(found.reason).toContain(reason);
    expect(found.class).toBe(name);
    expect(found.suggestion).toBeTruthy();
  });

  it('shows a loop once, and few of many steps', () => {
    const adds = Array.from({ length: 40 }, () => 'add %r7, 3').join('\n');
    const found = explain(program(`ldxw %r7, [%r1]\n${adds}\nldxdw %r0, [%r7]\nexit`));
    expect(found.path.length).toBe(17);
    expect(found.path.map(({ omitted }) => omitted).reduce((a, b) => a + b)).toBe(25);
    const loop = `mov %r6, 0
      mov %r7, 0
      add %r7, 3
      add %r6, 1
      jlt %r6, 5, -3
      ldxdw %r0, [%r7]
      exit`;
    const looped = explain(program(loop));
    expect(looped.path.map(({ insn, times }) => [insn, times])).toEqual([
      [1, 1],
      [2, 5],
      [5, 1],
    ]);
  });
});

describe('classes of refusals', () => {
  it('are those that docs/verify.md lists', () => {
    const page = readFileSync(`${root}docs/verify.md`, 'utf8');
    const listed = [...page.matchAll(/^\| `([a-z-]+)`/gm)].map(([, id]) => id!);
    expect([...new Set(listed)].sort()).toEqual([...new Set(CLASSES.map(({ id }) => id))].sort());
    expect(listed.length).toBe(new Set(listed).size);
  });
});

describe('states', () => {
  it('tell what was known before each instruction', () => {
    const states = recordStates(program('ldxw %r6, [%r1]\nand %r6, 7\nstxdw [%r10-8], %r6\nmov %r0, 0\nexit'));
    expect(states.map(({ insn, visits }) => [insn, visits])).toEqual([0, 1, 2, 3, 4].map((insn) => [insn, 1]));
    expect(states[0]!.states[0]!.registers).toEqual({ R1: 'ctx()', R10: 'fp0' });
    expect(states[2]!.states[0]!.registers['R6']).toMatch(/umax=.*7/);
    expect(Object.keys(states[3]!.states[0]!.stack)).toEqual(['-8']);
  });

  it('are bounded', () => {
    const loop = 'mov %r6, 0\nadd %r6, 1\njlt %r6, 100, -2\nmov %r0, 0\nexit';
    const states = recordStates(program(loop));
    expect(states[1]).toMatchObject({ insn: 1, visits: 100 });
    expect(states[1]!.states.length).toBe(8);
  });
});
