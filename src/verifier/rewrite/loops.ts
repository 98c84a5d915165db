import { ALU, CALL, CLASS, type Insn, JMP, PSEUDO_CALL, SIZE } from '../../bpf/index.ts';
import { FUNC_LOOP } from '../tables/helpers.table.ts';
import * as b from './build.ts';
import { applyEdits, functionOf, type Patch, type WorkingProgram } from './program.ts';

export const BPF_MAX_LOOPS = 8 * 1024 * 1024;
const E2BIG = 7;
const REGISTER = 8;

/** `bpf_loop` of a known function with no flags becomes a loop in place (`optimize_bpf_loop`, 6.18). */
export function inlineLoops(program: WorkingProgram): WorkingProgram {
  const { insns, aux, starts } = program;
  const of = functionOf(program);
  const edits = new Map<number, readonly Patch[]>();
  const depths = [...program.depths];
  insns.forEach((insn, i) => {
    if (insn.code !== CALL || insn.src !== 0 || insn.imm !== FUNC_LOOP || !aux[i]!.loopInlineFit) return;
    const own = of[i]!;
    depths[own] = Math.ceil(program.depths[own]! / REGISTER) * REGISTER + 3 * REGISTER;
    edits.set(i, loop(-depths[own], starts[aux[i]!.loopCallbackSubprog]!));
  });
  return { ...applyEdits(program, edits), depths };
}

/** Count, index and context live in R6, R7 and R8, whose own values wait in the stack from `base` on. */
function loop(base: number, callback: number): Patch[] {
  const DW = SIZE.DW;
  const [count, index, context] = [6, 7, 8];
  const callee: Patch = { ...b.insn(CALL, 0, PSEUDO_CALL, 0, 0), to: callback };
  const saved = (build: (register: number, off: number) => Insn): Insn[] =>
    [count, index, context].map((register, k) => build(register, base + REGISTER * k));
  return [
    b.jumpImm(JMP.JLE, 1, BPF_MAX_LOOPS, 2),
    b.mov32Imm(0, -E2BIG),
    b.jump(16),
    ...saved((register, off) => b.store(DW, b.FP, off, register)),
    b.mov(count, 1),
    b.mov32Imm(index, 0),
    b.mov(context, 3),
    b.jumpReg(JMP.JGE, index, count, 5),
    b.mov(1, index),
    b.mov(2, context),
    callee,
    b.insn(CLASS.ALU64 | ALU.ADD, index, 0, 0, 1),
    b.jumpImm(JMP.JEQ, 0, 0, -6),
    b.mov(0, index),
    ...saved((register, off) => b.load(DW, register, b.FP, off)),
  ];
}
