import { fromHex, toHex } from '../base/index.ts';
import { type BranchKind, bootCallSite, CALL_SITE_CHECK, CALL_SITE_SIZE, compiledCallSite } from '../kernel/index.ts';
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

const R11 = 11;
const THUNK_SIZE = 32;
/** Bytes that a mitigation puts in front of the branch's own opcode: cs prefixes, lfence, paranoid's jne. */
const BEFORE_BRANCH = /^((2e)+|0faee8|75fd2?e?)/;

/** Golden sites recorded as compiled have all 20 bytes, or the 12 that hold the hash; of those the branch is rebuilt. */
function compareSite(golden: Golden, site: GoldenCallSite): Outcome {
  const name = `${site.function ?? ''}@${site.addr}`;
  const release = releaseOf(golden);
  if (release === undefined) return { name, status: 'unsupported', why: `kernel ${golden.version} is not known` };
  const features = featuresOf(golden);
  const address = low(site.addr);
  const symbols = golden.kernelSymbols;
  const thunk = (array: string) => (low(symbols[array]) + R11 * THUNK_SIZE) >>> 0;
  const recorded = fromHex(site.compiledHex);
  const hash = -new DataView(recorded.buffer).getInt32(2, true) >>> 0;
  const compiled = compiledCallSite(
    hash,
    features,
    branchKind(site.hex.slice(2 * CALL_SITE_CHECK)),
    address,
    thunk('__x86_indirect_thunk_array'),
  );
  if (toHex(compiled.subarray(0, recorded.length)) !== site.compiledHex)
    return compareCode(
      `${name} as compiled`,
      compiled.subarray(0, recorded.length),
      site.compiledHex,
      BigInt(site.addr),
    );
  const bytes = bootCallSite(compiled, address, features, ERAS[release], seedOf(golden), {
    accounting: {
      call: thunk('__x86_indirect_call_thunk_array'),
      jump: thunk('__x86_indirect_jump_thunk_array'),
    },
    its: () => recordedThunk(site, address),
  });
  return compareCode(name, bytes, site.hex, BigInt(site.addr));
}

/** Whether the six bytes at the end of a site call or jump: the compiler's choice, which those bytes alone tell. */
function branchKind(tail: string): BranchKind {
  const opcode = tail.replace(BEFORE_BRANCH, '');
  return opcode.startsWith('e9') || opcode.startsWith('41ffe3') ? 'jump' : 'call';
}

/** ITS thunks are allocated one after the other over the whole kernel, so a single site does not tell where its own lies. */
function recordedThunk(site: GoldenCallSite, address: number): number {
  const distance = new DataView(fromHex(site.hex).buffer).getInt32(CALL_SITE_SIZE - 4, true);
  return (address + CALL_SITE_SIZE + distance) >>> 0;
}
