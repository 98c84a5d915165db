import { findSubprog, isPseudoCall, isPseudoFunc } from './cfg.ts';
import { type Env, reject } from './types.ts';

const NO_PRIV_STACK = 1;
const PRIV_STACK_ADAPTIVE = 2;
/** BPF_PRIV_STACK_MIN_SIZE, MAX_BPF_STACK, MAX_CALL_FRAMES. */
const PRIV_STACK_MIN = 64;
const MAX_STACK = 512;
const MAX_FRAMES = 8;
/** Stack of the callers beyond which a function may not make tail calls. */
const MAX_TAIL_CALLER_STACK = 256;

/** Kprobe, tracepoint, perf_event, raw_tracepoint; tracing but for iterators: those that may recur. */
const PRIV_STACK_TYPES = new Set([2, 5, 7, 17]);
const TRACING = 26;
const TRACE_ITER = 28;

/** Whether the main program's frames may lie on a private stack (`bpf_enable_priv_stack`). */
function mayUsePrivateStack({ input }: Env): boolean {
  const { target, progType, expectedAttachType } = input;
  if (!target.privateStack || !target.jitRequested) return false;
  return PRIV_STACK_TYPES.has(progType) || (progType === TRACING && expectedAttachType !== TRACE_ITER);
}

/** Stack of the deepest call chain from each main function: 512 bytes, eight frames (`check_max_stack_depth`). */
export function checkMaxStackDepth(env: Env): void {
  const tailCalls = env.subprogs.slice(0, env.subprogCnt).some(({ hasTailCall }) => hasTailCall);
  const priv = !tailCalls && mayUsePrivateStack(env);
  // What callbacks share with the main program stays off its private stack: they come first.
  for (let i = env.subprogCnt - 1; i >= 0; i--)
    if (i === 0 || env.subprogs[i]!.isAsyncCb) checkFrom(env, i, i === 0 && priv);
}

function roundDepth(env: Env, depth: number): number {
  return env.input.target.jitRequested ? Math.ceil(depth / 16) * 16 : Math.ceil(Math.max(depth, 1) / 32) * 32;
}

/** A function being walked: the next of its instructions, and what its frame takes of the common stack. */
interface Frame {
  sub: number;
  next: number;
  depth: number;
}

/** Every call chain from `root`, depth first (`check_max_stack_depth_subprog`). */
function checkFrom(env: Env, root: number, priv: boolean): void {
  const frames: Frame[] = [];
  let depth = 0;
  let tailCallReachable = false;
  const enter = (sub: number) => {
    if (frames.length >= MAX_FRAMES) reject(env, 'E2BIG', `the call stack of ${frames.length} frames is too deep !`);
    const frame = { sub, next: env.subprogs[sub]!.start, depth: frameDepth(env, sub, priv, depth) };
    depth += frame.depth;
    if (depth > MAX_STACK)
      reject(env, 'EACCES', `combined stack size of ${frames.length + 1} calls is ${depth}. Too large`);
    frames.push(frame);
  };
  enter(root);
  while (frames.length > 0) {
    const top = frames.at(-1)!;
    const callee = nextCallee(env, top);
    if (callee >= 0) {
      if (env.subprogs[callee]!.hasTailCall) tailCallReachable = true;
      enter(callee);
      continue;
    }
    depth -= top.depth;
    frames.pop();
    if (tailCallReachable) for (const { sub } of frames) env.subprogs[sub]!.tailCallReachable = true;
  }
}

/** Bytes that a call of `sub` adds to `depth`: none on a private stack. */
function frameDepth(env: Env, sub: number, priv: boolean, depth: number): number {
  const info = env.subprogs[sub]!;
  if (!priv) info.privStackMode = NO_PRIV_STACK;
  if (sub && info.hasTailCall && depth >= MAX_TAIL_CALLER_STACK) {
    const frames = `call stack of previous frames is ${depth} bytes`;
    reject(env, 'EACCES', `tail_calls are not allowed when ${frames}. Too large`);
  }
  const own = roundDepth(env, info.stackDepth);
  if (priv && info.privStackMode === 0 && own >= PRIV_STACK_MIN) info.privStackMode = PRIV_STACK_ADAPTIVE;
  if (info.privStackMode !== PRIV_STACK_ADAPTIVE) return own;
  if (own > MAX_STACK) reject(env, 'EACCES', `stack size of subprog ${sub} is ${own}. Too large`);
  return 0;
}

/** The next function that the code of `frame` calls, or hands over as a callback; −1 at its end. */
function nextCallee(env: Env, frame: Frame): number {
  const end = env.subprogs[frame.sub + 1]!.start;
  while (frame.next < end) {
    const at = frame.next++;
    const insn = env.insns[at]!;
    if (!isPseudoCall(insn) && !isPseudoFunc(insn)) continue;
    const sub = findSubprog(env, at + insn.imm + 1);
    const info = env.subprogs[sub];
    if (info?.isAsyncCb) {
      // Called later, on a stack of its own.
      if (!isPseudoCall(insn)) continue;
      if (info.isExceptionCb) reject(env, 'EINVAL', `insn ${at} cannot call exception cb directly`);
    }
    if (sub >= 0) return sub;
  }
  return -1;
}
