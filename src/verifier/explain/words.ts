import type { Btf } from '../../btf/index.ts';
import * as T from '../core/reg_types.table.ts';
import type { MapInfo, RegView, SlotView } from '../core/types.ts';

const joined = (lo: number, hi: number): bigint => BigInt.asIntN(64, (BigInt(hi) << 32n) | BigInt(lo >>> 0));
const unsigned = (lo: number, hi: number): bigint => BigInt.asUintN(64, joined(lo, hi));
const S64_MAX = (1n << 63n) - 1n;
const U64_MAX = (1n << 64n) - 1n;
/** Beyond it a bound says little to a reader. */
const LARGE = 1n << 53n;

/** The numbers that a register may hold, by the reading that says most. */
export function bounds(reg: RegView): { min: bigint; max: bigint } {
  const smin = joined(reg.sminLo, reg.sminHi);
  const smax = joined(reg.smaxLo, reg.smaxHi);
  const umin = unsigned(reg.uminLo, reg.uminHi);
  const umax = unsigned(reg.umaxLo, reg.umaxHi);
  const useUnsigned = umax - umin < smax - smin;
  return useUnsigned ? { min: umin, max: umax } : { min: smin, max: smax };
}

const isConst = (reg: RegView) => (reg.maskLo | reg.maskHi) === 0;

function number(value: bigint): string {
  return value > LARGE ? `0x${value.toString(16)}` : String(value);
}

/** The global variable at `offset` of a map that holds a section of them, and the offset into it. */
export function variableAt(map: MapInfo, offset: number): { name: string; offset: number } | undefined {
  if (map.btf === null || map.btfValueTypeId === 0) return undefined;
  const section = map.btf.type(map.btfValueTypeId);
  if (section.kind !== 'datasec') return undefined;
  const entry = section.entries.find((at) => offset >= at.offset && offset < at.offset + Math.max(1, at.size));
  return entry === undefined ? undefined : { name: map.btf.name(entry.type), offset: offset - entry.offset };
}

function scalarWords(reg: RegView): string {
  if (isConst(reg)) return number(joined(reg.varLo, reg.varHi));
  const { min, max } = bounds(reg);
  if (max - min === U64_MAX) {
    if (reg.s32min > -0x80000000 || reg.s32max < 0x7fffffff)
      return `any number, whose low 32 bits are ${reg.s32min} … ${reg.s32max}`;
    return 'any number';
  }
  if (min === 0n && max === 0xffffffffn && (reg.s32min > -0x80000000 || reg.s32max < 0x7fffffff))
    return `${reg.s32min} … ${reg.s32max} as an int`;
  const isLarge = (value: bigint) => value > LARGE || value < -LARGE;
  if (min < 0n && isLarge(min) && isLarge(max)) return 'any number';
  if (max === S64_MAX || max === U64_MAX) return `${number(min)} or more`;
  if (min === -S64_MAX - 1n) return `${number(max)} or less`;
  return `${number(min)} … ${number(max)}`;
}

/** Offset of a pointer: ` + 8`, ` + 0 … 255`, ''. */
function offsetWords(reg: RegView, start = 0): string {
  if (isConst(reg)) {
    const off = BigInt(reg.off - start) + joined(reg.varLo, reg.varHi);
    if (off === 0n) return '';
    return off < 0n ? ` − ${-off}` : ` + ${off}`;
  }
  const { min, max } = bounds(reg);
  if (max - min === U64_MAX) return ' + any number';
  const from = min + BigInt(reg.off - start);
  const to = max + BigInt(reg.off - start);
  const low = from < 0n ? `(${number(from)})` : number(from);
  return to >= S64_MAX ? ` + ${low} or more` : ` + (${number(from)} … ${number(to)})`;
}

