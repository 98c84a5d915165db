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
} from '../bpf/index.ts';
import { ConformanceError } from './error.ts';

const SIZES: Record<string, number> = { b: SIZE.B, h: SIZE.H, w: SIZE.W, dw: SIZE.DW };
const ALU_OPS: Record<string, readonly [op: number, off: number]> = {
  add: [ALU.ADD, 0],
  sub: [ALU.SUB, 0],
  mul: [ALU.MUL, 0],
  div: [ALU.DIV, 0],
  sdiv: [ALU.DIV, 1],
  or: [ALU.OR, 0],
  and: [ALU.AND, 0],
  lsh: [ALU.LSH, 0],
  rsh: [ALU.RSH, 0],
  neg: [ALU.NEG, 0],
  mod: [ALU.MOD, 0],
  smod: [ALU.MOD, 1],
  xor: [ALU.XOR, 0],
  mov: [ALU.MOV, 0],
  arsh: [ALU.ARSH, 0],
};
const JUMPS: Record<string, number> = {
  jeq: JMP.JEQ,
  jne: JMP.JNE,
  jgt: JMP.JGT,
  jge: JMP.JGE,
  jlt: JMP.JLT,
  jle: JMP.JLE,
  jset: JMP.JSET,
  jsgt: JMP.JSGT,
  jsge: JMP.JSGE,
  jslt: JMP.JSLT,
  jsle: JMP.JSLE,
};
const ATOMICS: Record<string, number> = { add: ALU.ADD, or: ALU.OR, and: ALU.AND, xor: ALU.XOR };

interface Pending {
  slot: number;
  /** Where a jump or call goes: `+n`, `-n`, or a label. */
  target: string;
  field: 'off' | 'imm';
  line: string;
}

/**
 * Assembles the notation of the bpf_conformance project, one instruction a line: `%r0` … `%r10`, `[%r1+0x2]`, labels
 * `name:`, and `exit` as a label that means the first `exit`.
 * @throws ConformanceError naming the line
 */
export function assemble(lines: readonly string[], name: string): Insn[] {
  const insns: Insn[] = [];
  const labels = new Map<string, number>();
  const pending: Pending[] = [];
  const emit = (code: number, dst = 0, src = 0, off = 0, imm = 0) => insns.push({ code, dst, src, off, imm });
  for (const line of lines) {
    const label = /^(\w+):\s*(.*)$/.exec(line);
    if (label !== null) labels.set(label[1]!, insns.length);
    const text = label === null ? line : label[2]!;
    if (text === '') continue;
    const bad = (why: string) => new ConformanceError(`${why} in '${text}'`, name, 'unreadable');
    if (
      !assembleLine(text, emit, bad, (target, field) => pending.push({ slot: insns.length, target, field, line: text }))
    )
      throw bad('unknown instruction');
  }
  const firstExit = insns.findIndex(({ code }) => code === EXIT);
  if (!labels.has('exit') && firstExit >= 0) labels.set('exit', firstExit);
  for (const { slot, target, field, line } of pending) {
    const relative = /^[+-]/.test(target) ? Number(target) : undefined;
    const place = relative ?? (labels.has(target) ? labels.get(target)! - slot - 1 : undefined);
    if (place === undefined) throw new ConformanceError(`unknown label '${target}' in '${line}'`, name);
    insns[slot]![field] = place;
  }
  return insns;
}

type Emit = (code: number, dst?: number, src?: number, off?: number, imm?: number) => void;

function assembleLine(
  text: string,
  emit: Emit,
  bad: (why: string) => ConformanceError,
  jump: (target: string, field: 'off' | 'imm') => void,
): boolean {
  const [head = '', ...rest] = text.split(/[\s,]+/);
  if (head === 'exit') {
    emit(EXIT);
    return true;
  }
  if (head === 'call') return assembleCall(rest, emit, bad, jump);
  if (head === 'lock') return assembleAtomic(rest, emit, bad);
  const unconditional = /^ja(32)?$/.exec(head);
  if (unconditional !== null) {
    const wide = unconditional[1] !== undefined;
    jump(rest[0] ?? '', wide ? 'imm' : 'off');
    emit((wide ? CLASS.JMP32 : CLASS.JMP) | JMP.JA);
    return true;
  }
  const conditional = /^(js?[a-z]{2,3}?)(32)?$/.exec(head);
  const op = conditional === null ? undefined : JUMPS[conditional[1]!];
  if (op !== undefined) {
    const [dst, operand = '', target = ''] = rest;
    jump(target, 'off');
    const kind = (conditional![2] === undefined ? CLASS.JMP : CLASS.JMP32) | op;
    if (operand.startsWith('%')) emit(kind | SRC_X, register(dst, bad), register(operand, bad));
    else emit(kind, register(dst, bad), 0, 0, immediate(operand, bad));
    return true;
  }
  return assembleMemory(head, rest, emit, bad) || assembleAlu(head, rest, emit, bad);
}

