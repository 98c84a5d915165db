import { Random } from '../base/index.ts';
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
  SIZE,
  SRC_X,
  sizeInBytes,
} from '../bpf/index.ts';
import { ARITHMETIC, CONDITIONS, COUNTER, DEEPEST, FRAME, SHIFTS, SIZES } from './_operations.ts';

/** A program that no verifier would refuse for what it does: every register is set, every access lies inside, every loop ends. */
export interface GeneratedProgram {
  insns: Insn[];
  memory: Uint8Array;
}

const MEMORY = 64;
/** R9 points to the memory; R0 … R7 are anybody's. */
const POINTER = 9;
const FREE = 8;
const STACK_SLOTS = 8;

const SIMPLE = [...ARITHMETIC, ALU.MOV] as const;
const ATOMICS = [
  ALU.ADD,
  ALU.OR,
  ALU.AND,
  ALU.XOR,
  ALU.ADD | ATOMIC.FETCH,
  ALU.OR | ATOMIC.FETCH,
  ALU.AND | ATOMIC.FETCH,
  ALU.XOR | ATOMIC.FETCH,
  ATOMIC.XCHG,
  ATOMIC.CMPXCHG,
] as const;
/** Values where arithmetic turns. */
const EDGES = [0, 1, -1, 2, 31, 32, 63, 127, 128, -128, -129, 255, 0x7fff, 0x8000, 0x7fffffff, -0x80000000] as const;

/** A random program of `length` instructions or so, from a seed: the same on every platform. */
export function generate(seed: number, length = 40): GeneratedProgram {
  const random = new Random(seed);
  const memory = Uint8Array.from({ length: MEMORY }, () => random.below(256));
  const functions = 1 + random.below(3);
  const bodies = Array.from({ length: functions }, (_, n) => new Writer(random, n, functions).write(length));
  // Calls name the function; now that all are laid out, the distance.
  const starts: number[] = [];
  let at = 0;
  for (const body of bodies) {
    starts.push(at);
    at += body.length;
  }
  const insns = bodies.flat();
  insns.forEach((insn, i) => {
    if (insn.code === CALL && insn.src === PSEUDO_CALL) insn.imm = starts[insn.imm]! - i - 1;
  });
  return { insns, memory };
}

class Writer {
  readonly #out: Insn[] = [];
  readonly #random: Random;
  readonly #index: number;
  readonly #functions: number;
  #looping = false;

  constructor(random: Random, index: number, functions: number) {
    this.#random = random;
    this.#index = index;
    this.#functions = functions;
  }

  write(length: number): Insn[] {
    this.#emit(CLASS.ALU64 | ALU.MOV | SRC_X, POINTER, 1);
    for (let register = 0; register < FREE; register++) {
      // A callee keeps the arguments that it got.
      if (this.#index === 0 || register === 0 || register > 5) this.#constant(register);
    }
    this.#emit(CLASS.ALU64 | ALU.MOV, COUNTER, 0, 0, 0);
    for (let slot = 1; slot <= STACK_SLOTS; slot++)
      this.#emit(CLASS.STX | MODE.MEM | SIZE.DW, FRAME, slot % FREE, -8 * slot);
    this.#block(length, 0);
    for (let register = 1; register < FREE; register++) this.#emit(CLASS.ALU64 | ALU.XOR | SRC_X, 0, register);
    this.#emit(EXIT, 0);
    return this.#out;
  }

  #emit(code: number, dst: number, src = 0, off = 0, imm = 0): void {
    this.#out.push({ code, dst, src, off, imm });
  }

