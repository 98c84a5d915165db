import { CALL, CLASS, type Insn, JMP, LD_IMM64, PSEUDO, PSEUDO_CALL } from '../../bpf/index.ts';
import { InsnAux, type SubprogInfo } from '../core/types.ts';
import { VerifierError } from '../error.ts';
import { jumpDistance } from '../structure.ts';

/** A program between two passes: instructions, what is known of each, and where its functions start. */
export interface WorkingProgram {
  insns: Insn[];
  aux: InsnAux[];
  /** The slot of the loaded program that each instruction stems from. */
  origin: number[];
  /** First slot of every function, then the number of slots. */
  starts: number[];
  subprogs: SubprogInfo[];
  /** Bytes of stack that each function needs. */
  depths: number[];
}

/** An instruction of a sequence; `to`: the slot, as it was before the pass, that its distance leads to. */
export type Patch = Insn & { to?: number };

/** What stands at a slot after a pass; an empty list removes it. */
type Edits = ReadonlyMap<number, readonly Patch[]>;

/** `insns[at]` as part of a sequence: its distance goes on leading where it did. */
export function kept(insns: readonly Insn[], at: number): Patch {
  const insn = insns[at]!;
  const distance = jumpDistance(insn) ?? (isOwnCall(insn) ? insn.imm : undefined);
  return distance === undefined ? insn : { ...insn, to: at + 1 + distance };
}

/**
 * Applies the edits of a pass at once, as the kernel's bpf_patch_insn_data and verifier_remove_insns (6.18) do one by one:
 * distances that span an edit are mended, jumps to an edited slot go to the start of what stands there now, or to what
 * follows if nothing does. Distances inside of a sequence are its own unless `to` says otherwise. What was known of an
 * instruction stays with the last of its sequence; functions of which nothing is left vanish.
 * @param leads by slot: how many instructions of its sequence jumps to it pass over (`adjust_jmp_off`); calls do not
 * @throws VerifierError if a distance does not fit
 */
export function applyEdits(
  program: WorkingProgram,
  edits: Edits,
  leads: ReadonlyMap<number, number> = new Map(),
): WorkingProgram {
  if (edits.size === 0) return program;
  const { insns, aux, origin } = program;
  const moved = new Int32Array(insns.length + 1);
  for (let i = 0; i < insns.length; i++) moved[i + 1] = moved[i]! + (edits.get(i)?.length ?? 1);
  const out: Pick<WorkingProgram, 'insns' | 'aux' | 'origin'> = { insns: [], aux: [], origin: [] };
  for (let i = 0; i < insns.length; i++) {
    const sequence = edits.get(i) ?? [kept(insns, i)];
    sequence.forEach((patch, k) => {
      out.insns.push(settled(patch, out.insns.length, moved, leads));
      out.aux.push(k === sequence.length - 1 ? aux[i]! : Object.assign(new InsnAux(), { seen: aux[i]!.seen }));
      out.origin.push(origin[i]!);
    });
  }
  const left = program.subprogs
    .map((_, k) => k)
    .filter((k) => moved[program.starts[k]!] !== moved[program.starts[k + 1]!]);
  return {
    ...out,
    starts: [...left.map((k) => moved[program.starts[k]!]!), out.insns.length],
    subprogs: left.map((k) => program.subprogs[k]!),
    depths: left.map((k) => program.depths[k]!),
  };
}

function settled({ to, ...insn }: Patch, at: number, moved: Int32Array, leads: ReadonlyMap<number, number>): Insn {
  if (to === undefined) return insn;
  const jumps = jumpDistance(insn) !== undefined;
  const distance = moved[to]! + (jumps ? (leads.get(to) ?? 0) : 0) - at - 1;
  if (!jumps || ((insn.code & 7) === CLASS.JMP32 && (insn.code & 0xf0) === JMP.JA)) return { ...insn, imm: distance };
  if (distance < -0x8000 || distance > 0x7fff)
    throw new VerifierError('insn cannot be patched due to 16-bit range', `insn ${at}`, 'ENOMEM');
  return { ...insn, off: distance };
}

/** A call of one of the program's own functions, or a reference to one: `imm` is a distance. */
export const isOwnCall = (insn: Insn): boolean =>
  (insn.code === CALL && insn.src === PSEUDO_CALL) || (insn.code === LD_IMM64 && insn.src === PSEUDO.FUNC);

/** The function that each slot belongs to. */
export function functionOf({ insns, starts }: WorkingProgram): Int32Array {
  const of = new Int32Array(insns.length);
  for (let k = 0; k + 1 < starts.length; k++) of.fill(k, starts[k], starts[k + 1]);
  return of;
}
