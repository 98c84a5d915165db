import { type Insn, LD_IMM64, PSEUDO } from '../../bpf/index.ts';
import type { MapInfo } from '../core/types.ts';
import { VerifierError } from '../error.ts';
import type { WorkingProgram } from './program.ts';

/** References of maps and of their values become addresses, and lose their tag (`convert_pseudo_ld_imm64`, 6.18). */
export function settleAddresses(program: WorkingProgram, name: string, maps: readonly MapInfo[]): WorkingProgram {
  const insns: Insn[] = [...program.insns];
  for (let i = 0; i < insns.length; i++) {
    const insn = insns[i]!;
    if (insn.code !== LD_IMM64) continue;
    const upper = insns[i + 1]!;
    if (insn.src === PSEUDO.MAP_FD || insn.src === PSEUDO.MAP_VALUE) {
      const { mapIndex, mapOff } = program.aux[i]!;
      const map = maps[mapIndex];
      const base = insn.src === PSEUDO.MAP_FD ? map?.address : map?.valueAddress;
      if (base === undefined)
        throw new VerifierError('no address of this map is known', `${name}: insn ${i}`, 'VERIFIER', 'unsupported');
      const address = insn.src === PSEUDO.MAP_FD ? base : base + BigInt(mapOff);
      insns[i] = { ...insn, src: 0, imm: Number(BigInt.asIntN(32, address)) };
      insns[i + 1] = { ...upper, imm: Number(BigInt.asIntN(32, address >> 32n)) };
    } else if (insn.src !== PSEUDO.FUNC) insns[i] = { ...insn, src: 0 };
    i++;
  }
  return { ...program, insns };
}
