import { ALU, CLASS, type Insn, JMP, SRC_X } from '../../bpf/index.ts';
import { AX, insn, jump, mov, mov32, mov32Imm } from './build.ts';

/**
 * `dst = 0 if src is 0`, as the instruction set says, where x86's div would fault; undefined for what is no division by an
 * unknown number (`do_misc_fixups`, 6.18).
 */
export function guardDivision(original: Insn): Insn[] | undefined {
  const { code, dst, src, off, imm } = original;
  const op = code & 0xf0;
  const kind = code & 7;
  if ((kind !== CLASS.ALU && kind !== CLASS.ALU64) || (op !== ALU.DIV && op !== ALU.MOD)) return undefined;
  const divides = op === ALU.DIV;
  if ((code & SRC_X) === 0) {
    if (off !== 1 || imm !== -1) return undefined;
    return [divides ? insn(kind | ALU.NEG, dst, 0, 0, 0) : mov32Imm(dst, 0)];
  }
  const wide = kind === CLASS.ALU64;
  if (off === 1) return guardSigned(original, wide, divides);
  const kindOfJump = wide ? CLASS.JMP : CLASS.JMP32;
  if (divides)
    return [
      insn(kindOfJump | JMP.JNE, src, 0, 2, 0),
      insn(CLASS.ALU | ALU.XOR | SRC_X, dst, dst, 0, 0),
      jump(1),
      original,
    ];
  return [insn(kindOfJump | JMP.JEQ, src, 0, wide ? 1 : 2, 0), original, ...(wide ? [] : [jump(1), mov32(dst, dst)])];
}

/** Besides 0, −1 would overflow for the least value. */
function guardSigned(original: Insn, wide: boolean, divides: boolean): Insn[] {
  const { dst, src } = original;
  const kind = wide ? CLASS.ALU64 : CLASS.ALU;
  const kindOfJump = wide ? CLASS.JMP : CLASS.JMP32;
  const head = [mov(AX, src), insn(kind | ALU.ADD, AX, 0, 0, 1)];
  if (divides)
    return [
      ...head,
      insn(kindOfJump | JMP.JGT, AX, 0, 4, 1),
      insn(kindOfJump | JMP.JEQ, AX, 0, 1, 0),
      insn(kind | ALU.MOV, dst, 0, 0, 0),
      insn(kind | ALU.NEG, dst, 0, 0, 0),
      jump(1),
      original,
    ];
  return [
    ...head,
    insn(kindOfJump | JMP.JGT, AX, 0, 3, 1),
    insn(kindOfJump | JMP.JEQ, AX, 0, wide ? 3 : 4, 1),
    mov32Imm(dst, 0),
    jump(1),
    original,
    ...(wide ? [] : [jump(1), mov32(dst, dst)]),
  ];
}
