import {
  ALU,
  CALL,
  CLASS,
  type Insn,
  JMP,
  MODE,
  PSEUDO_CALL,
  PSEUDO_KFUNC_CALL,
  SIZE,
  SRC_X,
} from '../../bpf/index.ts';
import { type InsnAux, MAP_PTR_POISON, type MapInfo } from '../core/types.ts';
import { jumpDistance } from '../structure.ts';
import { FUNC_TAIL_CALL } from '../tables/helpers.table.ts';
import { BPF_F_NO_USER_CONV, MAP_ARENA } from '../tables/maps.table.ts';
import * as b from './build.ts';
import { guardDivision } from './division.ts';
import { type ProgramFacts, rewriteHelper } from './helpers.ts';
import { rewriteKfunc } from './kfuncs.ts';
import { expandMayGoto, isMayGoto, mayGotoStack, startMayGoto } from './may_goto.ts';
import { applyEdits, functionOf, kept, type Patch, type WorkingProgram } from './program.ts';
import { callDistance, callOf, type RewriteTarget } from './target.ts';

const ADDR_SPACE_CAST = 1;
/** Loads of the packet by R6's context, by opcode size. */
const LOAD_HELPERS: Readonly<Record<number, string>> = {
  [SIZE.B]: 'bpf_skb_load_helper_8_no_cache',
  [SIZE.H]: 'bpf_skb_load_helper_16_no_cache',
  [SIZE.W]: 'bpf_skb_load_helper_32_no_cache',
};

/** A tail call of a known slot of a known map, which the kernel patches in place (`struct bpf_jit_poke_descriptor`). */
export interface TailCall {
  map: MapInfo;
  key: number;
}

interface FixedUp {
  program: WorkingProgram;
  /** `prog->aux->poke_tab`; a tail call's `imm` is its index here + 1, or 0. */
  tailCalls: TailCall[];
}

/**
 * Guards divisions, settles calls, and expands what only the verifier knows (`do_misc_fixups`, 6.18).
 * @throws VerifierError `unsupported` for what is not modelled
 */
export function fixUp(
  program: WorkingProgram,
  facts: ProgramFacts & { name: string; maps: readonly MapInfo[] },
  target: RewriteTarget,
): FixedUp {
  const { insns, aux } = program;
  const of = functionOf(program);
  const edits = new Map<number, readonly Patch[]>();
  const tailCalls: TailCall[] = [];
  const looping = new Set<number>();
  const keepsUserAddresses = facts.maps.some(({ type, flags }) => type === MAP_ARENA && flags & BPF_F_NO_USER_CONV);
  const depth = (at: number) => program.depths[of[at]!]! + mayGotoStack(target.timedMayGoto);
  insns.forEach((original, i) => {
    const where = `${facts.name}: insn ${i}`;
    const own = aux[i]!;
    if (isCast(original)) {
      const to32 = original.imm === 1 || keepsUserAddresses;
      if (to32) edits.set(i, [b.mov32(original.dst, original.src)]);
      return;
    }
    const insn = own.needsZext ? { ...original, code: CLASS.ALU | (original.code & 0xf8) } : original;
    if (isMayGoto(insn)) {
      looping.add(of[i]!);
      const timed = target.timedMayGoto ? callDistance(target, 'arch_bpf_timed_may_goto', where) : undefined;
      edits.set(i, expandMayGoto(i + 1 + jumpDistance(insn)!, depth(i), timed));
      return;
    }
    const replaced =
      guardDivision(insn) ??
      packetLoad(insn, target, where) ??
      settleCall(insn, own, facts, target, where, tailCalls) ??
      (own.needsZext ? [insn] : undefined);
    if (replaced !== undefined) edits.set(i, replaced);
  });
  const { leads, depths } = startLoops(program, edits, looping, target.timedMayGoto);
  return { program: { ...applyEdits(program, edits, leads), depths }, tailCalls };
}

/** Functions that hold a may_goto set up its counter, in stack of their own; jumps to their start pass over that. */
function startLoops(
  { insns, starts, depths: before }: WorkingProgram,
  edits: Map<number, readonly Patch[]>,
  looping: ReadonlySet<number>,
  timed: boolean,
): { leads: Map<number, number>; depths: number[] } {
  const leads = new Map<number, number>();
  const depths = [...before];
  for (const k of looping) {
    const start = starts[k]!;
    depths[k] = before[k]! + mayGotoStack(timed);
    const head = startMayGoto(depths[k], timed);
    edits.set(start, [...head, ...(edits.get(start) ?? [kept(insns, start)])]);
    leads.set(start, head.length);
  }
  return { leads, depths };
}

/** A cast between address spaces of an arena: a move whose `imm` names them. */
const isCast = ({ code, off, imm }: Insn): boolean =>
  code === (CLASS.ALU64 | ALU.MOV | SRC_X) && off === ADDR_SPACE_CAST && imm !== 0;

/** LD_ABS and LD_IND (`bpf_gen_ld_abs`, net/core/filter.c): a failed load ends the program with 0. */
function packetLoad(insn: Insn, target: RewriteTarget, where: string): readonly Insn[] | undefined {
  const mode = insn.code & 0xe0;
  if ((insn.code & 7) !== CLASS.LD || (mode !== MODE.ABS && mode !== MODE.IND)) return undefined;
  const offset =
    mode === MODE.ABS
      ? [b.movImm(2, insn.imm)]
      : [b.mov(2, insn.src), ...(insn.imm === 0 ? [] : [b.aluImm(ALU.ADD, 2, insn.imm)])];
  return [
    ...offset,
    b.mov(1, 6),
    callOf(target, LOAD_HELPERS[insn.code & 0x18]!, where),
    b.jumpImm(JMP.JSGE, 0, 0, 2),
    b.alu32(ALU.XOR, 0, 0),
    b.exit(),
  ];
}

function settleCall(
  insn: Insn,
  aux: InsnAux,
  facts: ProgramFacts,
  target: RewriteTarget,
  where: string,
  tailCalls: TailCall[],
): readonly Insn[] | undefined {
  if (insn.code !== CALL || insn.src === PSEUDO_CALL) return undefined;
  if (insn.src === PSEUDO_KFUNC_CALL) return rewriteKfunc(insn, aux, facts.progType, target, where);
  if (insn.imm !== FUNC_TAIL_CALL) return rewriteHelper(insn, aux, facts, target, where);
  const { mapPtr, mapKeySeen, mapKeyPoison, mapKey } = aux;
  const code = CLASS.JMP | JMP.TAIL_CALL;
  if (mapPtr === MAP_PTR_POISON || mapPtr === null || mapKeyPoison || !mapKeySeen) return [{ ...insn, code, imm: 0 }];
  tailCalls.push({ map: mapPtr, key: mapKey });
  return [{ ...insn, code, imm: tailCalls.length }];
}
