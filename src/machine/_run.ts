import { add32, add64, logic, multiply64, type Registers, sub32, sub64 } from './_arith.ts';
import { coldOp } from './_cold.ts';
import { type Cpu, codeHigh, effectiveAddress, indirect, lookup, Trap, translate } from './_cpu.ts';
import { condition, KIND, setFlags } from './_flags.ts';
import { OP, STRIDE, TRAPS } from './_ops.ts';
import { PERM } from './memory.ts';

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
        case OP.EA:
          effectiveAddress(cpu, d, s, imm, words[pc + 4]!, words[pc + 5]!);
          break;
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
          lo[d] = lo[d]! & lo[s]!;
          hi[d] = hi[d]! & hi[s]!;
          logic(fl, 8, lo[d]!, hi[d]!);
          break;
        case OP.AND64I:
          lo[d] = lo[d]! & imm;
          hi[d] = hi[d]! & (imm >> 31);
          logic(fl, 8, lo[d]!, hi[d]!);
          break;
        case OP.AND32:
          lo[d] = lo[d]! & lo[s]!;
          hi[d] = 0;
          logic(fl, 4, 0, lo[d]!);
          break;
        case OP.AND32I:
          lo[d] = lo[d]! & imm;
          hi[d] = 0;
          logic(fl, 4, 0, lo[d]!);
          break;
        case OP.OR64:
          lo[d] = lo[d]! | lo[s]!;
          hi[d] = hi[d]! | hi[s]!;
          logic(fl, 8, lo[d]!, hi[d]!);
          break;
        case OP.OR64I:
          lo[d] = lo[d]! | imm;
          hi[d] = hi[d]! | (imm >> 31);
          logic(fl, 8, lo[d]!, hi[d]!);
          break;
        case OP.OR32:
          lo[d] = lo[d]! | lo[s]!;
          hi[d] = 0;
          logic(fl, 4, 0, lo[d]!);
          break;
        case OP.OR32I:
          lo[d] = lo[d]! | imm;
          hi[d] = 0;
          logic(fl, 4, 0, lo[d]!);
          break;
        case OP.XOR64:
          lo[d] = lo[d]! ^ lo[s]!;
          hi[d] = hi[d]! ^ hi[s]!;
          logic(fl, 8, lo[d]!, hi[d]!);
          break;
        case OP.XOR64I:
          lo[d] = lo[d]! ^ imm;
          hi[d] = hi[d]! ^ (imm >> 31);
          logic(fl, 8, lo[d]!, hi[d]!);
          break;
        case OP.XOR32:
          lo[d] = lo[d]! ^ lo[s]!;
          hi[d] = 0;
          logic(fl, 4, 0, lo[d]!);
          break;
        case OP.XOR32I:
          lo[d] = lo[d]! ^ imm;
          hi[d] = 0;
          logic(fl, 4, 0, lo[d]!);
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
        case OP.IMUL64:
          setFlags(fl, KIND.MUL, 8, lo[d]!, hi[d]!, lo[s]!, hi[s]!, 0, 0);
          multiply64(cpu, d, s);
          break;
        case OP.IMUL32:
          setFlags(fl, KIND.MUL, 4, lo[d]!, 0, lo[s]!, 0, 0, 0);
          lo[d] = Math.imul(lo[d]!, lo[s]!);
          hi[d] = 0;
          break;
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
          const table = cpu.tables[memory.pageOffset[targetLo >>> 12]! >>> 12];
          next = table === undefined || memory.pageHigh[targetLo >>> 12] !== targetHi ? 0 : table[targetLo & 0xfff]!;
          if (next === 0) {
            next = lookup(cpu, targetLo, targetHi);
            words = cpu.ops.words;
          }
          words = cpu.ops.words;
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
          coldOp(cpu, words[pc]!, d, s, imm, words[pc + 4]!);
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
