import { describe, expect, it } from 'vitest';
import { emitTrampoline, jitFunction, TRAMP_F } from '../../src/jit/index.ts';
import { type Kernel, KernelOops } from '../../src/kernel/index.ts';
import { boot, example, session } from '../support.ts';

// The faults of docs/kernel-faults.md, by execution.

const exit = { code: 0x95, dst: 0, src: 0, off: 0, imm: 0 };
const mov = (dst: number, imm: number) => ({ code: 0xb7, dst, src: 0, off: 0, imm });
const address = (dst: number, pointer: number, hi: number) => [
  { code: 0x18, dst, src: 0, off: 0, imm: pointer | 0 },
  { code: 0, dst: 0, src: 0, off: 0, imm: hi },
];

/** Compiles and places a program; the address that is called. */
function place(kernel: Kernel, insns: Parameters<typeof jitFunction>[0]['insns'], tailCalls = false): number {
  const fn = {
    insns,
    stackDepth: 0,
    isSubprogram: false,
    tailCallReachable: tailCalls,
    exceptionCallback: false,
    exceptionBoundary: false,
    fromClassic: false,
    unprivileged: false,
  };
  const image = jitFunction(fn, kernel.jit, (size) => kernel.images.alloc(size, 64));
  kernel.memory.poke(image.address, image.bytes);
  return image.address + image.entryOffset;
}

/** A program that tail calls slot 0 of an array, which holds one that returns 42. */
function tailCaller(kernel: Kernel): number {
  const { memory, vmalloc, target } = kernel;
  const { offsets } = target;
  const callee = vmalloc.alloc(256);
  memory.setPtr(callee + offsets.bpfProgBpfFunc, place(kernel, [mov(0, 42), exit]));
  const array = vmalloc.alloc(1024);
  memory.setU32(array + offsets.bpfArrayMaxEntries, 1);
  memory.setPtr(array + offsets.bpfArrayPtrs, callee);
  const insns = [
    ...address(2, array, memory.high(array)),
    mov(3, 0),
    { code: 0xf5, dst: 0, src: 0, off: 0, imm: 0 },
    mov(0, 7),
    exit,
  ];
  return place(kernel, insns, true);
}

describe("the kernel's own faults", () => {
  it.each([
    ['6.18', true],
    ['6.18+hashfix', false],
  ])('Linux %s, FineIBT: a struct_ops call traps: %s', (release, traps) => {
    const { kernel, maps } = session(example('reno'), 'fineibt', 0, {}, release);
    const call = () => kernel.callMember(maps[0]!.kdata, maps[0]!.type, 'ssthresh', [0]);
    if (traps) expect(call).toThrow(KernelOops);
    else expect(call().lo).toBe(0);
    const { hash } = maps[0]!.members[0]!;
    expect(hash).toBe(traps ? ((0x0d1ab0f2 >>> 16) | 0x0f2e0000) >>> 0 : 0x0d1ab0f2);
  });

  it('Linux 6.18, paranoid FineIBT with ITS thunks: a tail call traps in the thunk', () => {
    const its = { its: true, rethunk: true, retpoline: false };
    const plain = boot('fineibt', 0, its, '6.18+hashfix');
    expect(plain.call(tailCaller(plain), [0]).lo).toBe(42);
    const kernel = boot('fineibt', 0, { ...its, cfiParanoid: true }, '6.18+hashfix');
    const caller = tailCaller(kernel);
    let oops: unknown;
    try {
      kernel.call(caller, [0]);
    } catch (error) {
      oops = error;
    }
    expect(oops).toBeInstanceOf(KernelOops);
    const { report } = oops as KernelOops;
    expect(report.kind).toBe('cfi');
    expect(report.where).toMatch(/^__x86_indirect_its_thunk_array\+0x3d\//);
  });

  it('Linux 6.18, FineIBT+BHI: members of one argument call nowhere, others work', () => {
    const { kernel, maps } = session(example('reno'), 'fineibt', 0, { cfiBhi: true }, '6.18+hashfix');
    const { kdata, type } = maps[0]!;
    const sock = { ptr: kernel.heap.alloc(kernel.btf.struct('tcp_sock').size) };
    expect(kernel.log).toEqual(['SMP alternatives: Using FineIBT+BHI CFI']);
    expect(() => kernel.callMember(kdata, type, 'cong_avoid', [sock, 0, 1])).not.toThrow();
    let oops: unknown;
    try {
      kernel.callMember(kdata, type, 'ssthresh', [sock]);
    } catch (error) {
      oops = error;
    }
    expect(oops).toBeInstanceOf(KernelOops);
    // cmovne's and jne's last bytes, f8 2e 75 03, taken for the distance from the stub, in whole thunks.
    const stub = kernel.symbol('bpf_tcp_ca_ssthresh');
    const thunks = kernel.symbol('__bhi_args');
    const wild = (thunks + 32 * Math.floor((stub + 0x03752ef8 - thunks) / 32)) >>> 0;
    const { report } = oops as KernelOops;
    expect(report.lines[0]).toBe(
      `BUG: unable to handle page fault for address: ffffffff${wild.toString(16).padStart(8, '0')}`,
    );
    expect(report.lines.at(-2)).toBe(`RIP: 0010:0xffffffff${wild.toString(16)}`);
    expect(report.lines.at(-1)).toBe(`Code: Unable to access opcode bytes at 0xffffffff${(wild - 42).toString(16)}.`);
  });

  it('Linux 6.18 as shipped, FineIBT+BHI: the mismatch traps in the thunk of the arity, and names the function', () => {
    const { kernel, maps } = session(example('reno'), 'fineibt', 0, { cfiBhi: true }, '6.18');
    let oops: unknown;
    try {
      kernel.callMember(maps[0]!.kdata, maps[0]!.type, 'cong_avoid', [0, 0, 0]);
    } catch (error) {
      oops = error;
    }
    expect((oops as KernelOops).report).toMatchObject({
      kind: 'cfi',
      where: '__bhi_args+0x28/0x100',
      target: expect.stringMatching(/^bpf__tcp_congestion_ops_cong_avoid\+0x10\//),
      expected: 0x512ae4fe,
    });
  });

  it.each(['6.8', '6.12', '6.18+hashfix'])('Linux %s: argument 7 of a struct_ops member is argument 8', (release) => {
    const kernel = boot('kcfi', 0, {}, release);
    const { memory } = kernel;
    const prog = kernel.vmalloc.alloc(256);
    const program = place(kernel, [{ code: 0x79, dst: 0, src: 1, off: 48, imm: 0 }, exit]);
    const none = { lo: 0, hi: 0 };
    const link = {
      cookie: none,
      prog: { lo: prog | 0, hi: memory.high(prog) },
      bpfFunc: program,
      enter: kernel.symbol('__bpf_prog_enter'),
      exit: kernel.symbol('__bpf_prog_exit'),
    };
    const {
      address: at,
      bytes,
      entryOffset,
    } = emitTrampoline(
      {
        model: { argSizes: new Array(8).fill(8), argFlags: new Array(8).fill(0), returnSize: 8, returnFlags: 0 },
        flags: TRAMP_F.INDIRECT | TRAMP_F.RET_FENTRY_RET,
        fentry: [link],
        fexit: [],
        fmodRet: [],
        hash: 0,
        arity: 0,
        func: none,
        funcHasEndbr: true,
        image: none,
      },
      kernel.jit,
      () => kernel.images.alloc(4096, 4096),
    );
    memory.poke(at, bytes);
    expect(kernel.call(at + entryOffset, [1, 2, 3, 4, 5, 6, 7, 8]).lo).toBe(8);
  });
});
