import { decode, type X86Insn } from '../x86/index.ts';
import { ALU_OPS, EA, OP, SHIFT_OPS, STRIDE, T, UNARY_OPS, WIDE_OPS, ZERO } from './_ops.ts';

/** Most instructions in a block, so that the budget is looked at often enough. */
const BLOCK_LIMIT = 64;
/** Longest instruction. */
const WINDOW = 15;

/** Micro-operations of decoded blocks. */
export class OpBuffer {
  words: Int32Array = new Int32Array(STRIDE * 1024);
  /** Index of the next free word; 0 is never a block. */
  length: number = STRIDE;

  reset(): void {
    this.length = STRIDE;
  }

  push(op: number, d: number, s: number, imm: number, more: number, address: number, next: number, link = 0): void {
    if (this.length + STRIDE > this.words.length) {
      const grown = new Int32Array(2 * this.words.length);
      grown.set(this.words);
      this.words = grown;
    }
    const { words, length } = this;
    words[length] = op;
    words[length + 1] = d;
    words[length + 2] = s;
    words[length + 3] = imm;
    words[length + 4] = more;
    words[length + 5] = address;
    words[length + 6] = next;
    words[length + 7] = link;
    this.length += STRIDE;
  }
}

/** Bytes that may be executed from `address` on, up to the window; empty where execution is not permitted. */
export type Fetch = (address: number, length: number) => Uint8Array;

/**
 * Decodes one block from `address` on, up to and with the first branch, and appends its micro-operations. The last one
 * carries the number of instructions. Returns the block's index.
 */
export function liftBlock(out: OpBuffer, address: number, fetch: Fetch, limit: number): number {
  const start = out.length;
  const most = Math.min(limit, BLOCK_LIMIT);
  let at = address | 0;
  for (let count = 1; ; count++) {
    const bytes = fetch(at >>> 0, WINDOW);
    if (bytes.length === 0) {
      // The page ends: whoever comes here faults when the block at `at` is looked up.
      out.push(OP.NEXT, 0, 0, 0, count - 1, at, at);
      return start;
    }
    const insn = decode(bytes, 0);
    if (insn.row === undefined || lift(out, insn, at, (at + insn.length) | 0)) {
      if (insn.row === undefined) out.push(OP.TRAP, 0, 0, 0, 0, at, at);
      out.words[out.length - STRIDE + 4] = count;
      return start;
    }
    at = (at + insn.length) | 0;
    if (count === most) {
      out.push(OP.NEXT, 0, 0, 0, count, at, at);
      return start;
    }
  }
}

const DIRECT: Record<string, readonly [op64: number, op32: number, op64i: number, op32i: number]> = {
  add: [OP.ADD64, OP.ADD32, OP.ADD64I, OP.ADD32I],
  sub: [OP.SUB64, OP.SUB32, OP.SUB64I, OP.SUB32I],
  and: [OP.AND64, OP.AND32, OP.AND64I, OP.AND32I],
  or: [OP.OR64, OP.OR32, OP.OR64I, OP.OR32I],
  xor: [OP.XOR64, OP.XOR32, OP.XOR64I, OP.XOR32I],
  cmp: [OP.CMP64, OP.CMP32, OP.CMP64I, OP.CMP32I],
  test: [OP.TEST64, OP.TEST32, OP.TEST64I, OP.TEST32I],
};
const LOADS: Record<number, number> = {
  1: OP.LD8U,
  2: OP.LD16U,
  4: OP.LD32,
  8: OP.LD64,
  [-1]: OP.LD8S,
  [-2]: OP.LD16S,
  [-4]: OP.LD32S,
};
const STORES: Record<number, number> = { 1: OP.ST8, 2: OP.ST16, 4: OP.ST32, 8: OP.ST64 };

/** Whether `next + disp` leaves the 4 GiB of the code: 0 below, 1 within, 2 above. */
const ripCarry = (next: number, disp: number): number => Math.floor(((next >>> 0) + disp) / 0x1_0000_0000) + 1;

