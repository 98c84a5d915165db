import { describe, expect, it } from 'vitest';
import { fromHex } from '../../src/base/index.ts';
import { disassemble, readInsns, sectionMeaning, writeInsns } from '../../src/bpf/index.ts';

describe('disassembler', () => {
  it.each([
    ['0f21000000000000', 'r1 += r2'],
    ['0411000000000000', 'w1 += 0'],
    ['bf12080000000000', 'r2 = (s8)r1'],
    ['3f21010000000000', 'r1 s/= r2'],
    ['dc01000010000000', 'r1 = be16 r1'],
    ['d701000040000000', 'r1 = bswap64 r1'],
    ['7911f8ff00000000', 'r1 = *(u64 *)(r1 -8)'],
    ['9112040000000000', 'r2 = *(s8 *)(r1 +4)'],
    ['620af8ff05000000', '*(u32 *)(r10 -8) = 5'],
    ['db21000000000000', 'lock *(u64 *)(r1 +0) += r2'],
    ['db21000001000000', 'r2 = atomic64_fetch_add((u64 *)(r1 +0), r2)'],
    ['c3210000f1000000', 'r0 = atomic_cmpxchg((u32 *)(r1 +0), r0, r2)'],
    ['5501030005000000', 'if r1 != 0x5 goto pc+3'],
    ['be21fdff00000000', 'if w1 <= w2 goto pc-3'],
    ['0500ffff00000000', 'goto pc-1'],
    ['0600000010000000', 'gotol pc+16'],
    ['8500000001000000', 'call bpf_map_lookup_elem#1'],
    ['8510000005000000', 'call pc+5'],
    ['9500000000000000', 'exit'],
  ])('%s is %s', (hex, text) => {
    expect(disassemble(readInsns(fromHex(hex)), 0)).toBe(text);
  });

  it('prints 64-bit loads with both halves', () => {
    expect(disassemble(readInsns(fromHex('1801000078563412000000000000000001000000')), 0)).toBe(
      'r1 = 0x112345678'.replace('0x112345678', '0x12345678'),
    );
    expect(disassemble(readInsns(fromHex('18010000785634120000000001000000')), 0)).toBe('r1 = 0x112345678');
  });

  it('writes what it reads', () => {
    const bytes = fromHex('18120000e58200000000000000000000dc03f6ff10000080');
    expect(writeInsns(readInsns(bytes))).toEqual(bytes);
  });
});

describe('SEC() names', () => {
  it.each([
    ['struct_ops', 'struct_ops', false],
    ['struct_ops.s/test', 'struct_ops', true],
    ['fentry.s/tcp_v4_connect', 'tracing', true],
    ['xdp', 'xdp', false],
    ['tp_btf/sched_switch', 'tracing', false],
  ])('%s', (section, type, sleepable) => {
    expect(sectionMeaning(section)).toMatchObject({ type, sleepable, autoload: true });
  });
  it('knows `?` and does not know nonsense', () => {
    expect(sectionMeaning('?struct_ops')).toMatchObject({ autoload: false });
    expect(sectionMeaning('structops')).toBeUndefined();
  });
});
