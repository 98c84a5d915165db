import { describe, expect, it } from 'vitest';
import { loadObject } from '../../src/kernel/index.ts';
import { testRun } from '../../src/subsystems/index.ts';
import { boot, example, MODES, resolve } from '../support.ts';

describe('bpf_dummy_ops', () => {
  it.each(MODES)('test_run under %s, seed %i', (cfi, seed) => {
    const kernel = boot(cfi, seed);
    const programs = new Map(
      loadObject(kernel, resolve(example('dummy'))).programs.map((program) => [program.name, program]),
    );
    const run = (name: string, ...args: Parameters<typeof testRun>[2]) => testRun(kernel, programs.get(name)!, args);
    expect(run('test_1', 41)).toEqual({ returned: 41, state: 0x5a });
    expect(run('test_1', null)).toEqual({ returned: 0xf2f3, state: undefined });
    expect(run('test_2', 7, -100, 0x8f3c, -5, 0x1234)).toEqual({ returned: 0, state: -100 + 0x8f3c - 5 + 0x1234 });
    expect(run('test_sleepable', 21)).toEqual({ returned: 42, state: 21 });
    expect(() => run('test_sleepable', null)).toThrow('-EINVAL');
    expect(() => run('test_2', 1, 2, 3, 4, 5, 6)).toThrow('-EINVAL');
  });
});
