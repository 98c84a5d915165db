import { describe, expect, it } from 'vitest';
import { loadObject } from '../../src/kernel/index.ts';
import { timedMayGoto } from '../../src/kernel/may_goto.ts';
import { testRun } from '../../src/subsystems/index.ts';
import { boot, file, resolve } from '../support.ts';

describe('loops that may_goto bounds', () => {
  it.each([
    ['6.12', 8],
    ['6.18', 16],
  ])('Linux %s: end by themselves where they do', (release, stackDepth) => {
    const kernel = boot('kcfi', 0, {}, release);
    const { programs } = loadObject(kernel, resolve(file('test/objects/loops.bpf.o'), 'loops', release));
    expect(programs.map(({ verified }) => verified)).toEqual([true, true]);
    // As the source says, in C.
    expect(testRun(kernel, programs[0]!, [5])).toEqual({ returned: 128, state: 707804293 });
    expect(programs.map(({ functions }) => functions[0]!.stackDepth)).toEqual([stackDepth, stackDepth]);
  });

  it('the timed kind is refilled 128 times, and its count lies where the kernel keeps the start', () => {
    const kernel = boot('off', 0, {}, '6.18');
    const { machine, memory } = kernel;
    const frame = kernel.heap.alloc(64) + 64;
    const ask = () => {
      machine.lo[5] = frame;
      machine.lo[10] = -16;
      machine.hi[10] = -1;
      timedMayGoto(kernel);
      return machine.lo[10];
    };
    for (let i = 0; i < 128; i++) expect(ask()).toBe(0xffff);
    expect(ask()).toBe(0);
    expect(machine.hi[10]).toBe(0);
    expect(memory.u32(frame - 8)).toBe(129);
  });
});
