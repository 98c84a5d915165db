import { describe, expect, it } from 'vitest';
import { BtfBuilder, parseBtf } from '../../src/btf/index.ts';
import { readElf } from '../../src/elf/index.ts';
import { openObject, resolveObject } from '../../src/object/index.ts';
import { btf, example, file, resolve } from '../support.ts';

const object = (name: string) => file(`test/golden/linux-6.18/obj/${name}.bpf.o`);
/** The object with bytes changed at an offset of a section. */
function patched(bytes: Uint8Array, section: string, offset: number, ...values: number[]): Uint8Array {
  const copy = bytes.slice();
  copy.set(values, readElf(bytes).sections.find(({ name }) => name === section)!.offset + offset);
  return copy;
}

describe('opening', () => {
  it('finds programs, maps, ops tables and externs', () => {
    const cubic = openObject(example('cubic'), 'some/where/cubic.bpf.o');
    expect(cubic).toMatchObject({ name: 'cubic', license: 'GPL' });
    expect(cubic.programs.map(({ name }) => name)).toContain('cubic_cong_avoid');
    expect(cubic.subprograms.map(({ name }) => name)).toEqual(['cube_root']);
    expect(cubic.maps.map(({ name, valueSize }) => [name, valueSize])).toEqual([['cubic.bss', 12]]);
    expect(cubic.externs.map(({ kind, name }) => [kind, name])).toContainEqual(['kfunc', 'tcp_cong_avoid_ai']);
    expect(cubic.structOps).toMatchObject([{ name: 'cubic', link: false, autocreate: true }]);
  });

  it('reads every kind of map definition', () => {
    const { maps } = openObject(object('p15_maps'), 'p15_maps.bpf.o');
    expect(maps.length).toBeGreaterThan(5);
    expect(maps.every(({ type }) => type > 0)).toBe(true);
  });

  const x86 = example('cubic');
  x86.set([62, 0], 18);
  const executable = example('cubic');
  executable.set([2, 0], 16);
  it.each([
    ['another machine', x86, 'ELF machine 62 is not BPF'],
    ['an executable', executable, 'not a relocatable object'],
    ['no BTF magic', patched(example('cubic'), '.BTF', 0, 0, 0), 'not BTF'],
    [
      'a relocation in the middle of an instruction',
      patched(example('cubic'), '.relstruct_ops', 0, 3),
      'middle of an instruction',
    ],
    ['an instruction that cannot be relocated', patched(example('reno'), 'struct_ops', 8, 0xb7), 'cannot be relocated'],
    ['access strings that do not fit', patched(example('cubic'), '.BTF.ext', 40, 0xff, 0xff, 0xff, 0x7f), ''],
  ])('refuses %s', (_, bytes, why) => {
    expect(() => resolve(bytes)).toThrow(new RegExp(`^[^\\n]*${why}[^\\n]*$`));
  });
});

describe('resolving', () => {
  it("puts ops tables into the kernel's layout", () => {
    const { structOps, programs } = resolve(example('dctcp'));
    const [table] = structOps;
    const place = (member: string) => btf().member('tcp_congestion_ops', member).offset;
    expect(table!.data.length).toBe(btf().struct('tcp_congestion_ops').size);
    expect(new TextDecoder().decode(table!.data.subarray(place('name'), place('name') + 8))).toBe('ex_dctcp');
    expect(table!.data[place('flags')]).toBe(2);
    expect(programs.find(({ name }) => name === 'dctcp_init')!.structOps).toEqual({
      type: 'tcp_congestion_ops',
      member: 'init',
    });
  });

  it('links subprograms behind their caller', () => {
    const program = resolve(example('cubic')).programs.find(({ name }) => name === 'cubic_cong_avoid')!;
    expect(program.functions.map(({ name }) => name)).toEqual(['cubic_cong_avoid', 'cube_root']);
    const call = program.insns.findIndex(({ code, src, imm }) => code === 0x85 && src === 1 && imm >= 0);
    expect(call + 1 + program.insns[call]!.imm).toBe(program.functions[1]!.start);
  });

  it('appends the exception callback that a declaration tag names', () => {
    const object = resolve(file('test/golden/linux-6.12/obj/throwing.bpf.o'));
    expect(object.programs.map(({ name, functions }) => [name, ...functions.map((fn) => fn.name)])).toEqual([
      ['th_own', 'th_own', 'maybe', 'my_cb'],
      ['th_def', 'th_def'],
    ]);
  });

  it('relocates the bitfield, and says so', () => {
    const program = resolve(example('cubic')).programs.find(({ name }) => name === 'cubic_cong_avoid')!;
    const kinds = program.core
      .filter(({ resolution }) => resolution.local.includes('is_cwnd_limited'))
      .map(({ resolution }) => resolution.kind);
    expect(kinds).toEqual(expect.arrayContaining(['byte_off', 'byte_sz', 'lshift_u64', 'rshift_u64']));
  });

  it('an ops type or a kfunc that the kernel lacks is refused by name', () => {
    const builder = new BtfBuilder();
    builder.add({ kind: 'struct', name: 'sock', size: 8, members: [] });
    const empty = parseBtf(builder.build());
    expect(() => resolveObject(openObject(example('dummy'), 'dummy.bpf.o'), { btf: empty })).toThrow(
      'struct bpf_dummy_ops is not found in kernel BTF',
    );
    expect(() => resolveObject(openObject(example('reno'), 'reno.bpf.o'), { btf: empty })).toThrow(
      "'tcp_reno_ssthresh': not found in kernel BTF (unknown kfunc)",
    );
  });
});
