import { fromHex, TrampetError, toHex } from '../base/index.ts';
import { disassemble, readInsns, writeInsns } from '../bpf/index.ts';
import { readBtf } from '../btf/index.ts';
import { encodeForLoad, openObject, type ResolvedObject, resolveObject } from '../object/index.ts';
import { compareSlots } from './_compare.ts';
import type { Checker, OracleDirectory, Outcome } from './types.ts';

interface LoadGolden {
  kernel?: { release?: string } | string;
  programs?: { name: string; insnsHex?: string; maps?: { fd: number; name: string; kname: string }[] }[];
}

/** Instructions as bpf(BPF_PROG_LOAD) got them from libbpf, against what `encodeForLoad` gives for the same object. */
export const checkRelocated: Checker = {
  kind: 'relocated insns',
  *check(directory, mode, object) {
    const golden = directory.golden(mode, object) as LoadGolden | undefined;
    const programs = golden?.programs?.filter((program) => program.insnsHex !== undefined) ?? [];
    if (golden === undefined || programs.length === 0) return;
    let resolved: ResolvedObject;
    try {
      resolved = resolveObject(openObject(directory.object(object), `${object}.bpf.o`), targetOf(directory, golden));
    } catch (error) {
      if (!(error instanceof TrampetError)) throw error;
      for (const { name } of programs)
        yield { name, status: 'failed', at: '-', want: 'relocated instructions', got: error.message };
      return;
    }
    const maps = programs.flatMap((program) => program.maps ?? []);
    for (const program of programs)
      yield compareProgram(resolved, program.name, program.insnsHex!, [...(program.maps ?? []), ...maps]);
  },
};

function compareProgram(
  resolved: ResolvedObject,
  name: string,
  want: string,
  maps: { fd: number; name: string; kname: string }[],
): Outcome {
  const program = resolved.programs.find((candidate) => candidate.name === name);
  if (program === undefined)
    return { name, status: 'failed', at: '-', want: 'a program', got: 'no program of this name' };
  const fd = (index: number) => {
    const wanted = resolved.maps[index]!.name;
    return maps.find((map) => map.name === wanted || map.kname === wanted)?.fd ?? -1;
  };
  const got = toHex(writeInsns(encodeForLoad(program, fd)));
  return compareSlots(name, got, want, (hex, slot) => {
    const insns = readInsns(fromHex(hex));
    return slot < insns.length ? disassemble(insns, slot) : `(end, ${insns.length} slots)`;
  });
}

type Facts = Parameters<typeof resolveObject>[1];
const known = new Map<string, Facts>();

/** BTF, configuration and symbols of the golden's kernel. */
function targetOf(directory: OracleDirectory, golden: LoadGolden): Facts {
  const cached = known.get(directory.path);
  if (cached !== undefined) return cached;
  const text = (name: string) => new TextDecoder().decode(directory.file(name) ?? new Uint8Array(0));
  const kconfig = new Map<string, string>();
  for (const line of text('config.txt').split('\n')) {
    const match = /^(CONFIG_\w+)=(.*)$/.exec(line);
    if (match !== null) kconfig.set(match[1]!, match[2]!);
  }
  const symbols = new Map<string, bigint>();
  for (const line of text('kallsyms-6.18.txt.gz').split('\n')) {
    const [address, , name] = line.split(/\s+/);
    if (name !== undefined && !symbols.has(name)) symbols.set(name, BigInt(`0x${address}`));
  }
  const kernel = typeof golden.kernel === 'string' ? golden.kernel : golden.kernel?.release;
  const release = /\d+\.\d+(\.\d+)?/.exec(kernel ?? '')?.[0];
  const facts: Facts = {
    btf: readBtf(directory.btf),
    kconfig,
    symbol: (name) => symbols.get(name),
    ...(release === undefined ? {} : { release }),
  };
  known.set(directory.path, facts);
  return facts;
}
