import type { Btf, BtfMember } from '../btf/index.ts';

/** A value as JSON has it: 64-bit integers that a number does not hold are texts. */
export type Value = number | string | boolean | Value[] | { [name: string]: Value };

/**
 * Bytes as a value of a BTF type, little-endian: structures by their members (those of anonymous ones stand among them),
 * arrays of char as texts, enumerations by name where there is one, pointers in hex.
 */
export function decodeValue(btf: Btf, id: number, bytes: Uint8Array): Value {
  const type = btf.resolve(id);
  switch (type.kind) {
    case 'int':
      if (type.bool) return bytes[0] !== 0;
      return told(integer(bytes.subarray(0, type.size), type.signed));
    case 'enum':
    case 'enum64': {
      const value = integer(bytes.subarray(0, type.size), type.signed);
      return type.values.find((known) => known.value === value)?.name ?? told(value);
    }
    case 'ptr':
      return `0x${integer(bytes.subarray(0, 8), false).toString(16)}`;
    case 'float':
      return type.size === 4 ? view(bytes).getFloat32(0, true) : view(bytes).getFloat64(0, true);
    case 'array': {
      const element = btf.resolve(type.element);
      const size = btf.sizeOf(type.element);
      if (element.kind === 'int' && element.size === 1 && (element.char || element.name === 'char')) {
        const end = bytes.subarray(0, type.length).indexOf(0);
        return new TextDecoder().decode(bytes.subarray(0, end < 0 ? type.length : end));
      }
      return Array.from({ length: type.length }, (_, i) => decodeValue(btf, type.element, bytes.subarray(i * size)));
    }
    case 'struct':
    case 'union': {
      const members: { [name: string]: Value } = {};
      for (const member of type.members) {
        const value = memberOf(btf, member, bytes);
        if (member.name !== '') members[member.name] = value;
        else Object.assign(members, value);
      }
      return members;
    }
    default:
      return '';
  }
}

function memberOf(btf: Btf, { type, bitOffset, bitSize }: BtfMember, bytes: Uint8Array): Value {
  const start = bitOffset >> 3;
  if (bitSize === 0) return decodeValue(btf, type, bytes.subarray(start));
  const bits = integer(bytes.subarray(start, start + 8), false) >> BigInt(bitOffset & 7);
  const own = btf.resolve(type);
  const signed = 'signed' in own && own.signed;
  return told(signed ? BigInt.asIntN(bitSize, bits) : BigInt.asUintN(bitSize, bits));
}

const view = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function integer(bytes: Uint8Array, signed: boolean): bigint {
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!);
  return signed ? BigInt.asIntN(8 * bytes.length, value) : value;
}

const told = (value: bigint): number | string =>
  value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : `${value}`;

/** A value on one line: `{ns: 5, name: "x"}`. */
export function valueText(value: Value): string {
  if (Array.isArray(value)) return `[${value.map(valueText).join(', ')}]`;
  if (typeof value === 'object')
    return `{${Object.entries(value)
      .map(([name, own]) => `${name}: ${valueText(own)}`)
      .join(', ')}}`;
  return typeof value === 'string' && !value.startsWith('0x') ? JSON.stringify(value) : `${value}`;
}
