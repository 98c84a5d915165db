import { type Insn, readInsns } from '../bpf/index.ts';
import { assemble } from './assemble.ts';
import { ConformanceError } from './error.ts';

/** One file of the bpf_conformance project. */
export interface ConformanceTest {
  insns: Insn[];
  /** What r1 points to; r2 is its length. */
  memory: Uint8Array;
  /** r0 in the end; absent where the file wants an error. */
  result?: bigint;
  /** The error that the file wants, in words of its own. */
  error?: string;
}

const SECTIONS = new Set(['asm', 'mem', 'raw', 'result', 'error']);

/** Reads a test: `-- asm | mem | raw | result | error`; other sections say nothing of the program. @throws ConformanceError */
export function parseTest(text: string, name: string): ConformanceTest {
  const sections = new Map<string, string[]>();
  let current: string[] | undefined;
  for (const line of text.split(/\r?\n/)) {
    const head = /^--\s*(.*?)\s*$/.exec(line);
    if (head !== null) {
      current = SECTIONS.has(head[1]!) ? [] : undefined;
      if (current !== undefined) sections.set(head[1]!, current);
    } else current?.push(line.replace(/#.*$/, '').trim());
  }
  const body = (section: string) => sections.get(section)?.filter((line) => line !== '');
  const asm = body('asm');
  const raw = body('raw');
  if (asm === undefined && raw === undefined) throw new ConformanceError('neither assembly nor raw instructions', name);
  const result = body('result')?.[0];
  const error = body('error')?.join(' ');
  if (result === undefined && error === undefined) throw new ConformanceError('neither a result nor an error', name);
  return {
    insns: asm === undefined ? rawInsns(raw!, name) : assemble(asm, name),
    memory: memoryOf(body('mem') ?? [], name),
    ...(result === undefined ? {} : { result: BigInt.asUintN(64, integer(result, name)) }),
    ...(error === undefined ? {} : { error }),
  };
}

function integer(text: string, name: string): bigint {
  const match = /^(-?)(0x[0-9a-f]+|\d+)$/i.exec(text);
  if (match === null) throw new ConformanceError(`'${text}' is no number`, name);
  return match[1] === '-' ? -BigInt(match[2]!) : BigInt(match[2]!);
}

function rawInsns(lines: readonly string[], name: string): Insn[] {
  const bytes = new Uint8Array(8 * lines.length);
  const view = new DataView(bytes.buffer);
  for (const [i, line] of lines.entries()) view.setBigUint64(8 * i, BigInt.asUintN(64, integer(line, name)), true);
  return readInsns(bytes);
}

function memoryOf(lines: readonly string[], name: string): Uint8Array {
  const digits = lines.join(' ').replace(/\s+/g, '');
  if (!/^([0-9a-f]{2})*$/i.test(digits))
    throw new ConformanceError('memory is not written in pairs of hex digits', name);
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}
