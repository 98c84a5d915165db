import { existsSync, readFileSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { TrampetError } from '../base/index.ts';
import { type Btf, readBtf } from '../btf/index.ts';
import {
  bootKernel,
  type Kernel,
  type LoadedObject,
  type LoadedProgram,
  loadObject,
  StructOpsLink,
  StructOpsMap,
} from '../kernel/index.ts';
import { openObject, type ResolvedObject, resolveObject } from '../object/index.ts';
import { dummySubsystem, tcpSubsystem } from '../subsystems/index.ts';
import { type CfiMode, type Era, eraOf, type Features, KCONFIG, makeTarget, type Target } from '../target/index.ts';
import { VerifierError } from '../verifier/index.ts';
import { CliError } from './error.ts';
import { COMMON, number, oneOf } from './options.ts';

export const CFI_MODES = ['off', 'kcfi', 'fineibt'] as const;
/** `--mitigations`: what each word turns on, as the goldens' kernels had it. */
const MITIGATIONS: Readonly<Record<string, Partial<Features>>> = {
  retpoline: { retpoline: true },
  lfence: { retpoline: true, retpolineLfence: true },
  rethunk: { rethunk: true },
  its: { its: true, rethunk: true },
  calldepth: { callDepth: true, retpoline: true, rethunk: true },
  sls: { sls: true },
  nobmi2: { bmi2: false },
  harden: { jitHarden: 2 },
  noibt: { ibt: false },
  nopad: { callPadding: 0 },
};
/** What every command that pretends to be a kernel says of its options; `release` is what is meant without one. */
export const kernelHelp = (release: string = COMMON.kernel.default): string => `
The kernel:
  --kernel REL         a release, with what sets it apart behind it, e.g. 6.18+hashfix (default ${release})
  --cfi MODE           off | kcfi | fineibt (default fineibt); since 6.15 ,paranoid ,bhi ,warn may follow
  --mitigations LIST   of ${Object.keys(MITIGATIONS).join(', ')}
  --btf FILE           its types: raw BTF, ELF or gzip; 'live': the running kernel's (default: the bundled ones)
  --hash-seed N        what this boot mixed into type hashes (0: nothing)`;

/** Releases with a bundled BTF. */
const BUNDLED = ['6.12', '6.18'];
const LIVE_BTF = '/sys/kernel/btf/vmlinux';

/** Reads a file, unpacking gzip. */
export function readFile(path: string): Uint8Array {
  try {
    const bytes = readFileSync(path);
    return new Uint8Array(bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new CliError(code === 'ENOENT' ? `${path}: no such file` : `${path}: ${message}`, 'unreadable');
  }
}

/** Reads traces of links, whose paths are relative to `folder`. */
export const traceReader =
  (folder: string) =>
  (path: string): string =>
    new TextDecoder().decode(readFile(resolve(folder, path)));

/** What the common options say about the kernel. */
export interface KernelChoice {
  release: string;
  cfi: CfiMode;
  features: Partial<Features>;
  era: Era;
  btf: Btf;
  hashSeed: number;
  seed: number;
}

export interface CommonValues {
  kernel: string;
  cfi: string;
  mitigations: string;
  btf?: string | undefined;
  'hash-seed': string;
  seed: string;
}

/** @throws CliError, TargetError */
export function chooseKernel(values: CommonValues): KernelChoice {
  const [mode = '', ...words] = values.cfi.split(',');
  const cfi = oneOf('cfi', mode, CFI_MODES);
  for (const word of words) oneOf('cfi', word, ['paranoid', 'bhi', 'warn']);
  const misplaced = words.find((word) => word !== 'warn' && cfi !== 'fineibt');
  if (misplaced !== undefined) throw new CliError(`--cfi: '${misplaced}' depends on fineibt`, 'usage');
  const features: Partial<Features> = {
    cfiParanoid: words.includes('paranoid'),
    cfiBhi: words.includes('bhi'),
    cfiWarn: words.includes('warn'),
  };
  for (const word of values.mitigations.split(',').filter((text) => text !== ''))
    Object.assign(features, MITIGATIONS[oneOf('mitigations', word, Object.keys(MITIGATIONS))]);
  const era = eraOf(values.kernel);
  const btf = readBtf(readFile(btfFile(values)));
  return {
    release: values.kernel,
    cfi,
    features,
    era,
    btf,
    hashSeed: number('hash-seed', values['hash-seed']),
    seed: number('seed', values.seed),
  };
}

function btfFile({ btf, kernel }: CommonValues): string {
  if (btf === 'live') {
    if (!existsSync(LIVE_BTF)) throw new CliError(`the running kernel has no BTF (${LIVE_BTF})`, 'unreadable');
    return LIVE_BTF;
  }
  if (btf !== undefined) return btf;
  const bundled = BUNDLED.find((release) => new RegExp(`^${release}(?!\\d)`).test(kernel));
  if (bundled === undefined)
    throw new CliError(
      `no BTF of Linux ${kernel} is bundled (there are: ${BUNDLED.join(', ')}); name one with --btf FILE`,
      'unsupported',
    );
  return fileURLToPath(new URL(`../../data/btf/vmlinux-${bundled}.btf`, import.meta.url));
}

/** Opens an object and settles it against the kernel. */
export function openFor(path: string, choice: KernelChoice): ResolvedObject {
  const bytes = readFile(path);
  try {
    return resolveObject(openObject(bytes, basename(path)), {
      btf: choice.btf,
      release: choice.release,
      kconfig: KCONFIG,
    });
  } catch (error) {
    if (!(error instanceof TrampetError)) throw error;
    throw new CliError(`${basename(path)}: ${error.message}`, error.kind, error.hint);
  }
}

/** A booted kernel with an object loaded. */
export interface Session {
  kernel: Kernel;
  resolved: ResolvedObject;
  loaded: LoadedObject;
  programs: Map<string, LoadedProgram>;
}

/** The kernel that was chosen, or the same in another CFI mode. */
export function targetFor(choice: KernelChoice, cfi: CfiMode = choice.cfi): Target {
  return makeTarget({
    release: choice.release,
    cfi,
    btf: choice.btf,
    features: cfi === 'fineibt' ? choice.features : { ...choice.features, cfiParanoid: false, cfiBhi: false },
    hashSeed: cfi === 'off' ? 0 : choice.hashSeed,
  });
}

/** Boots, and loads the object; ops tables are not registered yet. */
export function startSession(resolved: ResolvedObject, choice: KernelChoice, cfi: CfiMode = choice.cfi): Session {
  const kernel = bootKernel({
    target: targetFor(choice, cfi),
    subsystems: [dummySubsystem, tcpSubsystem],
    seed: choice.seed,
  });
  return loadMore({ kernel }, resolved);
}

/** Loads a further object into a session's kernel. @throws CliError where the verifier refuses a program */
export function loadMore({ kernel }: Pick<Session, 'kernel'>, resolved: ResolvedObject): Session {
  const loaded = loadVerified(kernel, resolved);
  return { kernel, resolved, loaded, programs: new Map(loaded.programs.map((program) => [program.name, program])) };
}

function loadVerified(kernel: Kernel, resolved: ResolvedObject): LoadedObject {
  try {
    return loadObject(kernel, resolved);
  } catch (error) {
    if (!(error instanceof VerifierError) || error.kind !== 'refused') throw error;
    throw new CliError(error.message, 'refused', "'trampet verify' tells why, by which way, and what to change");
  }
}

/** Registers every ops table of the object that is to be created, with a link where it asks for one. */
export function registerTables({ kernel, resolved, programs }: Session): StructOpsMap[] {
  return resolved.structOps
    .filter(({ autocreate }) => autocreate)
    .map((table) => {
      const map = new StructOpsMap(kernel, table);
      map.update(table, programs);
      if (table.link) new StructOpsLink(kernel, map);
      return map;
    });
}

/** The one table that is meant: by name, or the only one. */
export function pickTable<T extends { name: string }>(
  tables: readonly T[],
  name: string | undefined,
  what = 'ops table',
): T {
  if (name !== undefined) {
    const found = tables.find((table) => table.name === name);
    if (found === undefined)
      throw new CliError(
        `no ${what} '${name}' in this object (there are: ${tables.map((table) => table.name).join(', ') || 'none'})`,
      );
    return found;
  }
  const only = tables[0];
  if (only === undefined) throw new CliError(`the object has no ${what}`, 'refused');
  return only;
}

/** `table.member` or `member`. */
export function splitMember(text: string): { table: string | undefined; member: string } {
  const dot = text.indexOf('.');
  return dot < 0 ? { table: undefined, member: text } : { table: text.slice(0, dot), member: text.slice(dot + 1) };
}
