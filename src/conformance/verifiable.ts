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
  PSEUDO,
  PSEUDO_CALL,
  SIZE,
  SRC_X,
  sizeInBytes,
} from '../bpf/index.ts';
import { ARITHMETIC, CONDITIONS, COUNTER, DEEPEST, FRAME, SHIFTS, SIZES } from './_operations.ts';

/** Where a program's choices come from: a seeded generator, or a list that a property test shrinks. */
export interface Choices {
  /** An integer from 0 to `bound` - 1. */
  below(bound: number): number;
}

/** Bytes of the one value of map 0, to which R6 points. */
export const VALUE_SIZE = 64;
const SLOTS = 8;
const VALUE = 6;
const POINTER = 9;
/** Registers that hold numbers. */
const SCALARS = [0, 1, 2, 3, 4, 5, 7] as const;
const ATOMICS = [
  ALU.ADD,
  ALU.OR | ATOMIC.FETCH,
  ALU.AND,
  ALU.XOR | ATOMIC.FETCH,
  ALU.ADD | ATOMIC.FETCH,
  ATOMIC.XCHG,
  ATOMIC.CMPXCHG,
] as const;
/** Values where arithmetic turns. */
const EDGES = [0, 1, -1, 2, 7, 8, 15, 31, 32, 56, 63, 64, 127, 255, -128, 0x7fff, 0x7fffffff, -0x80000000] as const;

/**
 * A program for the verifier to judge: numbers read from a map's value, arithmetic, branches, bounded loops, spills, a
 * function, and accesses of the value and the stack at offsets that are computed and checked, well or badly. It may be
 * refused; what it computes depends on the value alone, not on where things lie.
 */
export function verifiableProgram(choices: Choices, length = 24): Insn[] {
  const functions = choices.below(4) === 0 ? 2 : 1;
  const bodies = Array.from({ length: functions }, (_, n) =>
    new Writer(choices, n === 0, n + 1 < functions).write(n === 0 ? length : length >> 1),
  );
  const insns = bodies.flat();
  for (const [i, insn] of insns.entries())
    if (insn.code === CALL && insn.src === PSEUDO_CALL) insn.imm = bodies[0]!.length - i - 1;
  return insns;
}

/** The same instructions with the address of the value in place of the map's reference. */
export function placed(insns: readonly Insn[], valueAddress: bigint): Insn[] {
  const result = insns.map((insn) => ({ ...insn }));
  for (const [i, insn] of result.entries()) {
    if (insn.code !== LD_IMM64 || insn.src !== PSEUDO.MAP_VALUE) continue;
    const next = result[i + 1]!;
    const address = valueAddress + BigInt(next.imm);
    Object.assign(insn, { src: 0, imm: Number(BigInt.asIntN(32, address)) });
    next.imm = Number(BigInt.asIntN(32, address >> 32n));
  }
  return result;
}

class Writer {
  readonly #out: Insn[] = [];
  readonly #choices: Choices;
  readonly #isMain: boolean;
  readonly #calls: boolean;
  #looping = false;

  constructor(choices: Choices, isMain: boolean, calls: boolean) {
    this.#choices = choices;
    this.#isMain = isMain;
    this.#calls = calls;
  }

  write(length: number): Insn[] {
    this.#emit(LD_IMM64, VALUE, PSEUDO.MAP_VALUE);
    this.#emit(0, 0);
    for (const register of SCALARS) if (this.#isMain || register === 0 || register > 5) this.#fill(register);
    this.#emit(CLASS.ALU64 | ALU.MOV, COUNTER, 0, 0, 0);
    for (let slot = 1; slot <= SLOTS; slot++) {
      if (this.#below(2) === 0) this.#emit(CLASS.STX | MODE.MEM | SIZE.DW, FRAME, this.#scalar(), -8 * slot);
      else this.#emit(CLASS.ST | MODE.MEM | SIZE.DW, FRAME, 0, -8 * slot, this.#below(2) === 0 ? 0 : this.#value());
    }
    this.#block(length, 0);
    if (this.#calls && !this.#out.some(({ code, src }) => code === CALL && src === PSEUDO_CALL)) this.#call();
    for (const register of SCALARS.slice(1)) this.#emit(CLASS.ALU64 | ALU.XOR | SRC_X, 0, register);
    this.#emit(EXIT, 0);
    return this.#out;
  }

  #emit(code: number, dst: number, src = 0, off = 0, imm = 0): void {
    this.#out.push({ code, dst, src, off, imm });
  }

  #below(bound: number): number {
    return this.#choices.below(bound);
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#below(from.length)]!;
  }

  #scalar(): number {
    return this.#pick(SCALARS);
  }

