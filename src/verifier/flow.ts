import { ALU, CALL, CLASS, EXIT, type Insn, JMP, LD_IMM64, MODE, PSEUDO, SRC_X } from '../bpf/index.ts';
import type { Btf } from '../btf/index.ts';
import { MAX_BPF_STACK } from './core/reg_types.table.ts';
import { VerifierError } from './error.ts';
import { type FunctionRange, jumpDistance } from './structure.ts';
import type { ProgramContext, RegType } from './types.ts';

const UNKNOWN: RegType = { kind: 'unknown' };
const SCALAR: RegType = { kind: 'scalar' };

/** What flows tell about a function. */
interface TypeFlow {
  /** Loads that go through a pointer which may be stale: they become BPF_PROBE_MEM. */
  probes: Set<number>;
  /** Bytes of stack that the function touches. */
  stackDepth: number;
  /** Map in R1 at each helper call, where it is one known map. */
  mapAt: Map<number, number>;
  /** Whether each slot is reached at all. */
  reached: Uint8Array;
}

interface State {
  regs: RegType[];
  /** Types of pointers spilled to the stack, by offset. */
  spills: Map<number, RegType>;
}

/**
 * Follows the types of registers through one function until nothing changes. This is no verification: values are not
 * tracked, and what is not understood is `unknown`.
 */
export function followTypes(
  name: string,
  insns: readonly Insn[],
  range: FunctionRange,
  context: ProgramContext | undefined,
  mapOf: (insn: number) => number | undefined,
): TypeFlow {
  const result: TypeFlow = {
    probes: new Set(),
    stackDepth: 0,
    mapAt: new Map(),
    reached: new Uint8Array(insns.length),
  };
  const entry: State = { regs: new Array(11).fill(UNKNOWN), spills: new Map() };
  if (context !== undefined) entry.regs[1] = { kind: 'ctx', offset: 0 };
  entry.regs[10] = { kind: 'stack', offset: 0 };
  const states = new Map<number, State>([[range.start, entry]]);
  const work = [range.start];
  const flow = (to: number, state: State) => {
    const known = states.get(to);
    if (known === undefined) {
      states.set(to, { regs: state.regs.slice(), spills: new Map(state.spills) });
      work.push(to);
    } else if (merge(known, state)) work.push(to);
  };
  const touch = (index: number, type: RegType, offset: number) => {
    if (type.kind !== 'stack') return;
    const depth = -(type.offset + offset);
    if (depth > MAX_BPF_STACK)
      throw new VerifierError(
        `invalid read from stack R${insns[index]!.src} off=${type.offset + offset}: the stack has ${MAX_BPF_STACK} bytes`,
        `${name}: insn ${index}`,
        'EACCES',
      );
    result.stackDepth = Math.max(result.stackDepth, depth);
  };
  for (let at = work.pop(); at !== undefined; at = work.pop()) {
    const before = states.get(at)!;
    const state: State = { regs: before.regs.slice(), spills: new Map(before.spills) };
    const insn = insns[at]!;
    result.reached[at] = 1;
    const kind = insn.code & 7;
    if (insn.code === LD_IMM64) {
      result.reached[at + 1] = 1;
      const map = mapOf(at);
      state.regs[insn.dst] =
        map === undefined ? SCALAR : insn.src === PSEUDO.MAP_VALUE ? { kind: 'map_value' } : { kind: 'map', map };
      flow(at + 2, state);
      continue;
    }
    if (insn.code === EXIT) continue;
    if (kind === CLASS.LDX) {
      const base = state.regs[insn.src]!;
      touch(at, base, insn.off);
      if (base.kind === 'btf' && !base.trusted && (insn.code & 0xe0) !== MODE.PROBE_MEM) result.probes.add(at);
      state.regs[insn.dst] = loaded(base, insn, state, context);
    } else if (kind === CLASS.ST || kind === CLASS.STX) {
      const base = state.regs[insn.dst]!;
      touch(at, base, insn.off);
      if (base.kind === 'stack') {
        const value =
          kind === CLASS.STX && (insn.code & 0xe0) === MODE.MEM && (insn.code & 0x18) === 0x18
            ? state.regs[insn.src]!
            : SCALAR;
        state.spills.set(base.offset + insn.off, value);
      }
      if (kind === CLASS.STX && (insn.code & 0xe0) === MODE.ATOMIC && (insn.imm & 1) !== 0)
        state.regs[insn.imm === 0xf1 ? 0 : insn.src] = SCALAR;
    } else if (kind === CLASS.ALU || kind === CLASS.ALU64) arithmetic(insn, state);
    else if (insn.code === CALL) {
      for (let r = 1; r <= 5; r++) touch(at, state.regs[r]!, 0);
      const first = state.regs[1]!;
      const map = first.kind === 'map' ? first.map : undefined;
      const before1 = result.mapAt.get(at);
      if (map !== undefined && (before1 === undefined || before1 === map)) result.mapAt.set(at, map);
      else result.mapAt.set(at, -1);
      state.regs[0] = insn.src === 0 && map !== undefined && insn.imm === 1 ? { kind: 'map_value' } : UNKNOWN;
      for (let r = 1; r <= 5; r++) state.regs[r] = UNKNOWN;
    }
    const distance = jumpDistance(insn);
    if (distance !== undefined) flow(at + 1 + distance, state);
    const falls = !((insn.code & 0xf0) === JMP.JA && (kind === CLASS.JMP || kind === CLASS.JMP32));
    if (falls && at + 1 < range.end) flow(at + 1, state);
  }
  return result;
}