const BASES: Readonly<Record<number, string>> = {
  [T.PTR_TO_CTX]: "the program's context",
  [T.PTR_TO_STACK]: 'the stack',
  [T.PTR_TO_PACKET]: 'packet data',
  [T.PTR_TO_PACKET_META]: 'packet metadata',
  [T.PTR_TO_PACKET_END]: 'end of the packet',
  [T.PTR_TO_FLOW_KEYS]: 'flow keys',
  [T.PTR_TO_SOCKET]: 'a socket',
  [T.PTR_TO_SOCK_COMMON]: 'a socket (common part)',
  [T.PTR_TO_TCP_SOCK]: 'a TCP socket',
  [T.PTR_TO_TP_BUFFER]: 'the tracepoint’s buffer',
  [T.PTR_TO_XDP_SOCK]: 'an XDP socket',
  [T.PTR_TO_ARENA]: 'the arena',
  [T.PTR_TO_BUF]: 'a buffer',
  [T.PTR_TO_FUNC]: 'a function',
  [T.CONST_PTR_TO_DYNPTR]: 'a dynptr',
};

function pointee(reg: RegView): string {
  const base = reg.type & T.BASE_TYPE_MASK;
  const map = reg.map?.name ? `map '${reg.map.name}'` : 'a map';
  switch (base) {
    case T.CONST_PTR_TO_MAP:
      return map;
    case T.PTR_TO_MAP_VALUE:
      return `a value of ${map}`;
    case T.PTR_TO_MAP_KEY:
      return `a key of ${map}`;
    case T.PTR_TO_MEM:
      return `${reg.memSize} bytes of ${reg.type & T.MEM_RINGBUF ? 'ring buffer' : 'memory'}`;
    case T.PTR_TO_BTF_ID:
      return structName(reg.btf, reg.btfId);
    default:
      return BASES[base] ?? 'memory';
  }
}

/** `struct sock`, as C writes it. */
export function structName(btf: Btf | null, id: number): string {
  if (btf === null) return 'a kernel object';
  const { kind } = btf.type(id);
  const name = btf.name(id);
  return kind === 'struct' || kind === 'union' || kind === 'enum' ? `${kind} ${name}` : name;
}

/** What is known of a register, in words. */
export function registerWords(reg: RegView): string {
  if (reg.type === T.NOT_INIT) return 'never written';
  if (reg.type === T.SCALAR_VALUE) return scalarWords(reg);
  const variable =
    T.isBase(reg.type, T.PTR_TO_MAP_VALUE) && reg.map
      ? variableAt(reg.map, reg.off + (isConst(reg) ? reg.varLo : 0))
      : undefined;
  let text =
    variable === undefined
      ? pointee(reg) + offsetWords(reg)
      : `variable '${variable.name}'${offsetWords(reg, reg.off + (isConst(reg) ? reg.varLo : 0) - variable.offset)}`;
  const notes: string[] = [];
  if (reg.type & T.MEM_RDONLY) notes.push('read-only');
  if (reg.type & T.MEM_USER) notes.push('user memory');
  if (reg.type & T.MEM_PERCPU) notes.push('per CPU');
  if (reg.type & T.PTR_UNTRUSTED) notes.push('untrusted');
  if (reg.type & T.MEM_RCU) notes.push('while under RCU');
  if (T.isBase(reg.type, T.PTR_TO_PACKET)) notes.push(packetWords(reg.pktRange));
  if (reg.refObjId) notes.push('must be released');
  if (notes.length > 0) text += ` (${notes.join(', ')})`;
  return reg.type & T.PTR_MAYBE_NULL ? `${text}, or NULL` : text;
}

function packetWords(range: number): string {
  if (range > 0) return `${range} bytes checked`;
  return range === 0 ? 'length unchecked' : 'past the end';
}

/** What eight bytes of the stack hold, in words. */
export function slotWords(slot: SlotView | undefined): string {
  if (slot === undefined) return 'never written';
  switch (slot.slotType[7]) {
    case T.STACK_SPILL:
      return registerWords(slot.spilled);
    case T.STACK_DYNPTR:
      return 'a dynptr';
    case T.STACK_ITER:
      return 'an iterator';
    case T.STACK_IRQ_FLAG:
      return 'interrupt flags';
    default: {
      const known = Array.from(slot.slotType).filter((kind) => kind !== T.STACK_INVALID);
      if (known.length === 0) return 'never written';
      const what = known.every((kind) => kind === T.STACK_ZERO) ? 'zero' : 'numbers';
      return known.length === 8 ? what : `${what} in ${known.length} of 8 bytes`;
    }
  }
}
