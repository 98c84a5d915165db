import { CALL, type Insn } from '../../bpf/index.ts';
import type { Btf } from '../../btf/index.ts';
import type { RegView, Verdict, VerifierInput } from '../core/types.ts';
import { PROG_STRUCT_OPS } from '../tables/contexts.table.ts';
import { type Operand, type PathPoint, type SliceOptions, type SliceStep, sliceBack, stackSlots } from './slice.ts';
import type { ProgramText } from './text.ts';
import type { Snapshot } from './trace.ts';
import { registerWords, structName } from './words.ts';

/** A class of refusals: what the verifier says, what that means, what to change. */
export interface MessageClass {
  /** Name for --json and docs/verify.md. */
  id: string;
  pattern: RegExp;
  reason(match: RegExpMatchArray, facts: Facts): string;
  suggestion(match: RegExpMatchArray, facts: Facts): string;
  /** Registers that the slice starts from; those that the message or the instruction names without. */
  follow?(match: RegExpMatchArray, facts: Facts): readonly number[];
  slice?(match: RegExpMatchArray, facts: Facts): SliceOptions;
  /** The instruction that is to blame, where that is not the one walked last; null: none. */
  at?(match: RegExpMatchArray, facts: Facts): number | null;
}

const MAX_DEPTH = 8;

/** What a message class may ask of the program and of the state that it was refused in. */
export class Facts {
  readonly input: Omit<VerifierInput, 'ops'>;
  readonly verdict: Verdict;
  readonly text: ProgramText;
  /** The end of the way to the instruction walked last; empty if nothing was walked. */
  readonly path: readonly PathPoint[];
  /** The instruction that the whole way comes through most often. */
  readonly mostReached: { at: number; times: number };

  constructor(
    input: Omit<VerifierInput, 'ops'>,
    verdict: Verdict,
    text: ProgramText,
    path: readonly PathPoint[],
    mostReached: { at: number; times: number },
  ) {
    this.input = input;
    this.verdict = verdict;
    this.text = text;
    this.path = path;
    this.mostReached = mostReached;
  }

  get at(): number {
    return this.path.at(-1)?.at ?? 0;
  }
  get insn(): Insn | undefined {
    return this.path.length === 0 ? undefined : this.verdict.insns[this.at];
  }
  get state(): Snapshot | undefined {
    return this.path.at(-1)?.state;
  }
  get vmlinux(): Btf {
    return this.input.target.vmlinux;
  }
  /** The line of C that was refused. */
  get source(): string {
    return this.text.line(this.at)?.text ?? '';
  }
  get isStore(): boolean {
    return this.insn !== undefined && ((this.insn.code & 7) === 2 || (this.insn.code & 7) === 3);
  }
  /** Bytes that the load or store touches. */
  get size(): number {
    return [4, 2, 1, 8][((this.insn?.code ?? 0) >> 3) & 3]!;
  }
  get verb(): string {
    return this.isStore ? 'write' : 'read';
  }
  /** Struct_ops: `tcp_congestion_ops`; '' else. */
  get ops(): string {
    const { progType, attachBtfId } = this.input;
    return progType === PROG_STRUCT_OPS && attachBtfId > 0 ? this.vmlinux.name(attachBtfId) : '';
  }
  /** Struct_ops: the member that the program implements. */
  get member(): string {
    if (this.ops === '') return '';
    return this.vmlinux.struct(this.input.attachBtfId).members[this.input.memberIndex]?.name ?? '';
  }

  /** Where the loop is that the way came around most often, and how often. */
  get loop(): string {
    const { at, times } = this.mostReached;
    const line = this.text.line(at);
    const where =
      line === undefined ? `instruction ${at}` : `${line.file.slice(line.file.lastIndexOf('/') + 1)}:${line.line}`;
    return `the loop around ${where} was walked ${times} times in a row`;
  }

  /** Register of the frame that was refused, before the instruction. */
  reg(regno: number): RegView | undefined {
    return this.state?.frames[this.state.current]?.regs[regno];
  }

  words(regno: number): string {
    const reg = this.reg(regno);
    return reg === undefined ? 'unknown' : registerWords(reg);
  }

  /** How a number can be negative: `: -4 … 10`, or that it is so only if its top bit means the sign. */
  signed(regno: number): string {
    const words = this.words(regno);
    return words.includes('-') || words.startsWith('any') ? `: ${words}` : `, read as a signed number (it is ${words})`;
  }

  /** Name of what the refused instruction calls. */
  get callee(): string {
    return this.text.callee(this.at)?.name ?? 'the function';
  }

  /** `argument 2 of bpf_map_lookup_elem` for register 2. */
  argument(regno: number): string {
    return this.text.callee(this.at) === undefined ? 'the pointer' : `argument ${regno} of ${this.callee}`;
  }

  /** The registers, and the slots of the stack that the refused instruction reads through them. */
  operands(regs: readonly number[]): Operand[] {
    const { state, insn } = this;
    if (state === undefined || insn === undefined) return [];
    const found: Operand[] = [];
    for (const at of regs) {
      const reg = this.reg(at)!;
      const isLoad = (insn.code & 7) === 1;
      if (!isLoad) found.push({ frame: state.current, slot: false, at });
      if (isLoad || insn.code === CALL)
        found.push(...(stackSlots(reg, isLoad ? insn.off : 0, isLoad ? this.size : 8) ?? []));
      if (isLoad) found.push({ frame: state.current, slot: false, at });
    }
    return found;
  }

