import { fromHex } from '../base/index.ts';
import { bootCall, bootCallSite, CALL_SITE_CHECK, CALL_SITE_SIZE } from '../kernel/index.ts';
import { ERAS } from '../target/index.ts';
import { compareCode } from './_compare.ts';
import { featuresOf, type Golden, type GoldenCallSite, low, releaseOf } from './_golden.ts';
import { seedOf } from './check_stubs.ts';
import type { Checker, Outcome } from './types.ts';

/** Indirect call sites of real kernel text: as compiled, rewritten as boot does, against what the running kernel has. */
export const checkCallSites: Checker = {
  kind: 'call sites',
  *check(directory, mode, object) {
    const golden = directory.golden(mode, object) as Golden | undefined;
    for (const site of golden?.callSites ?? []) yield compareSite(golden!, site);
  },
};

const JUMP = 0xe9;
const REX_B_INDIRECT = 0x41;

function compareSite(golden: Golden, site: GoldenCallSite & { function?: string }): Outcome {
  const name = `${site.function ?? ''}@${site.addr}`;
  const release = releaseOf(golden);
  if (release === undefined || !ERAS[release].boot)
    return { name, status: 'unsupported', why: `boot of kernel ${golden.version} is not modelled` };
  const features = featuresOf(golden);
  const compiled = fromHex(site.compiledHex);
  if (compiled.length !== CALL_SITE_SIZE || compiled[0] !== REX_B_INDIRECT || compiled[15] === JUMP)
    return { name, status: 'unsupported', why: 'a site of another form (tail call, or without a hash check)' };
  const callAddress = (low(site.addr) + CALL_SITE_CHECK) >>> 0;
  const call = bootCall(compiled.subarray(CALL_SITE_CHECK), callAddress, features, {
    accounting: (low(golden.kernelSymbols['__x86_indirect_call_thunk_array']) + 11 * 32) >>> 0,
  });
  if (call === undefined)
    return { name, status: 'unsupported', why: 'ITS thunks of call sites are placed at run time' };
  const check = bootCallSite(compiled.subarray(0, CALL_SITE_CHECK), features, ERAS[release], seedOf(golden));
  const bytes = new Uint8Array(CALL_SITE_SIZE);
  bytes.set(check);
  bytes.set(call, CALL_SITE_CHECK);
  return compareCode(name, bytes, site.hex, BigInt(site.addr));
}
