import type { Insn } from '../../bpf/index.ts';
import { MAX_VAR_OFF, signedDecimal } from '../access/numbers.ts';
import * as D from '../domain/index.ts';
import { typeStr } from './log.ts';
import * as T from './reg_types.table.ts';
import { markRegUnknown } from './regs.ts';
import { copyReg, type Env, RegState, reject } from './types.ts';

/** Pointers that may be moved. */
const MOVABLE = new Set([
  T.PTR_TO_CTX,
  T.PTR_TO_MAP_VALUE,
  T.PTR_TO_MAP_KEY,
  T.PTR_TO_STACK,
  T.PTR_TO_PACKET_META,
  T.PTR_TO_PACKET,
  T.PTR_TO_TP_BUFFER,
  T.PTR_TO_BTF_ID,
  T.PTR_TO_MEM,
  T.PTR_TO_BUF,
  T.PTR_TO_FUNC,
  T.CONST_PTR_TO_DYNPTR,
]);

/** Whether `pointer op scalar` keeps a pointer of this type: of maps only + 0, of flow keys only + a constant. */
function movable(base: number, op: number, scalar: RegState): boolean {
  if (MOVABLE.has(base)) return true;
  if (base !== T.PTR_TO_FLOW_KEYS && base !== T.CONST_PTR_TO_MAP) return false;
  if (!D.isConst(scalar)) return false;
  return base === T.PTR_TO_FLOW_KEYS || (op === 0 && (scalar.varLo | scalar.varHi) === 0);
}

/** What makes `reg` too large to move a pointer, in words; null if it is not. */
function insanity(reg: RegState): ((name: string, reg: RegState) => string) | null {
  if (D.isConst(reg) && (reg.varHi !== reg.varLo >> 31 || Math.abs(reg.varLo) >= MAX_VAR_OFF)) return bigValue;
  if (Math.abs(reg.off) >= MAX_VAR_OFF) return bigOffset;
  if (reg.sminLo === 0 && reg.sminHi === -0x80000000) return unbounded;
  if (reg.sminHi !== reg.sminLo >> 31 || reg.sminLo >= MAX_VAR_OFF || reg.sminLo <= -MAX_VAR_OFF) return bigMinimum;
  return null;
}
const bigValue = (name: string, { varLo, varHi }: RegState): string =>
  `math between ${name} pointer and ${signedDecimal(varLo, varHi)} is not allowed`;
const bigOffset = (name: string, { off }: RegState): string => `${name} pointer offset ${off} is not allowed`;
const unbounded = (name: string): string =>
  `math between ${name} pointer and register with unbounded min value is not allowed`;
const bigMinimum = (name: string, { sminLo, sminHi }: RegState): string =>
  `value ${signedDecimal(sminLo, sminHi)} makes ${name} pointer be out of bounds`;

function checkSane(env: Env, reg: RegState, type: number): void {
  const insane = insanity(reg);
  if (insane) reject(env, 'EINVAL', insane(typeStr(type), reg));
}

const delta = new RegState();
const ptr = new RegState();

/** Pointer ± scalar (`adjust_ptr_min_max_vals`): `dstReg` of the instruction becomes the moved pointer. */
export function pointerAlu(env: Env, insn: Insn, pointer: RegState, scalar: RegState, commuted: boolean): void {
  const op = insn.code & 0xf0;
  const dst = env.reg(insn.dst);
  if ((insn.code & 7) === 4) {
    if (op === 0x10 && env.allowPtrLeaks) {
      markRegUnknown(env, dst);
      return;
    }
    reject(env, 'EACCES', `R${insn.dst} 32-bit pointer arithmetic prohibited`);
  }
  if (D.boundsViolation(scalar)) {
    markRegUnknown(env, dst);
    return;
  }
  const type = pointer.type;
  const base = type & T.BASE_TYPE_MASK;
  if (base === T.PTR_TO_ARENA) {
    markRegUnknown(env, dst);
    dst.type = T.PTR_TO_ARENA;
    return;
  }
  if (type & T.PTR_MAYBE_NULL)
    reject(env, 'EACCES', `R${insn.dst} pointer arithmetic on ${typeStr(type)} prohibited, null-check it first`);
  if (base === T.PTR_TO_MEM && type & T.PTR_UNTRUSTED) return;
  if (!movable(base, op, scalar))
    reject(env, 'EACCES', `R${insn.dst} pointer arithmetic on ${typeStr(type)} prohibited`);
  checkSane(env, scalar, type);
  checkSane(env, pointer, type);
  const known = D.isConst(scalar);
  copyReg(delta, scalar);
  copyReg(ptr, pointer);
  const { subregDef } = dst;
  copyReg(dst, ptr);
  dst.subregDef = subregDef;
  if (op === 0x10 && commuted) reject(env, 'EACCES', `R${insn.dst} tried to subtract pointer from scalar`);
  if (op === 0x10 && base === T.PTR_TO_STACK)
    reject(env, 'EACCES', `R${insn.dst} subtraction from stack pointer prohibited`);
  if (op !== 0 && op !== 0x10) {
    if (BITWISE.has(op)) reject(env, 'EACCES', `R${insn.dst} bitwise operator ${ALU_WORDS[op]} on pointer prohibited`);
    reject(env, 'EACCES', `R${insn.dst} pointer arithmetic with ${ALU_WORDS[op]} operator prohibited`);
  }
  const moved = op === 0 ? ptr.off + delta.varLo : ptr.off - delta.varLo;
  if (known && Math.abs(moved) < 0x80000000) dst.off = moved;
  else {
    if (op === 0) D.add(dst, delta, false);
    else D.sub(dst, delta, false);
    if (base === T.PTR_TO_PACKET || base === T.PTR_TO_PACKET_META) {
      dst.id = ++env.idGen;
      if (op === 0 || delta.sminHi < 0) dst.pktRange = 0;
    }
    D.boundsSync(dst);
  }
  if (op === 0x10 && !known) dst.off = ptr.off;
  checkSane(env, dst, type);
}

const BITWISE = new Set([0x40, 0x50, 0xa0]);

/** `bpf_alu_string`. */
export const ALU_WORDS: Readonly<Record<number, string>> = {
  0: '+=',
  16: '-=',
  32: '*=',
  48: '/=',
  64: '|=',
  80: '&=',
  96: '<<=',
  112: '>>=',
  128: 'neg',
  144: '%=',
  160: '^=',
  176: '=',
  192: 's>>=',
  208: 'endian',
};
