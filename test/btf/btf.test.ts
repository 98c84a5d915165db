import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TrampetError } from '../../src/base/index.ts';
import { BtfBuilder, CoreResolver, formatDecl, parseBtf, reduceBtf } from '../../src/btf/index.ts';
import { btf, file } from '../support.ts';

function sample(): { bytes: Uint8Array; struct: number } {
  const builder = new BtfBuilder();
  const int = builder.add({
    kind: 'int',
    name: 'int',
    size: 4,
    bits: 32,
    bitOffset: 0,
    signed: true,
    char: false,
    bool: false,
  });
  const u64 = builder.add({
    kind: 'int',
    name: 'unsigned long long',
    size: 8,
    bits: 64,
    bitOffset: 0,
    signed: false,
    char: false,
    bool: false,
  });
  const inner = builder.add({
    kind: 'struct',
    name: '',
    size: 8,
    members: [
      { name: 'x', type: int, bitOffset: 0, bitSize: 3 },
      { name: 'y', type: int, bitOffset: 3, bitSize: 5 },
      { name: 'z', type: int, bitOffset: 32, bitSize: 0 },
    ],
  });
  const array = builder.add({ kind: 'array', name: '', element: u64, index: int, length: 4 });
  const struct = builder.add({
    kind: 'struct',
    name: 'thing',
    size: 48,
    members: [
      { name: 'first', type: u64, bitOffset: 0, bitSize: 0 },
      { name: '', type: inner, bitOffset: 64, bitSize: 0 },
      { name: 'many', type: array, bitOffset: 128, bitSize: 0 },
    ],
  });
  builder.add({
    kind: 'enum',
    name: 'colour',
    size: 4,
    signed: false,
    values: [
      { name: 'RED', value: 1n },
      { name: 'BLUE', value: 7n },
    ],
  });
  return { bytes: builder.build(), struct };
}

