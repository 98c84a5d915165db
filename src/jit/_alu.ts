import { ALU, CLASS, type Insn, SRC_X } from '../bpf/index.ts';
import { REG, type Row, X } from '../x86/index.ts';
import { AUX, isImm8, type JitState, movImm32, movReg } from './_state.ts';

interface Simple {
  reg: Row;
  imm8: Row;
  imm32: Row;
  /** Short form for rax. */
  rax: Row;
}
const simple = (name: 'add' | 'sub' | 'and' | 'or' | 'xor'): Simple => ({
  reg: X[`${name}_EvGv`],
  imm8: X[`${name}_EvIb`],
  imm32: X[`${name}_EvIz`],
  rax: X[`${name}_rAXIz`],
});
const SIMPLE: Record<number, Simple> = {
  [ALU.ADD]: simple('add'),
  [ALU.SUB]: simple('sub'),
  [ALU.AND]: simple('and'),
  [ALU.OR]: simple('or'),
  [ALU.XOR]: simple('xor'),
};

interface Shift {
  imm: Row;
  one: Row;
  cl: Row;
  bmi2: Row;
}
const SHIFTS: Record<number, Shift> = {
  [ALU.LSH]: { imm: X.shl_EvIb, one: X.shl_Ev1, cl: X.shl_EvCL, bmi2: X.shlx_GyEyBy },
  [ALU.RSH]: { imm: X.shr_EvIb, one: X.shr_Ev1, cl: X.shr_EvCL, bmi2: X.shrx_GyEyBy },
  [ALU.ARSH]: { imm: X.sar_EvIb, one: X.sar_Ev1, cl: X.sar_EvCL, bmi2: X.sarx_GyEyBy },
};

/** Register-register row of an operation that atomics share. */
export const simpleRow = (op: number): Row | undefined => SIMPLE[op]?.reg;

/** Instructions of the classes ALU and ALU64; false for one that the kernel's JIT does not know. */
export function emitAlu(state: JitState, insn: Insn): boolean {
  const { e } = state;
  const size = (insn.code & 7) === CLASS.ALU64 ? 8 : 4;
  const op = insn.code & 0xf0;
  const fromRegister = (insn.code & SRC_X) !== 0;
  const dst = state.regs[insn.dst]!;
  const src = state.regs[insn.src]!;
  const { imm } = insn;
  const known = SIMPLE[op];
  if (known !== undefined) {
    if (fromRegister) e.reg(known.reg, size, dst, src);
    else if (isImm8(imm)) e.regImm8(known.imm8, size, dst, imm);
    else if (dst === REG.rax) {
      e.op(known.rax, size);
      e.u32(imm);
    } else e.regImm32(known.imm32, size, dst, imm);
    return true;
  }
  switch (op) {
    case ALU.MOV:
      if ((insn.off === 1 || insn.off === -1) && !state.ctx.era.arenas) return false;
      if (fromRegister) emitMov(state, insn, size, dst, src);
      else movImm32(e, size === 8, dst, imm);
      return true;
    case ALU.NEG:
      e.reg(X.neg_Ev, size, dst);
      return true;
    case ALU.MUL:
      if (fromRegister) e.reg(X.imul_GvEv, size, src, dst);
      else if (isImm8(imm)) e.regImm8(X.imul_GvEvIb, size, dst, imm, dst);
      else e.regImm32(X.imul_GvEvIz, size, dst, imm, dst);
      return true;
    case ALU.DIV:
    case ALU.MOD:
      emitDivide(state, insn, size, dst, src);
      return true;
    case ALU.LSH:
    case ALU.RSH:
    case ALU.ARSH:
      emitShift(state, SHIFTS[op]!, size, dst, fromRegister ? src : -1, imm);
      return true;
    case ALU.END:
      return emitEndian(state, insn, dst);
    default:
      return false;
  }
}

