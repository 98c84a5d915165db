import type { JitContext, JitSymbols, Wide } from '../jit/index.ts';
import type { Release } from '../target/index.ts';
import { CFI_HASHES, ERAS, type Features, type StructOffsets } from '../target/index.ts';
import { fromFlat, isFlat } from './_flat.ts';
import { calledDirectly } from './_vmlinux.ts';
import type { OracleDirectory } from './types.ts';

// The part of the goldens' schema that the checkers read. Goldens are data from outside: a field of the wrong shape ends in
// a TypeError, which the runner reports as a malformed golden.

export interface Golden {
  version: string;
  features: Record<string, unknown>;
  kernelSymbols: Record<string, string>;
  structOffsets: Record<string, number | string>;
  programs?: GoldenProgram[];
  trampolines?: GoldenTrampoline[];
  stubs?: GoldenStub[];
  callSites?: GoldenCallSite[];
  runs?: unknown[];
  tracedFunctions?: { symbol: string; addr: string; bytesFromMinus16: string }[];
  maps?: { name: string; type: string; value: string }[];
  /** Text pokes in the order in which the kernel made them: where, and what the site branches to after it (0: nothing). */
  pokes?: GoldenPoke[];
}
export interface GoldenPoke {
  ip: string;
  new: string;
}
export interface GoldenProgram {
  name: string;
  type: string;
  expectedAttach?: string;
  subprogs: GoldenSubprogram[];
}
export interface GoldenSubprogram {
  name: string;
  image: string;
  entryOffset: number;
  hex: string;
  hexBeforeTailCallFixup?: string;
  jitInsnsHex: string;
  insnOffsets: number[];
  stackDepth: number;
  funcIdx: number;
  tailCallReachable: boolean;
  exceptionCb: boolean;
  exceptionBoundary: boolean;
  fromCbpf: boolean;
  hexFinal?: string;
  /** Direct tail calls, of all functions of the program: `struct bpf_jit_poke_descriptor`; `own` is 1 for this function's. */
  pokes?: {
    tailcallTarget: string;
    tailcallBypass: string;
    bypassAddr: string;
    adjOff: string;
    key: string;
    own: string;
  }[];
  extable?: { addr: string; hex: string };
  privStack?: boolean;
  privStackPtr?: string;
  /** The image was read while tail call slots were filled: its poke sites say what is in the slots. */
  livePokes?: boolean;
  arenaKernel?: string;
  arenaUserHigh?: number;
  callTargets?: Record<string, string>;
}
export interface GoldenTrampoline {
  symbol: string;
  addr: string;
  hex: string;
  /** The image was still there when memory was read again. */
  kcoreMatches?: boolean | null;
  codeLen: number;
  allocLen: number;
  flags: string;
  target: string;
  targetAddr: string;
  im: string;
  funcHash?: string;
  model: { nrArgs: number; argSizes: number[]; argFlags: number[]; retSize: number; retFlags: number };
  links: { kind: string; cookie: string; progPtr: string; bpfFunc: string; enter: string; exit: string }[];
  callTargets?: Record<string, string>;
}
export interface GoldenStub {
  symbol: string;
  addr: string;
  preambleHex: string;
  compiledHex?: string;
  hash?: string;
  typeHash?: string;
}
export interface GoldenCallSite {
  addr: string;
  hex: string;
  compiledHex: string;
  function?: string;
  op?: string;
  /** Members at the offset that the site loads from, as `type.member`. */
  opCandidates?: string[];
}

export const wide = (text: string): Wide => {
  const value = BigInt(text);
  return { lo: Number(value & 0xffffffffn), hi: Number((value >> 32n) & 0xffffffffn) };
};
export const low = (text: string | undefined): number => (text === undefined ? 0 : Number(BigInt(text) & 0xffffffffn));

/** The golden of an object in one mode, whichever layout it has. */
export function readGolden(directory: OracleDirectory, mode: string, object: string): Golden | undefined {
  const raw = directory.golden(mode, object);
  if (typeof raw !== 'object' || raw === null) return undefined;
  return isFlat(raw) ? fromFlat(raw, directory) : (raw as Golden);
}

