import {
  ALU,
  ATOMIC,
  CALL,
  CLASS,
  EXIT,
  type Insn,
  JMP,
  LD_IMM64,
  MODE,
  PSEUDO_CALL,
  SRC_X,
  sizeInBytes,
} from '../bpf/index.ts';
import { ConformanceError } from './error.ts';
import { HELPERS, type HelperMemory, UNWIND } from './helpers.ts';

const STACK_BASE = 0xffffc90060000000n;
export const STACK_SIZE = 512;
const MAX_FRAMES = 8;
const DEFAULT_STEPS = 1_000_000;

/** What became of a program. */
export interface Execution {
  r0: bigint;
  memory: Uint8Array;
}

/** Looks at a run before every instruction: at slot `pc`, `depth` calls below the main function. */
export type Watcher = (
  pc: number,
  registers: readonly bigint[],
  depth: number,
  byteAt: (address: bigint) => number,
) => void;

interface Frame {
  back: number;
  saved: bigint[];
}

const u64 = (value: bigint) => BigInt.asUintN(64, value);
const u32 = (value: bigint) => BigInt.asUintN(32, value);
const s64 = (value: bigint) => BigInt.asIntN(64, value);
const s32 = (value: bigint) => BigInt.asIntN(32, value);

/**
 * Runs a program as RFC 9669 says, one instruction after the other on big integers: slow, and easy to compare with the text.
 * r1 points to `memory` at `memoryBase`, r2 is its length, r10 is the top of a stack of 512 bytes for each function.
 * @throws ConformanceError for what no valid program does: an access outside, an unknown instruction, too many steps
 */
export function interpret(
  insns: readonly Insn[],
  memory: Uint8Array,
  memoryBase: bigint,
  steps = DEFAULT_STEPS,
  watch?: Watcher,
): Execution {
  const own = memory.slice();
  const stack = new Uint8Array(STACK_SIZE * MAX_FRAMES);
  const regs: bigint[] = new Array(11).fill(0n);
  const frames: Frame[] = [];
  const top = () => STACK_BASE + BigInt(stack.length - STACK_SIZE * frames.length);
  const place = (address: bigint, size: number): [DataView, number] => {
    for (const [base, bytes] of [
      [memoryBase, own],
      [STACK_BASE, stack],
    ] as const) {
      const at = Number(address - base);
      if (at >= 0 && at + size <= bytes.length) return [new DataView(bytes.buffer), at];
    }
    throw new ConformanceError(`access of ${size} bytes at 0x${address.toString(16)}`, `insn ${pc}`, 'refused');
  };
  const helperMemory: HelperMemory = {
    byte: (address) => Number(load(place(u64(address), 1), 1)),
    setByte: (address, value) => store(place(u64(address), 1), 1, BigInt(value)),
  };
  regs[1] = memoryBase;
  regs[2] = BigInt(memory.length);
  regs[10] = top();
  let pc = 0;
  for (let left = steps; left > 0; left--) {
    const insn = insns[pc];
    if (insn === undefined) throw new ConformanceError('execution leaves the program', `insn ${pc}`, 'refused');
    watch?.(pc, regs, frames.length, helperMemory.byte);
    const { code, dst, src } = insn;
    pc++;
    switch (code & 7) {
      case CLASS.ALU:
      case CLASS.ALU64:
        regs[dst] = arithmetic(insn, regs, pc - 1);
        break;
      case CLASS.LD: {
        const next = insns[pc++];
        if (code !== LD_IMM64 || next === undefined) throw unknown(insn, pc - 2);
        regs[dst] = (u32(BigInt(next.imm)) << 32n) | u32(BigInt(insn.imm));
        break;
      }
      case CLASS.LDX: {
        const size = sizeInBytes(code);
        const value = load(place(u64(regs[src]! + BigInt(insn.off)), size), size);
        regs[dst] = (code & 0xe0) === MODE.MEMSX ? u64(BigInt.asIntN(8 * size, value)) : value;
        break;
      }
      case CLASS.ST:
      case CLASS.STX: {
        const size = sizeInBytes(code);
        const where = place(u64(regs[dst]! + BigInt(insn.off)), size);
        if ((code & 7) === CLASS.STX && (code & 0xe0) === MODE.ATOMIC) atomic(insn, regs, where, size, pc - 1);
        else store(where, size, (code & 7) === CLASS.ST ? BigInt(insn.imm) : regs[src]!);
        break;
      }
      default:
        if (code === EXIT) {
          const frame = frames.pop();
          if (frame === undefined) return { r0: regs[0]!, memory: own };
          pc = frame.back;
          frame.saved.forEach((value, i) => {
            regs[6 + i] = value;
          });
        } else if (code === CALL && src === PSEUDO_CALL) {
          if (frames.length === MAX_FRAMES - 1)
            throw new ConformanceError('too many frames', `insn ${pc - 1}`, 'refused');
          frames.push({ back: pc, saved: regs.slice(6, 11) });
          regs[10] = top();
          pc += insn.imm;
        } else if (code === CALL && src === 0) {
          const helper = HELPERS[insn.imm];
          if (helper === undefined)
            throw new ConformanceError(`invalid func unknown#${insn.imm}`, `insn ${pc - 1}`, 'refused');
          regs[0] = u64(helper.run(regs.slice(1, 6), helperMemory));
          if (insn.imm === UNWIND && regs[0] === 0n) return { r0: 0n, memory: own };
        } else pc += jump(insn, regs, pc - 1);
    }
  }
  throw new ConformanceError(`no end after ${steps} instructions`, `insn ${pc}`, 'refused');
}

