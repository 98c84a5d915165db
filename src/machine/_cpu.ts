import type { Registers } from './_arith.ts';
import { liftBlock, type OpBuffer } from './_lift.ts';
import { ZERO } from './_ops.ts';
import { type GuestMemory, PERM } from './memory.ts';
import type { FaultInfo } from './types.ts';

const ENDBR64 = [0xf3, 0x0f, 0x1e, 0xfa] as const;

/** Everything that the run loop reads and changes. */
export interface Cpu extends Registers {
  memory: GuestMemory;
  /** Low half of the next instruction's address. */
  rip: number;
  instructions: number;
  /** Value of `instructions` at which a budget fault is raised. */
  limit: number;
  /** Enforce IBT on indirect calls and jumps. */
  ibt: boolean;
  /** Base of the gs segment, as halves. */
  gsLo: number;
  gsHi: number;
  ops: OpBuffer;
  /** By the page's place in memory: index of the block that starts at each byte, 0 if none. */
  tables: (Int32Array | undefined)[];
  touched: number[];
  /** Grows when decoded code is dropped. */
  generation: number;
  /** Called before each instruction; decoding goes one instruction at a time while it is set. */
  trace: ((address: number) => void) | undefined;
  hypercall: (address: number) => void;
}

/** A fault on its way out of the run loop. */
export class Trap {
  readonly fault: Omit<FaultInfo, 'rip'>;
  /** Where the CPU reports it, if not at the instruction itself. */
  readonly at: bigint | undefined;

  constructor(fault: Omit<FaultInfo, 'rip'>, at?: bigint) {
    this.fault = fault;
    this.at = at;
  }
}

/** Upper half of the address of code at `low`. */
export const codeHigh = (memory: GuestMemory, low: number): number => memory.pageHigh[low >>> 12]!;

const full = (lo: number, hi: number): bigint => (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);

/** Offset of `size` bytes at a guest address in memory; raises #PF or #GP. */
export function translate(
  memory: GuestMemory,
  low: number,
  high: number,
  disp: number,
  size: number,
  perm: number,
): number {
  let sum = (low >>> 0) + disp;
  let upper = high;
  if (sum < 0) {
    sum += 0x1_0000_0000;
    upper = (upper - 1) | 0;
  } else if (sum > 0xffffffff) {
    sum -= 0x1_0000_0000;
    upper = (upper + 1) | 0;
  }
  const page = sum >>> 12;
  const offset = sum & 0xfff;
  if ((memory.pagePerm[page]! & perm) !== 0 && memory.pageHigh[page] === upper && offset <= 4096 - size)
    return memory.pageOffset[page]! + offset;
  return translateSlow(memory, sum, upper, size, perm);
}

function translateSlow(memory: GuestMemory, low: number, high: number, size: number, perm: number): number {
  const access = perm === PERM.WRITE ? 'write' : perm === PERM.READ ? 'read' : 'execute';
  const canonical = high >> 15 === 0 || high >> 15 === -1;
  if (!canonical) throw new Trap({ vector: '#GP', address: full(low, high), access });
  const last = low + size - 1;
  for (let page = low >>> 12; page <= last >>> 12; page++) {
    const mapped = memory.pageOffset[page] !== 0 && memory.pageHigh[page] === high;
    if (mapped && (memory.pagePerm[page]! & perm) !== 0) continue;
    throw new Trap({
      vector: '#PF',
      address: full(page === low >>> 12 ? low : page << 12, high),
      access,
      present: mapped && memory.pagePerm[page] !== 0,
    });
  }
  return memory.offset(low, size);
}

/** Bytes that may be executed at `address`, at most `length`. */
function fetchBytes(memory: GuestMemory, address: number, length: number): Uint8Array {
  const first = address >>> 12;
  if ((memory.pagePerm[first]! & PERM.EXEC) === 0) return memory.data.subarray(0, 0);
  const next = (address + length) >>> 12;
  const start = memory.pageOffset[first]! + (address & 0xfff);
  const whole =
    next === first ||
    ((memory.pagePerm[next]! & PERM.EXEC) !== 0 && memory.pageOffset[next] === memory.pageOffset[first]! + 4096);
  return memory.data.subarray(start, whole ? start + length : memory.pageOffset[first]! + 4096);
}

/** Index of the block at an address, decoding it if need be; raises #PF where nothing may be executed. */
export function lookup(cpu: Cpu, low: number, high: number): number {
  const page = low >>> 12;
  const place = cpu.memory.pageOffset[page]! >>> 12;
  const table = cpu.tables[place];
  const known = table === undefined ? 0 : table[low & 0xfff]!;
  if (known !== 0 && cpu.memory.pageHigh[page] === high) return known;
  if ((cpu.memory.pagePerm[page]! & PERM.EXEC) === 0 || cpu.memory.pageHigh[page] !== high) {
    translateSlow(cpu.memory, low >>> 0, high, 1, PERM.EXEC);
  }
  let own = table;
  if (own === undefined) {
    own = new Int32Array(4096);
    cpu.tables[place] = own;
    cpu.touched.push(place);
  }
  const index = liftBlock(
    cpu.ops,
    low,
    (address, length) => fetchBytes(cpu.memory, address, length),
    cpu.trace === undefined ? 64 : 1,
  );
  own[low & 0xfff] = index;
  return index;
}

/** Target of an indirect call or jump: must be executable, and start with ENDBR if the CPU enforces IBT. */
export function indirect(cpu: Cpu, low: number, high: number): number {
  const index = lookup(cpu, low, high);
  if (cpu.ibt) {
    const at = cpu.memory.pageOffset[low >>> 12]! + (low & 0xfff);
    for (let i = 0; i < 4; i++)
      if (cpu.memory.data[at + i] !== ENDBR64[i]) throw new Trap({ vector: '#CP' }, full(low, high));
  }
  return index;
}

/** Base, index, displacement and segment of a memory operand, as liftBlock packs them, into register `d`. */
export function effectiveAddress(cpu: Cpu, d: number, s: number, imm: number, more: number, address: number): void {
  const { lo, hi } = cpu;
  const index = more & 0xff;
  const scale = (more >> 8) & 0xff;
  let sum = (lo[s]! >>> 0) + (imm >>> 0);
  // A rip-relative address has the upper half of the code, or one beside it.
  let upper = (more & 0x1000000) !== 0 ? codeHigh(cpu.memory, address) + ((more >> 25) & 3) - 1 : hi[s]! + (imm >> 31);
  if (index !== ZERO) {
    const scaled = (lo[index]! >>> 0) * scale;
    sum += scaled % 0x1_0000_0000;
    upper += Math.imul(hi[index]!, scale) + Math.floor(scaled / 0x1_0000_0000);
  }
  if ((more & 0x10000) !== 0) {
    sum += cpu.gsLo;
    upper += cpu.gsHi;
  }
  lo[d] = sum | 0;
  hi[d] = (upper + Math.floor(sum / 0x1_0000_0000)) | 0;
}