function emitMov({ e, fn, ctx }: JitState, insn: Insn, size: number, dst: number, src: number): void {
  if (size === 8 && insn.off === 1 && insn.imm === 1) {
    // addr_space_cast to user space: 32 bits from src, the upper half from the arena, NULL stays NULL.
    if (dst !== src) movReg(e, 4, dst, src);
    e.regImm8(X.shl_EvIb, 8, dst, 32);
    const high = fn.arena?.userHigh ?? 0;
    if (dst === REG.rax) {
      e.op(X.or_rAXIz, 8);
      e.u32(high);
    } else e.regImm32(X.or_EvIz, 8, dst, high);
    e.regImm8(X.rol_EvIb, 8, dst, 32);
    e.reg(X.xor_EvGv, 8, AUX, AUX);
    e.reg(X.test_EvGv, 4, dst, dst);
    e.reg(X.cmovcc_GvEv[4]!, 8, AUX, dst);
  } else if (size === 8 && insn.off === -1) {
    // Per-CPU address: add this CPU's offset.
    movReg(e, 8, dst, src);
    e.u8(0x65);
    e.memAbsolute(X.add_GvEv, 8, ctx.symbols.thisCpuOffset, dst);
  } else if (insn.off === 0) movReg(e, size, dst, src);
  else if (insn.off === 8) e.reg(X.movsx_GvEb, size, src, dst, true);
  else if (insn.off === 16) e.reg(X.movsx_GvEw, size, src, dst);
  else e.reg(X.movsxd_GvEd, 8, src, dst);
}

/** div and mod go through rdx:rax, which are saved around unless they are the destination. */
function emitDivide({ e }: JitState, insn: Insn, size: number, dst: number, source: number): void {
  let src = source;
  if (dst !== REG.rax) e.plus(X.push_Zq, 8, REG.rax);
  if (dst !== REG.rdx) e.plus(X.push_Zq, 8, REG.rdx);
  if ((insn.code & SRC_X) === 0) {
    e.regImm32(X.mov_EvIz, 8, AUX, insn.imm);
    src = AUX;
  } else if (src === REG.rax || src === REG.rdx) {
    movReg(e, 8, AUX, src);
    src = AUX;
  }
  if (dst !== REG.rax) movReg(e, size, REG.rax, dst);
  if (insn.off === 0) {
    e.reg(X.xor_EvGv, 4, REG.rdx, REG.rdx);
    e.reg(X.div_Ev, size, src);
  } else {
    e.op(X.cdq, size);
    e.reg(X.idiv_Ev, size, src);
  }
  const result = (insn.code & 0xf0) === ALU.MOD ? REG.rdx : REG.rax;
  if (dst !== result) movReg(e, size, dst, result);
  if (dst !== REG.rdx) e.plus(X.pop_Zq, 8, REG.rdx);
  if (dst !== REG.rax) e.plus(X.pop_Zq, 8, REG.rax);
}

/** `src` is −1 for a constant count. Counts in a register use BMI2 unless they are in rcx already. */
function emitShift({ e, ctx }: JitState, shift: Shift, size: number, dst: number, src: number, imm: number): void {
  if (src < 0) {
    if (imm === 1) e.reg(shift.one, size, dst);
    else e.regImm8(shift.imm, size, dst, imm);
    return;
  }
  if (src === REG.rcx) {
    e.reg(shift.cl, size, dst);
    return;
  }
  if (ctx.features.bmi2) {
    e.vex(shift.bmi2, size, dst, dst, src);
    return;
  }
  if (dst === REG.rcx) {
    movReg(e, 8, AUX, dst);
    movReg(e, 8, REG.rcx, src);
    e.reg(shift.cl, size, AUX);
    movReg(e, 8, dst, AUX);
  } else {
    e.plus(X.push_Zq, 8, REG.rcx);
    movReg(e, 8, REG.rcx, src);
    e.reg(shift.cl, size, dst);
    e.plus(X.pop_Zq, 8, REG.rcx);
  }
}

/** Byte swaps; conversion to little-endian only cuts off. */
function emitEndian({ e }: JitState, insn: Insn, dst: number): boolean {
  const swap = (insn.code & SRC_X) !== 0 || (insn.code & 7) === CLASS.ALU64;
  switch (insn.imm) {
    case 16:
      if (swap) e.regImm8(X.ror_EvIb, 2, dst, 8);
      e.reg(X.movzx_GvEw, 4, dst, dst);
      return true;
    case 32:
      if (swap) e.plus(X.bswap_Zy, 4, dst);
      else e.reg(X.mov_EvGv, 4, dst, dst);
      return true;
    case 64:
      if (swap) e.plus(X.bswap_Zy, 8, dst);
      return true;
    default:
      return true;
  }
}
