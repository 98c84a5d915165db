import type { Btf } from './btf.ts';
import { BtfError } from './error.ts';

/** A function's start: `struct bpf_func_info`, `insn` in bytes from the section's start. */
export interface FuncInfo {
  offset: number;
  /** A `func`. */
  type: number;
}

/** `struct bpf_line_info`: from `offset` (bytes) on, until the next. */
export interface LineInfo {
  offset: number;
  file: string;
  text: string;
  line: number;
  column: number;
  /** The record as stored, for loading: file_name_off, line_off, line_col. */
  raw: [number, number, number];
}

/** `struct bpf_core_relo`. */
export interface CoreRelocation {
  offset: number;
  type: number;
  /** Access string: `0:1:2`. */
  access: string;
  /** enum bpf_core_relo_kind. */
  kind: number;
}

/** What `.BTF.ext` says about each code section, by section name. */
export interface BtfExt {
  funcs: Map<string, FuncInfo[]>;
  lines: Map<string, LineInfo[]>;
  core: Map<string, CoreRelocation[]>;
}

/**
 * Reads `.BTF.ext` (struct btf_ext_header and three tables of per-section records).
 * @throws BtfError where a table or a record does not fit.
 */
export function parseBtfExt(raw: Uint8Array, btf: Btf): BtfExt {
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  if (raw.length < 24 || view.getUint16(0, true) !== 0xeb9f)
    throw new BtfError('.BTF.ext has no valid header', 'BTF_EXT');
  const headerSize = view.getUint32(4, true);
  if (headerSize < 24 || headerSize > raw.length)
    throw new BtfError(`.BTF.ext header length ${headerSize} is wrong`, 'BTF_EXT');
  const checked = (type: number, where: string): number => {
    if (type >= btf.typeCount) throw new BtfError(`refers to type id ${type}, which does not exist`, 'BTF_ID', where);
    return type;
  };
  const table = <T>(
    at: number,
    least: number,
    what: string,
    read: (offset: number, section: string) => T,
  ): Map<string, T[]> => {
    const found = new Map<string, T[]>();
    if (at + 8 > headerSize) return found;
    const start = headerSize + view.getUint32(at, true);
    const length = view.getUint32(at + 4, true);
    const end = start + length;
    if (length === 0) return found;
    if (end > raw.length || length < 4) throw new BtfError(`.BTF.ext ${what} table lies past the end`, 'BTF_EXT');
    const recordSize = view.getUint32(start, true);
    if (recordSize < least || recordSize % 4 !== 0)
      throw new BtfError(`.BTF.ext ${what} record size ${recordSize} is wrong`, 'BTF_EXT');
    for (let offset = start + 4; offset < end; ) {
      if (offset + 8 > end) throw new BtfError(`.BTF.ext ${what} table is truncated`, 'BTF_EXT');
      const section = btf.string(view.getUint32(offset, true));
      const count = view.getUint32(offset + 4, true);
      offset += 8;
      if (count === 0 || offset + count * recordSize > end)
        throw new BtfError(`.BTF.ext ${what} of '${section}': ${count} records do not fit`, 'BTF_EXT');
      const records = found.get(section) ?? [];
      for (let i = 0; i < count; i++, offset += recordSize) records.push(read(offset, section));
      found.set(section, records);
    }
    return found;
  };
  return {
    funcs: table(8, 8, 'func_info', (at, section) => ({
      offset: view.getUint32(at, true),
      type: checked(view.getUint32(at + 4, true), `func_info of ${section}`),
    })),
    lines: table(16, 16, 'line_info', (at) => {
      const [file, text, place] = [
        view.getUint32(at + 4, true),
        view.getUint32(at + 8, true),
        view.getUint32(at + 12, true),
      ];
      return {
        offset: view.getUint32(at, true),
        file: btf.string(file),
        text: btf.string(text),
        line: place >>> 10,
        column: place & 0x3ff,
        raw: [file, text, place],
      };
    }),
    core: table(24, 16, 'core_relo', (at, section) => ({
      offset: view.getUint32(at, true),
      type: checked(view.getUint32(at + 4, true), `core_relo of ${section}`),
      access: btf.string(view.getUint32(at + 8, true)),
      kind: view.getUint32(at + 12, true),
    })),
  };
}
