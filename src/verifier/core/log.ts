import { printRange } from '../domain/index.ts';
import type { VerifierEnv } from './env.ts';
import { insnText } from './liveregs.ts';
import * as T from './reg_types.table.ts';
import type { Env, FuncState, RegView, SlotView, VerifierState } from './types.ts';

const NAMES: Record<number, string> = {
  [T.NOT_INIT]: '?',
  [T.SCALAR_VALUE]: 'scalar',
  [T.PTR_TO_CTX]: 'ctx',
  [T.CONST_PTR_TO_MAP]: 'map_ptr',
  [T.PTR_TO_MAP_VALUE]: 'map_value',
  [T.PTR_TO_STACK]: 'fp',
  [T.PTR_TO_PACKET]: 'pkt',
  [T.PTR_TO_PACKET_META]: 'pkt_meta',
  [T.PTR_TO_PACKET_END]: 'pkt_end',
  [T.PTR_TO_FLOW_KEYS]: 'flow_keys',
  [T.PTR_TO_SOCKET]: 'sock',
  [T.PTR_TO_SOCK_COMMON]: 'sock_common',
  [T.PTR_TO_TCP_SOCK]: 'tcp_sock',
  [T.PTR_TO_TP_BUFFER]: 'tp_buffer',
  [T.PTR_TO_XDP_SOCK]: 'xdp_sock',
  [T.PTR_TO_BTF_ID]: 'ptr_',
  [T.PTR_TO_MEM]: 'mem',
  [T.PTR_TO_ARENA]: 'arena',
  [T.PTR_TO_BUF]: 'buf',
  [T.PTR_TO_FUNC]: 'func',
  [T.PTR_TO_MAP_KEY]: 'map_key',
  [T.CONST_PTR_TO_DYNPTR]: 'dynptr_ptr',
};
const PREFIXES: readonly [number, string][] = [
  [T.MEM_RDONLY, 'rdonly_'],
  [T.MEM_RINGBUF, 'ringbuf_'],
  [T.MEM_USER, 'user_'],
  [T.MEM_PERCPU, 'percpu_'],
  [T.MEM_RCU, 'rcu_'],
  [T.PTR_UNTRUSTED, 'untrusted_'],
  [T.PTR_TRUSTED, 'trusted_'],
];
export const SLOT_CHARS = '?rm0dif';
const DYNPTR_NAMES = ['', 'local', 'ringbuf', 'skb', 'xdp', 'skb_meta'];
const ITER_STATES = ['<invalid>', 'active', 'drained'];

/** The name of a register type in the log (`reg_type_str`). */
export function typeStr(type: number): string {
  let prefix = '';
  for (const [flag, word] of PREFIXES) if (type & flag) prefix += word;
  const base = type & T.BASE_TYPE_MASK;
  const suffix = type & T.PTR_MAYBE_NULL ? (base === T.PTR_TO_BTF_ID ? 'or_null_' : '_or_null') : '';
  return prefix + NAMES[base] + suffix;
}

/** A signed 64-bit number, decimal within s16, else hexadecimal (`verbose_snum`). */
function snum(lo: number, hi: number): string {
  if (hi === lo >> 31 && lo >= -32768 && lo <= 32767) return String(lo);
  const low = (lo >>> 0).toString(16);
  return hi === 0 ? `0x${low}` : `0x${(hi >>> 0).toString(16)}${low.padStart(8, '0')}`;
}
const unum = (value: number): string =>
  value < 0 ? `0xffffffff${(value >>> 0).toString(16)}` : value <= 65535 ? String(value) : snum(value | 0, 0);

const isConst = (reg: RegView): boolean => (reg.maskLo | reg.maskHi) === 0;

/** `print_reg_state`. */
export function regText(env: Env, frameno: number, reg: RegView): string {
  const type = reg.type;
  const base = type & T.BASE_TYPE_MASK;
  if (type === T.SCALAR_VALUE) {
    const precise = reg.precise ? 'P' : '';
    if (isConst(reg)) return precise + snum(reg.varLo, reg.varHi);
    const parts = [];
    let id = '';
    if (reg.id) id = `id=${reg.id & ~T.BPF_ADD_CONST}`;
    if (reg.id & T.BPF_ADD_CONST) id += reg.off < 0 ? reg.off : `+${reg.off}`;
    if (id) parts.push(id);
    const range = printRange(reg);
    if (range) parts.push(range);
    return `${precise}scalar(${parts.join(',')})`;
  }
  let text = typeStr(type);
  if (type === T.PTR_TO_ARENA) return text;
  if (type === T.PTR_TO_STACK) {
    if (frameno !== reg.frameno) text += `[${reg.frameno}]`;
    if (isConst(reg))
      return text + snum((reg.varLo + reg.off) | 0, (reg.varLo + reg.off) | 0 ? ((reg.varLo + reg.off) | 0) >> 31 : 0);
  }
  if (base === T.PTR_TO_BTF_ID && reg.btf) text += env.ops.typeName(reg.btf, reg.btfId);
  const parts: string[] = [];
  if (reg.id) parts.push(`id=${reg.id & ~T.BPF_ADD_CONST}`);
  if (reg.refObjId) parts.push(`ref_obj_id=${reg.refObjId}`);
  if (type & T.MEM_ALLOC && type & T.NON_OWN_REF) parts.push('non_own_ref');
  if ((base === T.CONST_PTR_TO_MAP || base === T.PTR_TO_MAP_KEY || base === T.PTR_TO_MAP_VALUE) && reg.map) {
    if (reg.map.name) parts.push(`map=${reg.map.name}`);
    parts.push(`ks=${reg.map.keySize},vs=${reg.map.valueSize}`);
  }
  if (reg.off) parts.push(`off=${snum(reg.off, reg.off >> 31)}`);
  if (base === T.PTR_TO_PACKET || base === T.PTR_TO_PACKET_META) parts.push(`r=${unum(reg.pktRange)}`);
  if (base === T.PTR_TO_MEM) parts.push(`sz=${unum(reg.memSize)}`);
  if (type === T.CONST_PTR_TO_DYNPTR) parts.push(`type=${DYNPTR_NAMES[reg.dynptrType]}`);
  if (isConst(reg)) {
    if (reg.varLo | reg.varHi) parts.push(`imm=${snum(reg.varLo, reg.varHi)}`);
  } else parts.push(printRange(reg));
  return `${text}(${parts.join(',')})`;
}

