import { disassemble, type Insn, LD_IMM64 } from '../../bpf/index.ts';
import { isKfuncCall, isPseudoCall, successors } from './cfg.ts';
import type { VerifierEnv } from './env.ts';
import type { Env } from './types.ts';

/** R0-R5. */
export const CALLER_SAVED = 0x3f;
const bit = (reg: number) => 1 << reg;

/** Registers that one instruction reads (low half of the result) and writes (high half), as `compute_insn_live_regs`. */
function useDef(env: Env, insn: Insn): [use: number, def: number] {
  const { code, dst, src } = insn;
  const d = bit(dst);
  const s = bit(src);
  const op = code & 0xf0;
  switch (code & 7) {
    case 0:
      if ((code & 0xe0) === 0) return (code & 0x18) === 0x18 ? [0, d] : [0, 0];
      if ((code & 0xe0) === 0x20) return [bit(6), CALLER_SAVED];
      return (code & 0xe0) === 0x40 ? [bit(6) | s, CALLER_SAVED] : [0, 0];
    case 1:
      return [s, d];
    case 2:
      return [d, 0];
    case 3:
      if ((code & 0xe0) === 0x60) return [d | s, 0];
      if ((code & 0xe0) !== 0xc0) return [0, 0];
      if (insn.imm === 0xf1) return [d | s | 1, 1];
      if (insn.imm === 0x100) return [s, d];
      if (insn.imm === 0x110) return [d | s, 0];
      return [d | s, insn.imm & 1 ? s : 0];
    case 4:
    case 7:
      if (op === 0xd0) return [d, d];
      if (op === 0xb0) return code & 8 ? [s, d] : [0, d];
      return code & 8 ? [d | s, d] : [d, d];
    default:
      if (op === 0x00) return [0, 0];
      if (op === 0xe0) return [0, 0];
      if (op === 0x90) return [1, 0];
      if (op === 0x80) {
        const summary = isPseudoCall(insn) ? null : env.ops.callSummary(env, insn);
        return [summary ? ((1 << (summary.numParams + 1)) - 1) & ~1 : CALLER_SAVED & ~1, CALLER_SAVED];
      }
      return code & 8 ? [d | s, 0] : [d, 0];
  }
}

/** Backward data flow over the registers; fills `liveRegsBefore` and logs it at level 2 (`compute_live_registers`). */
export function computeLiveRegisters(env: Env, postorder: Int32Array): void {
  const n = env.insns.length;
  const use = new Uint16Array(n);
  const def = new Uint16Array(n);
  const live = new Uint16Array(n);
  const next: number[][] = new Array(n);
  for (let i = 0; i < postorder.length; i++) {
    const at = postorder[i]!;
    const [u, d] = useDef(env, env.insns[at]!);
    use[at] = u;
    def[at] = d;
    next[at] = successors(env.insns, at);
  }
  for (let changed = true; changed; ) {
    changed = false;
    for (let i = 0; i < postorder.length; i++) {
      const at = postorder[i]!;
      let out = 0;
      for (const to of next[at]!) out |= live[to]!;
      const before = (out & ~def[at]!) | use[at]!;
      if (before !== live[at]) {
        live[at] = before;
        changed = true;
      }
    }
  }
  for (let i = 0; i < n; i++) env.aux[i]!.liveRegsBefore = live[i]!;
  if (env.input.logLevel & 2) logLiveRegisters(env);
}

/** The instruction as the log prints it: `(opcode) text`. To be asked for when operands are resolved. */
export function insnText(e: Env, at: number): string {
  const env = e as VerifierEnv;
  env.insnTexts[at] ??= makeText(env, at);
  return env.insnTexts[at];
}

function makeText(env: VerifierEnv, at: number): string {
  const insn = env.insns[at]!;
  const text = disassemble(env.insns, at, {
    call: (call) => {
      if (isKfuncCall(call)) return `${env.ops.kfuncName(env, call)}#${call.imm}`;
      if (isPseudoCall(call)) return `pc${call.imm < 0 ? '' : '+'}${call.imm}`;
      return undefined;
    },
    imm64: (load) => {
      const high = env.insns[at + 1]!.imm;
      const map = load.src === 1 || load.src === 2 ? env.input.maps[env.aux[at]!.mapIndex] : undefined;
      if (map) {
        const value = load.src === 1 ? (map.address ?? 0n) : (map.valueAddress ?? 0n) + BigInt(env.aux[at]!.mapOff);
        return `0x${value.toString(16)}`;
      }
      return `0x${((BigInt(high >>> 0) << 32n) | BigInt(load.imm >>> 0)).toString(16)}`;
    },
  });
  return `(${insn.code.toString(16).padStart(2, '0')}) ${text}`;
}

function logLiveRegisters(env: Env): void {
  let text = 'Live regs before insn:\n';
  for (let i = 0; i < env.insns.length; i++) {
    const { scc, liveRegsBefore } = env.aux[i]!;
    text += scc ? `${String(scc).padStart(3)} ` : '    ';
    let regs = '';
    for (let r = 0; r < 10; r++) regs += liveRegsBefore & (1 << r) ? String(r) : '.';
    text += `${String(i).padStart(3)}: ${regs} ${insnText(env, i)}\n`;
    if (env.insns[i]!.code === LD_IMM64) i++;
  }
  env.verbose(text);
}
