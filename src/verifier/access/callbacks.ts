import type { Insn } from '../../bpf/index.ts';
import { pushCallbackCall } from '../core/calls.ts';
import type { SetCalleeState } from '../core/hooks.ts';
import { markChainPrecision } from '../core/precise.ts';
import * as T from '../core/reg_types.table.ts';
import { markRegKnownZero, markRegUnknown } from '../core/regs.ts';
import { copyReg, type Env, type FuncState, reject } from '../core/types.ts';
import { ITERABLE_MAPS } from '../tables/map_helpers.table.ts';
import type { CallMeta } from './helper_memory.ts';
import { umax } from './numbers.ts';

/** Helpers that call a function back before they return. */
export const SYNC_CALLBACKS: readonly string[] = ['for_each_map_elem', 'loop', 'find_vma', 'user_ringbuf_drain'];

function waitsFor(callee: FuncState): void {
  callee.inCallbackFn = true;
  callee.callbackRetRange = { minval: 0, maxval: 1 };
}

/** `callback(u64 index, void *ctx)` of `bpf_loop` (`set_loop_callback_state`). */
const setLoop: SetCalleeState = (env, caller, callee) => {
  markRegUnknown(env, callee.reg(1));
  copyReg(callee.reg(2), caller.peek(3));
  waitsFor(callee);
};

/** `callback(map, key, value, ctx)` of `bpf_for_each_map_elem` (`map_set_for_each_callback_args`). */
const setForEach: SetCalleeState = (_env, caller, callee) => {
  const { map } = caller.peek(1);
  copyReg(callee.reg(1), caller.peek(1));
  for (const [regno, type] of [
    [2, T.PTR_TO_MAP_KEY],
    [3, T.PTR_TO_MAP_VALUE],
  ] as const) {
    const reg = callee.reg(regno);
    markRegKnownZero(reg);
    reg.type = type;
    reg.map = map;
  }
  copyReg(callee.reg(4), caller.peek(3));
  waitsFor(callee);
};

/** `callback(map, key, value)` of a timer, a work queue or a task's work, which runs later (`set_timer_callback_state`). */
const setAsync =
  (mapReg: number): SetCalleeState =>
  (_env, caller, callee) => {
    const { map } = caller.peek(mapReg);
    const types = [T.CONST_PTR_TO_MAP, T.PTR_TO_MAP_KEY, T.PTR_TO_MAP_VALUE];
    for (const [i, type] of types.entries()) {
      const reg = callee.reg(i + 1);
      reg.type = type;
      markRegKnownZero(reg);
      reg.map = map;
    }
    callee.inAsyncCallbackFn = true;
    callee.callbackRetRange = { minval: 0, maxval: 0 };
  };

/** Leaves the function that will run on its own, with nothing of this state, to be walked; `mapReg`: R1 or R2 has the map. */
export function callAsync(
  env: Env,
  insn: Insn,
  insnIdx: number,
  subprogno: number,
  mapReg: number,
  sleepable: boolean,
): void {
  pushCallbackCall(env, insn, insnIdx, subprogno, setAsync(mapReg), true, sleepable);
}

/** `bpf_for_each_map_elem`: walks the function once more, and on behind the call. */
export function callForEach(env: Env, insn: Insn, insnIdx: number, meta: CallMeta): void {
  if (!ITERABLE_MAPS.includes(meta.map!.type)) reject(env, 'ENOTSUPP', 'callback function not allowed for map');
  pushCallbackCall(env, insn, insnIdx, meta.subprogno, setForEach);
}

/** Whether the loop may be written in place (`update_loop_inline_state`): flags 0 and always the same function. */
function updateLoopInline(env: Env, insnIdx: number, subprogno: number): void {
  const aux = env.aux[insnIdx]!;
  const flags = env.reg(4);
  const zero = flags.type === T.SCALAR_VALUE && (flags.varLo | flags.varHi | flags.maskLo | flags.maskHi) === 0;
  if (!aux.loopInlineInitialized) {
    aux.loopInlineInitialized = true;
    if (zero) markChainPrecision(env, 4);
    aux.loopInlineFit = zero;
    aux.loopCallbackSubprog = subprogno;
    return;
  }
  if (!aux.loopInlineFit) return;
  if (zero) markChainPrecision(env, 4);
  aux.loopInlineFit = zero && aux.loopCallbackSubprog === subprogno;
}

/** `bpf_loop`: R1 tells how often the function is walked. */
export function callLoop(env: Env, insn: Insn, insnIdx: number, meta: CallMeta): void {
  updateLoopInline(env, insnIdx, meta.subprogno);
  markChainPrecision(env, 1);
  const func = env.func();
  if (func.callbackDepth < umax(env.reg(1))) {
    pushCallbackCall(env, insn, insnIdx, meta.subprogno, setLoop);
    return;
  }
  func.callbackDepth = 0;
  if (env.input.logLevel & 2) env.verbose(`frame${env.cur.curframe} bpf_loop iteration limit reached\n`);
}
