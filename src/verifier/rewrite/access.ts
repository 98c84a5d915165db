import { ALU, CLASS, type Insn, MODE, SRC_X, sizeInBytes } from '../../bpf/index.ts';
import * as T from '../core/reg_types.table.ts';
import type { InsnAux } from '../core/types.ts';
import * as P from '../tables/contexts.table.ts';
import * as b from './build.ts';
import { CONTEXTS } from './context.ts';
import type { Converter, FieldAccess } from './field.ts';
import { applyEdits, kept, type Patch, type WorkingProgram } from './program.ts';
import { TSTAMP_TYPE, unclonePrologue } from './skb.ts';
import { convertSock, convertTcpSock, convertXdpSock } from './sock.ts';
import { type RewriteTarget, unknownTo } from './target.ts';

/** Pointers that a fault may stand behind: loads through them are probed. */
const PROBED: ReadonlySet<number> = new Set([
  T.PTR_TO_BTF_ID,
  T.PTR_TO_BTF_ID | T.PTR_UNTRUSTED,
  T.PTR_TO_BTF_ID | T.MEM_ALLOC | T.PTR_UNTRUSTED,
  T.PTR_TO_MEM | T.MEM_RDONLY | T.PTR_UNTRUSTED,
]);
const SOCKETS: Readonly<Record<number, Converter>> = {
  [T.PTR_TO_SOCKET]: convertSock,
  [T.PTR_TO_SOCK_COMMON]: convertSock,
  [T.PTR_TO_TCP_SOCK]: convertTcpSock,
  [T.PTR_TO_XDP_SOCK]: convertXdpSock,
};
/** Types whose programs own what they write to, and how they drop a packet that cannot be: TC_ACT_SHOT, SK_DROP. */
const OWNERS: Readonly<Record<number, number>> = {
  [P.PROG_SCHED_CLS]: 2,
  [P.PROG_SCHED_ACT]: 2,
  [P.PROG_LWT_XMIT]: 2,
  [P.PROG_SK_SKB]: 0,
};
const NOSPEC: Insn = { code: CLASS.ST | MODE.NOSPEC, dst: 0, src: 0, off: 0, imm: 0 };

/** What of a program decides how its loads and stores are rewritten. */
interface AccessFacts {
  name: string;
  progType: number;
  /** The program writes to packets (`env->seen_direct_write`). */
  writesPacket: boolean;
}

/**
 * Fields of contexts and sockets become those of the kernel's own structs, loads through pointers that may fault and accesses
 * of arenas get their probing forms, and a classifier that writes to packets its prologue (`convert_ctx_accesses`, 6.18).
 * @throws VerifierError `unsupported` for a context or a field that is not modelled
 */
export function convertAccesses(program: WorkingProgram, facts: AccessFacts, target: RewriteTarget): WorkingProgram {
  const { insns, aux } = program;
  const edits = new Map<number, readonly Patch[]>();
  const knowsTstampType = insns.some(({ off }, i) => aux[i]!.ptrType === T.PTR_TO_CTX && off === TSTAMP_TYPE);
  insns.forEach((insn, i) => {
    const own = aux[i]!;
    const converted = convert(insn, own, facts, { ...target, knowsTstampType }, `${facts.name}: insn ${i}`);
    if (converted === undefined && !own.nospec) return;
    edits.set(i, [...(own.nospec ? [NOSPEC] : []), ...(converted ?? [kept(insns, i)])]);
  });
  const leads = new Map<number, number>();
  const drop = OWNERS[facts.progType];
  if (facts.writesPacket && drop !== undefined) {
    const prologue = unclonePrologue(target, drop);
    edits.set(0, [...prologue, ...(edits.get(0) ?? [kept(insns, 0)])]);
    leads.set(0, prologue.length);
  }
  return applyEdits(program, edits, leads);
}

/** What stands in place of a load or store; undefined where it stays. */
function convert(
  insn: Insn,
  aux: InsnAux,
  { progType }: AccessFacts,
  target: RewriteTarget & Pick<FieldAccess, 'knowsTstampType'>,
  where: string,
): readonly Insn[] | undefined {
  const kind = insn.code & 7;
  const mode = insn.code & 0xe0;
  const arena = aux.ptrType === T.PTR_TO_ARENA;
  if (kind === CLASS.STX && mode === MODE.ATOMIC)
    return arena ? [{ ...insn, code: CLASS.STX | MODE.PROBE_ATOMIC | (insn.code & 0x18) }] : undefined;
  if (kind !== CLASS.LDX && kind !== CLASS.STX && kind !== CLASS.ST) return undefined;
  const write = kind !== CLASS.LDX;
  if (write && aux.nospecResult) return [insn, NOSPEC];
  if (arena) {
    const probe = mode === MODE.MEMSX ? MODE.PROBE_MEM32SX : MODE.PROBE_MEM32;
    return [{ ...insn, code: kind | probe | (insn.code & 0x18) }];
  }
  if (PROBED.has(aux.ptrType)) return write ? undefined : [{ ...insn, code: probing(insn.code) }];
  if (aux.ptrType !== T.PTR_TO_CTX && SOCKETS[aux.ptrType] === undefined) return undefined;
  const converter = SOCKETS[aux.ptrType] ?? CONTEXTS[progType];
  if (converter === undefined) throw unknownTo(where, 'accesses of this context are not modelled');
  return converter === null ? undefined : field(insn, aux, converter, { ...target, write }, where);
}

/** The probing form of a load. */
function probing(code: number): number {
  return (code & 0x1f) | ((code & 0xe0) === MODE.MEMSX ? MODE.PROBE_MEMSX : MODE.PROBE_MEM);
}

/** A field that is wider than the load is loaded whole, then shifted and masked. */
function field(
  insn: Insn,
  { ctxFieldSize }: InsnAux,
  converter: Converter,
  facts: Omit<FieldAccess, 'insn'>,
  where: string,
): Insn[] {
  const size = sizeInBytes(insn.code);
  const narrow = size < ctxFieldSize;
  const whole = narrow
    ? { ...insn, off: insn.off & ~(ctxFieldSize - 1), code: CLASS.LDX | MODE.MEM | b.sizeBits(ctxFieldSize) }
    : insn;
  const converted = converter({ ...facts, insn: whole });
  if (converted === undefined || (ctxFieldSize > 0 && converted.size === 0))
    throw unknownTo(where, `the field at offset ${whole.off} of this context or socket is not modelled`);
  const insns = [...converted.insns];
  if (narrow && size < converted.size) {
    const shift = 8 * (insn.off & (ctxFieldSize - 1));
    const kind = ctxFieldSize <= 4 ? CLASS.ALU : CLASS.ALU64;
    if (shift > 0) insns.push(b.insn(kind | ALU.RSH, insn.dst, 0, 0, shift));
    insns.push(b.alu32Imm(ALU.AND, insn.dst, size === 4 ? -1 : 2 ** (8 * size) - 1));
  }
  if ((insn.code & 0xe0) === MODE.MEMSX)
    insns.push(b.insn(CLASS.ALU64 | ALU.MOV | SRC_X, insn.dst, insn.dst, 8 * size, 0));
  return insns;
}
