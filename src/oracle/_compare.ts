import { toHex } from '../base/index.ts';
import { listX86 } from '../x86/index.ts';
import type { Outcome } from './types.ts';

type X86Line = ReturnType<typeof listX86>[number];

const AROUND = 2;

/** Compares machine code; a failure names the first differing instruction of either side and lists what stands around it. */
export function compareCode(name: string, got: Uint8Array, wantHex: string, address: bigint): Outcome {
  const gotHex = toHex(got);
  if (gotHex === wantHex) return { name, status: 'passed' };
  const want = Uint8Array.from(wantHex.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
  let at = 0;
  while (at < got.length && at < want.length && got[at] === want[at]) at++;
  const left = listX86(want, address);
  const right = listX86(got, address);
  return {
    name,
    status: 'failed',
    at: `+0x${at.toString(16)}`,
    want: instructionAt(left, at, want.length),
    got: instructionAt(right, at, got.length),
    listing: sideBySide(left, right, at),
  };
}

function instructionAt(lines: readonly X86Line[], at: number, length: number): string {
  const line = lines.findLast(({ offset }) => offset <= at);
  return line === undefined || at >= length ? `(end, ${length} bytes)` : textOf(line);
}

const textOf = (line: X86Line): string => `${toHex(line.bytes)} ${line.text}`;

/** A few instructions before and after offset `at` of both sides; `|` marks the first that differ. */
function sideBySide(left: readonly X86Line[], right: readonly X86Line[], at: number): string[] {
  const around = (lines: readonly X86Line[]) => {
    const middle = Math.max(
      0,
      lines.findLastIndex(({ offset }) => offset <= at),
    );
    return lines.slice(Math.max(0, middle - AROUND), middle + AROUND + 1);
  };
  const [kernel, ours] = [around(left), around(right)];
  const column = (line: X86Line | undefined) =>
    line === undefined ? '' : `+${line.offset.toString(16).padStart(3, '0')} ${textOf(line)}`;
  const width = Math.max(...kernel.map((line) => column(line).length), 'kernel'.length);
  const rows = Array.from({ length: Math.max(kernel.length, ours.length) }, (_, i) => {
    const [a, b] = [kernel[i], ours[i]];
    const same = a !== undefined && b !== undefined && textOf(a) === textOf(b);
    return `${column(a).padEnd(width)} ${same ? ' ' : '|'} ${column(b)}`.trimEnd();
  });
  return [`${'kernel'.padEnd(width)}   trampet`, ...rows];
}

/** The number of the first slot that differs. */
export function compareSlots(
  name: string,
  gotHex: string,
  wantHex: string,
  describe: (hex: string, slot: number) => string,
): Outcome {
  if (gotHex === wantHex) return { name, status: 'passed' };
  let slot = 0;
  while (gotHex.slice(16 * slot, 16 * slot + 16) === wantHex.slice(16 * slot, 16 * slot + 16)) slot++;
  return { name, status: 'failed', at: `insn ${slot}`, want: describe(wantHex, slot), got: describe(gotHex, slot) };
}
