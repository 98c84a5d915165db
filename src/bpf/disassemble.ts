import type { Insn } from './insn.ts';
import { HELPERS } from './names.table.ts';
import {
  ALU,
  ATOMIC,
  CALL,
  CLASS,
  EXIT,
  JMP,
  LD_IMM64,
  MODE,
  PSEUDO,
  PSEUDO_CALL,
  PSEUDO_KFUNC_CALL,
  SIZE,
  SRC_X,
} from './opcodes.ts';

/** What stands for an operand that only its context can name; undefined leaves the plain form. */
export interface OperandNames {
  /** Callee of the call at `index`. */
  call?(insn: Insn, index: number): string | undefined;
  /** Value of the 64-bit immediate load at `index`. */
  imm64?(insn: Insn, index: number): string | undefined;
}

const ALU_SIGNS: Record<number, string> = {
  [ALU.ADD]: '+=',
  [ALU.SUB]: '-=',
  [ALU.MUL]: '*=',
  [ALU.DIV]: '/=',
  [ALU.OR]: '|=',
  [ALU.AND]: '&=',
  [ALU.LSH]: '<<=',
  [ALU.RSH]: '>>=',
  [ALU.MOD]: '%=',
  [ALU.XOR]: '^=',
  [ALU.MOV]: '=',
  [ALU.ARSH]: 's>>=',
};
const JMP_SIGNS: Record<number, string> = {
  [JMP.JEQ]: '==',
  [JMP.JGT]: '>',
  [JMP.JLT]: '<',
  [JMP.JGE]: '>=',
  [JMP.JLE]: '<=',
  [JMP.JSET]: '&',
  [JMP.JNE]: '!=',
  [JMP.JSGT]: 's>',
  [JMP.JSLT]: 's<',
  [JMP.JSGE]: 's>=',
  [JMP.JSLE]: 's<=',
};
const ATOMIC_WORDS: Record<number, string> = { [ALU.ADD]: 'add', [ALU.AND]: 'and', [ALU.OR]: 'or', [ALU.XOR]: 'xor' };
const SIZES: Record<number, string> = { [SIZE.W]: 'u32', [SIZE.H]: 'u16', [SIZE.B]: 'u8', [SIZE.DW]: 'u64' };

const signed = (value: number) => (value < 0 ? `${value}` : `+${value}`);
const hex = (value: number) => `0x${(value >>> 0).toString(16)}`;

/**
 * One instruction in the words of kernel/bpf/disasm.c (6.18), without the leading `(opcode)`.
 * The second slot of a 64-bit load is `insns[index + 1]`.
 */
export function disassemble(insns: readonly Insn[], index: number, names: OperandNames = {}): string {
  const insn = insns[index]!;
  const { code, dst, src, off, imm } = insn;
  const size = SIZES[code & 0x18]!;
  switch (code & 7) {
    case CLASS.ALU:
    case CLASS.ALU64:
      return aluText(insn);
    case CLASS.LDX: {
      const mode = code & 0xe0;
      const type = mode === MODE.MEMSX || mode === MODE.PROBE_MEMSX ? size.replace('u', 's') : size;
      return `r${dst} = *(${type} *)(r${src} ${signed(off)})`;
    }
    case CLASS.ST:
      return (code & 0xe0) === MODE.NOSPEC ? 'nospec' : `*(${size} *)(r${dst} ${signed(off)}) = ${imm}`;
    case CLASS.STX:
      return (code & 0xe0) === MODE.ATOMIC || (code & 0xe0) === MODE.PROBE_ATOMIC
        ? atomicText(insn, size)
        : `*(${size} *)(r${dst} ${signed(off)}) = r${src}`;
    case CLASS.LD:
      if (code === LD_IMM64) return `r${dst} = ${names.imm64?.(insn, index) ?? imm64Text(insn, insns[index + 1])}`;
      if ((code & 0xe0) === MODE.ABS) return `r0 = *(${size} *)skb[${imm}]`;
      if ((code & 0xe0) === MODE.IND) return `r0 = *(${size} *)skb[r${src} + ${imm}]`;
      return `BUG_ld_${code.toString(16).padStart(2, '0')}`;
    default:
      return jumpText(insn, index, names);
  }
}

