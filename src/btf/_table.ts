import { BtfError } from './error.ts';
import { KINDS } from './types.ts';

const MAGIC = 0xeb9f;
const HEADER_SIZE = 24;

/** Raw types and strings with the offset of every type. */
export interface TypeTable {
  view: DataView;
  /** Offsets of type records in `view`, by slot. */
  offsets: Int32Array;
  strings: Uint8Array;
  /** The string at an offset; throws BtfError outside of the section. */
  string(offset: number): string;
}

interface Header {
  types: Uint8Array;
  strings: Uint8Array;
}

/**
 * struct btf_header (include/uapi/linux/btf.h):
 *
 *      0      2   3   4        8         12        16        20        24
 *     ┌──────┬───┬───┬────────┬─────────┬─────────┬─────────┬─────────┐
 *     │ eb9f │ 1 │ 0 │ hdrlen │ typeoff │ typelen │ stroff  │ strlen  │   offsets count from hdrlen
 *     └──────┴───┴───┴────────┴─────────┴─────────┴─────────┴─────────┘
 */
export function readHeader(raw: Uint8Array): Header {
  if (raw.length < HEADER_SIZE)
    throw new BtfError(`truncated BTF header: ${raw.length} of ${HEADER_SIZE} bytes`, 'BTF_TRUNCATED');
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  const magic = view.getUint16(0, true);
  if (magic === 0x9feb) throw new BtfError('big-endian BTF is not supported', 'BTF_ENDIAN');
  if (magic !== MAGIC) throw new BtfError(`not BTF (magic 0x${magic.toString(16)}, expected 0xeb9f)`, 'BTF_MAGIC');
  const version = view.getUint8(2);
  if (version !== 1) throw new BtfError(`BTF version ${version} is not supported`, 'BTF_VERSION');
  const headerSize = view.getUint32(4, true);
  if (headerSize < HEADER_SIZE || headerSize > raw.length)
    throw new BtfError(`BTF header length ${headerSize} is wrong`);
  const part = (at: number, what: string) => {
    const start = headerSize + view.getUint32(at, true);
    const length = view.getUint32(at + 4, true);
    if (start + length > raw.length)
      throw new BtfError(`BTF ${what} section (${length} bytes) lies past the end`, 'BTF_TRUNCATED');
    return raw.subarray(start, start + length);
  };
  const types = part(8, 'type');
  const strings = part(16, 'string');
  if (strings.length === 0 || strings[0] !== 0 || strings[strings.length - 1] !== 0) {
    throw new BtfError('BTF string section does not start and end with NUL');
  }
  return { types, strings };
}

/** Bytes after `struct btf_type` (12 bytes), by kind and vlen. */
const TAIL = new Int32Array(KINDS.length);
const PER_ITEM = new Int32Array(KINDS.length);
TAIL[KINDS.indexOf('int')] = 4;
TAIL[KINDS.indexOf('array')] = 12;
TAIL[KINDS.indexOf('var')] = 4;
TAIL[KINDS.indexOf('decl_tag')] = 4;
PER_ITEM[KINDS.indexOf('struct')] = 12;
PER_ITEM[KINDS.indexOf('union')] = 12;
PER_ITEM[KINDS.indexOf('enum')] = 8;
PER_ITEM[KINDS.indexOf('enum64')] = 12;
PER_ITEM[KINDS.indexOf('func_proto')] = 8;
PER_ITEM[KINDS.indexOf('datasec')] = 12;

/** One pass that finds where each type starts; a kind that we do not know makes the rest unreadable. */
export function indexTypes(header: Header): TypeTable {
  const { types, strings } = header;
  const view = new DataView(types.buffer, types.byteOffset, types.byteLength);
  let offsets = new Int32Array(Math.max(16, types.length >> 4));
  let count = 0;
  let at = 0;
  while (at < types.length) {
    if (at + 12 > types.length) throw new BtfError(`type id ${count + 1} is truncated`, 'BTF_TRUNCATED');
    const info = view.getUint32(at + 4, true);
    const kind = (info >>> 24) & 0x1f;
    if (kind === 0 || kind >= KINDS.length)
      throw new BtfError(`type id ${count + 1} has unknown kind ${kind}`, 'BTF_KIND');
    const next = at + 12 + TAIL[kind]! + PER_ITEM[kind]! * (info & 0xffff);
    if (next > types.length) throw new BtfError(`type id ${count + 1} (${KINDS[kind]}) is truncated`, 'BTF_TRUNCATED');
    if (count === offsets.length) {
      const grown = new Int32Array(2 * count);
      grown.set(offsets);
      offsets = grown;
    }
    offsets[count++] = at;
    at = next;
  }
  const cache = new Map<number, string>();
  const decoder = new TextDecoder();
  return {
    view,
    offsets: offsets.subarray(0, count),
    strings,
    string: (offset) => {
      if (offset === 0) return '';
      const known = cache.get(offset);
      if (known !== undefined) return known;
      if (offset >= strings.length)
        throw new BtfError(`string offset ${offset} is outside of the string section`, 'BTF_STRING');
      const text = decoder.decode(strings.subarray(offset, strings.indexOf(0, offset)));
      cache.set(offset, text);
      return text;
    },
  };
}
