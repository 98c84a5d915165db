import type { Btf } from './btf.ts';
import { type CFunction, type CType, functionType } from './ctype.ts';
import { xxHash64 } from './xxhash.ts';

/**
 * The name that clang hashes for a function type under -fsanitize=kcfi: the Itanium C++ mangling of its type info,
 * `_ZTS` + `F` returns params `E`, with substitutions (`S_`, `S0_`, …).
 */
export function mangle(type: CFunction): string {
  return `_ZTS${new Mangler(false).type(type)}`;
}

/** As {@link mangle} under -fsanitize-cfi-icall-experimental-normalize-integers: integers by width, `u3u32`. */
export function mangleNormalized(type: CFunction): string {
  return `_ZTS${new Mangler(true).type(type)}.normalized`;
}

/** The kCFI type id: the low 32 bits of xxHash64 (seed 0) of the mangled name, unsigned. */
export function kcfiTypeId(mangled: string): number {
  return Number(xxHash64(new TextEncoder().encode(mangled)) & 0xffffffffn);
}

/** The kCFI type id of a `func_proto` or `func` of BTF. */
export function kcfiHash(btf: Btf, id: number): number {
  return kcfiTypeId(mangle(functionType(btf, id)));
}

/** Substitution candidates are numbered in the order in which they complete; builtin letters are no candidates. */
class Mangler {
  readonly #normalize: boolean;
  readonly #seen = new Map<string, number>();

  constructor(normalize: boolean) {
    this.#normalize = normalize;
  }

  type(type: CType): string {
    if (type.kind === 'builtin' && !(this.#normalize && type.bits !== undefined)) return type.code;
    const key = spell(type, this.#normalize);
    const known = this.#seen.get(key);
    if (known !== undefined) return known === 0 ? 'S_' : `S${(known - 1).toString(36).toUpperCase()}_`;
    const text = this.#body(type);
    this.#seen.set(key, this.#seen.size);
    return text;
  }

  #body(type: CType): string {
    switch (type.kind) {
      case 'pointer':
        return `P${this.type(type.to)}`;
      case 'complex':
        return `C${this.type(type.of)}`;
      case 'qualified':
        return qualifiers(type) + this.type(type.of);
      case 'array':
        return `A${type.length}_${this.type(type.of)}`;
      case 'function': {
        const returns = this.type(type.returns);
        const params = type.params.map((param) => this.type(param)).join('');
        return `F${returns}${params === '' && !type.variadic ? 'v' : params}${type.variadic ? 'z' : ''}E`;
      }
      default:
        return spell(type, this.#normalize);
    }
  }
}

const qualifiers = (type: { isConst: boolean; isVolatile: boolean }) =>
  (type.isVolatile ? 'V' : '') + (type.isConst ? 'K' : '');

/** The mangling without substitutions: names a type uniquely. */
function spell(type: CType, normalize: boolean): string {
  switch (type.kind) {
    case 'builtin': {
      if (!normalize || type.bits === undefined) return type.code;
      const name = `${type.signed ? 'i' : 'u'}${type.bits}`;
      return `u${name.length}${name}`;
    }
    case 'named':
      return `${type.name.length}${type.name}`;
    case 'pointer':
      return `P${spell(type.to, normalize)}`;
    case 'complex':
      return `C${spell(type.of, normalize)}`;
    case 'qualified':
      return qualifiers(type) + spell(type.of, normalize);
    case 'array':
      return `A${type.length}_${spell(type.of, normalize)}`;
    case 'function':
      return `F${[type.returns, ...type.params].map((part) => spell(part, normalize)).join('')}${type.variadic ? 'z' : ''}E`;
  }
}
