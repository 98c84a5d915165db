import { describe, expect, it } from 'vitest';
import { SelftestKernel } from '../../src/oracle/selftest_run.ts';
import { firstMissing, type Pattern, patternRegex } from '../../src/oracle/selftest_spec.ts';
import { runSelftests } from '../../src/oracle/selftests.ts';
import { btf, file } from '../support.ts';

const outcomes = [
  ...runSelftests(file('test/objects/annotated.bpf.o'), 'annotated', { btf: btf('6.18'), release: '6.18' }),
];
const outcome = (name: string) => outcomes.find(({ program }) => program === name);

describe('annotated programs', () => {
  it('what is said is compared with what happens', () => {
    expect(outcome('as_said')).toMatchObject({ status: 'passed' });
    expect(outcome('refused_as_said')).toMatchObject({ status: 'passed' });
    expect(outcome('accepted_against_word')).toMatchObject({ status: 'failed', want: 'refused', got: 'accepted' });
    expect(outcome('refused_against_word')).toMatchObject({
      status: 'failed',
      want: 'accepted',
      got: '-EACCES: invalid bpf_context access off=4096 size=8',
    });
  });

  it('messages are verbatim outside of {{}}', () => {
    expect(outcome('refused_in_other_words')).toMatchObject({
      status: 'failed',
      want: 'message: invalid bpf_context access off=[0-9]+ size=8',
    });
    expect(outcome('unwanted_words')).toMatchObject({ status: 'failed', want: 'no message: exit' });
  });

  it('maps are referred to in every way that the kernel knows', () => {
    for (const name of ['arena_variable', 'map_by_number', 'strictly_aligned', 'loosely_aligned'])
      expect(outcome(name), name).toMatchObject({ status: 'passed' });
  });

  it('rewritten instructions are compared line by line', () => {
    expect(outcome('rewritten')).toMatchObject({ status: 'passed' });
    expect(outcome('rewritten_otherwise')).toMatchObject({ status: 'failed', want: 'rewritten: 1: r0 = 8' });
  });

  it('programs of other machines, without privileges or for others are left out', () => {
    for (const name of ['elsewhere', 'unprivileged', 'helping']) expect(outcome(name)).toBeUndefined();
  });
});

describe('programs that run', () => {
  const target = { btf: btf('6.18'), release: '6.18', kernel: new SelftestKernel(btf('6.18')) };
  const ran = [...runSelftests(file('test/objects/returning.bpf.o'), 'returning', target)];
  const outcome = (name: string) => ran.find(({ program }) => program === name);

  it('return what is said, on a packet of zeros, with programs that are called at the end', () => {
    for (const name of ['as_said', 'length_of_frame', 'length_of_buffer', 'anything', 'at_the_end'])
      expect(outcome(name), name).toMatchObject({ status: 'passed', run: 'done' });
    expect(outcome('otherwise')).toMatchObject({ status: 'failed', want: 'returns 16', got: 'returns 17' });
  });

  it('are accepted, and call what the kernel has', () => {
    expect(outcome('refused')).toEqual({ file: 'returning', program: 'refused', status: 'passed' });
    expect(outcome('with_a_helper')?.run).toEqual({ not: "'bpf_csum_update' is not modelled" });
  });
});

describe('patterns', () => {
  const pattern = (text: string, nextLine = false): Pattern => ({
    text,
    regex: patternRegex(text),
    nextLine,
    absent: false,
  });

  it('match in order', () => {
    const log = 'one\ntwo\nthree\n';
    expect(firstMissing(log, [pattern('one'), pattern('three')])).toBeNull();
    expect(firstMissing(log, [pattern('three'), pattern('one')])?.text).toBe('one');
  });

  it('of before 6.18 have marks of liveness', () => {
    expect(firstMissing('R1=scalar() R10=fp0 fp-8=P1\n', [pattern('R1_rw=scalar() R10=fp0 fp-8_w=P1')])).toBeNull();
  });

  it('that belong together match on neighbouring lines', () => {
    const log = 'one\ntwo\nthree\n';
    expect(firstMissing(log, [pattern('one', true), pattern('{{^t.o$}}', true)])).toBeNull();
    expect(firstMissing(log, [pattern('one', true), pattern('three', true)])?.text).toBe('three');
  });
});
