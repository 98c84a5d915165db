import { condition, KIND, setFlags } from './_flags.ts';
import { alu, byteSwap, multiply64, type Registers, shift, shiftx, unary, wideOp, writeSized } from './_arith.ts';
import { liftBlock, OpBuffer } from './_lift.ts';
import { OP, STRIDE, T, TRAPS } from './_ops.ts';
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
  /** By low page number: index of the block that starts at each byte, 0 if none. */
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
const codeHigh = (memory: GuestMemory, low: number): number => memory.pageHigh[low >>> 12]!;

const full = (lo: number, hi: number): bigint => (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);

/** Offset of `size` bytes at a guest address in memory; raises #PF or #GP. */
function translate(memory: GuestMemory, low: number, high: number, disp: number, size: number, perm: number): number {
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
  if ((memory.pagePerm[page]! & perm) !== 0 && memory.pageHigh[page] === upper && offset <= 4096 - size) return memory.pageOffset[page]! + offset;
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
    throw new Trap({ vector: '#PF', address: full(page === low >>> 12 ? low : page << 12, high), access, present: mapped && memory.pagePerm[page] !== 0 });
  }
  return memory.offset(low, size);
}

/** Bytes that may be executed at `address`, at most `length`. */
function fetchBytes(memory: GuestMemory, address: number, length: number): Uint8Array {
  const first = address >>> 12;
  if ((memory.pagePerm[first]! & PERM.EXEC) === 0) return memory.data.subarray(0, 0);
  const next = (address + length) >>> 12;
  const start = memory.pageOffset[first]! + (address & 0xfff);
  const whole = next === first || ((memory.pagePerm[next]! & PERM.EXEC) !== 0 && memory.pageOffset[next] === memory.pageOffset[first]! + 4096);
  return memory.data.subarray(start, whole ? start + length : memory.pageOffset[first]! + 4096);
}

/** Index of the block at an address, decoding it if need be; raises #PF where nothing may be executed. */
function lookup(cpu: Cpu, low: number, high: number): number {
  const page = low >>> 12;
  const table = cpu.tables[page];
  const known = table === undefined ? 0 : table[low & 0xfff]!;
  if (known !== 0 && cpu.memory.pageHigh[page] === high) return known;
  if ((cpu.memory.pagePerm[page]! & PERM.EXEC) === 0 || cpu.memory.pageHigh[page] !== high) {
    translateSlow(cpu.memory, low >>> 0, high, 1, PERM.EXEC);
  }
  let own = table;
  if (own === undefined) {
    own = new Int32Array(4096);
    cpu.tables[page] = own;
    cpu.touched.push(page);
  }
  const index = liftBlock(cpu.ops, low, (address, length) => fetchBytes(cpu.memory, address, length), cpu.trace === undefined ? 64 : 1);
  own[low & 0xfff] = index;
  return index;
}

/** Target of an indirect call or jump: must be executable, and start with ENDBR if the CPU enforces IBT. */
function indirect(cpu: Cpu, low: number, high: number): number {
  const index = lookup(cpu, low, high);
  if (cpu.ibt) {
    const at = cpu.memory.pageOffset[low >>> 12]! + (low & 0xfff);
    for (let i = 0; i < 4; i++) if (cpu.memory.data[at + i] !== ENDBR64[i]) throw new Trap({ vector: '#CP' }, full(low, high));
  }
  return index;
}

/**
 * Runs from `cpu.rip` until a hypercall at `stopAt` (with rsp's low half `stopRsp`), or for one instruction if `single`.
 * A fault leaves as a Trap, with `cpu.rip` at the faulting instruction.
 */
