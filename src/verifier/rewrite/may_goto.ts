import { ALU, CLASS, type Insn, JMP, SIZE } from '../../bpf/index.ts';
import * as b from './build.ts';
import { BPF_MAX_LOOPS } from './loops.ts';
import type { Patch } from './program.ts';

export const MAY_GOTO = CLASS.JMP | JMP.JCOND;
const BPF_MAX_TIMED_LOOPS = 0xffff;

export const isMayGoto = ({ code }: Insn): boolean => code === MAY_GOTO;

/** Bytes of stack that the functions that hold a may_goto need besides their own: a count, and since 6.15 a start time. */
export const mayGotoStack = (timed: boolean): number => (timed ? 16 : 8);

/**
 * may_goto to slot `to`: counts down in the stack at the frame's lower end, and leaves at 0; the timed kind then asks the
 * clock (`do_misc_fixups`, 6.18).
 * @param depth bytes of stack with those of the counter
 * @param timedCall `imm` of a call of arch_bpf_timed_may_goto, which takes and gives AX; undefined: the plain kind
 */
export function expandMayGoto(to: number, depth: number, timedCall: number | undefined): Patch[] {
  const { DW } = SIZE;
  return [
    b.load(DW, b.AX, b.FP, -depth),
    { ...b.jumpImm(JMP.JEQ, b.AX, 0, 0), to },
    b.aluImm(ALU.SUB, b.AX, 1),
    ...(timedCall === undefined ? [] : [b.jumpImm(JMP.JNE, b.AX, 0, 2), b.movImm(b.AX, -depth), b.call(timedCall)]),
    b.store(DW, b.FP, -depth, b.AX),
  ];
}

/** What stands at the start of a function that holds a may_goto. */
export function startMayGoto(depth: number, timed: boolean): Insn[] {
  const { DW } = SIZE;
  return timed
    ? [b.storeImm(DW, b.FP, -depth, BPF_MAX_TIMED_LOOPS), b.storeImm(DW, b.FP, 8 - depth, 0)]
    : [b.storeImm(DW, b.FP, -depth, BPF_MAX_LOOPS)];
}