  #value(): number {
    return this.#below(3) > 0 ? this.#pick(EDGES) : this.#below(0x1_0000_0000) | 0;
  }

  /** A number: unknown, partly known or constant. */
  #fill(register: number): void {
    const kind = this.#below(5);
    const size = this.#pick(SIZES);
    if (kind < 3) {
      const mode = kind === 2 && size !== SIZE.DW ? MODE.MEMSX : MODE.MEM;
      this.#emit(CLASS.LDX | mode | size, register, VALUE, this.#below(VALUE_SIZE / 8) * 8);
    } else if (kind === 3) this.#emit(this.#pick([CLASS.ALU, CLASS.ALU64]) | ALU.MOV, register, 0, 0, this.#value());
    else {
      this.#emit(LD_IMM64, register, 0, 0, this.#value());
      this.#emit(0, 0, 0, 0, this.#value());
    }
  }

  #block(length: number, depth: number): void {
    const end = this.#out.length + length;
    while (this.#out.length < end) {
      const choice = this.#below(24);
      if (choice < 9) this.#arithmetic();
      else if (choice < 11) this.#copy();
      else if (choice < 14) this.#plainMemory();
      else if (choice < 17) this.#computedAccess();
      else if (choice < 18) this.#fill(this.#scalar());
      else if (choice < 22 && depth < DEEPEST) this.#branch(depth);
      else if (choice < 23 && depth === 0 && !this.#looping) this.#loop();
      else if (this.#calls && !this.#looping) this.#call();
      else this.#arithmetic();
    }
  }

  #arithmetic(): void {
    const kind = this.#pick([CLASS.ALU, CLASS.ALU64]);
    const bits = kind === CLASS.ALU ? 32 : 64;
    const dst = this.#scalar();
    const src = this.#scalar();
    switch (this.#below(9)) {
      case 0:
        this.#emit(kind | this.#pick(SHIFTS), dst, 0, 0, this.#below(bits));
        break;
      case 1:
        this.#emit(kind | this.#pick(SHIFTS) | SRC_X, dst, src);
        break;
      case 2: {
        const op = this.#pick([ALU.DIV, ALU.MOD]);
        const off = this.#below(2);
        if (this.#below(2) === 0) this.#emit(kind | op | SRC_X, dst, src, off);
        else this.#emit(kind | op, dst, 0, off, this.#value() || 7);
        break;
      }
      case 3:
        this.#emit(
          this.#pick([CLASS.ALU, CLASS.ALU | SRC_X, CLASS.ALU64]) | ALU.END,
          dst,
          0,
          0,
          this.#pick([16, 32, 64]),
        );
        break;
      case 4:
        if (this.#below(2) === 0) this.#emit(kind | ALU.NEG, dst);
        else this.#emit(kind | ALU.MOV | SRC_X, dst, src, this.#pick(bits === 64 ? [8, 16, 32] : [8, 16]));
        break;
      case 5:
      case 6:
        this.#emit(kind | this.#pick(ARITHMETIC), dst, 0, 0, this.#value());
        break;
      default:
        this.#emit(kind | this.#pick(ARITHMETIC) | SRC_X, dst, src);
    }
  }

  /** A copy, at times moved by a constant: linked scalars. */
  #copy(): void {
    const dst = this.#scalar();
    this.#emit(this.#pick([CLASS.ALU64, CLASS.ALU64, CLASS.ALU]) | ALU.MOV | SRC_X, dst, this.#scalar());
    if (this.#below(2) === 0)
      this.#emit(this.#pick([CLASS.ALU64, CLASS.ALU]) | ALU.ADD, dst, 0, 0, this.#below(64) - 32);
  }

  /** Loads, stores, spills and fills at constant offsets. */
  #plainMemory(): void {
    const size = this.#pick(SIZES);
    const bytes = sizeInBytes(size);
    const onStack = this.#below(3) > 0;
    const base = onStack ? FRAME : VALUE;
    const room = onStack ? 8 * SLOTS : VALUE_SIZE;
    const place = (align: number) => this.#below(room / align) * align - (onStack ? room : 0);
    const register = this.#scalar();
    switch (this.#below(6)) {
      case 0:
      case 1:
        this.#emit(CLASS.LDX | MODE.MEM | size, register, base, place(bytes));
        break;
      case 2:
        // Not of the stack: Linux takes a spilled number and its sign-extending fill for the same (docs/parity/verifier.md).
        this.#emit(CLASS.LDX | (bytes === 8 || onStack ? MODE.MEM : MODE.MEMSX) | size, register, base, place(bytes));
        break;
      case 3:
        this.#emit(CLASS.ST | MODE.MEM | size, base, 0, place(bytes), this.#value());
        break;
      case 4:
        this.#emit(CLASS.STX | MODE.MEM | size, base, register, place(bytes));
        break;
      default: {
        const wide = this.#below(2) === 0;
        this.#emit(
          CLASS.STX | MODE.ATOMIC | (wide ? SIZE.DW : SIZE.W),
          base,
          register,
          place(wide ? 8 : 4),
          this.#pick(ATOMICS),
        );
      }
    }
  }

  /** An access at an offset that is computed; whether it stays inside is for the verifier to tell. */
  #computedAccess(): void {
    const index = this.#scalar();
    const size = this.#pick(SIZES);
    const bytes = sizeInBytes(size);
    const onStack = this.#below(3) === 0;
    const room = onStack ? 8 * SLOTS : VALUE_SIZE;
    const limit = this.#below(5) === 0 ? room : room - bytes;
    const shift = this.#below(3) === 0 ? Math.log2(bytes) : 0;
    let skip = -1;
    if (this.#below(2) === 0) {
      this.#emit(this.#pick([CLASS.ALU, CLASS.ALU64]) | ALU.AND, index, 0, 0, (room - 1) >> shift);
      if (bytes > 1 && this.#below(4) > 0) this.#emit(CLASS.ALU64 | ALU.AND, index, 0, 0, -bytes);
    } else {
      skip = this.#out.length;
      const kind = this.#pick([CLASS.JMP, CLASS.JMP, CLASS.JMP32]);
      // Below what was written lies stack that the verifier lets be read, whatever it holds.
      const jump = onStack ? JMP.JGT : this.#pick([JMP.JGT, JMP.JGT, JMP.JSGT]);
      this.#emit(kind | jump, index, 0, 0, limit >> shift);
    }
    this.#emit(CLASS.ALU64 | ALU.MOV | SRC_X, POINTER, onStack ? FRAME : VALUE);
    if (onStack) this.#emit(CLASS.ALU64 | ALU.ADD, POINTER, 0, 0, -room);
    if (shift > 0) this.#emit(CLASS.ALU64 | ALU.LSH, index, 0, 0, shift);
    this.#emit(CLASS.ALU64 | ALU.ADD | SRC_X, POINTER, index);
    const target = this.#scalar();
    if (this.#below(2) === 0) this.#emit(CLASS.LDX | MODE.MEM | size, target, POINTER);
    else this.#emit(CLASS.STX | MODE.MEM | size, POINTER, target);
    if (skip >= 0) this.#out[skip]!.off = this.#out.length - skip - 1;
  }

  /** `if (condition) skip a block`, at times with an else. */
  #branch(depth: number): void {
    const kind = this.#pick([CLASS.JMP, CLASS.JMP32]);
    const at = this.#out.length;
    if (this.#below(2) === 0) this.#emit(kind | this.#pick(CONDITIONS) | SRC_X, this.#scalar(), this.#scalar());
    else this.#emit(kind | this.#pick(CONDITIONS), this.#scalar(), 0, 0, this.#value());
    this.#block(1 + this.#below(6), depth + 1);
    const skip = this.#out.length;
    const hasElse = this.#below(2) === 0;
    if (hasElse) this.#emit(CLASS.JMP | JMP.JA, 0);
    this.#out[at]!.off = this.#out.length - at - 1;
    if (!hasElse) return;
    this.#block(1 + this.#below(4), depth + 1);
    this.#out[skip]!.off = this.#out.length - skip - 1;
  }

  #loop(): void {
    this.#looping = true;
    this.#emit(CLASS.ALU64 | ALU.MOV, COUNTER, 0, 0, 1 + this.#below(4));
    const start = this.#out.length;
    this.#block(1 + this.#below(6), DEEPEST);
    this.#emit(CLASS.ALU64 | ALU.SUB, COUNTER, 0, 0, 1);
    this.#emit(CLASS.JMP | JMP.JNE, COUNTER, 0, start - this.#out.length - 1, 0);
    this.#looping = false;
  }

  /** Calls the other function; R1 … R5 are its arguments, and nobody's afterwards. */
  #call(): void {
    this.#emit(CALL, 0, PSEUDO_CALL);
    for (let register = 1; register <= 5; register++) this.#fill(register);
  }
}
