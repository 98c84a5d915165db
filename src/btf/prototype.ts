import type { Btf } from './btf.ts';
import { builtinType, type CFunction, type CType, decay, qualify, VOID_TYPE } from './ctype.ts';
import { BtfError } from './error.ts';

export interface Prototype {
  name: string;
  type: CFunction;
}

/** Names that a prototype may use without a declaration: the kernel's fixed-width types and the common ones. */
const COMMON: Record<string, string> = {
  u8: 'unsigned char',
  u16: 'unsigned short',
  u32: 'unsigned int',
  u64: 'unsigned long long',
  s8: 'signed char',
  s16: 'short',
  s32: 'int',
  s64: 'long long',
  __u8: 'unsigned char',
  __u16: 'unsigned short',
  __u32: 'unsigned int',
  __u64: 'unsigned long long',
  __s8: 'signed char',
  __s16: 'short',
  __s32: 'int',
  __s64: 'long long',
  size_t: 'unsigned long',
  ssize_t: 'long',
  loff_t: 'long long',
  gfp_t: 'unsigned int',
  ktime_t: 'long long',
  __be16: 'unsigned short',
  __be32: 'unsigned int',
  __wsum: 'unsigned int',
  netdev_features_t: 'unsigned long long',
};
const BUILTIN_WORDS = new Set([
  'void',
  'char',
  'short',
  'int',
  'long',
  'signed',
  'unsigned',
  'float',
  'double',
  '_Bool',
  'bool',
  '__int128',
  '_Float16',
  '__float128',
]);
const NOISE = new Set([
  'extern',
  'static',
  'inline',
  '__always_inline',
  'noinline',
  'register',
  'restrict',
  '__restrict',
  '__restrict__',
  '_Noreturn',
  'asmlinkage',
  '__bpf_kfunc',
]);
const MAX_TOKENS = 4096;
const MAX_DEPTH = 64;

type Typedefs = Map<string, CType>;

/**
 * Parses a C prototype (`u32 f(struct sock *)`, the name may be left out after the return type's `(*)`).
 * Unknown names are looked up among `declarations` (typedefs in C), then among the typedefs of `btf`.
 * @throws BtfError, kind `usage`, naming the token that does not fit.
 */
export function parsePrototype(text: string, options: { btf?: Btf; declarations?: string } = {}): Prototype {
  const typedefs: Typedefs = new Map();
  if (options.declarations !== undefined) {
    const header = new Parser(options.declarations, typedefs, options.btf);
    while (!header.done()) header.external();
  }
  const parser = new Parser(text, typedefs, options.btf);
  const declared = parser.external();
  if (!parser.done()) throw parser.unexpected();
  const type = declared?.type.kind === 'pointer' ? declared.type.to : declared?.type;
  if (declared === undefined || type?.kind !== 'function') throw usage(`'${text}' is no function prototype`);
  return { name: declared.name, type };
}

function usage(why: string): BtfError {
  return new BtfError(why, 'C_SYNTAX', undefined, 'usage');
}

interface Declared {
  name: string;
  type: CType;
}
/** What a declarator does to the type at its core, innermost last. */
type Wrap = (inner: CType) => CType;

class Parser {
  readonly #tokens: string[];
  readonly #typedefs: Typedefs;
  readonly #btf: Btf | undefined;
  #at = 0;
  #depth = 0;

  constructor(text: string, typedefs: Typedefs, btf: Btf | undefined) {
    const clean = text.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, ' ');
    this.#tokens = clean.match(/[A-Za-z_]\w*|\d\w*|\.\.\.|[^\s\w]/g) ?? [];
    if (this.#tokens.length > MAX_TOKENS) throw usage(`prototype is too long (${this.#tokens.length} tokens)`);
    this.#typedefs = typedefs;
    this.#btf = btf;
  }

  done(): boolean {
    return this.#at >= this.#tokens.length;
  }

  unexpected(): BtfError {
    return usage(`unexpected ${this.done() ? 'end' : `'${this.#tokens[this.#at]}'`} in prototype`);
  }

