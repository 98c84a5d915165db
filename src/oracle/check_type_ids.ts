import { hex32, TrampetError } from '../base/index.ts';
import { kcfiTypeId, mangle, mangleNormalized, parsePrototype } from '../btf/index.ts';
import type { Checker } from './types.ts';

interface TypeIds {
  header: string;
  types: { prototype: string; mangled: string; hash: string; mangledNormalized: string; hashNormalized: string }[];
}

/** kCFI type ids of C prototypes, plain and integer-normalised, against those that clang computed (kcfi-typeids.json). */
export const checkTypeIds: Checker = {
  kind: 'type ids',
  once: true,
  *check(directory) {
    const file = directory.file('kcfi-typeids.json');
    if (file === undefined) return;
    const golden = JSON.parse(new TextDecoder().decode(file)) as TypeIds;
    for (const type of golden.types) {
      const name = type.prototype;
      const want = `${type.mangled} ${type.hash}, ${type.mangledNormalized} ${type.hashNormalized}`;
      try {
        const prototype = parsePrototype(type.prototype, { declarations: golden.header });
        const mangled = mangle(prototype.type);
        const normalized = mangleNormalized(prototype.type);
        const got = `${mangled} ${hex32(kcfiTypeId(mangled))}, ${normalized} ${hex32(kcfiTypeId(normalized))}`;
        yield got === want ? { name, status: 'passed' } : { name, status: 'failed', at: '-', want, got };
      } catch (error) {
        if (!(error instanceof TrampetError)) throw error;
        yield { name, status: 'failed', at: '-', want, got: error.message };
      }
    }
  },
};
