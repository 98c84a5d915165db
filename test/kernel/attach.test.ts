import { describe, expect, it } from 'vitest';
import { pokeBytes, tailCallChanges } from '../../src/jit/index.ts';
import {
  bootKernel,
  type Kernel,
  type LoadedObject,
  loadObject,
  type StructOpsMap,
  type Subsystem,
  TracingLink,
} from '../../src/kernel/index.ts';
import { makeTarget } from '../../src/target/index.ts';
import { btf, example, file, MODES, resolve, session } from '../support.ts';

type Work = (kernel: Kernel) => void;

/** A kernel whose tcp_slow_start gives 7, after `inside`; `helper` runs where a program calls bpf_get_numa_node_id. */
function tracedKernel(cfi: (typeof MODES)[number][0], hashSeed = 0, hooks: { inside?: Work; helper?: Work } = {}) {
  const subsystem: Subsystem = {
    name: 'traced',
    structOps: [],
    modifiable: ['tcp_slow_start'],
    gates: (kernel) => [
      { name: 'tcp_slow_start', handler: (call) => (hooks.inside?.(kernel()), call.ret(7)) },
      { name: 'bpf_get_numa_node_id', handler: (call) => (hooks.helper?.(kernel()), call.ret(0)) },
    ],
  };
  const kernel = bootKernel({
    target: makeTarget({ release: '6.12', cfi, btf: btf(), hashSeed }),
    subsystems: [subsystem],
  });
  const resolved = resolve(file('test/objects/trace.bpf.o'));
  for (const program of resolved.programs) program.autoload ||= program.name === 'slow_start_modify';
  const loaded = loadObject(kernel, resolved);
  const attach = (name: string) => new TracingLink(kernel, loaded.programs.find((one) => one.name === name)!);
  const call = () => kernel.call(kernel.symbol('tcp_slow_start'), [{ ptr: 0 }, 5]).lo;
  return { kernel, loaded, attach, call };
}

function seen(kernel: Kernel, { maps }: LoadedObject): number[] {
  const map = maps.find(({ blueprint }) => blueprint.section === '.bss')!;
  return Array.from({ length: 6 }, (_, i) => kernel.memory.u32(map.values + 8 + 8 * i));
}

describe('tracing functions of the kernel', () => {
  it.each(MODES)(
    '%s, seed %i: fentry, fexit and fmod_ret; images are replaced, and the nop comes back',
    (cfi, seed) => {
      const { kernel, loaded, attach, call } = tracedKernel(cfi, seed);
      const site = kernel.symbol('tcp_slow_start') + 4;
      const nop = pokeBytes({ kind: 'call', target: 0 }, site);
      const idle = [kernel.images.count, kernel.heap.count];
      expect(call()).toBe(7);
      const first = attach('slow_start_entry');
      const before = first.trampoline!.image!.address;
      expect(kernel.memory.bytes(site, 5)).toEqual(pokeBytes({ kind: 'call', target: before }, site));
      expect(call()).toBe(7);
      expect(seen(kernel, loaded)).toEqual([1, 5, 0, 0, 0, 0]);
      const second = attach('slow_start_exit');
      const after = second.trampoline!.image!.address;
      expect(kernel.memory.bytes(site, 5)).toEqual(pokeBytes({ kind: 'call', target: after }, site));
      expect(call()).toBe(7);
      expect(seen(kernel, loaded)).toEqual([2, 10, 1, 7, 0, 0]);
      const third = attach('slow_start_modify');
      const data = loaded.maps.find(({ blueprint }) => blueprint.section === '.bss')!;
      expect(call()).toBe(7);
      kernel.memory.setU32(data.values, -22 >>> 0);
      expect(call()).toBe(-22);
      expect(seen(kernel, loaded).slice(4)).toEqual([2, 0]);
      for (const link of [second, first, third]) link.detach();
      third.detach();
      expect(kernel.memory.bytes(site, 5)).toEqual(nop);
      expect(call()).toBe(7);
      expect(seen(kernel, loaded)[0]).toBe(4);
      expect([kernel.images.count, kernel.heap.count]).toEqual(idle);
    },
  );

  it('a program that is detached while its function runs is not entered any more', () => {
    let detach: () => void = () => {};
    const { kernel, loaded, attach, call } = tracedKernel('fineibt', 0, { inside: () => detach() });
    const images = kernel.images.count;
    const link = attach('slow_start_exit');
    call();
    detach = () => link.detach();
    expect(call()).toBe(7);
    expect(seen(kernel, loaded)[2]).toBe(1);
    expect(kernel.images.count).toBe(images);
  });

  it('a program that runs already is skipped, and the miss counted', () => {
    let again = true;
    const { kernel, loaded, attach, call } = tracedKernel('kcfi', 0, {
      helper: (own) => {
        if (again) {
          again = false;
          own.call(own.symbol('tcp_slow_start'), [0, 1]);
        }
      },
    });
    const { program } = attach('slow_start_entry');
    call();
    expect(seen(kernel, loaded)[0]).toBe(1);
    expect(kernel.runs.misses.get(program.pointer)).toBe(1);
    expect(kernel.runs.active.size + kernel.runs.contexts.length).toBe(0);
  });

  it('refuses as the kernel does, and changes nothing', () => {
    const { kernel, attach } = tracedKernel('kcfi');
    const link = attach('slow_start_entry');
    const image = link.trampoline!.image;
    expect(() => attach('slow_start_entry')).toThrow(expect.objectContaining({ code: 'EBUSY' }));
    expect(link.trampoline!.image).toBe(image);
    link.detach();
    kernel.memory.poke(kernel.symbol('tcp_slow_start') + 4, Uint8Array.of(0xcc));
    expect(() => attach('slow_start_entry')).toThrow('not as expected');
    expect(kernel.trampolines.size).toBe(0);
  });

  it.each([
    ['slow_start_modify', 'tcp_slow_start() is not modifiable'],
    ['sleeper', 'tcp_slow_start is not sleepable'],
    ['nowhere', "there is no function 'no_such_function'"],
  ])('does not load %s', (name, why) => {
    const { kernel } = session(example('reno'), 'kcfi');
    const resolved = resolve(file('test/objects/trace.bpf.o'));
    for (const program of resolved.programs) program.autoload = program.name === name;
    const before = kernel.images.count;
    expect(() => loadObject(kernel, resolved)).toThrow(why);
    expect(kernel.images.count).toBe(before);
  });
});