  /** The steps that gave `regs` and the stack behind them what they hold. */
  slice(regs: readonly number[], options?: SliceOptions): SliceStep[] {
    return this.state === undefined ? [] : sliceBack(this.path, this.verdict.insns, this.operands(regs), options);
  }

  /** The call whose result the register holds. */
  originCall(regno: number): { name: string; at: number } | undefined {
    for (const { index } of this.slice([regno]).reverse()) {
      const at = this.path[index]!.at;
      const callee = this.text.callee(at);
      if (callee !== undefined) return { name: callee.name, at };
      if ((this.verdict.insns[at]!.code & 7) === 1) return undefined;
    }
    return undefined;
  }

  /** Whether the register holds an argument of a global function, which is verified for any that it may be given. */
  isGlobalArgument(regno: number): boolean {
    const sub = this.verdict.subprogs.findLast(({ start }) => start <= this.at);
    if (sub === undefined || sub.start === 0 || !sub.global) return false;
    return this.slice([regno]).every(({ index }) => {
      const { code } = this.verdict.insns[this.path[index]!.at]!;
      return (code & 0xf7) === 0xb7 || ((code & 7) >= 5 && code !== CALL);
    });
  }

  /** The last call on the way to one of these functions; undefined if there is none. */
  lastCall(names: readonly string[]): number | undefined {
    return this.path.findLast(({ at }) => names.includes(this.text.callee(at)?.name ?? ''))?.at;
  }

  /** What C calls the value in the register, if a call's result was assigned to it. */
  variable(regno: number, otherwise: string): string {
    const call = this.originCall(regno);
    if (call === undefined) return otherwise;
    const source = this.text.line(call.at)?.text ?? '';
    const plain = call.name.replace(/^bpf_/, '');
    return new RegExp(`(\\w+)\\s*=\\s*(?:\\([^()]*\\)\\s*)?\\w*${plain}\\s*\\(`).exec(source)?.[1] ?? otherwise;
  }

  /** How the function leaves early. */
  get leave(): string {
    const { btf } = this.input;
    const funcId = this.verdict.subprogs.findLast(({ start }) => start <= this.at)?.funcId ?? 0;
    const func = btf === null || funcId === 0 ? undefined : btf.type(funcId);
    const proto = func?.kind === 'func' ? btf!.type(func.type) : undefined;
    return proto?.kind === 'func_proto' && proto.returns === 0 ? 'return;' : 'return 0;';
  }

  /** Elements of the array in a map's value that the refused access walks through, if BTF tells. */
  arrayLength(regno: number): number | undefined {
    const reg = this.reg(regno);
    const map = reg?.map;
    if (!map?.btf || map.btfValueTypeId === 0 || this.insn === undefined) return undefined;
    let id = map.btfValueTypeId;
    let rest = reg!.off + this.insn.off;
    for (let depth = 0; depth < MAX_DEPTH; depth++) {
      const type = map.btf.resolve(id);
      if (type.kind === 'array') return map.btf.sizeOf(type.element) === this.size ? type.length : undefined;
      if (type.kind === 'datasec') {
        const entry = type.entries.findLast(({ offset }) => offset <= rest);
        if (entry === undefined) return undefined;
        rest -= entry.offset;
        id = entry.type;
        continue;
      }
      if (type.kind === 'var') {
        id = type.type;
        continue;
      }
      if (type.kind !== 'struct') return undefined;
      const member = type.members.findLast(({ bitOffset }) => bitOffset >> 3 <= rest);
      if (member === undefined) return undefined;
      rest -= member.bitOffset >> 3;
      id = member.type;
    }
    return undefined;
  }

  /** What C calls the index on the refused line. */
  index(otherwise: string): string {
    const found = [...this.source.matchAll(/\[\s*([A-Za-z_]\w*(?:(?:->|\.)\w+)*)(?:\s*&\s*\w+)?\s*\]/g)].at(-1);
    return found?.[1] ?? otherwise;
  }

  /** `tcp_sock.mss_cache` for an offset of a kernel struct; undefined if nothing is there. */
  memberAt(btfId: number, offset: number, btf: Btf = this.vmlinux): string | undefined {
    let id = btfId;
    let rest = offset;
    let name = '';
    for (let depth = 0; depth < MAX_DEPTH; depth++) {
      const type = btf.resolve(id);
      if (type.kind !== 'struct' && type.kind !== 'union') break;
      const member = type.members.findLast(({ bitOffset }) => bitOffset >> 3 <= rest);
      if (member === undefined) break;
      rest -= member.bitOffset >> 3;
      if (member.name !== '') name = member.name;
      id = member.type;
    }
    return name === '' ? undefined : name;
  }

  structName(btf: Btf | null, id: number): string {
    return structName(btf, id);
  }
}

/** `9 bytes`, `1 byte`. */
export const bytes = (count: number | string): string => `${count} byte${Number(count) === 1 ? '' : 's'}`;
/** `bytes 4 … 7`. */
export const span = (from: number, size: number): string =>
  size <= 1 ? `byte ${from}` : `bytes ${from} … ${from + size - 1}`;
/** A sentence's first letter; names of C keep theirs. */
export const cap = (text: string): string => (/^\w*_/.test(text) ? text : text.charAt(0).toUpperCase() + text.slice(1));
/** A named group of a match, '' where it is not part of it. */
export const group = (match: RegExpMatchArray, name: string): string => match.groups?.[name] ?? '';
/** The register that a message names. */
export const R = (match: RegExpMatchArray): number => Number(match.groups!['reg']);
