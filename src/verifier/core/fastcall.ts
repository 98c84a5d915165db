import { CALL, type Insn } from '../../bpf/index.ts';
import { isPseudoCall } from './cfg.ts';
import { CALLER_SAVED } from './liveregs.ts';
import type { Env, FuncState, SubprogInfo } from './types.ts';

const SLOT = 8;
/** S16_MIN: below any stack offset. */
const GIVEN_UP = -0x8000;

const spills = ({ code, dst }: Insn): boolean => code === 0x7b && dst === 10;
const fills = ({ code, src }: Insn): boolean => code === 0x79 && src === 10;

/**
 * Spills and fills around calls that leave those registers alone (`mark_fastcall_patterns`): from `lowest_off` up, in
 * pairs, on slots that nothing else may use.
 */
export function markFastcallPatterns(env: Env): void {
  for (let s = 0; s < env.subprogCnt; s++) {
    const sub = env.subprogs[s]!;
    const end = env.subprogs[s + 1]!.start;
    let lowest = 0;
    for (let i = sub.start; i < end; i++) if (spills(env.insns[i]!)) lowest = Math.min(lowest, env.insns[i]!.off);
    for (let i = sub.start; i < end; i++) if (env.insns[i]!.code === CALL) markCall(env, sub, i, lowest);
  }
}

/** `mark_fastcall_pattern_for_call`. */
function markCall(env: Env, sub: SubprogInfo, at: number, lowest: number): void {
  const call = env.insns[at]!;
  const summary = isPseudoCall(call) ? null : env.ops.callSummary(env, call);
  if (!summary) return;
  const clobbered = (((1 << summary.numParams) - 1) << 1) | (summary.isVoid ? 0 : 1);
  let expected = CALLER_SAVED & ~clobbered;
  let off = lowest;
  let n = 1;
  for (; expected !== 0; n++, off += SLOT) {
    const spill = env.insns[at - n];
    const fill = env.insns[at + n];
    if (!spill || !fill || env.aux[at - n + 1]!.jumpTarget || env.aux[at + n]!.jumpTarget) break;
    if (!spills(spill) || !fills(fill) || spill.src !== fill.dst) break;
    if (!(expected & (1 << spill.src)) || spill.off !== off || fill.off !== off) break;
    expected &= ~(1 << spill.src);
    env.aux[at - n]!.fastcallPattern = true;
    env.aux[at + n]!.fastcallPattern = true;
  }
  if (n === 1) return;
  if (summary.fastcall) env.aux[at]!.fastcallSpillsNum = n - 1;
  else sub.keepFastcallStack = true;
  sub.fastcallStackOff = Math.min(sub.fastcallStackOff, off);
}

/** Another access to the slots of patterns: they stay as they are (`check_fastcall_stack_contract`). */
export function checkFastcallContract(env: Env, state: FuncState, at: number, off: number): void {
  const sub = env.subprogs[state.subprogno]!;
  if (sub.fastcallStackOff <= off || env.aux[at]!.fastcallPattern) return;
  sub.fastcallStackOff = GIVEN_UP;
  for (let i = sub.start; i < env.subprogs[state.subprogno + 1]!.start; i++) {
    env.aux[i]!.fastcallSpillsNum = 0;
    env.aux[i]!.fastcallPattern = false;
  }
}

/** Stack that is left when spills and fills are dropped (`remove_fastcall_spills_fills`). */
export function dropFastcallStack(env: Env): void {
  for (let s = 0; s < env.subprogCnt; s++) {
    const sub = env.subprogs[s]!;
    if (sub.keepFastcallStack) continue;
    for (let i = sub.start; i < env.subprogs[s + 1]!.start; i++)
      if (env.aux[i]!.fastcallSpillsNum > 0) sub.stackDepth = -sub.fastcallStackOff;
  }
}
