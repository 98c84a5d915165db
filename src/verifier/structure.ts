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
} from '../bpf/index.ts';
import { BPF_COMPLEXITY_LIMIT_INSNS } from './core/reg_types.table.ts';
import { VerifierError } from './error.ts';

/** One function of a linked program: slots `[start, end)`. */
export interface FunctionRange {
  start: number;
  end: number;
}

const FRAME_POINTER = 10;
/** BPF_MAXINSNS of privileged programs. */

/**
 * What holds for every program that the kernel takes, whatever it does: known opcodes with reserved fields clear, registers
 * that exist, jumps within their function and not into a 64-bit load, no falling off a function's end, calls of functions.
 * Mirrors the checks of resolve_pseudo_ldimm64, check_subprogs, check_cfg and do_check in kernel/bpf/verifier.c (6.12).
 * @returns the functions, main first
 * @throws VerifierError in the kernel's words
 */
export function checkStructure(name: string, insns: readonly Insn[]): FunctionRange[] {
  const fail = (index: number, why: string) => new VerifierError(why, `${name}: insn ${index}`);
  if (insns.length === 0 || insns.length > BPF_COMPLEXITY_LIMIT_INSNS)
    throw fail(0, `${insns.length} instructions (1 … ${BPF_COMPLEXITY_LIMIT_INSNS})`);
  const second = new Uint8Array(insns.length);
  const starts = new Set([0]);
  for (let i = 0; i < insns.length; i++) {
    const insn = insns[i]!;
    const why = checkInsn(insn);
    if (why !== undefined) throw fail(i, why);
    if (insn.code === LD_IMM64) {
      const next = insns[i + 1];
      if (next === undefined || next.code !== 0 || next.dst !== 0 || next.src !== 0 || next.off !== 0)
        throw fail(i, 'invalid bpf_ld_imm64 insn');
      if (insn.src === PSEUDO.FUNC) starts.add(i + 1 + insn.imm);
      second[++i] = 1;
    } else if (insn.code === CALL && insn.src === PSEUDO_CALL) starts.add(i + 1 + insn.imm);
  }
  const order = [...starts].sort((a, b) => a - b);
  for (const start of order)
    if (start < 0 || start >= insns.length || second[start] === 1) throw fail(start, `invalid subprog start ${start}`);
  const functions = order.map((start, n) => ({ start, end: order[n + 1] ?? insns.length }));
  for (const range of functions) checkJumps(insns, second, range, fail);
  checkCallGraph(insns, functions, fail);
  return functions;
}

function checkJumps(
  insns: readonly Insn[],
  second: Uint8Array,
  { start, end }: FunctionRange,
  fail: (index: number, why: string) => VerifierError,
): void {
  for (let i = start; i < end; i++) {
    const distance = jumpDistance(insns[i]!);
    if (distance === undefined) continue;
    const target = i + 1 + distance;
    if (target < start || target >= end) throw fail(i, `jump out of range from insn ${i} to ${target}`);
    if (second[target] === 1) throw fail(i, `jump into the middle of ldimm64 insn ${target - 1}`);
  }
  const last = insns[end - 1]!;
  const leaves = last.code === EXIT || last.code === (CLASS.JMP | JMP.JA) || last.code === (CLASS.JMP32 | JMP.JA);
  if (!leaves && !(last.code === CALL && last.src === 0)) throw fail(end - 1, 'last insn is not an exit or jmp');
}

/** Calls go down: the kernel allows no recursion, and eight frames. */
function checkCallGraph(
  insns: readonly Insn[],
  functions: readonly FunctionRange[],
  fail: (index: number, why: string) => VerifierError,
): void {
  const indexOf = new Map(functions.map(({ start }, i) => [start, i]));
  const callees = functions.map(({ start, end }) => {
    const found: number[] = [];
    for (let i = start; i < end; i++) {
      const insn = insns[i]!;
      if (insn.code === CALL && insn.src === PSEUDO_CALL) found.push(indexOf.get(i + 1 + insn.imm)!);
      if (insn.code === LD_IMM64) i++;
    }
    return found;
  });
  const depth = new Int32Array(functions.length);
  const state = new Uint8Array(functions.length);
  const stack: { at: number; next: number }[] = [{ at: 0, next: 0 }];
  state[0] = 1;
  for (let frame = stack.at(-1); frame !== undefined; frame = stack.at(-1)) {
    const callee = callees[frame.at]![frame.next++];
    if (callee === undefined) {
      state[frame.at] = 2;
      stack.pop();
      const parent = stack.at(-1);
      if (parent !== undefined) depth[parent.at] = Math.max(depth[parent.at]!, depth[frame.at]! + 1);
    } else if (state[callee] === 1)
      throw fail(functions[callee]!.start, `recursive call to function at insn ${functions[callee]!.start}`);
    else if (state[callee] === 2) depth[frame.at] = Math.max(depth[frame.at]!, depth[callee]! + 1);
    else {
      state[callee] = 1;
      stack.push({ at: callee, next: 0 });
    }
    if (depth[0]! >= 8) throw fail(0, `the call stack of ${depth[0]! + 1} frames is too deep`);
  }
}

/** Slots that a jump skips; undefined for what does not jump. */
export function jumpDistance({ code, off, imm }: Insn): number | undefined {
  const kind = code & 7;
  if (kind !== CLASS.JMP && kind !== CLASS.JMP32) return undefined;
  const op = code & 0xf0;
  if (kind === CLASS.JMP && (op === JMP.CALL || op === JMP.EXIT)) return undefined;
  return kind === CLASS.JMP32 && op === JMP.JA ? imm : off;
}