/** The era of the golden's kernel: of several variants of a release the one that reads a stub's hash where this one does. */
export function releaseOf(golden: Golden): Release | undefined {
  const release = /^(\d+\.\d+)/.exec(golden.version.replace(/^\D*/, ''))?.[1] ?? '';
  const variants = Object.values(ERAS).filter((era) => era.release.split('+')[0] === release);
  const readAt = golden.features['stubHashReadOffset'];
  return (variants.find((era) => era.fineibtStubReadOffset === readAt) ?? variants[0])?.release;
}

export function featuresOf(golden: Golden): Features {
  const raw = golden.features as unknown as Features;
  return {
    ...raw,
    retpolineConfig: raw.retpolineConfig ?? true,
    cfiParanoid: raw.cfiParanoid ?? false,
    cfiBhi: raw.cfiBhi ?? false,
    cfiWarn: raw.cfiWarn ?? false,
  };
}

export function offsetsOf(golden: Golden): StructOffsets {
  const raw = golden.structOffsets as Record<string, number>;
  return {
    bpfArrayMaxEntries: raw['off_max_entries']!,
    bpfArrayPtrs: raw['off_ptrs']!,
    bpfProgBpfFunc: raw['off_bpf_func']!,
    bpfProgInsnsi: raw['off_insnsi']!,
    trampRunCtxSize: raw['sizeof_run_ctx']!,
    trampRunCtxCookie: raw['off_cookie']!,
  };
}

/** From the kernel's own text where the directory has it, else by name. */
function accountedCallees(golden: Golden, release: Release, directory: OracleDirectory): ReadonlySet<number> {
  const features = featuresOf(golden);
  if (!features.callDepth || features.cfi === 'fineibt') return new Set();
  const exact = calledDirectly(directory);
  if (exact.size > 0) return exact;
  const names = new Set(ERAS[release].accountedByPadding);
  const addresses = new Set<number>();
  for (const part of [...(golden.programs ?? []).flatMap(({ subprogs }) => subprogs), ...(golden.trampolines ?? [])])
    for (const [address, name] of Object.entries(part.callTargets ?? {}))
      if (names.has(name)) addresses.add(low(address));
  return addresses;
}

/** Everything that the kernel of this golden knew when it emitted code. */
export function contextOf(golden: Golden, release: Release, directory: OracleDirectory): JitContext {
  const symbols = golden.kernelSymbols;
  const features = featuresOf(golden);
  const hash = (name: string, fallback: number) =>
    typeof golden.features[name] === 'string' ? low(golden.features[name] as string) : fallback;
  const named: Record<string, number> = {};
  for (const [name, address] of Object.entries(symbols)) named[name] = low(address);
  return {
    features,
    era: ERAS[release],
    offsets: offsetsOf(golden),
    hashes: {
      program: hash('cfiBpfHash', CFI_HASHES.program),
      subprogram: hash('cfiBpfSubprogHash', CFI_HASHES.subprogram),
    },
    symbols: {
      ...named,
      callBase: low(symbols['bpfCallBase']),
      returnThunk: low(symbols['returnThunk']),
      indirectThunks: low(symbols['__x86_indirect_thunk_array']),
      indirectJumpThunks: low(symbols['__x86_indirect_jump_thunk_array']),
      itsThunks: low(symbols['__x86_indirect_its_thunk_array']),
      callDepth: 'callDepthVar' in symbols ? low(symbols['callDepthVar']) : (low(symbols['pcpuHot']) + 16) >>> 0,
      thisCpuOffset: low(symbols['thisCpuOff']),
      clearBhbLoop: low(symbols['clear_bhb_loop']),
    } as JitSymbols,
    accountedCallees: accountedCallees(golden, release, directory),
    taskSizeMax: wide(String(golden.structOffsets['taskSizeMax'])),
    vsyscall: wide(String(golden.structOffsets['vsyscallAddr'])),
  };
}
