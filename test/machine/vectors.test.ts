import { describe, expect, it } from 'vitest';
import { fromHex } from '../../src/base/index.ts';
import { GuestFault, GuestMemory, Machine } from '../../src/machine/index.ts';
import { listX86 } from '../../src/x86/index.ts';
import { file } from '../support.ts';

/** [code, mask of the flags that it defines, registers 0 … 15, flags and two words of memory, what changed] */
type Vector = [code: string, mask: number, input: string, changed: string];
const vectors = JSON.parse(new TextDecoder().decode(file('test/golden/machine/vectors.json'))) as Vector[];

const TEXT = 0xffffffff81000000n;
const ENTRY = 0x81000000;
const DATA = 0x10000000;
const RSP = 4;
const FLAGS = 0x8c5;

describe('the machine against a CPU', () => {
  it(`${vectors.length} recorded executions`, () => {
    const memory = new GuestMemory(3 * 4096);
    memory.mapRegion('text', TEXT, 4096, 'rx');
    memory.mapRegion('data', BigInt(DATA), 4096);
    memory.mapRegion('stack', 0xffffc90060000000n, 4096);
    const machine = new Machine(memory, { ibt: true });
    const wrong: string[] = [];
    for (const [code, mask, input, changed] of vectors) {
      const words = input.split(' ').map((word) => BigInt(`0x${word}`));
      const bytes = fromHex(code);
      memory.poke(ENTRY, Uint8Array.of(...bytes, 0x0f, 0x0b));
      const lo = new Int32Array(16);
      const hi = new Int32Array(16);
      for (let r = 0; r < 16; r++) {
        lo[r] = Number(BigInt.asIntN(32, words[r]!));
        hi[r] = Number(BigInt.asIntN(32, words[r]! >> 32n));
      }
      lo[RSP] = 0x60000800;
      hi[RSP] = 0xffffc900 | 0;
      const data = new DataView(memory.data.buffer, memory.offset(DATA, 16), 16);
      data.setBigUint64(0, words[17]!, true);
      data.setBigUint64(8, words[18]!, true);
      machine.setRegisters({ lo, hi, rip: ENTRY, flags: Number(words[16]!) & FLAGS });
      let fault = '';
      try {
        for (let at = 0; at < bytes.length; at = machine.rip - ENTRY) machine.step();
      } catch (error) {
        if (!(error instanceof GuestFault)) throw error;
        fault = error.fault.vector;
      }
      const text = () =>
        `${listX86(bytes, TEXT)
          .map((line) => line.text)
          .join('; ')} on ${input}`;
      if (changed === 'fault' || fault !== '') {
        if (changed !== 'fault' || fault !== '#DE')
          wrong.push(`${text()}: ${fault || 'no fault'}, the CPU: ${changed}`);
        continue;
      }
      const want = new Map(
        changed
          .split(' ')
          .filter(Boolean)
          .map((change) => [Number(change.split('=')[0]), BigInt(`0x${change.split('=')[1]}`)]),
      );
      const after = machine.registers();
      for (let n = 0; n < 19; n++) {
        if (n === RSP) continue;
        const got =
          n < 16
            ? (BigInt(after.hi[n]! >>> 0) << 32n) | BigInt(after.lo[n]! >>> 0)
            : n === 16
              ? BigInt(after.flags & mask)
              : data.getBigUint64(8 * (n - 17), true);
        const expected =
          n === 16 ? (want.get(16) ?? words[16]! & BigInt(FLAGS)) & BigInt(mask) : (want.get(n) ?? words[n]!);
        if (got !== expected)
          wrong.push(
            `${text()}: ${n === 16 ? 'flags' : n > 16 ? 'memory' : `r${n}`} is ${got.toString(16)}, the CPU: ${expected.toString(16)}`,
          );
      }
    }
    expect(wrong.slice(0, 20)).toEqual([]);
    expect(vectors.length).toBeGreaterThan(1000);
  });
});