/** Appends one instruction; true if it ends the block. */
function lift(out: OpBuffer, insn: X86Insn, a: number, n: number): boolean {
  const { row, size } = insn;
  const name = row.mnemonic;
  const emit = (op: number, d: number, s: number, imm = 0, more = 0) => out.push(op, d, s, imm, more, a, n);
  /** Where the memory operand is: a base register and a displacement, through EA if it needs more than that. */
  const place = (): [base: number, disp: number] => {
    if (insn.index < 0 && !insn.ripRelative && insn.segment === 0 && insn.base >= 0) return [insn.base, insn.disp];
    emitEa(EA);
    return [EA, 0];
  };
  const emitEa = (target: number) => {
    if (insn.ripRelative)
      emit(
        OP.EA,
        target,
        ZERO,
        (n + insn.disp) | 0,
        ZERO | (1 << 8) | (1 << 24) | (ripCarry(n, insn.disp) << 25) | (insn.segment === 0x65 ? 1 << 16 : 0),
      );
    else
      emit(
        OP.EA,
        target,
        insn.base < 0 ? ZERO : insn.base,
        insn.disp,
        (insn.index < 0 ? ZERO : insn.index) | (insn.scale << 8) | (insn.segment === 0x65 ? 1 << 16 : 0),
      );
  };
  const load = (target: number, bytes: number) => {
    const [base, disp] = place();
    emit(LOADS[bytes]!, target, base, disp);
  };
  const store = (source: number, bytes: number, at: readonly [number, number]) =>
    emit(STORES[bytes]!, source, at[0], at[1]);
  /** A register result of the operand size: 1 and 2 bytes keep the rest of the register. */
  const writeRegister = (register: number, source: number) => {
    if (size === 8) emit(OP.MOV64, register, source);
    else if (size === 4) emit(OP.MOV32, register, source);
    else emit(OP.INSERT, register, source, 0, size);
  };
  // ah … bh do not occur in this text; a byte register without REX above 3 is refused rather than misread.
  if (
    size === 1 &&
    !insn.rex &&
    ((insn.rm >= 4 && insn.rm < 8) ||
      (row.digit < 0 &&
        row.modrm &&
        insn.reg >= 4 &&
        insn.reg < 8 &&
        row.operands.some((o) => o.place === 'G' && o.size === 'b')))
  ) {
    emit(OP.TRAP, 0, 0, 0);
    return true;
  }
  switch (name) {
    case 'nop':
    case 'endbr64':
    case 'ibhf':
    case 'lfence':
    case 'pause':
      return false;
    case 'mov':
      return liftMov();
    case 'lea':
      if (size === 8) emitEa(insn.reg);
      else {
        emitEa(T);
        writeRegister(insn.reg, T);
      }
      return false;
    case 'add':
    case 'or':
    case 'adc':
    case 'sbb':
    case 'and':
    case 'sub':
    case 'xor':
    case 'cmp':
    case 'test':
      return liftAlu();
    case 'not':
    case 'neg':
    case 'inc':
    case 'dec':
      modify((register) => emit(OP.UNARY, register, 0, UNARY_OPS.indexOf(name), size));
      return false;
    case 'rol':
    case 'ror':
    case 'shl':
    case 'shr':
    case 'sar': {
      const last = row.operands[1]!.place;
      const count = last === 'CL' ? 0xff : last === '1' ? 1 : insn.imm & 0x3f;
      modify((register) => emit(OP.SHIFT, register, 0, SHIFT_OPS.indexOf(name), size | (count << 8)));
      return false;
    }
    case 'shlx':
    case 'shrx':
    case 'sarx':
      if (insn.memory) load(T, size);
      emit(
        OP.SHIFTX,
        insn.reg,
        insn.memory ? T : insn.rm,
        SHIFT_OPS.indexOf(name.slice(0, 3) as 'shl'),
        size | (insn.vvvv << 8),
      );
      return false;
    case 'imul':
      if (row.operands.length === 1) return liftWide();
      if (size === 2) return undefinedHere();
      if (insn.memory) load(T, size);
      if (row.operands.length === 3) {
        emit(OP.MOV64, EA, insn.memory ? T : insn.rm);
        emit(OP.MOVI, T, 0, insn.imm, insn.imm >> 31);
        emit(size === 8 ? OP.IMUL64 : OP.IMUL32, EA, T);
        writeRegister(insn.reg, EA);
      } else emit(size === 8 ? OP.IMUL64 : OP.IMUL32, insn.reg, insn.memory ? T : insn.rm);
      return false;
    case 'mul':
    case 'div':
    case 'idiv':
      return liftWide();
    case 'bswap':
      emit(OP.BSWAP, insn.rm, 0, 0, size);
      return false;
    case 'movzx':
    case 'movsx':
    case 'movsxd': {
      const from = row.operands[1]!.size === 'b' ? 1 : row.operands[1]!.size === 'w' ? 2 : 4;
      const signed = name === 'movzx' ? from : -from;
      if (insn.memory) {
        load(T, signed);
        writeRegister(insn.reg, T);
      } else emit(OP.EXTEND, insn.reg, insn.rm, signed, size);
      return false;
    }
    case 'cdq':
      emit(OP.SIGN, 2, 0, 0, size);
      return false;
    case 'cwde':
      emit(OP.EXTEND, 0, 0, size === 8 ? -4 : size === 4 ? -2 : -1, size);
      return false;
    case 'xchg':
    case 'xadd':
    case 'cmpxchg': {
      if (size < 4) return undefinedHere();
      const op = name === 'xchg' ? OP.XCHG : name === 'xadd' ? OP.XADD : OP.CMPXCHG;
      if (insn.memory) {
        const at = place();
        emit(LOADS[size]!, T, at[0], at[1]);
        // Storing what was read checks the place before any register changes.
        store(T, size, at);
        emit(op, T, insn.reg, 0, size);
        store(T, size, at);
      } else if (name === 'xchg') emit(op, insn.rm, insn.reg, 0, size);
      else return undefinedHere();
      return false;
    }
    case 'push':
      if (row.plusRegister) emit(OP.PUSH, 0, insn.rm);
      else if (row.immediate !== 0) {
        emit(OP.MOVI, T, 0, insn.imm, insn.imm >> 31);
        emit(OP.PUSH, 0, T);
      } else {
        if (insn.memory) load(T, 8);
        emit(OP.PUSH, 0, insn.memory ? T : insn.rm);
      }
      return false;
    case 'pop':
      if (insn.memory) return undefinedHere();
      emit(OP.POP, insn.rm, 0);
      return false;
    case 'leave':
      emit(OP.LEAVE, 0, 0);
      return false;
    case 'call':
    case 'jmp': {
      const call = name === 'call';
      if (row.operands[0]!.place === 'J') emit(call ? OP.CALL : OP.JMP, 0, 0, (n + insn.imm) | 0);
      else {
        if (insn.memory) load(T, 8);
        emit(call ? OP.CALLR : OP.JMPR, 0, insn.memory ? T : insn.rm);
      }
      return true;
    }
    case 'ret':
      emit(OP.RET, 0, 0, insn.imm & 0xffff);
      return true;
    case 'vmcall':
      emit(OP.VMCALL, 0, 0);
      return true;
    case 'int3':
      emit(OP.TRAP, 0, 0, 1);
      return true;
    case 'hlt':
      emit(OP.TRAP, 0, 0, 2);
      return true;
    default:
      if (row.condition >= 0) return liftConditional();
      return undefinedHere();
  }

  function undefinedHere(): boolean {
    emit(OP.TRAP, 0, 0, 0);
    return true;
  }

  /** Read, change and write back the first operand. */
  function modify(change: (register: number) => void): void {
    if (!insn.memory) {
      change(insn.rm);
      return;
    }
    const at = place();
    emit(LOADS[size]!, T, at[0], at[1]);
    change(T);
    store(T, size, at);
  }

  function liftMov(): boolean {
    const [to, from] = row.operands;
    if (from!.place === 'I') {
      const high = row.immediate === 'v' ? (size === 8 ? insn.immHigh : 0) : insn.imm >> 31;
      if (!insn.memory && size >= 4) {
        emit(OP.MOVI, insn.rm, 0, insn.imm, size === 8 ? high : 0);
        return false;
      }
      emit(OP.MOVI, T, 0, insn.imm, high);
      if (insn.memory) store(T, size, place());
      else writeRegister(insn.rm, T);
    } else if (to!.place === 'E') {
      if (insn.memory) store(insn.reg, size, place());
      else writeRegister(insn.rm, insn.reg);
    } else if (!insn.memory) writeRegister(insn.reg, insn.rm);
    else if (size >= 4) load(insn.reg, size);
    else {
      load(T, size);
      writeRegister(insn.reg, T);
    }
    return false;
  }

  function liftAlu(): boolean {
    const [to, from] = row.operands;
    const immediate = from!.place === 'I';
    const discards = name === 'cmp' || name === 'test';
    const direct = size >= 4 ? DIRECT[name] : undefined;
    const operate = (d: number, s: number) => {
      if (immediate && direct !== undefined) emit(direct[size === 8 ? 2 : 3]!, d, 0, insn.imm, insn.imm >> 31);
      else if (direct !== undefined) emit(direct[size === 8 ? 0 : 1]!, d, s);
      else {
        let source = s;
        if (immediate) {
          source = EA;
          emit(OP.MOVI, EA, 0, insn.imm, insn.imm >> 31);
        }
        emit(OP.ALU, d, source, ALU_OPS.indexOf(name as 'add'), size);
      }
    };
    if (to!.place === 'AL' || to!.place === 'rAX') operate(0, 0);
    else if (to!.place === 'G') {
      if (insn.memory) load(T, size);
      operate(insn.reg, insn.memory ? T : insn.rm);
    } else if (!insn.memory) operate(insn.rm, insn.reg);
    else {
      const at = place();
      emit(LOADS[size]!, T, at[0], at[1]);
      if (immediate && direct === undefined) {
        // EA may hold the address: keep the immediate apart by doing the address again.
        emit(OP.MOVI, EA, 0, insn.imm, insn.imm >> 31);
        emit(OP.ALU, T, EA, ALU_OPS.indexOf(name as 'add'), size);
        if (!discards) store(T, size, place());
      } else {
        operate(T, insn.reg);
        if (!discards) store(T, size, at);
      }
    }
    return false;
  }

  function liftWide(): boolean {
    if (size < 4) return undefinedHere();
    if (insn.memory) load(T, size);
    emit(OP.WIDE, 0, insn.memory ? T : insn.rm, WIDE_OPS.indexOf(name as 'mul'), size);
    return false;
  }

  function liftConditional(): boolean {
    const place0 = row.operands[0]!.place;
    if (place0 === 'J') {
      emit(OP.JCC, row.condition, 0, (n + insn.imm) | 0);
      return true;
    }
    if (name.startsWith('cmov')) {
      if (size < 4) return undefinedHere();
      if (insn.memory) load(T, size);
      emit(OP.CMOV, insn.reg, insn.memory ? T : insn.rm, row.condition, size);
      return false;
    }
    emit(OP.SET, T, 0, row.condition);
    if (insn.memory) store(T, 1, place());
    else emit(OP.INSERT, insn.rm, T, 0, 1);
    return false;
  }
}
