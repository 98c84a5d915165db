import { fromHex, TrampetError, toHex } from '../base/index.ts';
import { disassemble, readInsns, writeInsns } from '../bpf/index.ts';
import { encodeForLoad, openObject, type ResolvedObject, resolveObject } from '../object/index.ts';
import { compareSlots } from './_compare.ts';
import { type KernelName, targetOf } from './_target.ts';
import type { Checker, Outcome } from './types.ts';

interface LoadGolden {
  kernel?: KernelName;
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
      resolved = resolveObject(
        openObject(directory.object(object), `${object}.bpf.o`),
        targetOf(directory, golden.kernel),
      );
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
