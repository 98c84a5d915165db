import { ATOMIC, type Insn } from '../../bpf/index.ts';
import { isPseudoCall } from './cfg.ts';
import type { VerifierEnv } from './env.ts';
import { insnText } from './liveregs.ts';
import * as T from './reg_types.table.ts';
import type { JmpHistoryEntry, LinkedReg } from './types.ts';

/** Flag of a history entry: a stack access through a register other than R10, with its frame and slot. */
export const INSN_F_STACK_ACCESS = 1 << 9;
/** Flags of a conditional jump's entry: an operand points to the stack, which is never to be precise. */
export const DST_REG_STACK = 1 << 10;
export const SRC_REG_STACK = 1 << 11;

const { FETCH, CMPXCHG, LOAD_ACQ } = ATOMIC;

/** The register that an atomic instruction loads, or -1 (`is_atomic_load_insn`, `is_atomic_fetch_insn`). */
function loadedByAtomic({ code, dst, src, imm }: Insn): number {
  if ((code & 7) !== 3 || (code & 0xe0) !== 0xc0) return -1;
  if (imm === LOAD_ACQ) return dst;
  if (!(imm & FETCH)) return -1;
  return imm === CMPXCHG ? 0 : src;
}

/** Registers and stack slots that must be precise, per frame (`struct backtrack_state`). */
export class Backtrack {
  frame = 0;
  /** Bit n = rn. */
  readonly regs = new Uint16Array(T.MAX_CALL_FRAMES);
  /** Two words of slots a frame: bit n of the first is slot n. */
  private readonly slots = new Int32Array(2 * T.MAX_CALL_FRAMES);

  /** Begins anew in `frame`: nothing must be precise. */
  begin(frame: number): void {
    this.frame = frame;
    this.regs.fill(0);
    this.slots.fill(0);
  }

  setReg(reg: number, frame = this.frame): void {
    this.regs[frame]! |= 1 << reg;
  }

  clearReg(reg: number, frame = this.frame): void {
    this.regs[frame]! &= ~(1 << reg);
  }

  hasReg(reg: number): boolean {
    return (this.regs[this.frame]! & (1 << reg)) !== 0;
  }

  setSlot(spi: number, frame: number): void {
    this.slots[2 * frame + (spi >> 5)]! |= 1 << (spi & 31);
  }

  clearSlot(spi: number, frame: number): void {
    this.slots[2 * frame + (spi >> 5)]! &= ~(1 << (spi & 31));
  }

  hasSlot(spi: number, frame: number): boolean {
    return (this.slots[2 * frame + (spi >> 5)]! & (1 << (spi & 31))) !== 0;
  }

  hasSlots(frame: number): boolean {
    return (this.slots[2 * frame]! | this.slots[2 * frame + 1]!) !== 0;
  }

  empty(): boolean {
    for (let f = 0; f <= this.frame; f++) if (this.regs[f] || this.hasSlots(f)) return false;
    return true;
  }

  regsText(frame = this.frame): string {
    const mask = this.regs[frame]!;
    const names = [];
    for (let i = 0; i < 11; i++) if (mask & (1 << i)) names.push(`r${i}`);
    return names.join(',');
  }

  slotsText(frame = this.frame): string {
    if (!this.hasSlots(frame)) return '';
    const names = [];
    for (let i = 0; i < 64; i++) if (this.hasSlot(i, frame)) names.push(`${(-i - 1) * 8}`);
    return names.join(',');
  }

  private readonly wants = ({ frameno, isReg, at }: LinkedReg): boolean =>
    isReg ? (this.regs[frameno]! & (1 << at)) !== 0 : this.hasSlot(at, frameno);

  private syncLinked(entry: JmpHistoryEntry | undefined): void {
    if (!entry || entry.linkedRegs.length === 0) return;
    if (!entry.linkedRegs.some(this.wants)) return;
    for (const { frameno, isReg, at } of entry.linkedRegs) {
      if (isReg) this.setReg(at, frameno);
      else this.setSlot(at, frameno);
    }
  }

  /** What must be precise before instruction `at` (`backtrack_insn`); false if this cannot be told. */
  step(env: VerifierEnv, at: number, subseq: number, entry: JmpHistoryEntry | undefined): boolean {
    if (env.insns[at]!.code === 0) return true;
    if (env.input.logLevel & 2)
      env.verbose(
        `mark_precise: frame${this.frame}: regs=${this.regsText()} stack=${this.slotsText()} before ${at}: ${insnText(env, at)}\n`,
      );
    this.syncLinked(entry);
    const ok = this.stepOne(env, at, subseq, entry);
    if (ok) this.syncLinked(entry);
    return ok;
  }

