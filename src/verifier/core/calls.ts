import type { Insn } from '../../bpf/index.ts';
import { enforceReturnRange } from '../access/return_code.ts';
import { MAX_JMP_SEQ, pushStack } from './branch.ts';
import { findSubprog } from './cfg.ts';
import { scratchAll, type VerifierEnv } from './env.ts';
import type { SetCalleeState } from './hooks.ts';
import { printVerifierState } from './log.ts';
import * as T from './reg_types.table.ts';
import { clearCallerSaved, markRegUnknown } from './regs.ts';
import { copyReg, type Env, FuncState, reject, VerifierState } from './types.ts';
import { findPrevEntry, widenImprecise } from './widen.ts';

/** A frame for `subprog` in `state` (`setup_func_entry`); `setCallee` fills R1–R5. */
function enterFrame(
  env: VerifierEnv,
  state: VerifierState,
  subprog: number,
  callsite: number,
  setCallee: SetCalleeState,
): void {
  if (state.curframe + 1 >= T.MAX_CALL_FRAMES)
    reject(env, 'E2BIG', `the call stack of ${state.curframe + 2} frames is too deep`);
  const caller = state.frame[state.curframe]!;
  const callee = new FuncState();
  callee.callsite = callsite;
  callee.frameno = state.curframe + 1;
  callee.subprogno = subprog;
  initFrameRegs(env, callee);
  state.frame[state.curframe + 1] = callee;
  setCallee(env, caller, callee, callsite);
  state.curframe++;
}

/** R10 = fp of a new frame, whose other registers are unset (`init_func_state`, `init_reg_state`). */
export function initFrameRegs(env: VerifierEnv, func: FuncState): void {
  scratchAll(env);
  const fp = func.reg(10);
  markRegUnknown(env, fp);
  fp.varLo = fp.varHi = fp.maskLo = fp.maskHi = 0;
  fp.sminLo = fp.sminHi = fp.smaxLo = fp.smaxHi = fp.uminLo = fp.uminHi = fp.umaxLo = fp.umaxHi = 0;
  fp.s32min = fp.s32max = fp.u32min = fp.u32max = 0;
  fp.type = T.PTR_TO_STACK;
  fp.frameno = func.frameno;
}

const copyArguments: SetCalleeState = (_env, caller, callee) => {
  for (let i = 1; i <= 5; i++) copyReg(callee.reg(i), caller.peek(i));
};

const name = (env: Env, subprog: number) => env.subprogs[subprog]!.name;

/** A BPF-to-BPF call (`check_func_call`): a global function is assumed valid, a static one is walked into. */
export function checkFuncCall(env: VerifierEnv, insn: Insn): void {
  const state = env.cur;
  const at = env.insnIdx;
  const target = at + insn.imm + 1;
  const subprog = findSubprog(env, target);
  if (subprog < 0) reject(env, 'EFAULT', `verifier bug: can't find subprog at insn ${target}`);
  const caller = env.func();
  const argumentsFit = env.ops.checkSubprogCall(env, subprog, caller.regs);
  const info = env.subprogs[subprog]!;
  if (info.global) {
    const sub = name(env, subprog);
    if (state.activeLocks)
      reject(env, 'EINVAL', 'global function calls are not allowed while holding a lock,\nuse static function instead');
    const atomic = state.activeRcuLock || state.activePreemptLocks || state.activeIrqId || !state.inSleepable;
    if (info.mightSleep && atomic)
      reject(
        env,
        'EINVAL',
        'global functions that may sleep are not allowed in non-sleepable context,\ni.e., in a RCU/IRQ/preempt-disabled section, or in\na non-sleepable BPF program context',
      );
    if (!argumentsFit) reject(env, 'EINVAL', `Caller passes invalid args into func#${subprog} ('${sub}')`);
    env.verbose(`Func#${subprog} ('${sub}') is global and assumed valid.\n`);
    if (info.changesPktData) env.ops.clearAllPktPointers(env);
    info.called = true;
    clearCallerSaved(env, caller);
    markRegUnknown(env, caller.reg(0));
    caller.reg(0).subregDef = T.DEF_NOT_SUBREG;
    env.scratchedRegs |= 1;
    return;
  }
  enterFrame(env, state, subprog, at, copyArguments);
  clearCallerSaved(env, caller);
  env.insnIdx = env.subprogs[subprog]!.start - 1;
  env.live.leave();
  if (env.input.logLevel) {
    env.verbose('caller:\n');
    printVerifierState(env, state, caller.frameno, true);
    env.verbose('callee:\n');
    printVerifierState(env, state, state.curframe, true);
  }
}