describe('tracing programs', () => {
  it.each(MODES)('%s, seed %i: entry and exit of a member while it is called through its table', (cfi, seed) => {
    const { kernel, loaded, programs, maps } = session(example('reno'), cfi, seed);
    const [map] = maps as [StructOpsMap];
    const tracing = loadObject(kernel, resolve(file('test/objects/trace_program.bpf.o')), {
      program: programs.get('reno_ssthresh')!,
      btf: loaded.resolved.file.btf!,
    });
    const links = tracing.programs.map((program) => new TracingLink(kernel, program));
    const call = () => kernel.callMember(map.kdata, map.type, 'ssthresh', [0]).lo;
    expect(call()).toBe(0);
    const data = tracing.maps.find(({ blueprint }) => blueprint.section === '.bss')!;
    expect(kernel.memory.u32(data.values) + kernel.memory.u32(data.values + 8)).toBe(1);
    for (const link of links) link.detach();
    expect(call()).toBe(0);
    expect(kernel.memory.u32(data.values) + kernel.memory.u32(data.values + 8)).toBe(1);
  });
});

describe('slots of direct tail calls', () => {
  const { jit } = session(example('reno'), 'kcfi').kernel;
  // Places and order as a 6.12 kernel logged them (tail_mix under kCFI).
  const image = { address: 0xa00026e0 };
  const poke = { insn: 26, target: 0xc8, bypass: 0xb3 };
  const changes = (before: number, after: number) =>
    tailCallChanges(image, poke, jit, before, after).map(({ ip, from, to }) => [ip, from.target, to.target]);

  it('the jump is there before the bypass goes', () =>
    expect(changes(0, 0xa00005c4)).toEqual([
      [0xa00027a8, 0, 0xa00005d4],
      [0xa0002793, 0xa00027ad, 0],
    ]));
  it('the bypass is back before the jump goes', () =>
    expect(changes(0xa00005c4, 0)).toEqual([
      [0xa0002793, 0, 0xa00027ad],
      [0xa00027a8, 0xa00005d4, 0],
    ]));
  it('another program changes the jump alone', () =>
    expect(changes(0xa00005c4, 0xa0000000)).toEqual([[0xa00027a8, 0xa00005d4, 0xa0000010]]));
});
