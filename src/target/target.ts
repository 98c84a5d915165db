import type { Btf } from '../btf/index.ts';
import { ERAS } from './eras.ts';
import { TargetError } from './error.ts';
import { KCONFIG } from './kconfig.ts';
import type { CfiMode, CpuFeatures, Era, Features, KernelFault, Release, StructOffsets, Target } from './types.ts';

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
  cfiBhi: false,
  cfiWarn: false,
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

/** The era of `6.12`, `6.12.117`, `6.18+hashfix`, … @throws TargetError for a release that we know nothing of */
export function eraOf(kernel: string): Era {
  const release = kernel.replace(/^(\d+\.\d+)[^+]*/, '$1');
  if (!Object.hasOwn(ERAS, release))
    throw new TargetError(`kernel ${kernel} is not known (known: ${Object.keys(ERAS).join(', ')})`, 'TARGET_RELEASE');
  return ERAS[release as Release];
}

/** @throws TargetError for a release that we know nothing of, or features that do not go together */
export function makeTarget(options: TargetOptions): Target {
  const era = eraOf(options.release);
  const features: Features = { ...DEFAULT_FEATURES, ...options.features, cfi: options.cfi };
  if (options.cfi === 'fineibt' && !(features.ibt && features.callPadding === 11))
    throw new TargetError('FineIBT needs a kernel with IBT and 11 bytes of call padding', 'TARGET_FINEIBT', 'usage');
  if (options.features?.cfiWarn === true && !era.cfiWarn)
    throw new TargetError(`there is no cfi=warn in Linux ${era.release}`, 'TARGET_WARN', 'usage');
  const lacking = era.lacks.find((name) => features[name]);
  if (lacking !== undefined)
    throw new TargetError(`'${lacking}' is not modelled for Linux ${era.release}`, 'TARGET_FEATURE');
  if (options.features?.cfiParanoid === true && (era.fineibtParanoid === undefined || options.cfi !== 'fineibt'))
    throw new TargetError(`there is no paranoid ${options.cfi} in Linux ${era.release}`, 'TARGET_PARANOID', 'usage');
  if (options.features?.cfiBhi === true && !(era.cfiBhi && options.cfi === 'fineibt'))
    throw new TargetError(`there is no ${options.cfi} with BHI in Linux ${era.release}`, 'TARGET_BHI', 'usage');
  return {
    release: era.release,
    era,
    features,
    cpu: { ibt: true, ...options.cpu },
    offsets: structOffsets(options.btf),
    btf: options.btf,
    hashSeed: (options.hashSeed ?? 0) >>> 0,
    kconfig: KCONFIG,
  };
}

/** The era's faults that this configuration brings out. */
export function faultsOf({ era, features }: Pick<Target, 'era' | 'features'>): KernelFault[] {
  const shows: Record<KernelFault['id'], boolean> = {
    'stub-hash': features.cfi === 'fineibt',
    'paranoid-its': features.cfiParanoid && features.its,
    'stack-arguments': true,
    'bhi-arity': features.cfiBhi,
  };
  return era.faults.filter(({ id }) => shows[id]);
}

/** Whether the forms that this configuration emits were compared with a running kernel; BHI's were not. */
export const formOf = ({ era, features }: Pick<Target, 'era' | 'features'>): Era['form'] =>
  features.cfiBhi ? 'from source' : era.form;

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

/**
 * Type ids of what is called indirectly in BPF, as the compiler makes them: programs, subprograms, and the variadic function
 * behind the dummy ops' test runs.
 */
export const CFI_HASHES = { program: 0xd9421881, subprogram: 0x9e4709a9, dummyTest: 0xb456af0c } as const;

const ENDBR_WORD = 0xfa1e0ff3;

/**
 * A type hash under the boot-time seed, `cfi_rehash` (arch/x86/kernel/alternative.c, 6.12): hashes that look like ENDBR or
 * its poison, or whose negation does, are stepped by a shift register.
 */
export function seedHash(hash: number, seed: number, { endbrPoison }: Pick<Era, 'endbrPoison'>): number {
  if (seed === 0) return hash >>> 0;
  const poison = endbrPoison.reduce((word, byte, i) => (word | (byte << (8 * i))) >>> 0, 0);
  let mixed = (hash ^ seed) >>> 0;
  const looksLikeEndbr = (value: number) => value === ENDBR_WORD || value === poison;
  while (looksLikeEndbr(mixed) || looksLikeEndbr(-mixed >>> 0))
    mixed = (mixed >>> 1) ^ ((mixed & 1) === 1 ? 0x80200003 : 0);
  return mixed >>> 0;
}