  private stepOne(env: VerifierEnv, at: number, subseq: number, entry: JmpHistoryEntry | undefined): boolean {
    const insn = env.insns[at]!;
    const { code, dst, src } = insn;
    const op = code & 0xf0;
    const flags = entry?.flags ?? 0;
    switch (code & 7) {
      case 4:
      case 7:
        if (!this.hasReg(dst) || op === 0x80 || op === 0xd0) return true;
        if (op === 0xb0) {
          this.clearReg(dst);
          if (code & 8 && src !== 10) this.setReg(src);
          return true;
        }
        if (code & 8 && src !== 10) this.setReg(src);
        return true;
      case 1:
        this.stepLoad(dst, flags);
        return true;
      case 2:
      case 3: {
        const loaded = loadedByAtomic(insn);
        if (loaded >= 0) {
          this.stepLoad(loaded, flags);
          return true;
        }
        if (this.hasReg(dst)) return false;
        if (!(flags & INSN_F_STACK_ACCESS)) return true;
        const spi = (flags >> 3) & 63;
        const frame = flags & 7;
        if (!this.hasSlot(spi, frame)) return true;
        this.clearSlot(spi, frame);
        if ((code & 7) === 3) this.setReg(src);
        return true;
      }
      case 0:
        if ((code & 0xe0) !== 0) return this.stepPacketLoad(at, subseq);
        this.clearReg(dst);
        return true;
      default:
        break;
    }
    if (op === 0x80) return this.stepCall(env, at, subseq);
    if (op === 0x90) return this.stepExit(env, subseq);
    if (code & 8 && op !== 0) {
      if (!this.hasReg(dst) && !this.hasReg(src)) return true;
      if (!(flags & DST_REG_STACK)) this.setReg(dst);
      if (!(flags & SRC_REG_STACK)) this.setReg(src);
    }
    return true;
  }

  /** A load into `reg`: of a spilled scalar the slot must be precise. */
  private stepLoad(reg: number, flags: number): void {
    if (!this.hasReg(reg)) return;
    this.clearReg(reg);
    if (flags & INSN_F_STACK_ACCESS) this.setSlot((flags >> 3) & 63, flags & 7);
  }

  /** Behind a legacy load that failed comes what the caller of its function does with 0. */
  private stepPacketLoad(at: number, subseq: number): boolean {
    if (this.hasReg(0)) return false;
    if (subseq !== at + 1) this.frame++;
    return this.frame < T.MAX_CALL_FRAMES;
  }

  private stepCall(env: VerifierEnv, at: number, subseq: number): boolean {
    const insn = env.insns[at]!;
    if (isPseudoCall(insn)) {
      const target = at + insn.imm + 1;
      const into = subseq === target && this.frame > 0;
      if (into) {
        if (this.regs[this.frame]! & ~0x3e) return false;
        for (let i = 1; i <= 5; i++)
          if (this.hasReg(i)) {
            this.clearReg(i);
            this.setReg(i, this.frame - 1);
          }
        if (this.hasSlots(this.frame)) return false;
        this.frame--;
        return true;
      }
      this.clearReg(0);
      return (this.regs[this.frame]! & 0x3e) === 0;
    }
    if (env.aux[at]!.callsCallback && subseq !== at + 1 && this.frame > 0 && subseq >= 0) {
      if (this.regs[this.frame]! & ~0x3e) return false;
      this.regs[this.frame] = 0;
      this.frame--;
      return true;
    }
    if (insn.src === 2 && insn.imm === 0) return false;
    this.clearReg(0);
    if (this.regs[this.frame]! & 0x3e) return false;
    // Behind a tail call of a function comes what its caller does with the result.
    if (insn.src === 0 && insn.imm === 12 && subseq - at !== 1) this.frame++;
    return this.frame < 8;
  }

  private stepExit(env: VerifierEnv, subseq: number): boolean {
    const callsite = subseq - 1;
    const call = env.insns[callsite];
    const fromCallback = subseq >= 0 && env.aux[subseq]!.callsCallback;
    const wantsR0 = !fromCallback && call !== undefined && isPseudoCall(call) && this.hasReg(0);
    if (fromCallback) for (let i = 1; i <= 5; i++) this.clearReg(i);
    if (this.regs[this.frame]! & 0x3e) return false;
    if (this.frame + 1 >= 8) return false;
    this.clearReg(0);
    this.frame++;
    if (wantsR0) this.setReg(0);
    return true;
  }
}
