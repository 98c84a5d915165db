import { toHex } from '../base/index.ts';
import type { Btf } from '../btf/index.ts';
import type { Objects } from './_plan.ts';
import type { ProgramRecord } from './_simulate.ts';
import { decodeValue, type Value, valueText } from './_value.ts';
import { CliError } from './error.ts';
import { cyan, dim } from './print.ts';

/** Bytes of a record that are shown, if nobody says what they mean. */
const SHOWN = 64;

/** Tells of what programs print and submit; records of ring buffers by their members, if their type is known. */
export class Records {
  readonly #type: { btf: Btf; id: number; size: number } | undefined;

  /** `type`: the structure that records are, by its name in the BTF of one of the objects. @throws CliError */
  constructor(objects: Objects, type: string | undefined) {
    if (type === undefined) return;
    for (const { file } of objects.values()) {
      const id = file.btf?.find(type, 'struct', 'union', 'typedef');
      if (file.btf === undefined || id === undefined) continue;
      this.#type = { btf: file.btf, id, size: file.btf.sizeOf(id) };
      return;
    }
    throw new CliError(
      `--record-type '${type}' is in no object's BTF`,
      'usage',
      'compilers keep a type that a global variable or a function that is not inlined has',
    );
  }

  /** A line: when, where from, and the text, the members, or the bytes in groups of eight. */
  line(record: ProgramRecord): string {
    const time = dim((record.ns / 1e9).toFixed(6).padStart(12));
    if ('text' in record) return `${time}  ${cyan('bpf_trace_printk')}  ${record.text}`;
    const { map, data } = record;
    const value = this.#value(data);
    if (value !== undefined) return `${time}  ${cyan(map)}  ${valueText(value)}`;
    const groups: string[] = [];
    for (let at = 0; at < Math.min(data.length, SHOWN); at += 8) groups.push(toHex(data.subarray(at, at + 8)));
    const more = data.length > SHOWN ? dim(` … ${data.length} bytes`) : '';
    return `${time}  ${cyan(map)}  ${groups.join(' ')}${more}`;
  }

  /** As --json has it. */
  json(record: ProgramRecord): object {
    if ('text' in record) return record;
    const { ns, map, data } = record;
    const value = this.#value(data);
    return { ns, map, data: toHex(data), ...(value === undefined ? {} : { value }) };
  }

  #value(data: Uint8Array): Value | undefined {
    if (this.#type === undefined || data.length !== this.#type.size) return undefined;
    return decodeValue(this.#type.btf, this.#type.id, data);
  }
}
