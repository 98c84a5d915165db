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

export type CfiBuild = Pick<Features, 'cfi' | 'ibt' | 'callPadding' | 'cfiBhi' | 'cfiWarn'>;

/**
 * What clang puts around a function's start under -fsanitize=kcfi: `mov eax, hash`, the padding, and ENDBR.
 * The function begins after `5 + callPadding` bytes. With -fsanitize-kcfi-arity the `mov`'s register says how many argument
 * registers the function has, 7 if arguments lie on the stack.
 */
export function compiledPreamble(hash: number, build: CfiBuild, arity: number): Uint8Array {
  const bytes = new Uint8Array(5 + build.callPadding + (build.ibt ? 4 : 0)).fill(0x90);
  bytes[0] = MOV_EAX + (build.cfiBhi ? arity : 0);
  write32(bytes, 1, hash);
  if (build.ibt) bytes.set(ENDBR64, 5 + build.callPadding);
  return bytes;
}

const MOV_EAX = 0xb8;
/** Number of argument registers as {@link compiledPreamble} takes it. */
export const arityOf = (registers: number): number => Math.min(registers, 7);

/** Bytes of each of BHI's thunks, which stand in the order of arities. */
export const BHI_THUNK_SIZE = 32;
/** Of a function with one argument: `cmovne rdi, rax ; cs jne +3`, into the poison's trapping byte. */
const BHI_ONE = [0x48, 0x0f, 0x45, 0xf8, 0x2e, 0x75, 0x03] as const;
/** The branch behind FineIBT's comparison is seven bytes long. */
const BRANCH_AT = 9;
const PREAMBLE_SIZE = 16;

/** BHI's form of a preamble's branch: `cs cs call` of the arity's thunk; addresses are low halves (cfi_fineibt_bhi_preamble). */
export function bhiBranch(address: number, thunks: number, arity: number): Uint8Array {
  const bytes = Uint8Array.of(0x2e, 0x2e, 0xe8, 0, 0, 0, 0);
  write32(bytes, 3, (thunks + BHI_THUNK_SIZE * arity - (address + PREAMBLE_SIZE)) >>> 0);
  return bytes;
}

/**
 * A preamble as {@link compiledPreamble} gives it, after boot in this mode. `address` and `bhiThunks`, `__bhi_args`, are low
 * halves of addresses.
 */
export function bootPreamble(
  compiled: Uint8Array,
  build: CfiBuild,
  era: Era,
  seed: number,
  address = 0,
  bhiThunks = 0,
): Uint8Array {
  const bytes = compiled.slice();
  if (build.cfi === 'off') return bytes;
  const hash = seedHash(read32(bytes, 1), seed, era);
  if (build.cfi === 'kcfi') {
    write32(bytes, 1, hash);
    return bytes;
  }
  bytes.set(era.fineibtStatic, 0);
  write32(bytes, era.fineibtHashOffset, hash);
  bytes.set(era.endbrPoison, PREAMBLE_SIZE);
  const arity = compiled[0]! - MOV_EAX;
  // Under cfi=warn the arguments must survive a mismatch, which the inlined form would not let them.
  if (build.cfiBhi && arity > 0)
    bytes.set(arity === 1 && !build.cfiWarn ? BHI_ONE : bhiBranch(address, bhiThunks, arity), BRANCH_AT);
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
