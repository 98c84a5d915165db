import type { Btf } from './btf.ts';

const MAX_DEPTH = 32;

/** A C declaration of `name` with type `id`, one line, struct bodies left out: `u32 (*ssthresh)(struct sock *)`. */
export function formatDecl(btf: Btf, id: number, name: string): string {
  return declare(btf, id, name, 0);
}

/** A C type name: `const struct sock *`. */
export function formatType(btf: Btf, id: number): string {
  return declare(btf, id, '', 0);
}

function declare(btf: Btf, id: number, inner: string, depth: number): string {
  const join = (text: string) => (inner === '' ? text : `${text}${text.endsWith('*') ? '' : ' '}${inner}`);
  if (depth > MAX_DEPTH) return join('…');
  const type = btf.type(id);
  switch (type.kind) {
    case 'void':
      return join('void');
    case 'struct':
    case 'union':
    case 'enum':
      return join(`${type.kind} ${type.name || '{…}'}`);
    case 'enum64':
      return join(`enum ${type.name || '{…}'}`);
    case 'fwd':
      return join(`${type.union ? 'union' : 'struct'} ${type.name}`);
    case 'const':
    case 'volatile':
    case 'restrict': {
      const target = btf.type(type.type);
      if (target.kind === 'ptr')
        return declare(btf, target.type, `*${type.kind}${inner === '' ? '' : ` ${inner}`}`, depth + 1);
      return `${type.kind} ${declare(btf, type.type, inner, depth + 1)}`;
    }
    case 'type_tag':
      return declare(btf, type.type, inner, depth + 1);
    case 'ptr': {
      const target = btf.type(type.type);
      const pointed = target.kind === 'func_proto' || target.kind === 'array' ? `(*${inner})` : `*${inner}`;
      return declare(btf, type.type, pointed, depth + 1);
    }
    case 'array':
      return declare(btf, type.element, `${inner}[${type.length}]`, depth + 1);
    case 'func':
      return declare(btf, type.type, inner || type.name, depth + 1);
    case 'func_proto': {
      const params = type.params.map((param) =>
        param.type === 0 && param.name === '' ? '...' : declare(btf, param.type, param.name, depth + 1),
      );
      return declare(btf, type.returns, `${inner}(${params.length === 0 ? 'void' : params.join(', ')})`, depth + 1);
    }
    default:
      return join(type.name);
  }
}
