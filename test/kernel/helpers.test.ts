import { describe, expect, it } from 'vitest';
import { type Kernel, loadObject, RingbufMap, type RingRecord, StructOpsMap } from '../../src/kernel/index.ts';
import { parseLink } from '../../src/net/index.ts';
import { type FlowsHooks, runFlows } from '../../src/subsystems/index.ts';
import { boot, example, file, resolve, session } from '../support.ts';

const bytes = () => file('test/objects/tcp_helpers.bpf.o');
const link = parseLink('20mbit,40ms,100p');

/** The object's one global variable: what was seen, calls of release, and the control to fall back to. */
function state(kernel: Kernel): { seen: BigInt64Array; released: number; fallback: Uint8Array } {
  const { values } = kernel.maps.find(({ blueprint }) => blueprint.section === '.bss')!;
  return {
    seen: new BigInt64Array(kernel.memory.bytes(values, 1024).slice().buffer),
    released: kernel.memory.u32(values + 1028),
    fallback: kernel.memory.bytes(values + 1032, 16),
  };
}

const start = (release = '6.18', cfi: 'kcfi' | 'fineibt' = 'kcfi'): Kernel =>
  session(bytes(), cfi, 0, {}, release).kernel;

function flow(kernel: Kernel, seconds: number, hooks: FlowsHooks = {}) {
  const flows = [{ name: 'a', congestion: 'helpers', source: { kind: 'bulk' as const }, startNs: 0 }];
  return runFlows(kernel, { link, flows, seconds, seed: 1 }, hooks);
}

const ring = (kernel: Kernel): RingbufMap => kernel.maps.find((map): map is RingbufMap => map instanceof RingbufMap)!;

/** What `init` and the timers of the object saw, by the numbers in its source. */
const SEEN = [
  // Hash tables, least-recently-used ones, and those for each CPU.
  [-2, 0, -17, -22, 0, -7, 2, 315, -2, 8, 9, 0, 9, -1, 0, 11, 11, -1, 0, 11],
  // Trie.
  [0, 0, 16, 8, -1, -22, 0, -2],
  // Queue and stack.
  [-2, 0, -7, 0, -22, 2, 0, 3, 2],
  // Bloom filter, maps of maps.
  [0, 0, -2, 55, 55, 0, 0, 1],
  // Ring buffer and dynptrs.
  [0, -22, 56, 4096, 56, 0, 0, 0, -7, 0, 0x01020304, 4, -22],
  // Text, loops, clocks, storage, socket options.
  [12, 1, 6, -16, -22, 2, 15, 6, 15, 0, 1, 1, 15, 0, 0, 0, 100, -22, -22, -524, 0],
  // Timers and locks.
  [-22, -22, 0, -16, -22, 0, 0, 1, 0, 0, 56],
  // From three runs of a timer that may not cancel itself.
  [-35, -35, -35],
].flat();

describe('helpers and maps of congestion controls', () => {
  it.each([
    ['6.18', 'kcfi'],
    ['6.12', 'fineibt'],
  ] as const)('Linux %s, CFI %s: give what the kernel gives', (release, cfi) => {
    const kernel = start(release, cfi);
    flow(kernel, 0.3);
    const values = Array.from(state(kernel).seen, Number);
    expect(values.slice(0, SEEN.length)).toEqual(SEEN);
    expect(new Set(values.slice(SEEN.length))).toEqual(new Set([0]));
    const timers = kernel.maps.find(({ name }) => name === 'timers')!;
    const timed = new BigUint64Array(kernel.memory.bytes(timers.values, 32).slice().buffer);
    // Fired three times, last 200 ms after the start.
    expect([timed[0], timed[3]]).toEqual([3n, 200_000_000n]);
  });

  it('leave nothing behind', () => {
    const kernel = boot('kcfi', 0, {}, '6.18');
    const idle = [kernel.heap.count, kernel.vmalloc.count, kernel.percpu.count, kernel.images.count];
    const loaded = loadObject(kernel, resolve(bytes(), 'object', '6.18'));
    const map = new StructOpsMap(kernel, loaded.resolved.structOps[0]!);
    map.update(loaded.resolved.structOps[0]!, new Map(loaded.programs.map((program) => [program.name, program])));
    flow(kernel, 0.3);
    expect([...kernel.maps.find(({ name }) => name === 'storage')!.keys()]).toEqual([]);
    map.delete();
    map.free();
    loaded.unload();
    expect([kernel.heap.count, kernel.vmalloc.count, kernel.percpu.count, kernel.images.count]).toEqual(idle);
  });

  it('timers that are armed when nobody moves the clock wait for the next who does', () => {
    const kernel = start();
    flow(kernel, 0.12);
    const timers = kernel.maps.find(({ name }) => name === 'timers')!;
    const fired = () => kernel.memory.u32(timers.values);
    expect(fired()).toBe(1);
    flow(kernel, 0.3);
    // The second init finds the timer initialised and running.
    expect(fired()).toBe(3);
  });
});