function assembleCall(
  rest: readonly string[],
  emit: Emit,
  bad: (why: string) => ConformanceError,
  jump: (target: string, field: 'off' | 'imm') => void,
): boolean {
  const [first = '', second = ''] = rest;
  if (first === 'local') {
    jump(second, 'imm');
    emit(CALL, 0, PSEUDO_CALL);
  } else if (first.startsWith('%')) emit(CALL | SRC_X, register(first, bad));
  else emit(CALL, 0, 0, 0, immediate(first === 'helper' ? second : first, bad));
  return true;
}

function assembleAtomic(words: readonly string[], emit: Emit, bad: (why: string) => ConformanceError): boolean {
  const fetch = words[0] === 'fetch';
  const [head = '', place, value] = fetch ? words.slice(1) : words;
  const match = /^(add|or|and|xor|xchg|cmpxchg)(32)?$/.exec(head);
  if (match === null) return false;
  const size = match[2] === undefined ? SIZE.DW : SIZE.W;
  const op = match[1]!;
  const imm =
    op === 'xchg' ? ATOMIC.XCHG : op === 'cmpxchg' ? ATOMIC.CMPXCHG : ATOMICS[op]! | (fetch ? ATOMIC.FETCH : 0);
  const [base, off] = address(place, bad);
  emit(CLASS.STX | MODE.ATOMIC | size, base, register(value, bad), off, imm);
  return true;
}

function assembleMemory(
  head: string,
  rest: readonly string[],
  emit: Emit,
  bad: (why: string) => ConformanceError,
): boolean {
  if (head === 'lddw') {
    const value = BigInt.asUintN(64, big(rest[1] ?? '', bad));
    emit(LD_IMM64, register(rest[0], bad), 0, 0, Number(BigInt.asIntN(32, value)));
    emit(0, 0, 0, 0, Number(BigInt.asIntN(32, value >> 32n)));
    return true;
  }
  const match = /^(ldxs|ldx|stx|st)(b|h|w|dw)$/.exec(head);
  if (match === null) return false;
  const size = SIZES[match[2]!]!;
  if (match[1]!.startsWith('ldx')) {
    const [base, off] = address(rest[1], bad);
    const mode = match[1] === 'ldxs' ? MODE.MEMSX : MODE.MEM;
    emit(CLASS.LDX | mode | size, register(rest[0], bad), base, off);
  } else {
    const [base, off] = address(rest[0], bad);
    if (match[1] === 'stx') emit(CLASS.STX | MODE.MEM | size, base, register(rest[1], bad), off);
    else emit(CLASS.ST | MODE.MEM | size, base, 0, off, immediate(rest[1] ?? '', bad));
  }
  return true;
}

function assembleAlu(
  head: string,
  rest: readonly string[],
  emit: Emit,
  bad: (why: string) => ConformanceError,
): boolean {
  const dst = () => register(rest[0], bad);
  const swap = /^(le|be|swap|bswap)(16|32|64)$/.exec(head);
  if (swap !== null) {
    const kind = swap[1] === 'le' ? CLASS.ALU : swap[1] === 'be' ? CLASS.ALU | SRC_X : CLASS.ALU64;
    emit(kind | ALU.END, dst(), 0, 0, Number(swap[2]));
    return true;
  }
  const extend = /^movsx(8|16|32)(32|64)$/.exec(head);
  if (extend !== null) {
    emit(
      (extend[2] === '64' ? CLASS.ALU64 : CLASS.ALU) | ALU.MOV | SRC_X,
      dst(),
      register(rest[1], bad),
      Number(extend[1]),
    );
    return true;
  }
  const match = /^([a-z]+)(32|64)?$/.exec(head);
  const known = match === null ? undefined : ALU_OPS[match[1]!];
  if (known === undefined) return false;
  const [op, off] = known;
  const kind = (match![2] === '32' ? CLASS.ALU : CLASS.ALU64) | op;
  if (op === ALU.NEG) emit(kind, dst());
  else if (rest[1]?.startsWith('%')) emit(kind | SRC_X, dst(), register(rest[1], bad), off);
  else emit(kind, dst(), 0, off, immediate(rest[1] ?? '', bad));
  return true;
}

function register(text: string | undefined, bad: (why: string) => ConformanceError): number {
  const match = /^%r(\d|10)$/.exec(text ?? '');
  if (match === null) throw bad(`'${text ?? ''}' is no register`);
  return Number(match[1]);
}

function address(text: string | undefined, bad: (why: string) => ConformanceError): [base: number, off: number] {
  const match = /^\[(%r\d+)([+-](?:0x[0-9a-f]+|\d+))?\]$/i.exec(text ?? '');
  if (match === null) throw bad(`'${text ?? ''}' is no address`);
  const off = match[2] === undefined ? 0 : Number(big(match[2], bad));
  if (off < -32768 || off > 32767) throw bad(`offset ${off} does not fit in 16 bits`);
  return [register(match[1], bad), off];
}

function big(text: string, bad: (why: string) => ConformanceError): bigint {
  const match = /^([+-]?)(0x[0-9a-f]+|\d+)$/i.exec(text);
  if (match === null) throw bad(`'${text}' is no number`);
  return match[1] === '-' ? -BigInt(match[2]!) : BigInt(match[2]!);
}

const immediate = (text: string, bad: (why: string) => ConformanceError): number =>
  Number(BigInt.asIntN(32, big(text, bad)));
