import { CALL, HELPERS, type Insn, LD_IMM64, PSEUDO } from '../bpf/index.ts';
import { SOCKET_PROTOS } from './access/helper_proto.ts';
import { PTR_TO_BTF_ID } from './core/reg_types.table.ts';
import { InsnAux, MAP_PTR_POISON, type MapInfo, SubprogInfo } from './core/types.ts';
import { followTypes } from './flow.ts';
import type { Accepted } from './rewrite/index.ts';
import { checkStructure } from './structure.ts';
import type { ProgramContext } from './types.ts';

/**
 * A program of which nothing is known, as the rewrites take it: every instruction may run.
 * @param starts first slot of every function, ascending
 * @param stackDepth bytes of each
 */
export function assumePlain(insns: readonly Insn[], starts: readonly number[], stackDepth: number): Accepted {
  return {
    insns,
    aux: insns.map(() => Object.assign(new InsnAux(), { seen: 1, zextDst: true })),
    subprogs: starts.map((start, k) => Object.assign(new SubprogInfo(), { start, stackDepth, name: `program_${k}` })),
    seenDirectWrite: false,
    seenException: false,
    exceptionCallback: 0,
  };
}

/**
 * What the rewrites need to know of a program that could not be verified: its structure is checked, and types are followed as
 * far as they are plain. Nothing is dead, and what is not understood stays as it is.
 * @param insns as the system call gets them, with indices of `maps` for file descriptors
 * @throws VerifierError in the kernel's words for what no program may hold
 */
export function assumeAccepted(
  name: string,
  insns: readonly Insn[],
  maps: readonly MapInfo[],
  context: ProgramContext | undefined,
): Accepted {
  const ranges = checkStructure(name, insns);
  const starts = ranges.map(({ start }) => start);
  const accepted = assumePlain(insns, starts, 0);
  const references = new Map<number, number>();
  insns.forEach(({ code, src, imm }, i) => {
    if (code !== LD_IMM64 || (src !== PSEUDO.MAP_FD && src !== PSEUDO.MAP_VALUE)) return;
    references.set(i, imm);
    Object.assign(accepted.aux[i]!, { mapIndex: imm, mapOff: src === PSEUDO.MAP_VALUE ? insns[i + 1]!.imm : 0 });
  });
  ranges.forEach((range, k) => {
    const flow = followTypes(name, insns, range, k === 0 ? context : undefined, (at) => references.get(at));
    Object.assign(accepted.subprogs[k]!, { stackDepth: flow.stackDepth });
    for (const at of flow.probes) accepted.aux[at]!.ptrType = PTR_TO_BTF_ID;
    for (let at = range.start; at < range.end; at++) {
      if (insns[at]!.code !== CALL) continue;
      const map = flow.mapAt.get(at) ?? -1;
      Object.assign(accepted.aux[at]!, {
        mapPtr: maps[map] ?? MAP_PTR_POISON,
        helperProto: context?.ops === 'tcp_congestion_ops' ? (SOCKET_PROTOS[HELPERS[insns[at]!.imm] ?? ''] ?? '') : '',
      });
    }
  });
  return accepted;
}