function imm64Text(insn: Insn, second: Insn | undefined): string {
  const value = (BigInt((second?.imm ?? 0) >>> 0) << 32n) | BigInt(insn.imm >>> 0);
  switch (insn.src) {
    case PSEUDO.MAP_FD:
      return `map[fd:${insn.imm}]`;
    case PSEUDO.MAP_VALUE:
      return `map[fd:${insn.imm}][0]+${second?.imm ?? 0}`;
    case PSEUDO.BTF_ID:
      return `btf_id:${insn.imm}`;
    case PSEUDO.FUNC:
      return `subprog[${signed(insn.imm)}]`;
    default:
      return `0x${value.toString(16)}`;
  }
}

function aluText({ code, dst, src, off, imm }: Insn): string {
  const wide = (code & 7) === CLASS.ALU64;
  const reg = wide ? 'r' : 'w';
  const op = code & 0xf0;
  if (op === ALU.END) {
    const verb = wide ? 'bswap' : (code & SRC_X) !== 0 ? 'be' : 'le';
    return `r${dst} = ${verb}${imm} r${dst}`;
  }
  if (op === ALU.NEG) return `${reg}${dst} = -${reg}${dst}`;
  if (code === (CLASS.ALU64 | ALU.MOV | SRC_X) && off === 1)
    return `r${dst} = addr_space_cast(r${src}, ${imm >>> 16}, ${imm & 0xffff})`;
  if (code === (CLASS.ALU64 | ALU.MOV | SRC_X) && off === -1) return `r${dst} = &(void __percpu *)(r${src})`;
  const sign = (op === ALU.DIV || op === ALU.MOD) && off === 1 ? `s${ALU_SIGNS[op]}` : ALU_SIGNS[op];
  if ((code & SRC_X) === 0) return `${reg}${dst} ${sign} ${imm}`;
  const cast = op === ALU.MOV && (off === 8 || off === 16 || off === 32) ? `(s${off})` : '';
  return `${reg}${dst} ${sign} ${cast}${reg}${src}`;
}

function atomicText({ code, dst, src, off, imm }: Insn, size: string): string {
  const place = `(${size} *)(r${dst} ${signed(off)})`;
  const wide = (code & 0x18) === SIZE.DW ? '64' : '';
  if (imm === ATOMIC.XCHG) return `r${src} = atomic${wide}_xchg(${place}, r${src})`;
  if (imm === ATOMIC.CMPXCHG) return `r0 = atomic${wide}_cmpxchg(${place}, r0, r${src})`;
  if (imm === ATOMIC.LOAD_ACQ) return `r${dst} = load_acquire((${size} *)(r${src} ${signed(off)}))`;
  if (imm === ATOMIC.STORE_REL) return `store_release(${place}, r${src})`;
  if ((imm & ATOMIC.FETCH) !== 0) return `r${src} = atomic${wide}_fetch_${ATOMIC_WORDS[imm & 0xf0]}(${place}, r${src})`;
  return `lock *${place} ${ALU_SIGNS[imm & 0xf0]} r${src}`;
}

function jumpText(insn: Insn, index: number, names: OperandNames): string {
  const { code, dst, src, off, imm } = insn;
  const reg = (code & 7) === CLASS.JMP32 ? 'w' : 'r';
  const op = code & 0xf0;
  if (code === CALL) {
    const name = names.call?.(insn, index);
    if (name !== undefined) return `call ${name}`;
    if (src === PSEUDO_CALL) return `call pc${signed(imm)}`;
    return src === PSEUDO_KFUNC_CALL ? `call kernel-function#${imm}` : `call ${helperName(imm)}#${imm}`;
  }
  if (code === EXIT) return 'exit';
  if (code === (CLASS.JMP | JMP.TAIL_CALL)) return 'tail_call';
  if (code === (CLASS.JMP | JMP.JA)) return `goto pc${signed(off)}`;
  if (code === (CLASS.JMP32 | JMP.JA)) return `gotol pc${signed(imm)}`;
  if (op === JMP.JCOND) return `may_goto pc${signed(off)}`;
  return `if ${reg}${dst} ${JMP_SIGNS[op] ?? '?'} ${(code & SRC_X) !== 0 ? `${reg}${src}` : hex(imm)} goto pc${signed(off)}`;
}

/** `bpf_map_lookup_elem`, or `unknown`. */
export function helperName(id: number): string {
  const name = HELPERS[id];
  return name === undefined || id === 0 ? 'unknown' : `bpf_${name}`;
}