  /** One declaration up to its `;` (or the end). Typedefs go into the table and give undefined. */
  external(): Declared | undefined {
    const isTypedef = this.#accept('typedef');
    const base = this.#specifiers();
    if (this.#accept(';')) return undefined;
    const declared = this.#declarator(base, true);
    if (this.#accept('__attribute__')) this.#skipGroup('(', ')');
    if (!this.#accept(';') && !this.done()) throw this.unexpected();
    if (!isTypedef) return declared;
    const type = declared.type;
    this.#typedefs.set(
      declared.name,
      type.kind === 'named' && type.name === '' ? { kind: 'named', name: declared.name } : type,
    );
    return undefined;
  }

  #peek(): string | undefined {
    return this.#tokens[this.#at];
  }

  #accept(token: string): boolean {
    if (this.#peek() !== token) return false;
    this.#at++;
    return true;
  }

  #expect(token: string): void {
    if (!this.#accept(token)) throw this.unexpected();
  }

  #skipGroup(open: string, close: string): void {
    this.#expect(open);
    for (let level = 1; level > 0; this.#at++) {
      if (this.done()) throw this.unexpected();
      if (this.#peek() === open) level++;
      if (this.#peek() === close) level--;
    }
  }

  #specifiers(): CType {
    let isConst = false;
    let isVolatile = false;
    let complex = false;
    const words: string[] = [];
    let type: CType | undefined;
    for (;;) {
      const token = this.#peek();
      if (token === undefined || !/^[A-Za-z_]/.test(token)) break;
      if (token === 'const') isConst = true;
      else if (token === 'volatile') isVolatile = true;
      else if (token === '_Complex') complex = true;
      else if (BUILTIN_WORDS.has(token) && type === undefined) words.push(token);
      else if (!NOISE.has(token)) {
        if (type !== undefined || words.length > 0) break;
        if (token === 'struct' || token === 'union' || token === 'enum') {
          this.#at++;
          type = this.#tag();
          continue;
        }
        type = this.#typedefName(token);
      }
      this.#at++;
    }
    type ??= builtinType(words);
    if (type === undefined) throw this.unexpected();
    return qualify(complex ? { kind: 'complex', of: type } : type, isConst, isVolatile);
  }

  #tag(): CType {
    const name = /^[A-Za-z_]/.test(this.#peek() ?? '') ? this.#tokens[this.#at++]! : '';
    if (this.#peek() === '{') this.#skipGroup('{', '}');
    else if (name === '') throw this.unexpected();
    return { kind: 'named', name };
  }

  #typedefName(name: string): CType {
    const own = this.#typedefs.get(name);
    if (own !== undefined) return own;
    if (name === '__builtin_va_list' || name === 'va_list')
      return { kind: 'pointer', to: { kind: 'named', name: '__va_list_tag' } };
    const common = COMMON[name];
    if (common !== undefined) return builtinType(common.split(' '))!;
    const id = this.#btf?.find(name, 'typedef');
    if (this.#btf === undefined || id === undefined) throw usage(`unknown type '${name}' in prototype`);
    const target = this.#btf.resolve(id);
    if (target.kind === 'int') return builtinType(target.name.split(' ')) ?? VOID_TYPE;
    if (target.kind === 'struct' || target.kind === 'union' || target.kind === 'enum' || target.kind === 'enum64') {
      return { kind: 'named', name: target.name || name };
    }
    throw usage(`typedef '${name}' is a ${target.kind}; write it out`);
  }

  #declarator(base: CType, named: boolean): Declared {
    const { name, wrap } = this.#wrapping(named);
    return { name, type: wrap(base) };
  }

  /** declarator: `*` qualifiers … ( name | ( declarator ) ) ( [n] | (params) )… */
  #wrapping(named: boolean): { name: string; wrap: Wrap } {
    if (++this.#depth > MAX_DEPTH) throw usage('prototype nests too deeply');
    const pointers: Wrap[] = [];
    while (this.#accept('*')) {
      let isConst = false;
      let isVolatile = false;
      for (let token = this.#peek(); token !== undefined; token = this.#peek()) {
        if (token === 'const') isConst = true;
        else if (token === 'volatile') isVolatile = true;
        else if (!NOISE.has(token)) break;
        this.#at++;
      }
      pointers.push((to) => qualify({ kind: 'pointer', to }, isConst, isVolatile));
    }
    let name = '';
    let inner: Wrap = (type) => type;
    const next = this.#tokens[this.#at + 1];
    if (
      this.#peek() === '(' &&
      (next === '*' || next === '(' || (named && next !== undefined && next !== ')' && !this.#startsType(next)))
    ) {
      this.#at++;
      ({ name, wrap: inner } = this.#wrapping(named));
      this.#expect(')');
    } else if (/^[A-Za-z_]/.test(this.#peek() ?? '')) {
      name = this.#tokens[this.#at++]!;
    }
    const suffixes: Wrap[] = [];
    for (;;) {
      if (this.#accept('[')) {
        const size = this.#peek() === ']' ? '0' : this.#tokens[this.#at++]!;
        const length = Number(size);
        if (!Number.isSafeInteger(length)) throw usage(`array length '${size}' is no number`);
        this.#expect(']');
        suffixes.push((of) => ({ kind: 'array', length, of }));
      } else if (this.#accept('(')) {
        const { params, variadic } = this.#params();
        suffixes.push((returns) => ({ kind: 'function', returns, params, variadic }));
      } else break;
    }
    this.#depth--;
    return {
      name,
      wrap: (base) => {
        let type = base;
        for (const pointer of pointers) type = pointer(type);
        for (const suffix of suffixes.reverse()) type = suffix(type);
        return inner(type);
      },
    };
  }

  #startsType(token: string): boolean {
    return (
      BUILTIN_WORDS.has(token) ||
      ['const', 'volatile', 'struct', 'union', 'enum', '_Complex'].includes(token) ||
      this.#typedefs.has(token) ||
      token in COMMON
    );
  }

  #params(): { params: CType[]; variadic: boolean } {
    const params: CType[] = [];
    let variadic = false;
    if (this.#accept(')')) return { params, variadic };
    do {
      if (this.#accept('...')) {
        variadic = true;
        break;
      }
      params.push(decay(this.#declarator(this.#specifiers(), false).type));
    } while (this.#accept(','));
    this.#expect(')');
    const only = params[0];
    if (params.length === 1 && only?.kind === 'builtin' && only.code === 'v') params.pop();
    return { params, variadic };
  }
}
