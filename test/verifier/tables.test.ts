import { describe, expect, it } from 'vitest';
import { HELPER_NAMES, HELPER_SETS } from '../../src/verifier/tables/helper_sets.table.ts';
import { HELPER_PROTOS } from '../../src/verifier/tables/helpers.table.ts';

describe('helper tables', () => {
  it('number the helpers as the kernel does', () => {
    expect(HELPER_NAMES[1]).toBe('map_lookup_elem');
    expect(HELPER_NAMES[113]).toBe('probe_read_kernel');
    expect(HELPER_NAMES[211]).toBe('cgrp_storage_delete');
    expect(HELPER_NAMES).toHaveLength(212);
  });

  it('name only prototypes, helpers and sets that exist', () => {
    const missing: string[] = [];
    for (const [set, { base, protos }] of Object.entries(HELPER_SETS)) {
      if (base && !HELPER_SETS[base]) missing.push(`${set} base ${base}`);
      for (const [name, proto] of Object.entries(protos)) {
        if (!HELPER_NAMES.includes(name)) missing.push(name);
        for (const one of [proto].flat()) if (!HELPER_PROTOS[one]) missing.push(`${set} ${one}`);
      }
    }
    expect(missing).toEqual([]);
  });
});
