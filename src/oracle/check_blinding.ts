import { fromHex } from '../base/index.ts';
import { CALL, disassemble, type Insn, JMP, LD_IMM64, readInsns } from '../bpf/index.ts';
import { blindConstants } from '../jit/index.ts';
import { type Golden, type GoldenSubprogram, readGolden } from './_golden.ts';
import type { Checker, OracleDirectory, Outcome } from './types.ts';

const AX = 11;
const TAIL_CALL = 0x05 | JMP.TAIL_CALL;

/**
 * Constant blinding: the instructions of a mode without it, blinded with the random numbers that the kernel drew, against
 * those of the blinded mode. Addresses differ between the two boots; they are left out.
 */
export const checkBlinding: Checker = {
  kind: 'blinded insns',
  *check(directory, mode, object) {
    const golden = readGolden(directory, mode, object);
    if (golden?.features?.['jitHarden'] !== 2) return;
    const plain = plainOf(directory, golden, object);
    for (const program of golden.programs ?? []) {
      for (const part of program.subprogs ?? []) {
        const name = part.name === program.name ? program.name : `${program.name}/${part.name}`;
        const twin = plain?.programs
          ?.find((candidate) => candidate.name === program.name)
          ?.subprogs.find((candidate) => candidate.name === part.name);
        if (twin === undefined) yield { name, status: 'unsupported', why: 'no mode without blinding has this program' };
        else yield compare(name, twin, part);
      }
    }
  },
};

/** The same object in a mode that differs in blinding alone, or any without it. */
function plainOf(directory: OracleDirectory, golden: Golden, object: string): Golden | undefined {
  const plain = directory.modes
    .map((mode) => readGolden(directory, mode, object))
    .filter((other) => other?.features?.['jitHarden'] === 0);
  const same = (other: Golden | undefined) =>
    Object.entries(golden.features).every(([key, value]) => key === 'jitHarden' || other?.features[key] === value);
  return plain.find(same) ?? plain[0];
}

function compare(name: string, plain: GoldenSubprogram, blinded: GoldenSubprogram): Outcome {
  const source = readInsns(fromHex(plain.jitInsnsHex));
  const want = readInsns(fromHex(blinded.jitInsnsHex));
  // Blinding with zeroes shows where the drawn numbers stand: `xor ax, number` is the second of each sequence.
  const shape = blindConstants(source, () => 0);
  const firsts = new Map<number, number>();
  shape.origin.forEach((slot, i) => {
    if (!firsts.has(slot)) firsts.set(slot, i);
  });
  const drawn = source.map((_, slot) => {
    const first = firsts.get(slot)!;
    const second = want[first + 1];
    return shape.insns[first]?.dst === AX && second?.dst === AX ? second.imm : 0;
  });
  const { insns: got, origin } = blindConstants(source, (slot) => drawn[slot]!);
  for (let i = 0; i < Math.max(got.length, want.length); i++) {
    const [a, b] = [got[i], want[i]];
    if (a !== undefined && b !== undefined && same(a, b, namesAddress(source, origin[i]!))) continue;
    const show = (insns: Insn[]) => (i < insns.length ? disassemble(insns, i) : `(end, ${insns.length} slots)`);
    return { name, status: 'failed', at: `insn ${i}`, want: show(want), got: show(got) };
  }
  return { name, status: 'passed' };
}

const same = (a: Insn, b: Insn, exceptImm: boolean): boolean =>
  a.code === b.code && a.dst === b.dst && a.src === b.src && a.off === b.off && (exceptImm || a.imm === b.imm);

/** Whether an instruction's constant is an address, or (tail calls) what stands for one. */
function namesAddress(insns: readonly Insn[], slot: number): boolean {
  const insn = insns[slot]!;
  if (insn.code === CALL || insn.code === TAIL_CALL) return true;
  const upper = insn.code === LD_IMM64 ? insns[slot + 1] : insns[slot - 1]?.code === LD_IMM64 ? insn : undefined;
  return upper !== undefined && upper.imm < 0;
}
