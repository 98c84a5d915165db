import { type Era, type Features, seedHash } from '../target/index.ts';

// CFI as pure functions over bytes: what clang emits, and what the kernel makes of it at boot (apply_fineibt and
// apply_seal_endbr in arch/x86/kernel/alternative.c, 6.12). The goldens of real kernels are compared with these.

const ENDBR64 = [0xf3, 0x0f, 0x1e, 0xfa] as const;

function write32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value & 0xff;
  bytes[at + 1] = (value >>> 8) & 0xff;
  bytes[at + 2] = (value >>> 16) & 0xff;
  bytes[at + 3] = value >>> 24;
}

function read32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}

export type CfiBuild = Pick<Features, 'cfi' | 'ibt' | 'callPadding'>;

/**
 * What clang puts around a function's start under -fsanitize=kcfi: `mov eax, hash`, the padding, and ENDBR.
 * The function begins after `5 + callPadding` bytes.
 */
export function compiledPreamble(hash: number, build: CfiBuild): Uint8Array {
  const bytes = new Uint8Array(5 + build.callPadding + (build.ibt ? 4 : 0)).fill(0x90);
  bytes[0] = 0xb8;
  write32(bytes, 1, hash);
  if (build.ibt) bytes.set(ENDBR64, 5 + build.callPadding);
  return bytes;
}

/** A preamble as {@link compiledPreamble} gives it, after boot in this mode. */
export function bootPreamble(compiled: Uint8Array, build: CfiBuild, era: Era, seed: number): Uint8Array {
  const bytes = compiled.slice();
  if (build.cfi === 'off') return bytes;
  const hash = seedHash(read32(bytes, 1), seed, era);
  if (build.cfi === 'kcfi') {
    write32(bytes, 1, hash);
    return bytes;
  }
  bytes.set(era.fineibtStatic, 0);
  write32(bytes, era.fineibtHashOffset, hash);
  bytes.set(era.endbrPoison, 16);
  return bytes;
}

/** A preamble of a function whose address nobody takes: no ENDBR, and under CFI no hash. */
export function sealPreamble(booted: Uint8Array, build: CfiBuild, era: Era): Uint8Array {
  const bytes = booted.slice();
  if (build.ibt) bytes.set(era.endbrPoison, 5 + build.callPadding);
  if (build.cfi === 'kcfi') write32(bytes, 1, 0);
  if (build.cfi === 'fineibt') {
    bytes.set(era.endbrPoison, 0);
    write32(bytes, era.fineibtHashOffset, 0);
  }
  return bytes;
}

/** An indirect call site: 14 bytes of hash check, 6 of call or jump. */
export const CALL_SITE_CHECK = 14;
export const CALL_SITE_SIZE = 20;

/** What the last six bytes of a call site do: a tail call is a jump. */
export type BranchKind = 'call' | 'jump';

/**
 * What clang emits for an indirect call through r11:
 *
 *     41 ba -H          mov r10d, -hash
 *     45 03 53 dd       add r10d, [r11 - (4 + padding)]
 *     74 02  0f 0b      je +2 ; ud2
 *     2e e8 rel32       cs call __x86_indirect_thunk_r11     (2e e9: cs jmp)
 *
 * `address` and `thunk` are low halves of addresses.
 */
export function compiledCallSite(
  hash: number,
  build: CfiBuild,
  kind: BranchKind,
  address: number,
  thunk: number,
): Uint8Array {
  const bytes = new Uint8Array(CALL_SITE_SIZE);
  bytes.set([0x41, 0xba, 0, 0, 0, 0, 0x45, 0x03, 0x53, -(4 + build.callPadding) & 0xff, 0x74, 0x02, 0x0f, 0x0b]);
  write32(bytes, 2, -hash >>> 0);
  throughThunk(bytes, kind, address, thunk);
  return bytes;
}

function throughThunk(bytes: Uint8Array, kind: BranchKind, address: number, thunk: number): void {
  bytes[CALL_SITE_CHECK] = 0x2e;
  bytes[CALL_SITE_CHECK + 1] = kind === 'jump' ? JMP_REL32 : 0xe8;
  write32(bytes, CALL_SITE_CHECK + 2, (thunk - (address + CALL_SITE_SIZE)) >>> 0);
}

const JMP_REL32 = 0xe9;

/** Thunks that call sites may go through, as low halves of addresses. */
export interface CallThunks {
  /** `__x86_indirect_call_thunk_r11` and `__x86_indirect_jump_thunk_r11` of call depth tracking. */
  accounting: Record<BranchKind, number>;
  /** The ITS thunk that the kernel allocated for the site at `address`. */
  its(address: number): number;
}

/** A call site as {@link compiledCallSite} gives it, after boot: apply_retpolines, then apply_fineibt or its relatives. */
export function bootCallSite(
  compiled: Uint8Array,
  address: number,
  features: Features,
  era: Era,
  seed: number,
  thunks: CallThunks,
): Uint8Array {
  const bytes = compiled.slice();
  const kind: BranchKind = compiled[CALL_SITE_CHECK + 1] === JMP_REL32 ? 'jump' : 'call';
  bootBranch(bytes, kind, address, features, era, thunks);
  const hash = seedHash(-read32(bytes, 2) >>> 0, seed, era);
  if (features.cfi === 'off') bytes.set([0xeb, 0x0c], 0);
  else if (features.cfi === 'kcfi') write32(bytes, 2, -hash >>> 0);
  else {
    const paranoid = features.cfiParanoid ? era.fineibtParanoid : undefined;
    bytes.set(paranoid?.check ?? era.fineibtCall, 0);
    write32(bytes, era.fineibtCallHashOffset, hash);
    if (paranoid !== undefined) {
      if (features.its && wantsItsThunk(address + PARANOID_BRANCH))
        throughThunk(bytes, kind, address, thunks.its(address));
      else bytes.set(paranoid[kind], CALL_SITE_CHECK);
    }
  }
  return bytes;
}

/** Behind the `jne`. */
const PARANOID_BRANCH = 16;

/** The six bytes that perform the call (patch_retpoline): through the retpoline as compiled, bare, fenced, or counted. */
function bootBranch(
  bytes: Uint8Array,
  kind: BranchKind,
  address: number,
  features: Features,
  era: Era,
  thunks: CallThunks,
): void {
  if (features.retpolineLfence) {
    bytes.set([0x0f, 0xae, 0xe8, 0x41, 0xff, kind === 'jump' ? 0xe3 : 0xd3], CALL_SITE_CHECK);
  } else if (features.callDepth) throughThunk(bytes, kind, address, thunks.accounting[kind]);
  else if (!features.retpoline) {
    if (features.its && wantsItsThunk(address + CALL_SITE_CHECK))
      throughThunk(bytes, kind, address, thunks.its(address));
    else bytes.set(era.bareBranch[kind], CALL_SITE_CHECK);
  }
}

/** ITS: a `jmp r11` or `call r11` at `at` whose last byte would lie in the lower half of a cache line is unsafe. */
const wantsItsThunk = (at: number): boolean => ((at + 2) & 0x20) === 0;

/** What `cfi_get_func_hash` reads of a function's preamble, from `before` bytes in front of it. */
export function hashPlace(build: CfiBuild, era: Era): { before: number } | undefined {
  switch (build.cfi) {
    case 'off':
      return undefined;
    case 'kcfi':
      return { before: 4 + build.callPadding };
    case 'fineibt':
      return { before: 16 - era.fineibtStubReadOffset };
  }
}