function kindsText({ slotType }: SlotView): string {
  let text = '';
  for (let i = 0; i < 8; i++) text += SLOT_CHARS[slotType[i]!];
  return text;
}

function stackText(env: VerifierEnv, func: FuncState, all: boolean): string {
  let text = '';
  for (let i = 0; i < func.depth; i++) {
    if (!all && !env.scratchedSlots[i]) continue;
    let slot = func.peekSlot(i)!;
    const kinds = kindsText(slot);
    if (kinds === '????????') continue;
    switch (slot.slotType[7]) {
      case T.STACK_SPILL:
        text += ` fp${(-i - 1) * 8}=${kinds.slice(0, slot.slotType.indexOf(T.STACK_SPILL))}${regText(env, func.frameno, slot.spilled)}`;
        break;
      case T.STACK_DYNPTR: {
        i++;
        slot = func.peekSlot(i)!;
        const parts = [];
        if (slot.spilled.id) parts.push(`id=${slot.spilled.id}`);
        if (slot.spilled.refObjId) parts.push(`ref_id=${slot.spilled.refObjId}`);
        if (slot.spilled.dynptrFirstSlot) parts.push('dynptr_id=1');
        text += ` fp${(-i - 1) * 8}=dynptr_${DYNPTR_NAMES[slot.spilled.dynptrType]}(${parts.join(',')})`;
        break;
      }
      case T.STACK_ITER: {
        const reg = slot.spilled;
        if (!reg.refObjId) continue;
        const name = env.ops.typeName(reg.iterBtf!, reg.iterBtfId).replace(/^bpf_iter_/, '');
        text += ` fp${(-i - 1) * 8}=iter_${name}(ref_id=${reg.refObjId},state=${ITER_STATES[reg.iterState]},depth=${reg.iterDepth})`;
        break;
      }
      default:
        text += ` fp${(-i - 1) * 8}=${kinds}`;
    }
  }
  return text;
}

/** One line with the registers and stack of frame `frameno`: all, or what changed (`print_verifier_state`). */
export function printVerifierState(e: Env, state: VerifierState, frameno: number, all: boolean): void {
  const env = e as VerifierEnv;
  const func = state.frame[frameno]!;
  let text = func.frameno ? ` frame${func.frameno}:` : '';
  for (let i = 0; i < T.MAX_BPF_REG; i++) {
    const reg = func.peek(i);
    if (reg.type === T.NOT_INIT || (!all && !(env.scratchedRegs & (1 << i)))) continue;
    text += ` R${i}=${regText(env, func.frameno, reg)}`;
  }
  text += stackText(env, func, all);
  if (state.refs.length > 0 && state.refs[0]!.id)
    text += ` refs=${state.refs.flatMap((ref) => ref.id || []).join(',')}`;
  if (func.inCallbackFn) text += ' cb';
  if (func.inAsyncCallbackFn) text += ' async_cb';
  env.verbose(`${text}\n`);
  if (!all) {
    env.scratchedRegs = 0;
    env.scratchedSlots.fill(0);
  }
}

/** State behind the instruction just printed, or on a line of its own (`print_insn_state`). */
export function printInsnState(env: VerifierEnv, state: VerifierState, frameno: number): void {
  if (env.prevLogPos !== -1 && env.prevLogPos === env.logLength) {
    env.resetLog(env.logLength - 1);
    const at = env.prevInsnPrintLen;
    const width = Math.ceil(Math.max(at + 4, 40) / 8) * 8 - at - 1;
    env.verbose(`${' '.repeat(Math.max(width, 1))};`);
  } else env.verbose(`${env.insnIdx}:`);
  printVerifierState(env, state, frameno, false);
}

/** The source line of slot `at`, if it is not the one printed last (`verbose_linfo`). */
export function printLinfo(env: VerifierEnv, at: number, prefix: string): void {
  const lines = env.input.lineInfo;
  let lo = 0;
  let hi = lines.length - 1;
  while (lo < hi) {
    const mid = (lo + hi + 1) >> 1;
    if (lines[mid]!.offset <= at * 8) lo = mid;
    else hi = mid - 1;
  }
  const line = lines[lo];
  if (!line) return;
  const prev = lines[env.prevLinfo];
  if (prev && (prev === line || (prev.file === line.file && prev.line === line.line))) return;
  env.prevLinfo = lo;
  env.verbose(`${prefix}${line.text.trimStart()} @ ${line.file.slice(line.file.lastIndexOf('/') + 1)}:${line.line}\n`);
}

/** The line of the current instruction. */
export function printInsn(env: VerifierEnv): void {
  const start = env.logLength;
  env.verbose(`${env.insnIdx}: ${insnText(env, env.insnIdx)}\n`);
  env.prevInsnPrintLen = env.logLength - start;
  env.prevLogPos = env.logLength;
}
