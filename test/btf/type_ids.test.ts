import { describe, expect, it } from 'vitest';
import { kcfiHash, kcfiTypeId, mangle, mangleNormalized, parsePrototype } from '../../src/btf/index.ts';
import { btf, file } from '../support.ts';

const golden = JSON.parse(new TextDecoder().decode(file('test/golden/kcfi-typeids.json'))) as {
  header: string;
  types: { prototype: string; mangled: string; hash: string; mangledNormalized: string; hashNormalized: string }[];
};

describe('kCFI type ids', () => {
  it('has all 47 prototypes', () => expect(golden.types.length).toBe(47));

  it.each(golden.types)('$mangled', ({ prototype, mangled, hash, mangledNormalized, hashNormalized }) => {
    const { type } = parsePrototype(prototype, { declarations: golden.header });
    expect(mangle(type)).toBe(mangled);
    expect(kcfiTypeId(mangle(type))).toBe(Number(hash));
    expect(mangleNormalized(type)).toBe(mangledNormalized);
    expect(kcfiTypeId(mangleNormalized(type))).toBe(Number(hashNormalized));
  });

  it('agrees between C and BTF', () => {
    const struct = btf().struct('tcp_congestion_ops');
    const hashOf = (name: string) => {
      const pointer = btf().resolve(struct.members.find((member) => member.name === name)!.type);
      return kcfiHash(btf(), pointer.kind === 'ptr' ? pointer.type : 0);
    };
    expect(hashOf('ssthresh')).toBe(kcfiTypeId(mangle(parsePrototype('u32 f(struct sock *)').type)));
    expect(hashOf('cong_control')).toBe(0x2e70333c);
    expect(hashOf('set_state')).toBe(0xd08a1102);
  });

  it.each([
    '',
    'int',
    'int f(',
    'int f(int',
    'f()',
    'int f(nosuchtype x)',
    `int f(${'('.repeat(2000)}`,
    'int f(int) int',
  ])('refuses %j in one line', (text) => {
    expect(() => parsePrototype(text)).toThrow(/^[^\n]+$/);
  });
});