export function run(cpu: Cpu, stopAt: number, stopRsp: number, single: boolean): void {
  const { lo, hi, fl, memory } = cpu;
  const { view, data } = memory;
  let { words } = cpu.ops;
  let pc = 0;
  let blockStart = 0;
  try {
    pc = lookup(cpu, cpu.rip, codeHigh(memory, cpu.rip));
    words = cpu.ops.words;
    blockStart = pc;
    if (cpu.trace !== undefined) cpu.trace(cpu.rip >>> 0);
    for (;;) {
      const d = words[pc + 1]!;
      const s = words[pc + 2]!;
      const imm = words[pc + 3]!;
      /** Next block, or 0 while this one goes on. */
      let next = 0;
      switch (words[pc]) {
        case OP.MOV64:
          lo[d] = lo[s]!;
          hi[d] = hi[s]!;
          break;
        case OP.MOV32:
          lo[d] = lo[s]!;
          hi[d] = 0;
          break;
        case OP.MOVI:
          lo[d] = imm;
          hi[d] = words[pc + 4]!;
          break;
        case OP.EA: {
          const more = words[pc + 4]!;
          const index = more & 0xff;
          const scale = (more >> 8) & 0xff;
          let sum = (lo[s]! >>> 0) + (imm >>> 0);
          let upper = hi[s]! + (imm >> 31);
          if ((more & 0x1000000) !== 0) upper = codeHigh(memory, words[pc + 5]!);
          if (index !== 18) {
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
          break;
        }
        case OP.LD8U:
          lo[d] = data[translate(memory, lo[s]!, hi[s]!, imm, 1, PERM.READ)]!;
          hi[d] = 0;
          break;
        case OP.LD16U:
          lo[d] = view.getUint16(translate(memory, lo[s]!, hi[s]!, imm, 2, PERM.READ), true);
          hi[d] = 0;
          break;
        case OP.LD32:
          lo[d] = view.getInt32(translate(memory, lo[s]!, hi[s]!, imm, 4, PERM.READ), true);
          hi[d] = 0;
          break;
        case OP.LD64: {
          const at = translate(memory, lo[s]!, hi[s]!, imm, 8, PERM.READ);
          lo[d] = view.getInt32(at, true);
          hi[d] = view.getInt32(at + 4, true);
          break;
        }
        case OP.LD8S:
          lo[d] = view.getInt8(translate(memory, lo[s]!, hi[s]!, imm, 1, PERM.READ));
          hi[d] = lo[d]! >> 31;
          break;
        case OP.LD16S:
          lo[d] = view.getInt16(translate(memory, lo[s]!, hi[s]!, imm, 2, PERM.READ), true);
          hi[d] = lo[d]! >> 31;
          break;
        case OP.LD32S:
          lo[d] = view.getInt32(translate(memory, lo[s]!, hi[s]!, imm, 4, PERM.READ), true);
          hi[d] = lo[d]! >> 31;
          break;
        case OP.ST8:
          data[translate(memory, lo[s]!, hi[s]!, imm, 1, PERM.WRITE)] = lo[d]!;
          break;
        case OP.ST16:
          view.setInt16(translate(memory, lo[s]!, hi[s]!, imm, 2, PERM.WRITE), lo[d]!, true);
          break;
        case OP.ST32:
          view.setInt32(translate(memory, lo[s]!, hi[s]!, imm, 4, PERM.WRITE), lo[d]!, true);
          break;
        case OP.ST64: {
          const at = translate(memory, lo[s]!, hi[s]!, imm, 8, PERM.WRITE);
          view.setInt32(at, lo[d]!, true);
          view.setInt32(at + 4, hi[d]!, true);
          break;
        }
        case OP.ADD64:
          add64(lo, hi, fl, d, lo[s]!, hi[s]!);
          break;
        case OP.ADD64I:
          add64(lo, hi, fl, d, imm, imm >> 31);
          break;
        case OP.ADD32:
          add32(lo, hi, fl, d, lo[s]!);
          break;
        case OP.ADD32I:
          add32(lo, hi, fl, d, imm);
          break;
        case OP.SUB64:
          sub64(lo, hi, fl, d, lo[s]!, hi[s]!, true);
          break;
        case OP.SUB64I:
          sub64(lo, hi, fl, d, imm, imm >> 31, true);
          break;
        case OP.CMP64:
          sub64(lo, hi, fl, d, lo[s]!, hi[s]!, false);
          break;
        case OP.CMP64I:
          sub64(lo, hi, fl, d, imm, imm >> 31, false);
          break;
        case OP.SUB32:
          sub32(lo, hi, fl, d, lo[s]!, true);
          break;
        case OP.SUB32I:
          sub32(lo, hi, fl, d, imm, true);
          break;
        case OP.CMP32:
          sub32(lo, hi, fl, d, lo[s]!, false);
          break;
        case OP.CMP32I:
          sub32(lo, hi, fl, d, imm, false);
          break;
        case OP.AND64:
          logic(fl, 8, (lo[d] = lo[d]! & lo[s]!), (hi[d] = hi[d]! & hi[s]!));
          break;
        case OP.AND64I:
          logic(fl, 8, (lo[d] = lo[d]! & imm), (hi[d] = hi[d]! & (imm >> 31)));
          break;
        case OP.AND32:
          logic(fl, 4, 0, (lo[d] = lo[d]! & lo[s]!));
          hi[d] = 0;
          break;
        case OP.AND32I:
          logic(fl, 4, 0, (lo[d] = lo[d]! & imm));
          hi[d] = 0;
          break;
        case OP.OR64:
          logic(fl, 8, (lo[d] = lo[d]! | lo[s]!), (hi[d] = hi[d]! | hi[s]!));
          break;
        case OP.OR64I:
          logic(fl, 8, (lo[d] = lo[d]! | imm), (hi[d] = hi[d]! | (imm >> 31)));
          break;
        case OP.OR32:
          logic(fl, 4, 0, (lo[d] = lo[d]! | lo[s]!));
          hi[d] = 0;
          break;
        case OP.OR32I:
          logic(fl, 4, 0, (lo[d] = lo[d]! | imm));
          hi[d] = 0;
          break;
        case OP.XOR64:
          logic(fl, 8, (lo[d] = lo[d]! ^ lo[s]!), (hi[d] = hi[d]! ^ hi[s]!));
          break;
        case OP.XOR64I:
          logic(fl, 8, (lo[d] = lo[d]! ^ imm), (hi[d] = hi[d]! ^ (imm >> 31)));
          break;
        case OP.XOR32:
          logic(fl, 4, 0, (lo[d] = lo[d]! ^ lo[s]!));
          hi[d] = 0;
          break;
        case OP.XOR32I:
          logic(fl, 4, 0, (lo[d] = lo[d]! ^ imm));
          hi[d] = 0;
          break;
        case OP.TEST64:
          logic(fl, 8, lo[d]! & lo[s]!, hi[d]! & hi[s]!);
          break;
        case OP.TEST64I:
          logic(fl, 8, lo[d]! & imm, hi[d]! & (imm >> 31));
          break;
        case OP.TEST32:
          logic(fl, 4, 0, lo[d]! & lo[s]!);
          break;
        case OP.TEST32I:
          logic(fl, 4, 0, lo[d]! & imm);
          break;
        case OP.ALU:
          alu(cpu, imm, d, s, words[pc + 4]!);
          break;
        case OP.UNARY:
          unary(cpu, imm, d, words[pc + 4]!);
          break;
        case OP.SHIFT: {
          const more = words[pc + 4]!;
          shift(cpu, imm, d, more & 0xff, more >> 8 === 0xff ? lo[1]! & 0xff : more >> 8);
          break;
        }
        case OP.SHIFTX:
          shiftx(cpu, imm, d, s, words[pc + 4]! & 0xff, words[pc + 4]! >> 8);
          break;
        case OP.IMUL64:
          setFlags(fl, KIND.MUL, 8, lo[d]!, hi[d]!, lo[s]!, hi[s]!, 0, 0);
          multiply64(cpu, d, s);
          break;
        case OP.IMUL32:
          setFlags(fl, KIND.MUL, 4, lo[d]!, 0, lo[s]!, 0, 0, 0);
          lo[d] = Math.imul(lo[d]!, lo[s]!);
          hi[d] = 0;
          break;
        case OP.WIDE:
          if (!wideOp(cpu, imm, s, words[pc + 4]!)) throw new Trap({ vector: '#DE' });
          break;
        case OP.BSWAP:
          byteSwap(cpu, d, words[pc + 4]!);
          break;
        case OP.EXTEND: {
          const value = imm === 1 ? lo[s]! & 0xff : imm === 2 ? lo[s]! & 0xffff : imm === -1 ? (lo[s]! << 24) >> 24 : imm === -2 ? (lo[s]! << 16) >> 16 : lo[s]!;
          writeSized(cpu, d, words[pc + 4]!, value, imm < 0 ? value >> 31 : 0);
          break;
        }
        case OP.INSERT:
          writeSized(cpu, d, words[pc + 4]!, lo[s]!, hi[s]!);
          break;
        case OP.CMOV: {
          const wide = words[pc + 4] === 8;
          if (condition(fl, imm)) {
            lo[d] = lo[s]!;
            hi[d] = wide ? hi[s]! : 0;
          } else if (!wide) hi[d] = 0;
          break;
        }
        case OP.SET:
          lo[d] = condition(fl, imm) ? 1 : 0;
          hi[d] = 0;
          break;
        case OP.SIGN:
          lo[d] = (words[pc + 4] === 8 ? hi[0]! : lo[0]!) >> 31;
          hi[d] = words[pc + 4] === 8 ? lo[d]! : 0;
          break;
        case OP.XCHG: {
          const oldLo = lo[d]!;
          const oldHi = hi[d]!;
          writeSized(cpu, d, words[pc + 4]!, lo[s]!, hi[s]!);
          writeSized(cpu, s, words[pc + 4]!, oldLo, oldHi);
          break;
        }
        case OP.XADD: {
          const oldLo = lo[d]!;
          const oldHi = hi[d]!;
          alu(cpu, 0, d, s, words[pc + 4]!);
          writeSized(cpu, s, words[pc + 4]!, oldLo, oldHi);
          break;
        }
        case OP.CMPXCHG: {
          const size = words[pc + 4]!;
          alu(cpu, 7, 0, d, size);
          if (condition(fl, 4)) writeSized(cpu, T, size, lo[s]!, hi[s]!);
          else writeSized(cpu, 0, size, lo[T]!, hi[T]!);
          break;
        }
        case OP.PUSH:
          push(cpu, lo[s]!, hi[s]!);
          break;
        case OP.POP: {
          const at = translate(memory, lo[4]!, hi[4]!, 0, 8, PERM.READ);
          const valueLo = view.getInt32(at, true);
          const valueHi = view.getInt32(at + 4, true);
          bumpRsp(cpu, 8);
          lo[d] = valueLo;
          hi[d] = valueHi;
          break;
        }
        case OP.LEAVE: {
          const at = translate(memory, lo[5]!, hi[5]!, 0, 8, PERM.READ);
          lo[4] = lo[5]!;
          hi[4] = hi[5]!;
          bumpRsp(cpu, 8);
          lo[5] = view.getInt32(at, true);
          hi[5] = view.getInt32(at + 4, true);
          break;
        }
        case OP.CALL: {
          const ret = words[pc + 6]!;
          push(cpu, ret, codeHigh(memory, words[pc + 5]!));
          next = words[pc + 7]!;
          if (next === 0) {
            next = lookup(cpu, imm, codeHigh(memory, words[pc + 5]!));
            words = cpu.ops.words;
            words[pc + 7] = next;
          }
          break;
        }
        case OP.CALLR: {
          const targetLo = lo[s]!;
          const targetHi = hi[s]!;
          push(cpu, words[pc + 6]!, codeHigh(memory, words[pc + 5]!));
          next = indirect(cpu, targetLo, targetHi);
          words = cpu.ops.words;
          break;
        }
        case OP.JMP:
          next = words[pc + 7]!;
          if (next === 0) {
            next = lookup(cpu, imm, codeHigh(memory, words[pc + 5]!));
            words = cpu.ops.words;
            words[pc + 7] = next;
          }
          break;
        case OP.JMPR:
          next = indirect(cpu, lo[s]!, hi[s]!);
          words = cpu.ops.words;
          break;
        case OP.JCC:
          if (condition(fl, d)) {
            next = words[pc + 7]!;
            if (next === 0) {
              next = lookup(cpu, imm, codeHigh(memory, words[pc + 5]!));
              words = cpu.ops.words;
              words[pc + 7] = next;
            }
          } else {
            next = s;
            if (next === 0) {
              next = lookup(cpu, words[pc + 6]!, codeHigh(memory, words[pc + 5]!));
              words = cpu.ops.words;
              words[pc + 2] = next;
            }
          }
          break;
        case OP.RET: {
          const at = translate(memory, lo[4]!, hi[4]!, 0, 8, PERM.READ);
          const targetLo = view.getInt32(at, true);
          const targetHi = view.getInt32(at + 4, true);
          const table = cpu.tables[targetLo >>> 12];
          next = table === undefined || memory.pageHigh[targetLo >>> 12] !== targetHi ? 0 : table[targetLo & 0xfff]!;
          if (next === 0) {
            next = lookup(cpu, targetLo, targetHi);
            words = cpu.ops.words;
          } words = cpu.ops.words;
          bumpRsp(cpu, 8 + imm);
          break;
        }
        case OP.NEXT:
          next = words[pc + 7]!;
          if (next === 0) {
            next = lookup(cpu, words[pc + 6]!, codeHigh(memory, words[pc + 5]!));
            words = cpu.ops.words;
            words[pc + 7] = next;
          }
          break;
        case OP.VMCALL: {
          const address = words[pc + 5]! >>> 0;
          cpu.instructions += words[pc + 4]!;
          if (address === stopAt && lo[4] === stopRsp) return;
          const { generation } = cpu;
          cpu.rip = words[pc + 6]!;
          next = words[pc + 7]!;
          blockStart = 0;
          cpu.hypercall(address);
          if (cpu.generation !== generation || next === 0) {
            // The handler may have changed code; where nothing changed, the place to go on at is remembered.
            next = lookup(cpu, cpu.rip, codeHigh(memory, cpu.rip));
            words = cpu.ops.words;
            if (cpu.generation === generation) words[pc + 7] = next;
          }
          pc = next;
          blockStart = next;
          if (cpu.instructions >= cpu.limit) throw new Trap({ vector: 'budget' });
          if (single) {
            cpu.rip = words[pc + 5]!;
            return;
          }
          if (cpu.trace !== undefined) cpu.trace(words[pc + 5]! >>> 0);
          continue;
        }
        case OP.TRAP:
          throw new Trap({ vector: TRAPS[imm]! });
        default:
          throw new Error(`micro-operation ${words[pc]} is not known`);
      }
      if (next === 0) {
        pc += STRIDE;
        continue;
      }
      cpu.instructions += words[pc + 4]!;
      pc = next;
      blockStart = next;
      if (cpu.instructions >= cpu.limit) throw new Trap({ vector: 'budget' });
      if (single) {
        cpu.rip = words[pc + 5]!;
        return;
      }
      if (cpu.trace !== undefined) cpu.trace(words[pc + 5]! >>> 0);
    }
  } catch (error) {
    if (pc !== 0 && blockStart !== 0) {
      cpu.rip = words[pc + 5]!;
      cpu.instructions += instructionsBefore(words, blockStart, pc);
    }
    throw error;
  }
}

/** Instructions of a block that were finished before the micro-operation at `pc`. */
function instructionsBefore(words: Int32Array, start: number, pc: number): number {
  let count = 0;
  for (let at = start; at < pc; at += STRIDE) if (words[at + 5] !== words[at + STRIDE + 5]) count++;
  return count;
}

function bumpRsp({ lo, hi }: Registers, by: number): void {
  const sum = (lo[4]! >>> 0) + by;
  lo[4] = sum | 0;
  if (sum > 0xffffffff) hi[4] = (hi[4]! + 1) | 0;
}

function push(cpu: Cpu, low: number, high: number): void {
  const { lo, hi, memory } = cpu;
  const at = translate(memory, lo[4]!, hi[4]!, -8, 8, PERM.WRITE);
  memory.view.setInt32(at, low, true);
  memory.view.setInt32(at + 4, high, true);
  if (lo[4]! >>> 0 < 8) hi[4] = (hi[4]! - 1) | 0;
  lo[4] = (lo[4]! - 8) | 0;
}

function add64(lo: Int32Array, hi: Int32Array, fl: Int32Array, d: number, bLo: number, bHi: number): void {
  const aLo = lo[d]!;
  const aHi = hi[d]!;
  const rLo = (aLo + bLo) | 0;
  const rHi = (aHi + bHi + (rLo >>> 0 < aLo >>> 0 ? 1 : 0)) | 0;
  lo[d] = rLo;
  hi[d] = rHi;
  setFlags(fl, KIND.ADD, 8, aLo, aHi, bLo, bHi, rLo, rHi);
}

function add32(lo: Int32Array, hi: Int32Array, fl: Int32Array, d: number, b: number): void {
  const a = lo[d]!;
  const r = (a + b) | 0;
  lo[d] = r;
  hi[d] = 0;
  setFlags(fl, KIND.ADD, 4, 0, a, 0, b, 0, r);
}

function sub64(lo: Int32Array, hi: Int32Array, fl: Int32Array, d: number, bLo: number, bHi: number, keep: boolean): void {
  const aLo = lo[d]!;
  const aHi = hi[d]!;
  const rLo = (aLo - bLo) | 0;
  const rHi = (aHi - bHi - (aLo >>> 0 < bLo >>> 0 ? 1 : 0)) | 0;
  if (keep) {
    lo[d] = rLo;
    hi[d] = rHi;
  }
  setFlags(fl, KIND.SUB, 8, aLo, aHi, bLo, bHi, rLo, rHi);
}

function sub32(lo: Int32Array, hi: Int32Array, fl: Int32Array, d: number, b: number, keep: boolean): void {
  const a = lo[d]!;
  const r = (a - b) | 0;
  if (keep) {
    lo[d] = r;
    hi[d] = 0;
  }
  setFlags(fl, KIND.SUB, 4, 0, a, 0, b, 0, r);
}

function logic(fl: Int32Array, size: number, rLo: number, rHi: number): void {
  setFlags(fl, KIND.LOGIC, size, 0, 0, 0, 0, rLo, rHi);
}
