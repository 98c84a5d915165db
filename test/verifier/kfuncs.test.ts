import { describe, expect, it } from 'vitest';
import { isNocastAlias, isProjectionOf } from '../../src/verifier/access/struct_match.ts';
import * as K from '../../src/verifier/tables/kfuncs.table.ts';

const ITER = K.KF_ITER_NEW | K.KF_ITER_NEXT | K.KF_ITER_DESTROY;

describe('kfunc tables', () => {
  it('name only sets that exist, for hooks that some program type has', () => {
    for (const [name, { set }] of K.KFUNCS) expect(K.KFUNC_SETS[set], name).toBeDefined();
    const hooks = new Set(Object.values(K.KFUNC_HOOK));
    for (const set of Object.values(K.KFUNC_SETS))
      if (set !== 'all') for (const hook of set) expect(hooks).toContain(hook);
  });

  it('give every iterator its three methods, with the flags of each', () => {
    const expected: Record<string, number> = { new: K.KF_ITER_NEW, next: K.KF_ITER_NEXT, destroy: K.KF_ITER_DESTROY };
    for (const [name, { flags }] of K.KFUNCS) {
      const method = /^bpf_iter_\w+_(new|next|destroy)$/.exec(name)?.[1];
      expect(flags & ITER, name).toBe(method === undefined ? 0 : expected[method]);
      if (method === 'next') expect(flags & K.KF_RET_NULL, name).not.toBe(0);
      for (const other of ['new', 'next', 'destroy']) {
        if (method) expect(K.KFUNCS.has(name.replace(/[a-z]+$/, other)), name).toBe(true);
      }
    }
  });

  it('let one kfunc alone both acquire and release', () => {
    const both = [...K.KFUNCS].filter(([, { flags }]) => flags & K.KF_ACQUIRE && flags & K.KF_RELEASE);
    expect(both.map(([name]) => name)).toEqual(['bpf_ct_insert_entry']);
  });
});

describe('names of structs', () => {
  it('tell an uninitialized object from an initialized one', () => {
    expect(isNocastAlias('nf_conn', 'nf_conn___init')).toBe(true);
    expect(isNocastAlias('nf_conn___init', 'nf_conn')).toBe(true);
    expect(isNocastAlias('nf_conn___init', 'nf_conn___init')).toBe(false);
    expect(isNocastAlias('nf_conn', 'nf_con___init')).toBe(false);
  });

  it('know what a program sees of a context', () => {
    expect(isProjectionOf('__sk_buff', 'sk_buff')).toBe(true);
    expect(isProjectionOf('xdp_md', 'xdp_buff')).toBe(true);
    expect(isProjectionOf('sk_buff', '__sk_buff')).toBe(false);
  });
});
