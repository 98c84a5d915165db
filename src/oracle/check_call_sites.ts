import { fromHex, toHex } from '../base/index.ts';
import {
  type BranchKind,
  bootCallSite,
  CALL_SITE_CHECK,
  CALL_SITE_SIZE,
  compiledCallSite,
  itsThunkSize,
  mayHoldItsThunk,
} from '../kernel/index.ts';
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
    const thunks = new Set<number>();
    for (const site of golden?.callSites ?? []) yield compareSite(golden!, site, thunks);
  },
};

const R11 = 11;
const THUNK_SIZE = 32;
/** Bytes that a mitigation puts in front of the branch's own opcode: cs prefixes, lfence, paranoid's jne. */
const BEFORE_BRANCH = /^((2e)+|0faee8|75fd2?e?)/;

/** Golden sites recorded as compiled have all 20 bytes, or the 12 that hold the hash; of those the branch is rebuilt. */
function compareSite(golden: Golden, site: GoldenCallSite, itsThunks: Set<number>): Outcome {
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
  // Boot may give a site two, first of the plain kind and then of the paranoid one; the last is recorded.
  let own: number | undefined;
  const bytes = bootCallSite(compiled, address, features, ERAS[release], seedOf(golden), {
    accounting: {
      call: thunk('__x86_indirect_call_thunk_array'),
      jump: thunk('__x86_indirect_jump_thunk_array'),
    },
    its: () => (own ??= recordedThunk(site, address, features.cfiParanoid, itsThunks)),
  });
  return compareCode(name, bytes, site.hex, BigInt(site.addr));
}

/** Whether the six bytes at the end of a site call or jump: the compiler's choice, which those bytes alone tell. */
function branchKind(tail: string): BranchKind {
  const opcode = tail.replace(BEFORE_BRANCH, '');
  return opcode.startsWith('e9') || opcode.startsWith('41ffe3') ? 'jump' : 'call';
}

/**
 * The site's own ITS thunk. They are allocated one after the other over the whole kernel, so that a single site does not
 * tell where its own lies; but it must lie where thunks may, and no two share a byte. Else: an address that no site has.
 */
function recordedThunk(site: GoldenCallSite, address: number, paranoid: boolean, taken: Set<number>): number {
  const distance = new DataView(fromHex(site.hex).buffer).getInt32(CALL_SITE_SIZE - 4, true);
  const thunk = (address + CALL_SITE_SIZE + distance) >>> 0;
  const { size, lead } = itsThunkSize(paranoid);
  const bytes = Array.from({ length: size }, (_, i) => thunk - lead + i);
  const fits = thunk >= MODULES && thunk < MODULES_END && mayHoldItsThunk(thunk - lead, size);
  if (!fits || bytes.some((byte) => taken.has(byte))) return 0;
  for (const byte of bytes) taken.add(byte);
  return thunk;
}

/** Where boot allocates text: low halves of addresses, and more than kernels have needed. */
const MODULES = 0xa0000000;
const MODULES_END = 0xa0100000;
