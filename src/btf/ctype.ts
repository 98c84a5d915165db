import type { Btf } from './btf.ts';
import { BtfError } from './error.ts';

/** A C type as name mangling sees it: typedefs are gone, except that one names an anonymous struct or enum. */
export type CType =
  /** `code` is the Itanium letter; `bits` and `signed` are set for integers. */
  | { kind: 'builtin'; code: string; bits?: number; signed?: boolean }
  | { kind: 'named'; name: string }
  | { kind: 'pointer'; to: CType }
  | { kind: 'complex'; of: CType }
  | { kind: 'qualified'; isConst: boolean; isVolatile: boolean; of: CType }
  | { kind: 'array'; length: number; of: CType }
  | CFunction;

export interface CFunction {
  kind: 'function';
  returns: CType;
  params: CType[];
  variadic: boolean;
}

export const VOID_TYPE: CType = { kind: 'builtin', code: 'v' };

const INTEGERS: Record<string, [code: string, bits: number, signed: boolean]> = {
  char: ['c', 8, true],
  'signed char': ['a', 8, true],
  'unsigned char': ['h', 8, false],
  short: ['s', 16, true],
  'unsigned short': ['t', 16, false],
  int: ['i', 32, true],
  unsigned: ['j', 32, false],
  long: ['l', 64, true],
  'unsigned long': ['m', 64, false],
  'long long': ['x', 64, true],
  'unsigned long long': ['y', 64, false],
  __int128: ['n', 128, true],
  'unsigned __int128': ['o', 128, false],
  _Bool: ['b', 8, false],
};
const FLOATS: Record<string, string> = {
  float: 'f',
  double: 'd',
  'long double': 'e',
  _Float16: 'DF16_',
  __float128: 'g',
};

/** The words of a builtin type in any order (`long unsigned int`) → the type; undefined for other words. */
export function builtinType(words: readonly string[]): CType | undefined {
  if (words.length === 1 && words[0] === 'void') return VOID_TYPE;
  const float = FLOATS[words.join(' ')];
  if (float !== undefined) return { kind: 'builtin', code: float };
  const base = words.find(
    (word) => word === 'char' || word === 'short' || word === '__int128' || word === '_Bool' || word === 'bool',
  );
  const longs = words.filter((word) => word === 'long').length;
  const sign = words.includes('unsigned') ? 'unsigned' : words.includes('signed') && base === 'char' ? 'signed' : '';
  const core =
    base === 'bool'
      ? '_Bool'
      : (base ?? (longs === 2 ? 'long long' : longs === 1 ? 'long' : sign === 'unsigned' ? '' : 'int'));
  const known = INTEGERS[[sign, core].filter((word) => word !== '').join(' ')];
  const spare = words.filter((word) => !['unsigned', 'signed', 'long', 'int', base].includes(word));
  if (known === undefined || spare.length > 0) return undefined;
  return { kind: 'builtin', code: known[0], bits: known[1], signed: known[2] };
}

/** Adds qualifiers to a type, merging with those it has; arrays pass them on to their elements as C does. */
export function qualify(of: CType, isConst: boolean, isVolatile: boolean): CType {
  if (!isConst && !isVolatile) return of;
  if (of.kind === 'qualified')
    return { ...of, isConst: of.isConst || isConst, isVolatile: of.isVolatile || isVolatile };
  if (of.kind === 'array') return { ...of, of: qualify(of.of, isConst, isVolatile) };
  return { kind: 'qualified', isConst, isVolatile, of };
}

/** A parameter's type as it enters the function's type: arrays and functions decay, top-level qualifiers go. */
export function decay(type: CType): CType {
  if (type.kind === 'array') return { kind: 'pointer', to: type.of };
  if (type.kind === 'function') return { kind: 'pointer', to: type };
  return type.kind === 'qualified' ? type.of : type;
}

const MAX_DEPTH = 64;

/** The function type behind a `func_proto` (or `func`) of BTF. */
export function functionType(btf: Btf, id: number, depth = 0): CFunction {
  const type = btf.resolve(id);
  if (type.kind === 'func') return functionType(btf, type.type, depth + 1);
  if (type.kind !== 'func_proto') throw new BtfError(`type id ${id} is a ${type.kind}, not a function`, 'BTF_KIND');
  const last = type.params.at(-1);
  const variadic = last !== undefined && last.type === 0 && last.name === '';
  const params = variadic ? type.params.slice(0, -1) : type.params;
  return {
    kind: 'function',
    returns: fromBtf(btf, type.returns, depth + 1),
    params: params.map((param) => decay(fromBtf(btf, param.type, depth + 1))),
    variadic,
  };
}

function fromBtf(btf: Btf, id: number, depth: number): CType {
  if (depth > MAX_DEPTH) throw new BtfError('type nests without end', 'BTF_CYCLE', `type id ${id}`);
  const type = btf.type(id);
  switch (type.kind) {
    case 'void':
      return VOID_TYPE;
    case 'int': {
      const known = builtinType(type.name.split(' '));
      if (known === undefined)
        throw new BtfError(`integer type '${type.name}' has no mangling`, 'BTF_NAME', `type id ${id}`, 'unsupported');
      return known;
    }
    case 'float': {
      const known = builtinType(type.name.split(' '));
      if (known === undefined)
        throw new BtfError(`float type '${type.name}' has no mangling`, 'BTF_NAME', `type id ${id}`, 'unsupported');
      return known;
    }
    case 'ptr':
      return { kind: 'pointer', to: fromBtf(btf, type.type, depth + 1) };
    case 'const':
      return qualify(fromBtf(btf, type.type, depth + 1), true, false);
    case 'volatile':
      return qualify(fromBtf(btf, type.type, depth + 1), false, true);
    case 'restrict':
    case 'type_tag':
      return fromBtf(btf, type.type, depth + 1);
    case 'typedef': {
      const target = btf.type(type.type);
      const anonymous =
        target.name === '' &&
        (target.kind === 'struct' || target.kind === 'union' || target.kind === 'enum' || target.kind === 'enum64');
      return anonymous ? { kind: 'named', name: type.name } : fromBtf(btf, type.type, depth + 1);
    }
    case 'struct':
    case 'union':
    case 'fwd':
    case 'enum':
    case 'enum64':
      if (type.name === '')
        throw new BtfError(
          `anonymous ${type.kind} in a prototype has no mangling`,
          'BTF_NAME',
          `type id ${id}`,
          'unsupported',
        );
      return { kind: 'named', name: type.name };
    case 'array':
      return { kind: 'array', length: type.length, of: fromBtf(btf, type.element, depth + 1) };
    case 'func_proto':
      return functionType(btf, id, depth + 1);
    default:
      throw new BtfError(`${type.kind} cannot stand in a prototype`, 'BTF_KIND', `type id ${id}`);
  }
}
