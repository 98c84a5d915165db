import { type StackElem, scratchAll, type VerifierEnv } from './env.ts';
import { copyReg, type Env, FuncState, reject, StackSlot, VerifierState } from './types.ts';

/** BPF_COMPLEXITY_LIMIT_JMP_SEQ. */
export const MAX_JMP_SEQ = 8192;

function copyFunc(src: FuncState): FuncState {
  const dst = new FuncState();
  for (let i = 0; i < src.regs.length; i++) copyReg(dst.regs[i]!, src.regs[i]!);
  dst.callsite = src.callsite;
  dst.frameno = src.frameno;
  dst.subprogno = src.subprogno;
  dst.asyncEntryCnt = src.asyncEntryCnt;
  dst.inCallbackFn = src.inCallbackFn;
  dst.callbackRetRange = src.callbackRetRange;
  dst.inAsyncCallbackFn = src.inAsyncCallbackFn;
  dst.inExceptionCallbackFn = src.inExceptionCallbackFn;
  dst.callbackDepth = src.callbackDepth;
  for (const slot of src.stack) {
    const copy = new StackSlot();
    copyReg(copy.spilled, slot.spilled);
    copy.slotType.set(slot.slotType);
    dst.stack.push(copy);
  }
  return dst;
}

/** A deep copy; the jump history is copied, its entries are shared (`copy_verifier_state`). */
export function copyState(src: VerifierState): VerifierState {
  const dst = new VerifierState();
  Object.assign(dst, src);
  dst.frame = src.frame.slice(0, src.curframe + 1).map(copyFunc);
  dst.refs = src.refs.map((ref) => ({ ...ref }));
  dst.jmpHistory = src.jmpHistory.slice();
  return dst;
}

/** Leaves the current state, at `insnIdx`, to be walked later (`push_stack`); gives the copy to adjust. */
export function pushStack(e: Env, insnIdx: number, prevInsnIdx: number, speculative: boolean): VerifierState {
  const env = e as VerifierEnv;
  const state = copyState(env.cur);
  state.speculative = state.speculative || speculative;
  env.branches.push({ state, insnIdx, prevInsnIdx, logLength: env.logLength });
  if (env.branches.length > MAX_JMP_SEQ)
    reject(env, 'E2BIG', `The sequence of ${env.branches.length} jumps is too complex.`);
  if (state.parent) state.parent.branches++;
  return state;
}

/** Takes up the newest branch left (`pop_stack`); without one, undefined. */
export function popStack(env: VerifierEnv): StackElem | undefined {
  const elem = env.branches.pop();
  if (!elem) return undefined;
  env.cur = elem.state;
  env.insnIdx = elem.insnIdx;
  env.prevInsnIdx = elem.prevInsnIdx;
  if ((env.input.logLevel & 2) === 0) env.resetLog(elem.logLength);
  scratchAll(env);
  return elem;
}
