import { describe, expect, it } from 'vitest';
import { HELPERS } from '../../src/bpf/index.ts';
import { verifyProgram } from '../../src/verifier/index.ts';
import { HELPER_SETS } from '../../src/verifier/tables/helper_sets.table.ts';
import { HELPER_PROTOS } from '../../src/verifier/tables/helpers.table.ts';
import { file } from '../support.ts';
import { program } from './programs.ts';

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

  // The kernel's configuration and lockdown decide about these two.
  const UNDECIDED = [HELPERS.indexOf('probe_write_user'), HELPERS.indexOf('override_return')];
  const recorded = JSON.parse(new TextDecoder().decode(file('test/golden/linux-6.18/helpers.json'))) as {
    type: number;
    attach: number;
    /** Helper numbers and ranges of them, after which a running 6.18 did not say that the type cannot use the helper. */
    allowed: string;
  }[];

  it.each(recorded)('programs of type $type have the helpers that a running kernel gives them', (golden) => {
    const allowed = golden.allowed.split(' ').flatMap((range) => {
      const [first = 0, last = first] = range.split('-').map(Number);
      return Array.from({ length: last - first + 1 }, (_, i) => first + i);
    });
    const ours = HELPERS.map((_, helper) => helper).filter((helper) => {
      const { log } = verifyProgram({
        ...program(`call ${helper}\nmov %r0, 0\nexit`, { progType: golden.type, expectedAttachType: golden.attach }),
        logLevel: 1,
      });
      return helper > 0 && !log.includes('program of this type cannot use helper');
    });
    const decided = (helpers: number[]) => helpers.filter((helper) => !UNDECIDED.includes(helper));
    expect(decided(ours)).toEqual(decided(allowed));
  });
});
