import type { Btf } from '../btf/index.ts';
import { ERAS } from './eras.ts';
import { TargetError } from './error.ts';
import type { CfiMode, CpuFeatures, Features, Release, StructOffsets, Target } from './types.ts';

/**
 * A distribution kernel on a CPU with IBT and enhanced IBRS: indirect branches stay bare, as a retpoline's `ret` would hide
 * them from the IBT tracker.
 */
export const DEFAULT_FEATURES: Omit<Features, 'cfi'> = {
  ibt: true,
  callPadding: 11,
  retpoline: false,
  retpolineLfence: false,
  retpolineConfig: true,
  rethunk: false,
  its: false,
  cfiParanoid: false,
  callDepth: false,
  sls: false,
  bmi2: true,
  clearBhbLoop: false,
  jitHarden: 0,
};

export interface TargetOptions {
  release: string;
  cfi: CfiMode;
  btf: Btf;
  features?: Partial<Features>;
  cpu?: Partial<CpuFeatures>;
  /** 0 (default): hashes as compiled (`norand`). */
  hashSeed?: number;
}

/** @throws TargetError for a release that we know nothing of. */
export function makeTarget(options: TargetOptions): Target {
  const release = options.release.split('.').slice(0, 2).join('.');
  if (!Object.hasOwn(ERAS, release)) {
    throw new TargetError(
      `kernel ${options.release} is not known (known: ${Object.keys(ERAS).join(', ')})`,
      'TARGET_RELEASE',
    );
  }
  return {
    release: release as Release,
    era: ERAS[release as Release],
    features: { ...DEFAULT_FEATURES, ...options.features, cfi: options.cfi },
    cpu: { ibt: true, ...options.cpu },
    offsets: structOffsets(options.btf),
    btf: options.btf,
    hashSeed: (options.hashSeed ?? 0) >>> 0,
  };
}

/** Layout of the structs that emitted code reads. */
export function structOffsets(btf: Btf): StructOffsets {
  return {
    bpfArrayMaxEntries: btf.member('bpf_array', 'map.max_entries').offset,
    bpfArrayPtrs: btf.member('bpf_array', 'ptrs').offset,
    bpfProgBpfFunc: btf.member('bpf_prog', 'bpf_func').offset,
    bpfProgInsnsi: btf.member('bpf_prog', 'insnsi').offset,
    trampRunCtxSize: btf.struct('bpf_tramp_run_ctx').size,
    trampRunCtxCookie: btf.member('bpf_tramp_run_ctx', 'bpf_cookie').offset,
  };
}

/** Bytes from an image's start to the address that is called: `cfi_get_offset` (arch/x86/include/asm/cfi.h, 6.12). */
export function cfiOffset(features: Pick<Features, 'cfi' | 'callPadding'>): number {
  switch (features.cfi) {
    case 'off':
      return 0;
    case 'kcfi':
      return 5 + features.callPadding;
    case 'fineibt':
      return 16;
  }
}

/** Type ids of what is called indirectly in BPF: programs, subprograms, and the dummy ops' test_run (see facts in docs/parity/cfi.md). */
const PROGRAM_HASH = 0xd9421881;
const SUBPROGRAM_HASH = 0x9e4709a9;
const DUMMY_TEST_HASH = 0xb456af0c;

/** The hashes that this kernel puts in front of BPF functions, seed applied. */
export function cfiHashes(hashSeed: number): { program: number; subprogram: number; dummyTest: number } {
  return {
    program: seedHash(PROGRAM_HASH, hashSeed),
    subprogram: seedHash(SUBPROGRAM_HASH, hashSeed),
    dummyTest: seedHash(DUMMY_TEST_HASH, hashSeed),
  };
}

const ENDBR_WORD = 0xfa1e0ff3;
const ENDBR_POISON_WORD = 0x001f0f66;

/**
 * A type hash under the boot-time seed, `cfi_rehash` (arch/x86/kernel/alternative.c, 6.12): hashes that look like ENDBR, or
 * whose negation does, are stepped by a shift register.
 */
export function seedHash(hash: number, seed: number): number {
  if (seed === 0) return hash >>> 0;
  let mixed = (hash ^ seed) >>> 0;
  const looksLikeEndbr = (value: number) => value === ENDBR_WORD || value === ENDBR_POISON_WORD;
  while (looksLikeEndbr(mixed) || looksLikeEndbr(-mixed >>> 0))
    mixed = (mixed >>> 1) ^ ((mixed & 1) === 1 ? 0x80200003 : 0);
  return mixed >>> 0;
}