describe('objects of programs', () => {
  it('move from map to program and back, and end with the map', () => {
    const { kernel, loaded, maps } = session(file('test/objects/kptr.bpf.o'), 'kcfi', 0, {}, '6.18');
    expect(loaded.programs.every(({ verified }) => verified)).toBe(true);
    const idle = kernel.heap.count;
    const flows = [{ name: 'a', congestion: 'kptr', source: { kind: 'bulk' as const }, startNs: 0 }];
    const result = runFlows(kernel, { link: parseLink('20mbit,40ms,100p,loss=1%'), flows, seconds: 2, seed: 1 });
    const slots = kernel.maps.find(({ name }) => name === 'slots')!;
    expect(result.flows[0]!.calls.ssthresh).toBeGreaterThan(3);
    expect(kernel.memory.u32(slots.values + 8)).toBe(result.flows[0]!.calls.ssthresh);
    expect(kernel.heap.count).toBe(idle + 1);
    maps[0]!.delete();
    maps[0]!.free();
    loaded.unload();
    expect(kernel.heap.count).toBe(idle - loaded.programs.length);
  });
});

describe('records of ring buffers', () => {
  it('are read as they come, with their time', () => {
    const kernel = start();
    const records: RingRecord[] = [];
    kernel.onRecord = (record) => records.push(record);
    const { flows } = flow(kernel, 0.5);
    expect(records).toHaveLength(3 + flows[0]!.calls.cong_avoid!);
    expect(records.every(({ map }) => map === 'ring')).toBe(true);
    expect([...records[0]!.data]).toEqual([1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
    expect([...records[1]!.data]).toEqual([33, 0, 0, 0, 0, 0, 0, 0]);
    expect([...records[2]!.data.subarray(8)]).toEqual([4, 3, 2, 1]);
    for (let i = 1; i < records.length; i++) expect(records[i]!.ns).toBeGreaterThanOrEqual(records[i - 1]!.ns);
  });

  it('wait until somebody reads; a full buffer takes no more', () => {
    const kernel = start();
    flow(kernel, 0.7);
    const records = ring(kernel).consume();
    // 24 + 16 + 16 + 24 bytes, then 16 for each of the others, one byte less than 4096 in all.
    expect(records).toHaveLength(3 + Math.floor((4095 - 80) / 16));
    expect(ring(kernel).query(0)).toBe(0);
    flow(kernel, 0.2);
    expect(ring(kernel).consume().length).toBeGreaterThan(10);
  });
});

describe('bpf_setsockopt(TCP_CONGESTION)', () => {
  const withFallback = (name: string) => {
    const kernel = start();
    const other = loadObject(kernel, resolve(example('reno'), 'reno', '6.18'));
    const map = new StructOpsMap(kernel, other.resolved.structOps[0]!);
    map.update(other.resolved.structOps[0]!, new Map(other.programs.map((program) => [program.name, program])));
    state(kernel).fallback.set(new TextEncoder().encode(name));
    const { flows } = flow(kernel, 1);
    const { seen, released } = state(kernel);
    return { result: Number(seen[0]), released, goodput: flows[0]!.goodputBps };
  };

  it('in init: the socket has the other control from then on', () => {
    const { result, released, goodput } = withFallback('ex_reno');
    expect([result, released]).toEqual([0, 1]);
    expect(goodput).toBeGreaterThan(10e6);
  });

  it('of itself changes nothing; of nobody is -ENOENT', () => {
    expect(withFallback('helpers')).toMatchObject({ result: 0, released: 1 });
    expect(withFallback('nobody')).toMatchObject({ result: -2, released: 1 });
  });

  it('is no matter for release', () => {
    const resolved = resolve(bytes(), 'object', '6.18');
    const release = resolved.programs.find(({ name }) => name === 'helpers_release')!;
    const call = release.insns.find(({ code, src }) => code === 0x85 && src === 0)!;
    call.imm = 49;
    expect(() => loadObject(boot('off', 0, {}, '6.18'), resolved)).toThrow(
      'program of this type cannot use helper bpf_setsockopt#49',
    );
  });
});

describe('what is not modelled is refused at load', () => {
  const kernel = boot('off', 0, {}, '6.18');
  it.each([7, 19, 21, 28, 29, 31, 32, 33])('maps of type %i', (type) => {
    const resolved = resolve(bytes(), 'object', '6.18');
    Object.assign(resolved.maps.find(({ name }) => name === 'hash')!, { type });
    expect(() => loadObject(kernel, resolved)).toThrow(/^map 'hash': map type '\w+' is not modelled$/);
  });

  it.each([
    ['queue', { keySize: 4 }],
    ['stack', { maxEntries: 0 }],
    ['bloom', { extra: 16n }],
    ['trie', { flags: 0 }],
    ['trie', { keySize: 4 }],
    ['ring', { maxEntries: 5000 }],
    ['storage', { maxEntries: 1 }],
    ['hash', { keySize: 0 }],
    ['outer', { valueSize: 8 }],
  ])('%s with %o is -EINVAL', (name, more) => {
    const resolved = resolve(bytes(), 'object', '6.18');
    Object.assign(resolved.maps.find((map) => map.name === name)!, more);
    let code = '';
    try {
      loadObject(kernel, resolved);
    } catch (error) {
      code = (error as { code: string }).code;
    }
    expect(code).toBe('EINVAL');
  });

  it('helpers, and helper numbers that there are not', () => {
    const resolved = resolve(bytes(), 'object', '6.18');
    const program = resolved.programs.find(({ name }) => name === 'helpers_release')!;
    const call = program.insns.find(({ code, src }) => code === 0x85 && src === 0)!;
    call.imm = 80;
    expect(() => loadObject(kernel, resolved)).toThrow('is not modelled');
    call.imm = 9999;
    expect(() => loadObject(kernel, resolved)).toThrow('invalid func unknown#9999');
  });
});
