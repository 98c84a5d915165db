import { ALU, ATOMIC, CLASS, type Insn, MODE, sizeInBytes } from '../bpf/index.ts';
import { REG, type Row, X } from '../x86/index.ts';
import { simpleRow } from './_alu.ts';
import { AUX, AX, type JitState, movImm32, movImm64, movReg } from './_state.ts';
import type { ExtableEntry } from './types.ts';

const PAGE_SIZE = 4096;

/** Zero-extending load; bytes and words extend to 64 bits. */
function loadRow(size: number): [Row, number] {
  switch (size) {
    case 1:
      return [X.movzx_GvEb, 8];
    case 2:
      return [X.movzx_GvEw, 8];
    default:
      return [X.mov_GvEv, size];
  }
}

function signedLoadRow(size: number): Row {
  return size === 1 ? X.movsx_GvEb : size === 2 ? X.movsx_GvEw : X.movsxd_GvEd;
}

/** BPF_LDX of every mode; false for one that the kernel's JIT does not know. */
export function emitLoad(state: JitState, insn: Insn): boolean {
  const { e } = state;
  const dst = state.regs[insn.dst]!;
  const src = state.regs[insn.src]!;
  const size = sizeInBytes(insn.code);
  const mode = insn.code & 0xe0;
  switch (mode) {
    case MODE.MEM:
    case MODE.PROBE_MEM: {
      const [row, width] = loadRow(size);
      if (mode === MODE.PROBE_MEM) emitProbe(state, insn, dst, src, (off) => e.mem(row, width, src, off, dst, 1));
      else e.mem(row, width, src, insn.off, dst, 1);
      return true;
    }
    case MODE.MEMSX:
    case MODE.PROBE_MEMSX:
      if (size === 8) return false;
      if (mode === MODE.PROBE_MEMSX)
        emitProbe(state, insn, dst, src, (off) => e.mem(signedLoadRow(size), 8, src, off, dst, 1));
      else e.mem(signedLoadRow(size), 8, src, insn.off, dst, 1);
      return true;
    case MODE.PROBE_MEM32SX: {
      if (size === 8 || !state.ctx.era.arenaSignedLoads) return false;
      const start = e.length;
      e.memIndex(signedLoadRow(size), 8, src, REG.r12, 1, insn.off, dst, 1);
      addExtable(state, start, dst, { register: src, offset: insn.off });
      return true;
    }
    case MODE.PROBE_MEM32: {
      if (!state.ctx.era.arenas) return false;
      const start = e.length;
      const row = size === 1 ? X.movzx_GvEb : size === 2 ? X.movzx_GvEw : X.mov_GvEv;
      e.memIndex(row, size === 8 ? 8 : 4, src, REG.r12, 1, insn.off, dst, 1, true);
      addExtable(state, start, dst, { register: src, offset: insn.off });
      return true;
    }
    default:
      return false;
  }
}

/**
 * A load through a pointer that the verifier does not vouch for: anything outside of the kernel's half gives 0 without a
 * load, and a fault in the load gives 0 through the exception table. r10 = VSYSCALL_ADDR, r11 = address − r10:
 *
 *     mov r10, VSYSCALL_ADDR ; mov r11, src ; add r11, off ; sub r11, r10 ; mov r10, limit ; cmp r11, r10 ; ja load
 *     xor dst, dst ; jmp end ; load: mov dst, [src+off] ; end:
 */
function emitProbe(state: JitState, insn: Insn, dst: number, src: number, load: (off: number) => void): void {
  const { e, ctx } = state;
  if (ctx.era.probeCheck === 'user end') {
    emitProbeInPlace(state, insn, dst, src, load);
    return;
  }
  const { vsyscall, taskSizeMax } = ctx;
  movImm64(e, ctx.era, AX, vsyscall.lo, vsyscall.hi);
  movReg(e, 8, AUX, src);
  if (insn.off !== 0) e.regImm32(X.add_EvIz, 8, AUX, insn.off);
  e.reg(X.sub_EvGv, 8, AUX, AX);
  const low = (taskSizeMax.lo >>> 0) + PAGE_SIZE - (vsyscall.lo >>> 0);
  movImm64(e, ctx.era, AX, low | 0, (taskSizeMax.hi - vsyscall.hi + Math.floor(low / 0x1_0000_0000)) | 0);
  e.reg(X.cmp_EvGv, 8, AUX, AX);
  emitGuardedLoad(state, X.jcc_Jb[7]!, dst, () => load(insn.off));
}

/** `jcc load ; xor dst, dst ; jmp end ; load: … ; end:` */
function emitGuardedLoad(state: JitState, jump: Row, dst: number, load: () => void): void {
  const { e } = state;
  e.rel8(jump, 0);
  const afterJump = e.length;
  movImm32(e, false, dst, 0);
  e.rel8(X.jmp_Jb, 0);
  const start = e.length;
  e.bytes[afterJump - 1] = start - afterJump;
  load();
  e.bytes[start - 1] = e.length - start;
  addExtable(state, start, dst);
}

/**
 * The probing load of 6.8: the offset is added to the pointer itself and taken off again afterwards. r11 = end of user
 * space and a page:
 *
 *     movabs r11, limit ; add src, off ; cmp src, r11 ; jae load ; xor dst, dst ; jmp end ; load: mov dst, [src] ; end:
 *     sub src, off
 */
