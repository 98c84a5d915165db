import { describe, expect, it } from 'vitest';
import { HELPERS } from '../../src/bpf/index.ts';
import { HELPER_SETS } from '../../src/verifier/tables/helper_sets.table.ts';
import { HELPER_PROTOS } from '../../src/verifier/tables/helpers.table.ts';

describe('helper tables', () => {
  it('number the helpers as the kernel does', () => {
    expect(HELPERS[1]).toBe('map_lookup_elem');
    expect(HELPERS[113]).toBe('probe_read_kernel');
    expect(HELPERS[211]).toBe('cgrp_storage_delete');
    expect(HELPERS).toHaveLength(212);
  });

  it('name only prototypes, helpers and sets that exist', () => {
    const missing: string[] = [];
    for (const [set, { base, protos }] of Object.entries(HELPER_SETS)) {
      if (base && !HELPER_SETS[base]) missing.push(`${set} base ${base}`);
      for (const [name, proto] of Object.entries(protos)) {
        if (!HELPERS.includes(name)) missing.push(name);
        for (const one of [proto].flat()) if (!HELPER_PROTOS[one]) missing.push(`${set} ${one}`);
      }
    }
    expect(missing).toEqual([]);
  });
});
