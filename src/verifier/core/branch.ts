import { type StackElem, scratchAll, type VerifierEnv } from './env.ts';
import { type Env, reject, type VerifierState } from './types.ts';

/** BPF_COMPLEXITY_LIMIT_JMP_SEQ. */
export const MAX_JMP_SEQ = 8192;

/**
 * Leaves the current state, at `insnIdx`, to be walked later (`push_stack`); gives the copy to adjust. Registers and
 * slots that were taken from the current state may still be changed, unless `held` is false.
 */
export function pushStack(
  e: Env,
  insnIdx: number,
  prevInsnIdx: number,
  speculative: boolean,
  held = true,
): VerifierState {
  const env = e as VerifierEnv;
  const state = env.cur.copy(held);
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
