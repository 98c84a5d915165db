import * as P from '../tables/contexts.table.ts';
import { findSubprog, isPseudoCall, isPseudoFunc, isThrow } from './cfg.ts';
import { MAX_BPF_STACK, MAX_CALL_FRAMES } from './reg_types.table.ts';
import { type Env, reject, type SubprogInfo } from './types.ts';

const NO_PRIV_STACK = 1;
export const PRIV_STACK_ADAPTIVE = 2;
/** BPF_PRIV_STACK_MIN_SIZE: bytes. */
const MIN_PRIV_STACK = 64;
/** Stack that callers of a function with tail calls may take. */
const MAX_BEFORE_TAIL_CALL = 256;

const PRIV_STACK_TYPES: readonly number[] = [
  P.PROG_KPROBE,
  P.PROG_TRACEPOINT,
  P.PROG_PERF_EVENT,
  P.PROG_RAW_TRACEPOINT,
];

/** Program types whose frames may be on a private stack (`bpf_enable_priv_stack`). */
function mayUsePrivateStack({ input, subprogs, subprogCnt }: Env): boolean {
  for (let i = 0; i < subprogCnt; i++) if (subprogs[i]!.hasTailCall) return false;
  if (!input.target.privateStack || !input.target.jitRequested) return false;
  if (input.progType === P.PROG_TRACING) return input.expectedAttachType !== P.ATTACH_ITER;
  return PRIV_STACK_TYPES.includes(input.progType);
}

/**
 * Stack of the deepest call chain from the program and from each callback that nobody waits for: 512 bytes, eight frames
 * (`check_max_stack_depth`). What such a callback calls has no private stack, hence it goes first.
 */
export function checkMaxStackDepth(env: Env): void {
  const priv = mayUsePrivateStack(env);
  for (let i = env.subprogCnt - 1; i >= 0; i--)
    if (i === 0 || env.subprogs[i]!.isAsyncCb) checkFrom(env, i, i === 0 && priv);
}

function roundDepth(env: Env, depth: number): number {
  return env.input.target.jitRequested ? Math.ceil(depth / 16) * 16 : Math.ceil(Math.max(depth, 1) / 32) * 32;
}

interface Frame {
  sub: number;
  info: SubprogInfo;
  /** Next instruction to look at. */
  next: number;
  /** What it takes of the common stack. */
  depth: number;
}

/** `check_max_stack_depth_subprog`. */
function checkFrom(env: Env, root: number, priv: boolean): void {
  const frames: Frame[] = [];
  let depth = 0;
  let tailCalls = false;
  const enter = (sub: number) => {
    const info = env.subprogs[sub]!;
    if (!priv) info.privStackMode = NO_PRIV_STACK;
    if (info.hasLdAbs && (info.isCb || frames.some((frame) => frame.info.isCb)))
      reject(env, 'EINVAL', 'cannot use BPF_LD_[ABS|IND] within callback');
    if (sub && info.hasTailCall && depth >= MAX_BEFORE_TAIL_CALL) {
      const before = `call stack of previous frames is ${depth} bytes`;
      reject(env, 'EACCES', `tail_calls are not allowed when ${before}. Too large`);
    }
    const own = roundDepth(env, info.stackDepth);
    if (priv && info.privStackMode === 0 && own >= MIN_PRIV_STACK) info.privStackMode = PRIV_STACK_ADAPTIVE;
    const apart = info.privStackMode === PRIV_STACK_ADAPTIVE;
    if (apart && own > MAX_BPF_STACK) reject(env, 'EACCES', `stack size of subprog ${sub} is ${own}. Too large`);
    frames.push({ sub, info, next: info.start, depth: apart ? 0 : own });
    depth += apart ? 0 : own;
    if (depth > MAX_BPF_STACK)
      reject(env, 'EACCES', `combined stack size of ${frames.length} calls is ${depth}. Too large`);
  };
  enter(root);
  while (frames.length > 0) {
    const top = frames[frames.length - 1]!;
    const callee = nextCallee(env, frames);
    if (callee >= 0) {
      if (env.subprogs[callee]!.hasTailCall) tailCalls = true;
      if (frames.length >= MAX_CALL_FRAMES)
        reject(env, 'E2BIG', `the call stack of ${frames.length} frames is too deep !`);
      enter(callee);
      continue;
    }
    frames.pop();
    depth -= top.depth;
    if (tailCalls) for (const frame of frames) reachTailCall(env, frame.info);
  }
}

function reachTailCall(env: Env, info: SubprogInfo): void {
  if (info.isExceptionCb) reject(env, 'EINVAL', 'cannot tail call within exception cb');
  info.tailCallReachable = true;
}

/** The function that the rest of the innermost frame calls or refers to first, or -1; `next` is behind that. */
function nextCallee(env: Env, frames: readonly Frame[]): number {
  const top = frames[frames.length - 1]!;
  const end = env.subprogs[top.sub + 1]!.start;
  while (top.next < end) {
    const at = top.next++;
    const insn = env.insns[at]!;
    if (isThrow(env, insn) && frames.some((frame) => frame.info.isCb))
      reject(env, 'EINVAL', `bpf_throw kfunc (insn ${at}) cannot be called from callback subprog ${top.sub}`);
    if (!isPseudoCall(insn) && !isPseudoFunc(insn)) continue;
    const sub = findSubprog(env, at + insn.imm + 1);
    const info = env.subprogs[sub]!;
    if (!info.isAsyncCb) return sub;
    if (!isPseudoCall(insn)) continue;
    if (info.isExceptionCb) reject(env, 'EINVAL', `insn ${at} cannot call exception cb directly`);
    return sub;
  }
  return -1;
}
