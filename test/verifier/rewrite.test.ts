import { describe, expect, it } from 'vitest';
import { CLASS, type Insn, JMP, MODE, SIZE } from '../../src/bpf/index.ts';
import type { Btf } from '../../src/btf/index.ts';
import { InsnAux, type MapInfo, SubprogInfo } from '../../src/verifier/core/types.ts';
import { type RewriteTarget, rewriteAccepted } from '../../src/verifier/rewrite/index.ts';
import { btf } from '../support.ts';

const STRUCT_OPS = 27;
const CLASSIFIER = 3;
const XDP = 6;
const CTX = 2;
const insn = (code: number, dst = 0, src = 0, off = 0, imm = 0): Insn => ({ code, dst, src, off, imm });
const mov = (dst: number, imm: number) => insn(0xb7, dst, 0, 0, imm);
const exit = insn(0x95);
const ja = (off: number) => insn(CLASS.JMP | JMP.JA, 0, 0, off);
const jeq = (dst: number, off: number) => insn(CLASS.JMP | JMP.JEQ, dst, 0, off);
const mayGoto = (off: number) => insn(CLASS.JMP | JMP.JCOND, 0, 0, off);
const helper = (id: number) => insn(0x85, 0, 0, 0, id);
const own = (imm: number) => insn(0x85, 0, 1, 0, imm);
const CALL_BASE = 0xffffffff81000000n;

const kernel: RewriteTarget = {
  vmlinux: btf('6.18'),
  symbol: (name) => (name === '__bpf_call_base' ? CALL_BASE : CALL_BASE + BigInt(256 * name.length)),
  cpuNumber: { offset: 0x1000n, wide: true },
  timedMayGoto: true,
  maxCpus: 64,
};

interface Given {
  /** Slots that were never walked; what was learned of others. */
  dead?: number[];
  aux?: Record<number, Partial<InsnAux>>;
  progType?: number;
  target?: Partial<RewriteTarget>;
  writesPacket?: boolean;
  throws?: boolean;
}

/** Rewrites functions laid end to end, each with 8 bytes of stack more than the one before. */
function rewrite(functions: Insn[][], given: Given = {}) {
  const { dead = [], progType = STRUCT_OPS } = given;
  const insns = functions.flat();
  const aux = insns.map((_, i) => Object.assign(new InsnAux(), { seen: dead.includes(i) ? 0 : 1 }, given.aux?.[i]));
  let start = 0;
  const subprogs = functions.map((body, k) => {
    const subprog = Object.assign(new SubprogInfo(), { start, name: `f${k}`, stackDepth: 8 * k });
    start += body.length;
    return subprog;
  });
  const accepted = {
    insns,
    aux,
    subprogs,
    seenDirectWrite: given.writesPacket ?? false,
    seenException: given.throws ?? false,
    exceptionCallback: 0,
  };
  const input = { name: 'p', progType, expectedAttachType: 0, attachBtfId: 0, sleepable: false, maps: [] };
  return rewriteAccepted(accepted, input, { ...kernel, ...given.target });
}
const only = (body: Insn[], given?: Given) => rewrite([body], given).functions[0]!.insns;
const distance = (symbol: string) => Number(kernel.symbol(symbol)! - CALL_BASE);