  #register(): number {
    return this.#random.below(FREE);
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.#random.below(from.length)]!;
  }

  #value(): number {
    return this.#random.below(2) === 0 ? this.#pick(EDGES) : this.#random.below(0x1_0000_0000) | 0;
  }

  #constant(register: number): void {
    if (this.#random.below(2) === 0) {
      this.#emit(LD_IMM64, register, 0, 0, this.#value());
      this.#emit(0, 0, 0, 0, this.#value());
    } else this.#emit((this.#random.below(2) === 0 ? CLASS.ALU : CLASS.ALU64) | ALU.MOV, register, 0, 0, this.#value());
  }

  #block(length: number, depth: number): void {
    const end = this.#out.length + length;
    while (this.#out.length < end) {
      const choice = this.#random.below(20);
      if (choice < 9) this.#arithmetic();
      else if (choice < 15) this.#memory();
      else if (choice < 16) this.#constant(this.#register());
      else if (choice < 18 && depth < DEEPEST) this.#branch(depth);
      else if (choice < 19 && depth < DEEPEST && !this.#looping) this.#loop(depth);
      else if (choice < 20 && this.#index + 1 < this.#functions && !this.#looping) this.#call();
    }
  }

  #arithmetic(): void {
    const kind = this.#random.below(2) === 0 ? CLASS.ALU : CLASS.ALU64;
    const dst = this.#register();
    const src = this.#register();
    const bits = kind === CLASS.ALU ? 32 : 64;
    switch (this.#random.below(8)) {
      case 0:
        this.#emit(kind | this.#pick(SHIFTS), dst, 0, 0, this.#random.below(bits));
        break;
      case 1:
        this.#emit(kind | this.#pick(SHIFTS) | SRC_X, dst, src);
        break;
      case 2: {
        const op = this.#pick([ALU.DIV, ALU.MOD] as const);
        const off = this.#random.below(2);
        if (this.#random.below(2) === 0) this.#emit(kind | op | SRC_X, dst, src, off);
        else this.#emit(kind | op, dst, 0, off, this.#value() || 7);
        break;
      }
      case 3:
        this.#emit(
          this.#pick([CLASS.ALU, CLASS.ALU | SRC_X, CLASS.ALU64] as const) | ALU.END,
          dst,
          0,
          0,
          this.#pick([16, 32, 64] as const),
        );
        break;
      case 4:
        if (this.#random.below(2) === 0) this.#emit(kind | ALU.NEG, dst);
        else this.#emit(kind | ALU.MOV | SRC_X, dst, src, this.#pick(bits === 64 ? [8, 16, 32] : [8, 16]));
        break;
      case 5:
        this.#emit(kind | this.#pick(SIMPLE), dst, 0, 0, this.#value());
        break;
      default:
        this.#emit(kind | this.#pick(SIMPLE) | SRC_X, dst, src);
    }
  }

  #memory(): void {
    const size = this.#pick(SIZES);
    const bytes = sizeInBytes(size);
    const onStack = this.#random.below(2) === 0;
    const base = onStack ? FRAME : POINTER;
    const room = onStack ? 8 * STACK_SLOTS : MEMORY;
    const place = (align: number) => this.#random.below(room / align) * align - (onStack ? room : 0);
    const register = this.#register();
    switch (this.#random.below(5)) {
      case 0:
        this.#emit(CLASS.LDX | MODE.MEM | size, register, base, place(onStack ? bytes : 1) & -bytes);
        break;
      case 1:
        this.#emit(CLASS.LDX | (bytes === 8 ? MODE.MEM : MODE.MEMSX) | size, register, base, place(bytes));
        break;
      case 2:
        this.#emit(CLASS.ST | MODE.MEM | size, base, 0, place(bytes), this.#value());
        break;
      case 3:
        this.#emit(CLASS.STX | MODE.MEM | size, base, register, place(bytes));
        break;
      default: {
        const wide = this.#random.below(2) === 0;
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

  /** `if (condition) skip a block`, at times with an else. */
  #branch(depth: number): void {
    const kind = this.#random.below(2) === 0 ? CLASS.JMP : CLASS.JMP32;
    const at = this.#out.length;
    if (this.#random.below(2) === 0)
      this.#emit(kind | this.#pick(CONDITIONS) | SRC_X, this.#register(), this.#register());
    else this.#emit(kind | this.#pick(CONDITIONS), this.#register(), 0, 0, this.#value());
    this.#block(1 + this.#random.below(12), depth + 1);
    const hasElse = this.#random.below(2) === 0;
    const skip = this.#out.length;
    const far = this.#random.below(2) === 0;
    if (hasElse) this.#emit((far ? CLASS.JMP32 : CLASS.JMP) | JMP.JA, 0);
    this.#out[at]!.off = this.#out.length - at - 1;
    if (!hasElse) return;
    this.#block(1 + this.#random.below(6), depth + 1);
    this.#out[skip]![far ? 'imm' : 'off'] = this.#out.length - skip - 1;
  }

  #loop(depth: number): void {
    this.#looping = true;
    this.#emit(CLASS.ALU64 | ALU.MOV, COUNTER, 0, 0, 1 + this.#random.below(5));
    const start = this.#out.length;
    this.#block(1 + this.#random.below(8), depth + 1);
    this.#emit(CLASS.ALU64 | ALU.SUB, COUNTER, 0, 0, 1);
    this.#emit(CLASS.JMP | JMP.JNE, COUNTER, 0, start - this.#out.length - 1, 0);
    this.#looping = false;
  }

  /** A call of a later function; R1 is the memory there, and R1 … R5 are nobody's afterwards. */
  #call(): void {
    this.#emit(CLASS.ALU64 | ALU.MOV | SRC_X, 1, POINTER);
    const callee = this.#index + 1 + this.#random.below(this.#functions - this.#index - 1);
    this.#emit(CALL, 0, PSEUDO_CALL, 0, callee);
    for (let register = 1; register <= 5; register++) this.#constant(register);
  }
}