const reserved = (insn: Insn) =>
  `unknown opcode or reserved fields in use: code ${insn.code.toString(16).padStart(2, '0')}`;

function checkInsn(insn: Insn): string | undefined {
  const { code, dst, src, off, imm } = insn;
  const pseudo = code === LD_IMM64 || ((code & 7) === CLASS.JMP && (code & 0xf0) === JMP.CALL);
  if (dst > FRAME_POINTER) return `R${dst} is invalid`;
  if (!pseudo && src > FRAME_POINTER) return `R${src} is invalid`;
  const writes =
    (code & 7) === CLASS.LDX || (code & 7) === CLASS.ALU || (code & 7) === CLASS.ALU64 || code === LD_IMM64;
  if (writes && dst === FRAME_POINTER) return 'frame pointer is read only';
  switch (code & 7) {
    case CLASS.ALU:
    case CLASS.ALU64:
      return checkAlu(insn);
    case CLASS.LDX:
      return ((code & 0xe0) === MODE.MEM || ((code & 0xe0) === MODE.MEMSX && (code & 0x18) !== SIZE.DW)) && imm === 0
        ? undefined
        : `unknown opcode ${code.toString(16)}`;
    case CLASS.ST:
      return (code & 0xe0) === MODE.MEM && src === 0 ? undefined : 'BPF_ST uses reserved fields';
    case CLASS.STX:
      if ((code & 0xe0) === MODE.MEM) return imm === 0 ? undefined : 'BPF_STX uses reserved fields';
      return checkAtomic(insn);
    case CLASS.LD:
      if (code === LD_IMM64) return off === 0 && src <= 6 ? undefined : 'BPF_LD_IMM64 uses reserved fields';
      return `unknown opcode ${code.toString(16).padStart(2, '0')}`;
    default:
      return checkBranch(insn);
  }
}

function checkAlu(insn: Insn): string | undefined {
  const { code, src, off, imm } = insn;
  const op = code & 0xf0;
  const fromRegister = (code & SRC_X) !== 0;
  switch (op) {
    case ALU.END:
      return (imm === 16 || imm === 32 || imm === 64) &&
        src === 0 &&
        off === 0 &&
        !((code & 7) === CLASS.ALU64 && fromRegister)
        ? undefined
        : 'BPF_END uses reserved fields';
    case ALU.NEG:
      return src === 0 && off === 0 && imm === 0 && !fromRegister ? undefined : 'BPF_NEG uses reserved fields';
    case ALU.MOV: {
      if (!fromRegister) return src === 0 && off === 0 ? undefined : 'BPF_MOV uses reserved fields';
      const extends8or16 = off === 0 || off === 8 || off === 16;
      return (extends8or16 || (off === 32 && (code & 7) === CLASS.ALU64)) && imm === 0
        ? undefined
        : 'BPF_MOV uses reserved fields';
    }
    case ALU.LSH:
    case ALU.RSH:
    case ALU.ARSH: {
      const bits = (code & 7) === CLASS.ALU64 ? 64 : 32;
      if (!fromRegister && (imm < 0 || imm >= bits)) return `invalid shift ${imm}`;
      break;
    }
    case ALU.DIV:
    case ALU.MOD:
      if (!fromRegister && imm === 0) return 'div by zero';
      return (off === 0 || off === 1) && (fromRegister ? imm === 0 : src === 0)
        ? undefined
        : 'BPF_ALU uses reserved fields';
    default:
      if (op > ALU.END) return `invalid BPF_ALU opcode ${op.toString(16)}`;
  }
  return off === 0 && (fromRegister ? imm === 0 : src === 0) ? undefined : 'BPF_ALU uses reserved fields';
}

function checkAtomic(insn: Insn): string | undefined {
  const known =
    [ALU.ADD, ALU.AND, ALU.OR, ALU.XOR].some((op) => insn.imm === op || insn.imm === (op | ATOMIC.FETCH)) ||
    insn.imm === ATOMIC.XCHG ||
    insn.imm === ATOMIC.CMPXCHG;
  if ((insn.code & 0xe0) !== MODE.ATOMIC || !known)
    return `BPF_ATOMIC uses invalid atomic opcode ${(insn.imm >>> 0).toString(16).padStart(2, '0')}`;
  const size = insn.code & 0x18;
  return size === SIZE.W || size === SIZE.DW ? undefined : 'invalid atomic operand size';
}

function checkBranch(insn: Insn): string | undefined {
  const { code, dst, src, off, imm } = insn;
  const op = code & 0xf0;
  const wide = (code & 7) === CLASS.JMP;
  const fromRegister = (code & SRC_X) !== 0;
  if (op === JMP.CALL) {
    if (!wide || fromRegister) return `unknown opcode ${code.toString(16)}`;
    return src <= 2 && dst === 0 && (off === 0 || src === 2) ? undefined : 'BPF_CALL uses reserved fields';
  }
  if (op === JMP.EXIT)
    return wide && code === EXIT && dst === 0 && src === 0 && imm === 0 && off === 0
      ? undefined
      : 'BPF_EXIT uses reserved fields';
  if (op === JMP.JA)
    return !fromRegister && src === 0 && dst === 0 && (wide ? imm === 0 : off === 0)
      ? undefined
      : 'BPF_JA uses reserved fields';
  if (op >= JMP.JCOND) return reserved(insn);
  return fromRegister
    ? imm === 0
      ? undefined
      : 'BPF_JMP/JMP32 uses reserved fields'
    : src === 0
      ? undefined
      : 'BPF_JMP/JMP32 uses reserved fields';
}
