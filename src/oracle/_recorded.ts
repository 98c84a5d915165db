import { TrampetError } from '../base/index.ts';
import { readBtf } from '../btf/index.ts';
import { readElf } from '../elf/index.ts';
import {
  openObject,
  type ResolvedObject,
  type ResolvedProgram,
  type ResolveTarget,
  resolveObject,
} from '../object/index.ts';
import { ERAS } from '../target/index.ts';
import {
  mapInfos,
  type RewriteTarget,
  type Verdict,
  type VerifierInput,
  verifierInput,
  verifyProgram,
} from '../verifier/index.ts';
import { type Golden, type GoldenProgram, readGolden, releaseOf } from './_golden.ts';
import { CPU_NUMBER, JIFFIES, operand, PROG_AUX } from './_operands.ts';
import type { Verified, VerifiedProgram } from './_verify.ts';
import { OracleError } from './error.ts';
import type { OracleDirectory } from './types.ts';

/** Bytes of `pcpu_hot` before the processor's number. */
const CPU_NUMBER_IN_HOT = 12n;
/**
 * The programs of a golden that records no verdicts, judged by our verifier: what was compiled is recorded, and what its
 * kernel's symbols are as far as images name them.
 */
export function recordedPrograms(
  directory: OracleDirectory,
  mode: string,
  object: string,
): { result: Verified; target: RewriteTarget }[] {
  const golden = readGolden(directory, mode, object);
  const release = golden?.version === undefined ? undefined : releaseOf(golden);
  // A golden of constants that were blinded holds other instructions.
  if (golden?.programs === undefined || release === undefined || golden.features['jitHarden'] === 2) return [];
  // Classic filters were never objects; a golden without entries was trimmed to what images need.
  const programs = golden.programs.filter(({ subprogs }) =>
    subprogs.every(({ fromCbpf, entryOffset }) => !fromCbpf && entryOffset !== undefined),
  );
  if (programs.length === 0) return [];
  const parts = sourcesOf(directory, object);
  if (parts === undefined) return [];
  const btf = readBtf(parts.btf);
  const judged = judgedObject(directory, object, parts.object, { btf, release: golden.version });
  const all = vmlinuxSymbols(directory);
  const base = BigInt(golden.kernelSymbols['bpfCallBase']!);
  const otherBuild = all.size > 0 && all.get('__bpf_call_base') !== base;
  const symbols = symbolsOf(golden, otherBuild ? new Map() : all);
  const era = ERAS[release];
  // A golden may hold programs of other objects besides.
  const own = programs.filter(({ name }) => judged.has(name));
  return own.map((program) => {
    const verdict = otherBuild ? { why: 'the BTF here is of another build' } : judged.get(program.name)!;
    const result: Verified = { program: recordedProgram(program), ...verdict };
    const insns = program.subprogs.map(({ jitInsnsHex }) => jitInsnsHex);
    const aux = operand(insns, PROG_AUX);
    const hot = golden.kernelSymbols['pcpuHot'];
    const target: RewriteTarget = {
      vmlinux: btf,
      symbol: (name) => symbols.get(name) ?? (name === 'jiffies' ? operand(insns, JIFFIES) : undefined),
      cpuNumber: {
        offset: hot === undefined ? operand(insns, CPU_NUMBER) : BigInt(hot) + CPU_NUMBER_IN_HOT,
        wide: era.cpuNumberMove === 64,
      },
      timedMayGoto: era.timedMayGoto,
      ...(aux === undefined ? {} : { progAux: aux }),
    };
    return { result, target };
  });
}

/** The kernel's BTF and the object; undefined where the directory lacks one: there is nothing to start from then. */
function sourcesOf(directory: OracleDirectory, object: string): { btf: Uint8Array; object: Uint8Array } | undefined {
  try {
    return { btf: directory.btf, object: directory.object(object) };
  } catch (error) {
    if (error instanceof OracleError || (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

type JudgedProgram = { input: Omit<VerifierInput, 'ops'>; verdict: Verdict } | { why: string };

const objects = new Map<string, Map<string, JudgedProgram>>();

/** Every program of an object, by name, through our verifier: once, whatever the mode. */
function judgedObject(
  directory: OracleDirectory,
  object: string,
  bytes: Uint8Array,
  target: ResolveTarget,
): Map<string, JudgedProgram> {
  const key = `${directory.path}\n${object}`;
  let found = objects.get(key);
  if (found === undefined) {
    const resolved = resolveObject(openObject(bytes, `${object}.bpf.o`), target);
    found = new Map(resolved.programs.map((program) => [program.name, judgedProgram(resolved, program)]));
    objects.set(key, found);
  }
  return found;
}

function judgedProgram(resolved: ResolvedObject, program: ResolvedProgram): JudgedProgram {
  try {
    const input = verifierInput(resolved, program, mapInfos(resolved), 0);
    return { input, verdict: verifyProgram(input) };
  } catch (error) {
    if (error instanceof TrampetError) return { why: error.message.replace(/^program '[^']*': /, '') };
    throw error;
  }
}

function recordedProgram({ name, subprogs }: GoldenProgram): VerifiedProgram {
  return {
    name,
    type: 0,
    expected_attach: 0,
    prog_flags: 0,
    attach_btf_id: 0,
    license: '',
    accepted: true,
    errno: 0,
    log2: null,
    attached: true,
    kprogs: subprogs.map((part, i) => ({
      label: subprogs.length === 1 ? 'main' : `func${i}`,
      bpf_func: `0x${(BigInt(part.image) + BigInt(part.entryOffset)).toString(16)}`,
      stack_depth: part.stackDepth,
      insnsiHex: part.jitInsnsHex,
    })),
  };
}

/** Symbols by name: those of the kernel, where a vmlinux of its build is here, and those that images call. */
function symbolsOf({ kernelSymbols, programs }: Golden, all: ReadonlyMap<string, bigint>): Map<string, bigint> {
  const symbols = new Map([...all, ['__bpf_call_base', BigInt(kernelSymbols['bpfCallBase']!)] as const]);
  for (const { subprogs } of programs ?? [])
    for (const { callTargets } of subprogs)
      for (const [address, name] of Object.entries(callTargets ?? {})) symbols.set(name, BigInt(address));
  return symbols;
}

const known = new Map<string, Map<string, bigint>>();

function vmlinuxSymbols(directory: OracleDirectory): Map<string, bigint> {
  let found = known.get(directory.path);
  if (found === undefined) {
    const bytes = directory.vmlinux();
    found = new Map(bytes === undefined ? [] : readElf(bytes).symbols.map(({ name, value }) => [name, value]));
    known.set(directory.path, found);
  }
  return found;
}
