import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/index.ts';
import { ProgramArrayMap } from '../../src/kernel/index.ts';
import type { CfiMode, Features } from '../../src/target/index.ts';
import { file, session } from '../support.ts';

const KERNELS: readonly [release: string, cfi: CfiMode, features: Partial<Features>][] = [
  ['6.12', 'off', {}],
  ['6.12', 'kcfi', { retpoline: true }],
  ['6.12', 'kcfi', { jitHarden: 2 }],
  ['6.12', 'fineibt', { callDepth: true, retpoline: true, rethunk: true }],
  ['6.18+hashfix', 'fineibt', {}],
  ['6.18+hashfix', 'fineibt', { its: true, rethunk: true }],
  ['6.18+hashfix', 'fineibt', { cfiParanoid: true }],
];

function start(release: string, cfi: CfiMode, features: Partial<Features>) {
  const guest = session(file('test/objects/tail_calls.bpf.o'), cfi, 0, features, release);
  const [direct, indirect] = guest.maps;
  const next = guest.loaded.maps.find((map) => map instanceof ProgramArrayMap)!;
  const sock = { ptr: guest.kernel.heap.alloc(guest.kernel.btf.struct('tcp_sock').size) };
  const call = (map: typeof direct, member: string) =>
    guest.kernel.callMember(map!.kdata, map!.type, member, [sock]).lo;
  return { ...guest, direct, indirect, next, call };
}

describe.each(KERNELS)('tail calls: Linux %s, cfi %s %o', (release, cfi, features) => {
  it('go to the program of the slot, and on behind the call where it is empty', () => {
    const { direct, indirect, next, call, programs } = start(release, cfi, features);
    expect(call(direct, 'ssthresh')).toBe(40);
    expect(call(indirect, 'ssthresh')).toBe(40);
    next.setProgram(1, undefined);
    expect(call(direct, 'ssthresh')).toBe(7);
    expect(call(indirect, 'ssthresh')).toBe(8);
    next.setProgram(1, programs.get('indirect'));
    expect(call(direct, 'ssthresh')).toBe(8);
    next.setProgram(1, programs.get('chain_undo'));
    expect(call(direct, 'ssthresh')).toBe(40);
  });

  it('end after 33', () => {
    const { indirect, call } = start(release, cfi, features);
    expect(call(indirect, 'undo_cwnd')).toBe(34);
  });
});

describe('program arrays', () => {
  it('direct calls stand as poked text, blinded ones do not', () => {
    const text = (features: Partial<Features>) => {
      const { kernel, programs } = start('6.12', 'kcfi', features);
      const { image } = programs.get('direct')!.functions[0]!;
      return {
        pokes: image.pokes.length,
        same: toHex(kernel.memory.bytes(image.address, image.bytes.length)) === toHex(image.bytes),
      };
    };
    expect(text({})).toEqual({ pokes: 1, same: false });
    expect(text({ jitHarden: 2 })).toEqual({ pokes: 0, same: true });
  });

  it('take programs of one prototype only, and slots that there are', () => {
    const { next, programs } = start('6.12', 'off', {});
    expect(() => next.setProgram(0, programs.get('avoid'))).toThrow(/of another type or prototype/);
    expect(() => next.setProgram(4, programs.get('chain_undo'))).toThrow(/has no slot 4/);
  });

  it('leave nothing behind', () => {
    const { kernel, loaded, maps } = start('6.12', 'fineibt', {});
    for (const map of maps) map.delete();
    loaded.unload();
    expect(kernel.maps).toEqual([]);
  });
});