describe('BTF', () => {
  it('lays out what was built', () => {
    const { bytes, struct } = sample();
    const types = parseBtf(bytes);
    expect(types.find('thing', 'struct')).toBe(struct);
    expect(types.sizeOf(struct)).toBe(48);
    expect(types.alignOf(struct)).toBe(8);
    expect(types.member('thing', 'z')).toMatchObject({ offset: 12, size: 4, bitSize: 0, signed: true });
    expect(types.member('thing', 'y')).toMatchObject({ offset: 8, bitOffset: 67, bitSize: 5 });
    expect(types.member('thing', 'many')).toMatchObject({ offset: 16, size: 32 });
    expect(() => types.member('thing', 'none')).toThrow("struct thing has no member 'none'");
  });

  it('prints declarations as C has them', () => {
    const struct = btf().struct('tcp_congestion_ops');
    const text = (name: string) => formatDecl(btf(), struct.members.find((member) => member.name === name)!.type, name);
    expect(text('ssthresh')).toBe('u32 (*ssthresh)(struct sock *)');
    expect(text('name')).toBe('char name[16]');
    expect(text('pkts_acked')).toBe('void (*pkts_acked)(struct sock *, const struct ack_sample *)');
  });

  it('the bundled BTF holds what programs and the guest need', () => {
    for (const name of [
      'tcp_sock',
      'bpf_prog',
      'bpf_array',
      'htab_elem',
      'rate_sample',
      'bpf_struct_ops_tcp_congestion_ops',
      'bpf_dummy_ops_state',
    ])
      expect(btf().find(name, 'struct'), name).toBeDefined();
    for (const name of [
      'bpf_tcp_ca_ssthresh',
      '__bpf_tcp_ca_init',
      'tcp_reno_ssthresh',
      'tcp_slow_start',
      'bpf_dummy_test_2',
    ])
      expect(btf().find(name, 'func'), name).toBeDefined();
  });

  it('reduction keeps layouts', () => {
    const full = btf();
    const reduced = parseBtf(reduceBtf(full, [full.find('tcp_sock', 'struct')!]));
    for (const path of ['snd_cwnd', 'inet_conn.icsk_ca_priv', 'rack.mstamp', 'is_cwnd_limited']) {
      const { type: _, ...place } = full.member('tcp_sock', path);
      expect(reduced.member('tcp_sock', path)).toMatchObject(place);
    }
    expect(reduced.typeCount).toBeLessThan(full.typeCount);
  });

  describe('CO-RE', () => {
    const local = parseBtf(sample().bytes);
    const resolver = (target = local) => new CoreResolver(local, target);
    const relocation = (kind: number, access: string, name = 'thing') => ({
      offset: 0,
      type: local.find(name)!,
      access,
      kind,
    });

    it.each([
      [0, '0:2:1', 24n],
      [1, '0:1:2', 4n],
      [2, '0:0', 1n],
      [3, '0:1:0', 1n],
      [4, '0:1:1', 56n],
      [5, '0:1:1', 59n],
      [6, '0', BigInt(local.find('thing')!)],
      [8, '0', 1n],
      [9, '0', 48n],
    ])('kind %i of %s is %s', (kind, access, value) => {
      expect(resolver().resolve(relocation(kind, access))).toMatchObject({ poison: false, value });
    });

    it('finds enumerators, and poisons what is gone', () => {
      expect(resolver().resolve(relocation(11, '1', 'colour'))).toMatchObject({ value: 7n });
      const empty = new BtfBuilder();
      empty.add({ kind: 'struct', name: 'thing', size: 8, members: [] });
      const gone = resolver(parseBtf(empty.build()));
      expect(gone.resolve(relocation(0, '0:0'))).toMatchObject({ poison: true, target: undefined });
      expect(gone.resolve(relocation(2, '0:0'))).toMatchObject({ poison: false, value: 0n });
      expect(gone.resolve(relocation(0, '0:0')).local).toBe(
        `<byte_off> [${local.find('thing')}] struct thing.first (0:0 @ offset 0)`,
      );
    });

    it.each(['', ':', '0:9', '9999999999', '0:0:0', 'x'])('refuses the access string %j', (access) => {
      expect(() => resolver().resolve(relocation(0, access))).toThrow(TrampetError);
    });
  });

  describe('hostile input', () => {
    it('is refused when cut anywhere, in one line', () => {
      const { bytes } = sample();
      for (let length = 0; length < bytes.length; length++)
        expect(() => parseBtf(bytes.subarray(0, length)), `${length} bytes`).toThrow(/^[^\n]+$/);
    });

    it('cycles end in an error', () => {
      const builder = new BtfBuilder();
      builder.add({ kind: 'typedef', name: 'loop', type: 1 });
      builder.add({ kind: 'array', name: '', element: 2, index: 2, length: 2 });
      builder.add({ kind: 'struct', name: 's', size: 8, members: [{ name: '', type: 3, bitOffset: 0, bitSize: 0 }] });
      const types = parseBtf(builder.build());
      expect(() => types.resolve(1)).toThrow('no end');
      expect(() => types.sizeOf(2)).toThrow('without end');
      expect(() => types.alignOf(3)).toThrow('without end');
      expect(() => types.member(3, 'x')).toThrow('without end');
      expect(formatDecl(types, 1, 'x')).toContain('loop');
    });

    it('references to types that do not exist are named', () => {
      const builder = new BtfBuilder();
      builder.add({ kind: 'ptr', name: '', type: 99 });
      expect(() => parseBtf(builder.build()).type(1)).toThrow(
        "type id 1 (ptr ''): refers to type id 99, which does not exist",
      );
    });

    it('random changes raise nothing foreign', () => {
      const whole = file('data/btf/vmlinux-6.12.btf').slice(0, 4000);
      const { bytes } = sample();
      fc.assert(
        fc.property(
          fc.constantFrom(whole, bytes),
          fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 8 }),
          (base, edits) => {
            const mutant = base.slice();
            for (const [at, value] of edits) mutant[at % mutant.length] = value;
            try {
              const types = parseBtf(mutant);
              for (let id = 0; id < Math.min(types.typeCount, 50); id++) {
                for (const look of [
                  () => types.type(id),
                  () => types.sizeOf(id),
                  () => types.alignOf(id),
                  () => formatDecl(types, id, 'x'),
                ]) {
                  try {
                    look();
                  } catch (error) {
                    if (!(error instanceof TrampetError)) throw error;
                  }
                }
              }
            } catch (error) {
              if (!(error instanceof TrampetError)) throw error;
            }
          },
        ),
        { numRuns: 500, seed: 1 },
      );
    });
  });
});