/** A helper or kfunc that calls function `subprog` back (`push_callback_call`). */
export function pushCallbackCall(
  e: Env,
  _insn: Insn,
  insnIdx: number,
  subprog: number,
  setCallee: SetCalleeState,
  isAsync = false,
  isSleepable = false,
): void {
  const env = e as VerifierEnv;
  // What does not fit is said, but a callback is walked with what it is given.
  env.ops.checkSubprogCall(env, subprog, env.func().regs);
  env.subprogs[subprog]!.isCb = true;
  if (isAsync) {
    env.subprogs[subprog]!.isAsyncCb = true;
    const state = pushAsync(env, env.subprogs[subprog]!.start, insnIdx, subprog, isSleepable);
    const callee = state.frame[0]!;
    callee.asyncEntryCnt = env.func().asyncEntryCnt + 1;
    setCallee(env, env.func(), callee, insnIdx);
    return;
  }
  const state = pushStack(env, env.subprogs[subprog]!.start, insnIdx, false);
  enterFrame(env, state, subprog, insnIdx, setCallee);
  state.callbackUnrollDepth++;
  state.frame[state.curframe - 1]!.callbackDepth++;
  env.func().callbackDepth = 0;
}

/** The function starts with a stack of its own and nothing of the caller's state (`push_async_cb`). */
function pushAsync(
  env: VerifierEnv,
  insnIdx: number,
  prevInsnIdx: number,
  subprog: number,
  sleepable: boolean,
): VerifierState {
  const func = new FuncState();
  func.subprogno = subprog;
  func.callsite = -1;
  initFrameRegs(env, func);
  const state = new VerifierState();
  state.frame = [func];
  state.inSleepable = sleepable;
  state.branches = 1;
  env.branches.push({ state, insnIdx, prevInsnIdx, logLength: env.logLength });
  if (env.branches.length > MAX_JMP_SEQ)
    reject(env, 'E2BIG', `The sequence of ${env.branches.length} jumps is too complex for async cb.`);
  return state;
}

/** Return from a function of a deeper frame to its caller (`prepare_func_exit`); sets `env.insnIdx`. */
export function prepareFuncExit(env: VerifierEnv): void {
  env.live.update(env);
  const state = env.cur;
  const callee = env.func();
  const r0 = callee.reg(0);
  if (r0.type === T.PTR_TO_STACK) reject(env, 'EINVAL', 'cannot return stack pointer to the caller');
  const caller = state.frame[state.curframe - 1]!;
  let inCallback = false;
  if (callee.inCallbackFn) {
    if (r0.type !== T.SCALAR_VALUE) reject(env, 'EACCES', 'R0 not a scalar value');
    enforceReturnRange(env, 'At callback return', 0, 'R0', r0, callee.callbackRetRange);
    inCallback = env.aux[callee.callsite]!.callsCallback;
  } else {
    copyReg(caller.reg(0), r0);
  }
  env.insnIdx = inCallback ? callee.callsite : callee.callsite + 1;
  if (env.input.logLevel) {
    env.verbose('returning from callee:\n');
    printVerifierState(env, state, callee.frameno, true);
    env.verbose(`to caller at ${env.insnIdx}:\n`);
    printVerifierState(env, state, caller.frameno, true);
  }
  state.frame.length = state.curframe;
  state.curframe--;
  const prev = inCallback ? findPrevEntry(env, state, env.insnIdx) : null;
  if (prev) widenImprecise(env, prev, state);
}