function emitProbeInPlace(state: JitState, insn: Insn, dst: number, src: number, load: (off: number) => void): void {
  const { e, ctx } = state;
  const low = (ctx.taskSizeMax.lo >>> 0) + PAGE_SIZE;
  e.movImm64(AUX, low | 0, (ctx.taskSizeMax.hi + Math.floor(low / 0x1_0000_0000)) | 0);
  if (insn.off !== 0) e.regImm32(X.add_EvIz, 8, src, insn.off);
  e.reg(X.cmp_EvGv, 8, src, AUX);
  emitGuardedLoad(state, X.jcc_Jb[3]!, dst, () => load(0));
  if (insn.off !== 0 && src !== dst) e.regImm32(X.sub_EvIz, 8, src, insn.off);
}

function addExtable(state: JitState, start: number, register: number, arena?: ExtableEntry['arena']): void {
  state.extable.push({ offset: start, length: state.e.length - start, register, ...(arena && { arena }) });
}

/** BPF_ST and BPF_STX without atomics. */
export function emitStore(state: JitState, insn: Insn): boolean {
  const { e } = state;
  const dst = state.regs[insn.dst]!;
  const size = sizeInBytes(insn.code);
  const mode = insn.code & 0xe0;
  const immediate = (insn.code & 7) === CLASS.ST;
  if (immediate && mode === MODE.NOSPEC) {
    e.op(X.lfence);
    return true;
  }
  const row = immediate ? (size === 1 ? X.mov_EbIb : X.mov_EvIz) : size === 1 ? X.mov_EbGb : X.mov_EvGv;
  const src = immediate ? 0 : state.regs[insn.src]!;
  const start = e.length;
  if (mode === MODE.MEM) e.mem(row, size, dst, insn.off, src, 1);
  else if (mode === MODE.PROBE_MEM32 && state.ctx.era.arenas)
    e.memIndex(row, size, dst, REG.r12, 1, insn.off, src, 1, true);
  else return false;
  if (immediate) {
    if (size === 1) e.u8(insn.imm & 0xff);
    else if (size === 2) e.raw(insn.imm & 0xff, (insn.imm >> 8) & 0xff);
    else e.u32(insn.imm);
  }
  if (mode === MODE.PROBE_MEM32) addExtable(state, start, -1, { register: dst, offset: insn.off });
  return true;
}

/** Row of an atomic that is one locked instruction. */
function atomicRow(op: number): Row | undefined {
  switch (op) {
    case ALU.ADD | ATOMIC.FETCH:
      return X.xadd_EvGv;
    case ATOMIC.XCHG:
      return X.xchg_EvGv;
    case ATOMIC.CMPXCHG:
      return X.cmpxchg_EvGv;
    case ALU.ADD:
    case ALU.AND:
    case ALU.OR:
    case ALU.XOR:
      return simpleRow(op);
    default:
      return undefined;
  }
}

/** BPF_ATOMIC: read-modify-write on memory, and ordered loads and stores, which x86's plain ones are. */
export function emitAtomic(state: JitState, insn: Insn): boolean {
  const { e, ctx } = state;
  const size = sizeInBytes(insn.code);
  if (insn.imm === ATOMIC.LOAD_ACQ || insn.imm === ATOMIC.STORE_REL)
    return ctx.era.acquireRelease && emitOrdered(state, insn);
  if (size < 4) return false;
  const dst = state.regs[insn.dst]!;
  const src = state.regs[insn.src]!;
  const probe = (insn.code & 0xe0) === MODE.PROBE_ATOMIC;
  if (probe && !ctx.era.arenas) return false;
  const loop =
    insn.imm === (ALU.AND | ATOMIC.FETCH) ||
    insn.imm === (ALU.OR | ATOMIC.FETCH) ||
    insn.imm === (ALU.XOR | ATOMIC.FETCH);
  if (loop && !probe) {
    emitFetchLoop(state, insn, size, dst, src);
    return true;
  }
  const row = atomicRow(insn.imm);
  if (row === undefined) return false;
  const start = e.length;
  e.u8(0xf0);
  if (probe) {
    e.memIndex(row, size, dst, REG.r12, 1, insn.off, src, 1, true);
    addExtable(state, start, -1, { register: dst, offset: insn.off });
  } else e.mem(row, size, dst, insn.off, src, 1);
  return true;
}

/** fetch_and, fetch_or, fetch_xor have no x86 instruction: a compare-and-exchange loop on rax. */
function emitFetchLoop({ e }: JitState, insn: Insn, size: number, dst: number, src: number): void {
  movReg(e, 8, AX, REG.rax);
  const realSrc = src === REG.rax ? AX : src;
  const realDst = dst === REG.rax ? AX : dst;
  const again = e.length;
  e.mem(X.mov_GvEv, size, realDst, insn.off, REG.rax, 1);
  movReg(e, size, AUX, REG.rax);
  e.reg(simpleRow(insn.imm & 0xf0)!, size, AUX, realSrc);
  e.u8(0xf0);
  e.mem(X.cmpxchg_EvGv, size, realDst, insn.off, AUX, 1);
  e.rel8(X.jcc_Jb[5]!, again - e.length - 2);
  movReg(e, size, realSrc, REG.rax);
  movReg(e, 8, REG.rax, AX);
}

/** load_acquire and store_release as the plain load or store of the same mode (emit_atomic_ld_st, 6.15). */
function emitOrdered(state: JitState, insn: Insn): boolean {
  const mode = (insn.code & 0xe0) === MODE.PROBE_ATOMIC ? MODE.PROBE_MEM32 : MODE.MEM;
  const plain = (insn.code & 0x18) | mode;
  return insn.imm === ATOMIC.LOAD_ACQ
    ? emitLoad(state, { ...insn, code: plain | CLASS.LDX })
    : emitStore(state, { ...insn, code: plain | CLASS.STX });
}

export const isAtomic = (insn: Insn): boolean =>
  (insn.code & 7) === CLASS.STX && ((insn.code & 0xe0) === MODE.ATOMIC || (insn.code & 0xe0) === MODE.PROBE_ATOMIC);