describe('rewrites of accepted programs', () => {
  it('a branch whose target was never walked vanishes with it', () => {
    expect(only([mov(0, 1), jeq(0, 1), exit, mov(0, 2), exit], { dead: [3, 4] })).toEqual([mov(0, 1), exit]);
  });

  it('a branch that always jumps becomes a goto, and nothing when what it skipped is gone', () => {
    expect(only([mov(0, 0), jeq(0, 1), mov(0, 2), exit], { dead: [2] })).toEqual([mov(0, 0), exit]);
    expect(only([mov(0, 0), ja(1), mov(0, 2), exit])).toEqual([mov(0, 0), ja(1), mov(0, 2), exit]);
  });

  it('a function that is never called is removed, and calls keep their callee', () => {
    const { functions } = rewrite(
      [
        [own(3), exit],
        [mov(0, 7), exit],
        [mov(0, 9), exit],
      ],
      { dead: [2, 3] },
    );
    expect(functions.map(({ name }) => name)).toEqual(['f0', 'f2']);
    expect(functions[0]!.insns[0]).toEqual({ ...own(0), off: 1 });
    expect(functions[1]!.stackDepth).toBe(16);
    expect([...functions[1]!.origin]).toEqual([4, 5]);
  });

  it('jumps over a guarded division span its guard', () => {
    const div = insn(0x3f, 1, 2);
    expect(only([jeq(3, 1), div, exit])[0]).toEqual(jeq(3, 4));
    expect(only([div, jeq(3, -2), exit])[4]).toEqual(jeq(3, -5));
  });

  it('a distance that no longer fits is refused as the kernel does', () => {
    const div = insn(0x3f, 1, 2);
    const body = [jeq(3, 10_000), ...Array.from({ length: 10_000 }, () => div), exit];
    expect(() => only(body)).toThrow(/16-bit range/);
  });

  it('loads through pointers of BTF types are probed; stores and the context are not', () => {
    const load = insn(0x79, 1, 2, 8);
    const code = (body: Insn, ptrType: number) => only([body, exit], { aux: { 0: { ptrType } } })[0]!.code;
    expect(code(load, 16)).toBe(0x39);
    expect(code(load, 16 | (1 << 20))).toBe(0x79);
    expect(code(load, CTX)).toBe(0x79);
    expect(code(insn(0x7b, 1, 2, 8), 16)).toBe(0x7b);
  });

  it('the tags of 64-bit loads go from a program of one function, and stay in several', () => {
    const map = { address: 0xffff888012345600n } as MapInfo;
    const load = [insn(0x18, 1, 1), insn(0)];
    const run = (functions: Insn[][]) => {
      const insns = functions.flat();
      const aux = insns.map(() => Object.assign(new InsnAux(), { seen: 1, mapIndex: 0 }));
      let start = 0;
      const subprogs = functions.map((body) => {
        const subprog = Object.assign(new SubprogInfo(), { start });
        start += body.length;
        return subprog;
      });
      const accepted = { insns, aux, subprogs, seenDirectWrite: false, seenException: false, exceptionCallback: 0 };
      const input = {
        name: 'p',
        progType: STRUCT_OPS,
        expectedAttachType: 0,
        attachBtfId: 0,
        sleepable: false,
        maps: [map],
      };
      return rewriteAccepted(accepted, input, kernel).functions[0]!.insns[0]!;
    };
    expect(run([[...load, exit]])).toEqual(insn(0x18, 1, 0, 0, 0x12345600));
    expect(run([[...load, own(1), exit], [exit]]).src).toBe(1);
  });
});

describe('contexts', () => {
  const ctx = (ctxFieldSize = 0) => ({ 0: { ptrType: CTX, ctxFieldSize } });
  const texts = (insns: Insn[]) => insns.map(({ code, dst, src, imm }) => [code, dst, src, imm]);

  it('a byte of a field is loaded whole, shifted and masked', () => {
    const got = only([insn(0x71, 3, 1, 10), exit], { progType: CLASSIFIER, aux: ctx(4) });
    const mark = kernel.vmlinux.member('sk_buff', 'mark').offset;
    expect(got.slice(0, -1)).toEqual([
      insn(0x61, 3, 1, mark),
      insn(CLASS.ALU | 0x70, 3, 0, 0, 16),
      insn(CLASS.ALU | 0x50, 3, 0, 0, 255),
    ]);
  });

  it("a classifier's device is always there; a filter's is not", () => {
    const body = [insn(0x61, 3, 1, 40), exit];
    expect(texts(only(body, { progType: CLASSIFIER, aux: ctx(4) })).map(([code]) => code)).toEqual([0x79, 0x61, 0x95]);
    expect(texts(only(body, { progType: 1, aux: ctx(4) })).map(([code]) => code)).toEqual([0x79, 0x15, 0x61, 0x95]);
  });

  it('a classifier that writes to packets makes them its own first, and jumps to its start pass over that', () => {
    const got = only([mov(0, 1), jeq(0, -2), exit], { progType: CLASSIFIER, writesPacket: true });
    expect(got).toHaveLength(13);
    expect(got[11]).toEqual(jeq(0, -2));
    expect(got[5]!.imm).toBe(distance('bpf_skb_pull_data'));
    expect(only([mov(0, 1), exit], { progType: XDP, writesPacket: true })).toHaveLength(2);
  });

  it('a field that is not modelled is refused', () => {
    expect(() => only([insn(0x61, 3, 1, 148), exit], { progType: CLASSIFIER, aux: ctx(4) })).toThrow(/offset 148/);
    expect(() => only([insn(0x61, 1, 1, 0), exit], { progType: 20, aux: ctx() })).toThrow(/not modelled/);
  });

  it('a register that a field is read through is saved where it must, and given back on every way', () => {
    // The bundled BTF has no sock_ops: any layout will do.
    const member = (_: string, path: string) => ({ offset: 8 * path.length, size: path === 'snd_cwnd' ? 4 : 1 });
    const vmlinux = { member, struct: () => ({ members: [] }) } as unknown as Btf;
    const snd_cwnd = (dst: number, src: number) =>
      only([insn(0x61, dst, src, 76), exit], { progType: 13, aux: ctx(), target: { vmlinux } });
    expect(texts(snd_cwnd(2, 1)).map(([code]) => code)).toEqual([0x71, 0x15, 0x79, 0x61, 0x95]);
    const same = snd_cwnd(1, 1);
    expect(same).toHaveLength(10);
    expect(same[0]).toMatchObject({ code: 0x7b, dst: 1, src: 9 });
    // Either way r9 is loaded again: behind the flag's test, or where it jumps to.
    expect([same[3], same[7]]).toEqual([expect.objectContaining({ code: 0x79, dst: 9, src: 1 }), same[3]]);
    expect(same[2]!.off).toBe(4);
  });
});

