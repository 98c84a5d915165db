import type { TypeTable } from './_table.ts';
import { BtfError } from './error.ts';
import { type BtfMember, type BtfType, KINDS } from './types.ts';

/**
 * Decodes `struct btf_type`:
 *
 *      0          4                                8
 *     ┌──────────┬──┬─────┬─────────┬─────────────┬─────────────┐
 *     │ name_off │kf│kind:5│ unused │  vlen:16    │ size / type │   kf: kind_flag, bit 31
 *     └──────────┴──┴─────┴─────────┴─────────────┴─────────────┘
 *
 * @throws BtfError if it refers to a type id at or above `typeCount`.
 */
export function decodeType(
  table: TypeTable,
  slot: number,
  id: number,
  typeCount: number,
  string: (offset: number) => string,
): BtfType {
  const { view } = table;
  const at = table.offsets[slot]!;
  const name = string(view.getUint32(at, true));
  const info = view.getUint32(at + 4, true);
  const kind = KINDS[(info >>> 24) & 0x1f]!;
  const vlen = info & 0xffff;
  const flag = info >>> 31 === 1;
  const last = view.getUint32(at + 8, true);
  const body = at + 12;
  const reference = (target: number): number => {
    if (target >= typeCount)
      throw new BtfError(
        `refers to type id ${target}, which does not exist`,
        'BTF_ID',
        `type id ${id} (${kind} '${name}')`,
      );
    return target;
  };
  const items = <T>(step: number, read: (offset: number) => T): T[] =>
    Array.from({ length: vlen }, (_, i) => read(body + i * step));
  switch (kind) {
    case 'int': {
      const encoding = view.getUint32(body, true);
      const flags = (encoding >>> 24) & 15;
      return {
        kind,
        id,
        name,
        size: last,
        bits: encoding & 0xff,
        bitOffset: (encoding >>> 16) & 0xff,
        signed: (flags & 1) !== 0,
        char: (flags & 2) !== 0,
        bool: (flags & 4) !== 0,
      };
    }
    case 'array':
      return {
        kind,
        id,
        name,
        element: reference(view.getUint32(body, true)),
        index: reference(view.getUint32(body + 4, true)),
        length: view.getUint32(body + 8, true),
      };
    case 'struct':
    case 'union':
      return {
        kind,
        id,
        name,
        size: last,
        members: items(12, (offset): BtfMember => {
          const raw = view.getUint32(offset + 8, true);
          return {
            name: string(view.getUint32(offset, true)),
            type: reference(view.getUint32(offset + 4, true)),
            bitOffset: flag ? raw & 0xffffff : raw,
            bitSize: flag ? raw >>> 24 : 0,
          };
        }),
      };
    case 'enum':
      return {
        kind,
        id,
        name,
        size: last,
        signed: flag,
        values: items(8, (offset) => ({
          name: string(view.getUint32(offset, true)),
          value: BigInt(flag ? view.getInt32(offset + 4, true) : view.getUint32(offset + 4, true)),
        })),
      };
    case 'enum64':
      return {
        kind,
        id,
        name,
        size: last,
        signed: flag,
        values: items(12, (offset) => ({
          name: string(view.getUint32(offset, true)),
          value:
            (flag ? BigInt(view.getInt32(offset + 8, true)) : BigInt(view.getUint32(offset + 8, true))) *
              0x1_0000_0000n +
            BigInt(view.getUint32(offset + 4, true)),
        })),
      };
    case 'fwd':
      return { kind, id, name, union: flag };
    case 'func_proto':
      return {
        kind,
        id,
        name,
        returns: reference(last),
        params: items(8, (offset) => ({
          name: string(view.getUint32(offset, true)),
          type: reference(view.getUint32(offset + 4, true)),
        })),
      };
    case 'func':
      return { kind, id, name, type: reference(last), linkage: vlen };
    case 'var':
      return { kind, id, name, type: reference(last), linkage: view.getUint32(body, true) };
    case 'datasec':
      return {
        kind,
        id,
        name,
        size: last,
        entries: items(12, (offset) => ({
          type: reference(view.getUint32(offset, true)),
          offset: view.getUint32(offset + 4, true),
          size: view.getUint32(offset + 8, true),
        })),
      };
    case 'float':
      return { kind, id, name, size: last };
    case 'decl_tag':
      return { kind, id, name, type: reference(last), component: view.getInt32(body, true) };
    case 'void':
      throw new BtfError('void cannot be stored', 'BTF_KIND', `type id ${id}`);
    default:
      return { kind, id, name, type: reference(last) };
  }
}
