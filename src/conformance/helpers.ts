/** A helper function as both sides call it: five arguments, and bytes of the program's memory by address. */
export interface Helper {
  name: string;
  run(args: readonly bigint[], memory: HelperMemory): bigint;
}
export interface HelperMemory {
  byte(address: bigint): number;
  setByte(address: bigint, value: number): void;
}

const LONGEST_STRING = 4096;

/** uBPF's test helpers, by number. Helper 5 ends the program when it returns 0. */
export const HELPERS: readonly Helper[] = [
  {
    name: 'gather_bytes',
    run: ([a, b, c, d, e]) => {
      const byte = (value: bigint | undefined, shift: bigint) => (value! & 0xffn) << shift;
      return byte(a, 32n) | byte(b, 24n) | byte(c, 16n) | byte(d, 8n) | byte(e, 0n);
    },
  },
  {
    name: 'memfrob',
    run: ([start, length], memory) => {
      for (let i = 0n; i < length!; i++) memory.setByte(start! + i, memory.byte(start! + i) ^ 42);
      return start!;
    },
  },
  { name: 'no_op', run: () => 0n },
  { name: 'sqrti', run: ([value]) => BigInt(Math.floor(Math.sqrt(Number(BigInt.asUintN(32, value!))))) },
  {
    name: 'strcmp_ext',
    run: ([a, b], memory) => {
      for (let i = 0n; i < LONGEST_STRING; i++) {
        const difference = memory.byte(a! + i) - memory.byte(b! + i);
        if (difference !== 0 || memory.byte(a! + i) === 0) return BigInt.asUintN(64, BigInt(difference));
      }
      return 0n;
    },
  },
  { name: 'unwind', run: ([value]) => value! },
];
export const UNWIND = 5;