describe('loops', () => {
  it('may_goto counts in the stack, and asks the clock where the kernel has one', () => {
    const body = [mov(0, 0), mayGoto(1), ja(-2), exit];
    const timed = rewrite([body]).functions[0]!;
    expect(timed.stackDepth).toBe(16);
    expect(timed.insns.slice(0, 2).map(({ off, imm }) => [off, imm])).toEqual([
      [-16, 0xffff],
      [-8, 0],
    ]);
    expect(timed.insns).toHaveLength(12);
    expect(timed.insns[4]).toEqual(insn(0x15, 11, 0, 6));
    expect(timed.insns[10]).toEqual(ja(-8));
    expect(timed.insns[8]!.imm).toBe(distance('arch_bpf_timed_may_goto'));
    const plain = rewrite([body], { target: { timedMayGoto: false } }).functions[0]!;
    expect(plain.stackDepth).toBe(8);
    expect(plain.insns).toHaveLength(8);
    expect(plain.insns[0]).toEqual(insn(CLASS.ST | MODE.MEM | SIZE.DW, 10, 0, -8, 8 << 20));
  });

  it('may_goto at the start: jumps there pass over the set-up of its counter', () => {
    const got = only([mayGoto(1), ja(-2), exit]);
    expect(got).toHaveLength(11);
    expect(got[9]).toEqual(ja(-8));
  });

  it('bpf_loop of a known function becomes a loop with a call of it', () => {
    const { functions } = rewrite(
      [
        [helper(181), exit],
        [mov(0, 0), exit],
      ],
      {
        aux: { 0: { loopInlineFit: true, loopCallbackSubprog: 1 } },
      },
    );
    expect(functions[0]!.stackDepth).toBe(24);
    expect(functions[0]!.insns).toHaveLength(20);
    expect(functions[0]!.insns[12]).toEqual({ ...own(0), off: 1 });
  });
});

describe('calls', () => {
  const map = (type: number, flags = 0): MapInfo =>
    ({ type, keySize: 4, valueSize: 12, maxEntries: 5, flags }) as MapInfo;
  const lookup = (type: number, flags = 0) => only([helper(1), exit], { aux: { 0: { mapPtr: map(type, flags) } } });

  it('look-ups are inlined by the kind of the map', () => {
    expect([1, 2, 5, 6, 9, 12, 13].map((type) => lookup(type).length - 1)).toEqual([3, 7, 5, 9, 6, 9, 4]);
    expect(lookup(11)[0]!.imm).toBe(distance('trie_lookup_elem'));
    expect(lookup(2, 1 << 12)[0]!.imm).toBe(distance('array_map_lookup_elem'));
    expect(lookup(2)[3]).toEqual(insn(0x67, 0, 0, 0, 4));
  });

  it("calls with several maps go to the helper, with one to the map's function", () => {
    const update = (mapPtr: MapInfo | 'poison') => only([helper(2), exit], { aux: { 0: { mapPtr } } })[0]!.imm;
    expect(update('poison')).toBe(distance('bpf_map_update_elem'));
    expect(update(map(6))).toBe(distance('array_map_update_elem'));
  });

  it('the helper behind a prototype is called, not what the number is called', () => {
    const call = (helperProto: string) => only([helper(7), exit], { aux: { 0: { helperProto } } })[0]!.imm;
    expect(call('bpf_get_prandom_u32')).toBe(distance('bpf_user_rnd_u32'));
    expect(call('bpf_get_prandom_u32_other')).toBe(distance('bpf_get_prandom_u32_other'));
  });

  it('tail calls of a known slot are numbered, others are not', () => {
    const aux = { mapPtr: map(3), mapKeySeen: true, mapKey: 2 };
    const done = rewrite([[helper(12), helper(12), helper(12), exit]], {
      aux: { 0: aux, 1: { ...aux, mapKeyPoison: true }, 2: { ...aux, mapKey: 1 } },
    });
    expect(done.functions[0]!.insns.map(({ imm }) => imm)).toEqual([1, 0, 2, 0]);
    expect(done.tailCalls.map(({ key }) => key)).toEqual([2, 1]);
  });

  it('a program that throws and has no callback gets one', () => {
    const { functions } = rewrite([[mov(0, 0), exit]], { throws: true });
    expect(functions.map(({ exceptionCallback }) => exceptionCallback)).toEqual([false, true]);
    expect(functions[1]!.insns).toEqual([insn(0xbf, 0, 1), exit]);
  });

  it('says which function of the kernel is missing', () => {
    expect(() => only([helper(5), exit], { target: { symbol: () => undefined } })).toThrow(
      /'bpf_ktime_get_ns' is not modelled/,
    );
  });
});
