import { describe, expect, it } from 'vitest';
import { CLASS, type Insn, JMP } from '../../src/bpf/index.ts';
import { InsnAux, SubprogInfo } from '../../src/verifier/core/types.ts';
import { type CallRewriter, rewriteAccepted } from '../../src/verifier/rewrite/index.ts';

const STRUCT_OPS = 27;
const insn = (code: number, dst = 0, src = 0, off = 0, imm = 0): Insn => ({ code, dst, src, off, imm });
const mov = (dst: number, imm: number) => insn(0xb7, dst, 0, 0, imm);
const exit = insn(0x95);
const ja = (off: number) => insn(CLASS.JMP | JMP.JA, 0, 0, off);
const jeq = (dst: number, off: number) => insn(CLASS.JMP | JMP.JEQ, dst, 0, off);
const noCalls: CallRewriter = { helper: (call) => [call], kfunc: (call) => [call] };

/** Rewrites functions laid end to end; `dead` slots were never walked, `types` are pointer types by slot. */
function rewrite(functions: Insn[][], dead: number[] = [], types: Record<number, number> = {}, progType = STRUCT_OPS) {
  const insns = functions.flat();
  const aux = insns.map((_, i) =>
    Object.assign(new InsnAux(), { seen: dead.includes(i) ? 0 : 1, ptrType: types[i] ?? 0 }),
  );
  let start = 0;
  const subprogs = functions.map((own, k) => {
    const subprog = Object.assign(new SubprogInfo(), { start, name: `f${k}`, stackDepth: 8 * k });
    start += own.length;
    return subprog;
  });
  return rewriteAccepted({ insns, aux, subprogs }, 'p', { progType, maps: [] }, noCalls);
}
const only = (...args: Parameters<typeof rewrite>) => rewrite(...args)[0]!.insns;

describe('rewrites of accepted programs', () => {
  it('a branch whose target was never walked vanishes with it', () => {
    expect(only([[mov(0, 1), jeq(0, 1), exit, mov(0, 2), exit]], [3, 4])).toEqual([mov(0, 1), exit]);
  });

  it('a branch that always jumps becomes a goto, and nothing when what it skipped is gone', () => {
    expect(only([[mov(0, 0), jeq(0, 1), mov(0, 2), exit]], [2])).toEqual([mov(0, 0), exit]);
    expect(only([[mov(0, 0), ja(1), mov(0, 2), exit]])).toEqual([mov(0, 0), ja(1), mov(0, 2), exit]);
  });

  it('a function that is never called is removed, and calls keep their callee', () => {
    const call = (imm: number) => insn(0x85, 0, 1, 0, imm);
    const functions = rewrite(
      [
        [call(3), exit],
        [mov(0, 7), exit],
        [mov(0, 9), exit],
      ],
      [2, 3],
    );
    expect(functions.map(({ name }) => name)).toEqual(['f0', 'f2']);
    expect(functions[0]!.insns[0]).toEqual({ ...call(0), off: 1 });
    expect(functions[1]!.stackDepth).toBe(16);
  });

  it('jumps over a guarded division span its guard', () => {
    const div = insn(0x3f, 1, 2);
    expect(only([[jeq(3, 1), div, exit]])[0]).toEqual(jeq(3, 4));
    expect(only([[div, jeq(3, -2), exit]])[4]).toEqual(jeq(3, -5));
  });

  it('loads through pointers of BTF types are probed; stores and the context are not', () => {
    const load = insn(0x79, 1, 2, 8);
    expect(only([[load, exit]], [], { 0: 16 })[0]!.code).toBe(0x39);
    expect(only([[load, exit]], [], { 0: 16 | (1 << 20) })[0]!.code).toBe(0x79);
    expect(only([[load, exit]], [], { 0: 2 })[0]!.code).toBe(0x79);
    expect(only([[insn(0x7b, 1, 2, 8), exit]], [], { 0: 16 })[0]!.code).toBe(0x7b);
  });

  it('refuses what the kernel would rewrite and we do not', () => {
    expect(() => rewrite([[insn(0x61, 1, 1, 0), exit]], [], { 0: 2 }, 3)).toThrow(/context is not rewritten/);
    expect(() => rewrite([[insn(0xe5, 0, 0, 1), mov(0, 0), exit]])).toThrow(/may_goto is not rewritten/);
  });
});
