import { type Insn, LD_IMM64, PSEUDO } from '../../bpf/index.ts';
import type { MapInfo } from '../core/types.ts';
import { loadImm64 } from './build.ts';
import type { WorkingProgram } from './program.ts';
import { unknownTo } from './target.ts';

/** References of maps and of their values become addresses, still tagged as what they are (`resolve_pseudo_ldimm64`, 6.18). */
export function settleAddresses(program: WorkingProgram, name: string, maps: readonly MapInfo[]): WorkingProgram {
  const insns: Insn[] = [...program.insns];
  for (let i = 0; i < insns.length; i++) {
    const insn = insns[i]!;
    if (insn.code !== LD_IMM64) continue;
    if (insn.src === PSEUDO.MAP_FD || insn.src === PSEUDO.MAP_VALUE) {
      const { mapIndex, mapOff } = program.aux[i]!;
      const map = maps[mapIndex];
      const base = insn.src === PSEUDO.MAP_FD ? map?.address : map?.valueAddress;
      if (base === undefined) throw unknownTo(`${name}: insn ${i}`, 'no address of this map is known');
      const [low, high] = loadImm64(insn.dst, insn.src === PSEUDO.MAP_FD ? base : base + BigInt(mapOff));
      insns[i] = { ...low, src: insn.src };
      insns[i + 1] = high;
    }
    i++;
  }
  return { ...program, insns };
}

/** The tags of 64-bit loads go; functions keep theirs (`convert_pseudo_ld_imm64`, 6.18). */
export function dropTags(insns: readonly Insn[]): Insn[] {
  return insns.map((insn) => (insn.code === LD_IMM64 && insn.src !== PSEUDO.FUNC ? { ...insn, src: 0 } : insn));
}
