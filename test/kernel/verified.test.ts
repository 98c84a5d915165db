import { describe, expect, it } from 'vitest';
import { loadObject } from '../../src/kernel/index.ts';
import { boot, example, file, resolve } from '../support.ts';

describe('loading verifies', () => {
  it('examples are accepted', () => {
    for (const name of ['reno', 'cubic', 'dctcp', 'vegas', 'bbr_like', 'dummy']) {
      const { programs } = loadObject(boot('off'), resolve(example(name), name));
      for (const program of programs) expect(program).toMatchObject({ verified: true });
    }
  });

  it('a refusal has errno and last words, nothing stays behind, and a program is judged anew when it changes', () => {
    const kernel = boot('off');
    const resolved = resolve(example('reno'), 'reno');
    const idle = [kernel.vmalloc.count, kernel.images.count, kernel.heap.count];
    loadObject(kernel, resolved).unload();
    const [first] = resolved.programs[0]!.insns;
    const before = { ...first! };
    Object.assign(first!, { code: 0x79, dst: 0, src: 1, off: 4096, imm: 0 });
    let refused: unknown;
    try {
      loadObject(kernel, resolved);
    } catch (error) {
      refused = error;
    }
    expect(refused).toMatchObject({
      kind: 'refused',
      code: 'EACCES',
      message: "program 'reno_ssthresh': invalid bpf_context access off=4096 size=8 (-EACCES)",
    });
    expect([kernel.vmalloc.count, kernel.images.count, kernel.heap.count]).toEqual(idle);
    Object.assign(first!, before);
    expect(loadObject(kernel, resolved).programs[0]!.verified).toBe(true);
  });

  it('what is not modelled is loaded and said to be unverified', () => {
    const kernel = boot('off');
    const reno = resolve(example('reno'), 'reno');
    const { programs } = loadObject(kernel, reno);
    const to = { program: programs[0]!, btf: reno.file.btf! };
    const traced = loadObject(kernel, resolve(file('test/objects/trace_program.bpf.o')), to).programs;
    for (const program of traced)
      expect(program).toMatchObject({ verified: false, notVerified: expect.stringContaining('not modelled') });
  });

  it('the rewritten code of an unverified program has the structure checked', () => {
    const kernel = boot('off');
    const reno = resolve(example('reno'), 'reno');
    const to = { program: loadObject(kernel, reno).programs[0]!, btf: reno.file.btf! };
    const traced = resolve(file('test/objects/trace_program.bpf.o'));
    Object.assign(traced.programs[0]!.insns.at(-1)!, { code: 0xb7 });
    expect(() => loadObject(kernel, traced, to)).toThrow('last insn is not an exit or jmp');
  });
});