/** Joins `from` into `into`; true if that changed anything. */
function merge(into: State, from: State): boolean {
  let changed = false;
  for (let r = 0; r < 11; r++) {
    const joined = join(into.regs[r]!, from.regs[r]!);
    if (joined !== into.regs[r]) {
      into.regs[r] = joined;
      changed = true;
    }
  }
  for (const [offset, type] of into.spills) {
    const other = from.spills.get(offset);
    const joined = other === undefined ? UNKNOWN : join(type, other);
    if (joined !== type) {
      into.spills.set(offset, joined);
      changed = true;
    }
  }
  return changed;
}

function join(a: RegType, b: RegType): RegType {
  if (a === b || a.kind === 'unknown') return a;
  if (a.kind !== b.kind) return UNKNOWN;
  switch (a.kind) {
    case 'btf':
      if (b.kind !== 'btf' || a.type !== b.type || a.offset !== b.offset) return UNKNOWN;
      return a.trusted && !b.trusted ? b : a;
    case 'ctx':
    case 'stack':
      return (b as { offset: number }).offset === a.offset ? a : UNKNOWN;
    case 'map':
      return (b as { map: number }).map === a.map ? a : UNKNOWN;
    default:
      return a;
  }
}

/** Type of a loaded value. */
function loaded(base: RegType, insn: Insn, state: State, context: ProgramContext | undefined): RegType {
  const wide = (insn.code & 0x18) === 0x18;
  if (base.kind === 'stack') return wide ? (state.spills.get(base.offset + insn.off) ?? UNKNOWN) : SCALAR;
  if (!wide || context === undefined) return SCALAR;
  if (base.kind === 'ctx') return argument(context, (base.offset + insn.off) / 8);
  if (base.kind === 'btf') return pointerMember(context.btf, base.type, base.offset + insn.off);
  return SCALAR;
}

/** A struct_ops argument: pointers to structs are trusted (BPF_REG_TRUSTED in btf_ctx_access). */
function argument({ btf, proto }: ProgramContext, index: number): RegType {
  const type = proto === 0 ? undefined : btf.resolve(proto);
  if (type?.kind !== 'func_proto') return UNKNOWN;
  const param = type.params[index];
  const pointer = param === undefined ? undefined : btf.resolve(param.type);
  if (pointer?.kind !== 'ptr') return SCALAR;
  const target = btf.resolve(pointer.type);
  return target.kind === 'struct' || target.kind === 'union' || target.kind === 'fwd'
    ? { kind: 'btf', type: target.id, offset: 0, trusted: true }
    : UNKNOWN;
}

/** A pointer read from a kernel struct may be stale by the time it is used. */
function pointerMember(btf: Btf, structId: number, offset: number): RegType {
  let type = btf.resolve(structId);
  let rest = offset;
  for (let depth = 0; depth < 16; depth++) {
    if (type.kind === 'array') {
      const size = btf.sizeOf(type.element);
      if (size === 0) return SCALAR;
      rest %= size;
      type = btf.resolve(type.element);
    } else if (type.kind === 'struct' || type.kind === 'union') {
      const inside = type.members.find(
        (member) =>
          member.bitSize === 0 && member.bitOffset / 8 <= rest && rest < member.bitOffset / 8 + btf.sizeOf(member.type),
      );
      if (inside === undefined) return SCALAR;
      rest -= inside.bitOffset / 8;
      type = btf.resolve(inside.type);
    } else break;
  }
  if (type.kind !== 'ptr' || rest !== 0) return SCALAR;
  const target = btf.resolve(type.type);
  return target.kind === 'struct' || target.kind === 'union' || target.kind === 'fwd'
    ? { kind: 'btf', type: target.id, offset: 0, trusted: false }
    : SCALAR;
}

/** Pointers keep their type under addition of constants; anything else makes a scalar or loses track. */
function arithmetic(insn: Insn, state: State): void {
  const op = insn.code & 0xf0;
  const wide = (insn.code & 7) === CLASS.ALU64;
  const fromRegister = (insn.code & SRC_X) !== 0;
  const old = state.regs[insn.dst]!;
  if (op === ALU.MOV) {
    state.regs[insn.dst] = fromRegister && wide && insn.off === 0 ? state.regs[insn.src]! : SCALAR;
    return;
  }
  const pointer = old.kind === 'ctx' || old.kind === 'stack' || old.kind === 'btf';
  if (wide && pointer && !fromRegister && (op === ALU.ADD || op === ALU.SUB)) {
    state.regs[insn.dst] = { ...old, offset: old.offset + (op === ALU.ADD ? insn.imm : -insn.imm) };
    return;
  }
  if (wide && (pointer || old.kind === 'map_value')) state.regs[insn.dst] = old.kind === 'map_value' ? old : UNKNOWN;
  else if (fromRegister && wide && state.regs[insn.src]!.kind !== 'scalar') state.regs[insn.dst] = UNKNOWN;
  else state.regs[insn.dst] = SCALAR;
}
