import { toHex } from '../base/index.ts';
import type { JitImage } from '../jit/index.ts';
import { listX86 } from '../x86/index.ts';
import { CliError } from './error.ts';
import { cyan, dim, green, out, red } from './print.ts';

/** One x86 instruction, with what stays of its bytes when addresses are taken out. */
interface Line {
  offset: number;
  hex: string;
  text: string;
  key: string;
}

const CALL = 0xe8;
const JMP = 0xe9;
const MOVABS = 0xb8;

/**
 * Instructions of machine code that starts at `address`. The key leaves out what depends on where things lie: distances of
 * calls and jumps that leave the code, and constants that are kernel addresses.
 */
export function normalise(code: Uint8Array, address: bigint): Line[] {
  return listX86(code, address).map(({ offset, bytes, text }) => {
    const hex = toHex(bytes);
    return { offset, hex, text, key: keyOf(bytes, offset, code.length, hex) };
  });
}

function keyOf(bytes: Uint8Array, offset: number, size: number, hex: string): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const last = bytes.length - 4;
  if (bytes.length >= 5 && (bytes[last - 1] === CALL || bytes[last - 1] === JMP)) {
    const target = offset + bytes.length + view.getInt32(last, true);
    return target < 0 || target >= size ? `${hex.slice(0, 2 * last)} outside` : hex;
  }
  const rex = (bytes[0]! & 0xf8) === 0x48;
  if (rex && bytes.length === 10 && (bytes[1]! & 0xf8) === MOVABS)
    return view.getInt32(6, true) >> 15 === -1 ? `${hex.slice(0, 4)} address` : hex;
  if (rex && bytes.length === 7 && bytes[1] === 0xc7 && view.getInt32(3, true) < -0x100000)
    return `${hex.slice(0, 6)} address`;
  return hex;
}

/** Functions of a dump: raw bytes, all functions one after the other, or what `bpftool -j prog dump jited opcodes` prints. */
export function readDump(bytes: Uint8Array, images: readonly JitImage[]): { name: string; code: Uint8Array }[] {
  const text = bytes[0] === 0x5b || bytes[0] === 0x7b ? new TextDecoder().decode(bytes) : undefined;
  if (text !== undefined) {
    let document: unknown;
    try {
      document = JSON.parse(text);
    } catch {
      throw new CliError('the dump begins like JSON, and is none', 'unreadable');
    }
    return (Array.isArray(document) ? document : [document]).map(fromBpftool);
  }
  const dumped: { name: string; code: Uint8Array }[] = [];
  let at = 0;
  for (const image of images) {
    const size = image.bytes.length - image.entryOffset;
    dumped.push({ name: `at ${at}`, code: bytes.subarray(at, at + size) });
    at += size;
  }
  if (at < bytes.length) dumped.at(-1)!.code = bytes.subarray(at - dumped.at(-1)!.code.length);
  return dumped;
}

function fromBpftool(entry: unknown): { name: string; code: Uint8Array } {
  const { name, insns } = entry as { name?: unknown; insns?: unknown };
  if (!Array.isArray(insns)) throw new CliError('the dump has no list of instructions', 'unreadable');
  const code = insns.flatMap((insn: { opcodes?: unknown }) => {
    if (!Array.isArray(insn?.opcodes))
      throw new CliError("the dump has no opcodes; make it with 'bpftool -j prog dump jited … opcodes'", 'unreadable');
    return insn.opcodes.map((byte) => Number(byte));
  });
  if (code.some((byte) => !(byte >= 0 && byte <= 255)))
    throw new CliError('an opcode of the dump is no byte', 'unreadable');
  return { name: String(name ?? ''), code: Uint8Array.from(code) };
}

/** Whether both are the same but for addresses; if not, prints what stands where they part. */
export function printDifferences(what: string, left: readonly Line[], right: readonly Line[], all: boolean): boolean {
  const changes = align(left, right);
  const different = changes.filter(({ a, b }) => a?.key !== b?.key);
  if (different.length === 0) {
    out(`${green('same')}  ${what}  ${dim(`${left.length} instructions`)}`);
    return true;
  }
  out(`${red('differs')}  ${what}  ${dim(`${different.length} of ${changes.length} instructions`)}`);
  const shown = all ? different : different.slice(0, MOST_SHOWN);
  for (const { a, b } of shown) {
    if (a !== undefined) out(red(`  - ${lineText(a)}`));
    if (b !== undefined) out(cyan(`  + ${lineText(b)}`));
  }
  if (shown.length < different.length) out(dim(`  … and ${different.length - shown.length} more`));
  return false;
}

const MOST_SHOWN = 20;
const lineText = ({ offset, hex, text }: Line) => `${`+${offset.toString(16)}`.padStart(5)}  ${hex.padEnd(22)} ${text}`;

interface Pair {
  a?: Line;
  b?: Line;
}

/** A longest common subsequence of the keys; beyond some thousand instructions, line by line after the common start. */
function align(left: readonly Line[], right: readonly Line[]): Pair[] {
  let start = 0;
  while (start < left.length && start < right.length && left[start]!.key === right[start]!.key) start++;
  let tail = 0;
  while (
    tail < left.length - start &&
    tail < right.length - start &&
    left[left.length - 1 - tail]!.key === right[right.length - 1 - tail]!.key
  )
    tail++;
  const a = left.slice(start, left.length - tail);
  const b = right.slice(start, right.length - tail);
  const same = (from: number, count: number, offset: number): Pair[] =>
    Array.from({ length: count }, (_, i) => ({ a: left[from + i]!, b: right[from + i + offset]! }));
  const middle = a.length * b.length > 4_000_000 ? pairUp(a, b) : common(a, b);
  return [...same(0, start, 0), ...middle, ...same(left.length - tail, tail, right.length - left.length)];
}

function pairUp(a: readonly Line[], b: readonly Line[]): Pair[] {
  return Array.from({ length: Math.max(a.length, b.length) }, (_, i) => ({
    ...(a[i] === undefined ? {} : { a: a[i]! }),
    ...(b[i] === undefined ? {} : { b: b[i]! }),
  }));
}

function common(a: readonly Line[], b: readonly Line[]): Pair[] {
  const width = b.length + 1;
  const lengths = new Int32Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      lengths[i * width + j] =
        a[i]!.key === b[j]!.key
          ? lengths[(i + 1) * width + j + 1]! + 1
          : Math.max(lengths[(i + 1) * width + j]!, lengths[i * width + j + 1]!);
  const pairs: Pair[] = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i]!.key === b[j]!.key) pairs.push({ a: a[i++]!, b: b[j++]! });
    else if (j >= b.length || (i < a.length && lengths[(i + 1) * width + j]! >= lengths[i * width + j + 1]!))
      pairs.push({ a: a[i++]! });
    else pairs.push({ b: b[j++]! });
  }
  return pairs;
}
