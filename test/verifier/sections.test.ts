import { describe, expect, it } from 'vitest';
import { runSelftests } from '../../src/oracle/selftests.ts';
import { btf, file } from '../support.ts';

const outcomes = [
  ...runSelftests(file('test/objects/sections.bpf.o'), 'sections', { btf: btf('6.18'), release: '6.18' }),
];

describe('locks, disabled interrupts, exceptions, legacy loads and hidden functions', () => {
  it.each(outcomes.map((outcome) => [outcome.program, outcome] as const))('%s', (_name, outcome) => {
    expect(outcome).toMatchObject({ status: 'passed' });
  });

  it('are all there', () => expect(outcomes.length).toBe(19));
});
