import { alu, byteSwap, shift, shiftx, unary, wideOp, writeSized } from './_arith.ts';
import { type Cpu, Trap } from './_cpu.ts';
import { condition } from './_flags.ts';
import { OP, T } from './_ops.ts';

/** The micro-operations that the run loop does not spell out: `more` is their word 4. */
export function coldOp(cpu: Cpu, op: number, d: number, s: number, imm: number, more: number): void {
  const { lo, hi, fl } = cpu;
  switch (op) {
    case OP.ALU:
      alu(cpu, imm, d, s, more);
      return;
    case OP.UNARY:
      unary(cpu, imm, d, more);
      return;
    case OP.SHIFT: {
      shift(cpu, imm, d, more & 0xff, more >> 8 === 0xff ? lo[1]! & 0xff : more >> 8);
      return;
    }
    case OP.SHIFTX:
      shiftx(cpu, imm, d, s, more & 0xff, more >> 8);
      return;
    case OP.WIDE:
      if (!wideOp(cpu, imm, s, more)) throw new Trap({ vector: '#DE' });
      return;
    case OP.BSWAP:
      byteSwap(cpu, d, more);
      return;
    case OP.EXTEND: {
      const value =
        imm === 1
          ? lo[s]! & 0xff
          : imm === 2
            ? lo[s]! & 0xffff
            : imm === -1
              ? (lo[s]! << 24) >> 24
              : imm === -2
                ? (lo[s]! << 16) >> 16
                : lo[s]!;
      writeSized(cpu, d, more, value, imm < 0 ? value >> 31 : 0);
      return;
    }
    case OP.INSERT:
      writeSized(cpu, d, more, lo[s]!, hi[s]!);
      return;
    case OP.CMOV: {
      const wide = more === 8;
      if (condition(fl, imm)) {
        lo[d] = lo[s]!;
        hi[d] = wide ? hi[s]! : 0;
      } else if (!wide) hi[d] = 0;
      return;
    }
    case OP.SET:
      lo[d] = condition(fl, imm) ? 1 : 0;
      hi[d] = 0;
      return;
    case OP.SIGN:
      lo[d] = (more === 8 ? hi[0]! : lo[0]!) >> 31;
      hi[d] = more === 8 ? lo[d]! : 0;
      return;
    case OP.XCHG: {
      const oldLo = lo[d]!;
      const oldHi = hi[d]!;
      writeSized(cpu, d, more, lo[s]!, hi[s]!);
      writeSized(cpu, s, more, oldLo, oldHi);
      return;
    }
    case OP.XADD: {
      const oldLo = lo[d]!;
      const oldHi = hi[d]!;
      alu(cpu, 0, d, s, more);
      writeSized(cpu, s, more, oldLo, oldHi);
      return;
    }
    case OP.CMPXCHG: {
      const size = more;
      alu(cpu, 7, 0, d, size);
      if (condition(fl, 4)) writeSized(cpu, T, size, lo[s]!, hi[s]!);
      else writeSized(cpu, 0, size, lo[T]!, hi[T]!);
      return;
    }
    default:
      throw new Error(`micro-operation ${op} is not known`);
  }
}
