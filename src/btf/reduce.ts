import type { Btf } from './btf.ts';
import { BtfBuilder, type NewType } from './builder.ts';
import type { BtfType } from './types.ts';

/**
 * A smaller BTF that holds the types in `roots` (ids) and all that they contain by value; a struct that is only pointed
 * to becomes a forward declaration unless it is a root itself. Declaration tags of kept functions stay. Layouts, names
 * and prototypes are those of `btf`; ids are new.
 */
export function reduceBtf(btf: Btf, roots: Iterable<number>): Uint8Array {
  const whole = keptByValue(btf, roots);
  const builder = new BtfBuilder();
  const ids = new Map<number, number>([[0, 0]]);
  const order: BtfType[] = [];
  const number = (id: number): number => {
    const known = ids.get(id);
    if (known !== undefined) return known;
    const type = btf.type(id);
    order.push(type);
    ids.set(id, order.length);
    return order.length;
  };
  for (const id of whole) number(id);
  for (let i = 0; i < order.length; i++) {
    const type = order[i]!;
    const pruned = (type.kind === 'struct' || type.kind === 'union') && !whole.has(type.id) && type.name !== '';
    builder.add(pruned ? { kind: 'fwd', name: type.name, union: type.kind === 'union' } : renumber(type, number));
  }
  for (let id = 1; id < btf.typeCount; id++) {
    if (btf.kind(id) !== 'decl_tag') continue;
    const tag = btf.type(id);
    const target = tag.kind === 'decl_tag' ? ids.get(tag.type) : undefined;
    if (tag.kind === 'decl_tag' && target !== undefined && whole.has(tag.type)) builder.add({ ...tag, type: target });
  }
  return builder.build();
}

/** Ids reached from the roots without going through a pointer or into a function's prototype. */
function keptByValue(btf: Btf, roots: Iterable<number>): Set<number> {
  const kept = new Set<number>();
  const stack = [...roots];
  for (let id = stack.pop(); id !== undefined; id = stack.pop()) {
    if (id === 0 || kept.has(id)) continue;
    kept.add(id);
    const type = btf.type(id);
    switch (type.kind) {
      case 'struct':
      case 'union':
        for (const member of type.members) stack.push(member.type);
        break;
      case 'array':
        stack.push(type.element, type.index);
        break;
      case 'typedef':
      case 'const':
      case 'volatile':
      case 'restrict':
      case 'type_tag':
      case 'var':
        stack.push(type.type);
        break;
      case 'datasec':
        for (const entry of type.entries) stack.push(entry.type);
        break;
      default:
        break;
    }
  }
  return kept;
}

function renumber(type: BtfType, number: (id: number) => number): NewType {
  switch (type.kind) {
    case 'void':
      throw new RangeError('void has no record');
    case 'array':
      return { ...type, element: number(type.element), index: number(type.index) };
    case 'struct':
    case 'union':
      return { ...type, members: type.members.map((member) => ({ ...member, type: number(member.type) })) };
    case 'func_proto':
      return {
        ...type,
        returns: number(type.returns),
        params: type.params.map((param) => ({ ...param, type: number(param.type) })),
      };
    case 'datasec':
      return { ...type, entries: type.entries.map((entry) => ({ ...entry, type: number(entry.type) })) };
    case 'int':
    case 'enum':
    case 'enum64':
    case 'fwd':
    case 'float':
      return type;
    default:
      return { ...type, type: number(type.type) };
  }
}
