import { toHex } from '../base/index.ts';
import { listX86 } from '../x86/index.ts';
import type { Outcome } from './types.ts';

/** Compares machine code; a failure names the first differing instruction of either side. */
export function compareCode(name: string, got: Uint8Array, wantHex: string, address: bigint): Outcome {
  const gotHex = toHex(got);
  if (gotHex === wantHex) return { name, status: 'passed' };
  const want = Uint8Array.from(wantHex.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
  let at = 0;
  while (at < got.length && at < want.length && got[at] === want[at]) at++;
  return {
    name,
    status: 'failed',
    at: `+0x${at.toString(16)}`,
    want: instructionAt(want, at, address),
    got: instructionAt(got, at, address),
  };
}

function instructionAt(bytes: Uint8Array, at: number, address: bigint): string {
  const line = listX86(bytes, address).findLast(({ offset }) => offset <= at);
  if (line === undefined || at >= bytes.length) return `(end, ${bytes.length} bytes)`;
  return `${toHex(line.bytes)} ${line.text}`;
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