const unknown = (insn: Insn, at: number) =>
  new ConformanceError(`unknown opcode ${insn.code.toString(16).padStart(2, '0')}`, `insn ${at}`, 'refused');

function load([view, at]: [DataView, number], size: number): bigint {
  switch (size) {
    case 1:
      return BigInt(view.getUint8(at));
    case 2:
      return BigInt(view.getUint16(at, true));
    case 4:
      return BigInt(view.getUint32(at, true));
    default:
      return view.getBigUint64(at, true);
  }
}

function store([view, at]: [DataView, number], size: number, value: bigint): void {
  switch (size) {
    case 1:
      view.setUint8(at, Number(value & 0xffn));
      break;
    case 2:
      view.setUint16(at, Number(value & 0xffffn), true);
      break;
    case 4:
      view.setUint32(at, Number(u32(value)), true);
      break;
    default:
      view.setBigUint64(at, u64(value), true);
  }
}

function arithmetic(insn: Insn, regs: readonly bigint[], at: number): bigint {
  const { code, off } = insn;
  const wide = (code & 7) === CLASS.ALU64;
  const op = code & 0xf0;
  if (op === ALU.END) return swap(insn, regs[insn.dst]!);
  const bits = wide ? 64 : 32;
  const cut = (value: bigint) => BigInt.asUintN(bits, value);
  const signed = (value: bigint) => BigInt.asIntN(bits, value);
  const a = cut(regs[insn.dst]!);
  const b = cut((code & SRC_X) !== 0 ? regs[insn.src]! : BigInt(insn.imm));
  const count = b & BigInt(bits - 1);
  switch (op) {
    case ALU.ADD:
      return cut(a + b);
    case ALU.SUB:
      return cut(a - b);
    case ALU.MUL:
      return cut(a * b);
    case ALU.DIV:
      if (b === 0n) return 0n;
      return off === 1 ? cut(signed(a) / signed(b)) : a / b;
    case ALU.MOD:
      if (b === 0n) return a;
      return off === 1 ? cut(signed(a) % signed(b)) : a % b;
    case ALU.OR:
      return a | b;
    case ALU.AND:
      return a & b;
    case ALU.XOR:
      return a ^ b;
    case ALU.LSH:
      return cut(a << count);
    case ALU.RSH:
      return a >> count;
    case ALU.ARSH:
      return cut(signed(a) >> count);
    case ALU.NEG:
      return cut(-a);
    case ALU.MOV:
      return off === 0 ? b : cut(BigInt.asIntN(off, b));
    default:
      throw unknown(insn, at);
  }
}

/** Conversion to little-endian cuts off; to big-endian, and the unconditional swap, reverse bytes. */
function swap({ code, imm }: Insn, value: bigint): bigint {
  const cut = BigInt.asUintN(imm, value);
  if ((code & 7) === CLASS.ALU && (code & SRC_X) === 0) return cut;
  let reversed = 0n;
  for (let shift = 0; shift < imm; shift += 8) reversed = (reversed << 8n) | ((cut >> BigInt(shift)) & 0xffn);
  return reversed;
}

function atomic(insn: Insn, regs: bigint[], where: [DataView, number], size: number, at: number): void {
  const bits = 8 * size;
  const old = load(where, size);
  const operand = BigInt.asUintN(bits, regs[insn.src]!);
  if (insn.imm === ATOMIC.LOAD_ACQ || insn.imm === ATOMIC.STORE_REL || size < 4) throw unknown(insn, at);
  if (insn.imm === ATOMIC.CMPXCHG) {
    if (BigInt.asUintN(bits, regs[0]!) === old) store(where, size, operand);
    regs[0] = old;
    return;
  }
  if (insn.imm === ATOMIC.XCHG) {
    store(where, size, operand);
    regs[insn.src] = old;
    return;
  }
  switch (insn.imm & 0xf0) {
    case ALU.ADD:
      store(where, size, old + operand);
      break;
    case ALU.OR:
      store(where, size, old | operand);
      break;
    case ALU.AND:
      store(where, size, old & operand);
      break;
    case ALU.XOR:
      store(where, size, old ^ operand);
      break;
    default:
      throw unknown(insn, at);
  }
  if ((insn.imm & ATOMIC.FETCH) !== 0) regs[insn.src] = old;
}

/** Slots to skip; 0 where the branch is not taken. */
function jump(insn: Insn, regs: readonly bigint[], at: number): number {
  const { code } = insn;
  const wide = (code & 7) === CLASS.JMP;
  const op = code & 0xf0;
  if (op === JMP.JA) return wide ? insn.off : insn.imm;
  const a = regs[insn.dst]!;
  const b = (code & SRC_X) !== 0 ? regs[insn.src]! : u64(BigInt(insn.imm));
  const [ua, ub, sa, sb] = wide ? [a, b, s64(a), s64(b)] : [u32(a), u32(b), s32(a), s32(b)];
  const taken: Record<number, boolean> = {
    [JMP.JEQ]: ua === ub,
    [JMP.JNE]: ua !== ub,
    [JMP.JGT]: ua > ub,
    [JMP.JGE]: ua >= ub,
    [JMP.JLT]: ua < ub,
    [JMP.JLE]: ua <= ub,
    [JMP.JSET]: (ua & ub) !== 0n,
    [JMP.JSGT]: sa > sb,
    [JMP.JSGE]: sa >= sb,
    [JMP.JSLT]: sa < sb,
    [JMP.JSLE]: sa <= sb,
  };
  const known = taken[op];
  if (known === undefined || code === (CALL | SRC_X)) throw unknown(insn, at);
  return known ? insn.off : 0;
}
