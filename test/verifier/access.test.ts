import { describe, expect, it } from 'vitest';
import { readBtf } from '../../src/btf/index.ts';
import { runSelftests } from '../../src/oracle/selftests.ts';
import { file } from '../support.ts';

// Each program of access.bpf.c says what the kernel's verifier says of it; the kernel's types are in kernel_btf.bpf.o.
const outcomes = [
  ...runSelftests(file('test/objects/access.bpf.o'), 'access', {
    btf: readBtf(file('test/objects/kernel_btf.bpf.o')),
    release: '6.18',
  }),
];

describe('calls, callbacks, arguments of functions and maps', () => {
  it('are judged by many programs', () => {
    expect(outcomes.length).toBeGreaterThan(60);
  });

  it.each(outcomes.map((outcome) => [outcome.program, outcome] as const))('%s', (_name, outcome) => {
    const { status, why, want, got, log } = outcome;
    expect({ status, why, want, got }, log).toMatchObject({ status: 'passed' });
  });
});
