import { toHex } from '../base/index.ts';
import type { ProgramRecord } from './_simulate.ts';
import { cyan, dim } from './print.ts';

/** Bytes of a record that are shown. */
const SHOWN = 64;

/** A record as a line: when, where from, and the text or the bytes in groups of eight. */
export function recordLine(record: ProgramRecord): string {
  const time = dim((record.ns / 1e9).toFixed(6).padStart(12));
  if ('text' in record) return `${time}  ${cyan('bpf_trace_printk')}  ${record.text}`;
  const { map, data } = record;
  const groups: string[] = [];
  for (let at = 0; at < Math.min(data.length, SHOWN); at += 8) groups.push(toHex(data.subarray(at, at + 8)));
  const more = data.length > SHOWN ? dim(` … ${data.length} bytes`) : '';
  return `${time}  ${cyan(map)}  ${groups.join(' ')}${more}`;
}

/** A record as --json has it. */
export function recordJson(record: ProgramRecord): object {
  return 'text' in record ? record : { ns: record.ns, map: record.map, data: toHex(record.data) };
}
