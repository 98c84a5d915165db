import { findSubprog, isPseudoCall, isPseudoFunc } from './cfg.ts';
import { type Env, reject } from './types.ts';

const NO_PRIV_STACK = 1;
const PRIV_STACK_ADAPTIVE = 2;
const MAX_PRIV_FRAME_MIN = 64;

const PRIV_STACK_TYPES = new Set([2, 5, 7, 17, 26]);

/** Program types whose own frame may be on a private stack (`bpf_enable_priv_stack`): kprobe, tracepoint, perf_event, raw_tp, tracing. */
function mayUsePrivateStack(env: Env): boolean {
  return env.input.target.privateStack && env.input.target.jitRequested && PRIV_STACK_TYPES.has(env.input.progType);
}

/** Stack of the deepest call chain from each main function: 512 bytes, eight frames (`check_max_stack_depth`). */
export function checkMaxStackDepth(env: Env): void {
  const priv = mayUsePrivateStack(env);
  let privSupported = priv;
  if (privSupported) for (let i = 0; i < env.subprogCnt; i++) if (env.subprogs[i]!.hasTailCall) privSupported = false;
  for (let i = 0; i < env.subprogCnt; i++) {
    const sub = env.subprogs[i]!;
    if (i === 0 || sub.isAsyncCb) checkFrom(env, i, privSupported && i === 0);
  }
  for (let i = 0; i < env.subprogCnt; i++) {
    const sub = env.subprogs[i]!;
    if (sub.privStackMode === 0) sub.privStackMode = NO_PRIV_STACK;
  }
}

function roundDepth(env: Env, depth: number): number {
  return env.input.target.jitRequested ? Math.ceil(depth / 16) * 16 : Math.ceil(Math.max(depth, 1) / 32) * 32;
}

function checkFrom(env: Env, root: number, priv: boolean): void {
  const frames: { sub: number; next: number; depth: number; tail: boolean }[] = [];
  let depth = 0;
  let tailCallSeen = false;
  const enter = (sub: number) => {
    const info = env.subprogs[sub]!;
    if (!priv) info.privStackMode = NO_PRIV_STACK;
    if (sub > 0 && depth >= 256 && info.hasTailCall)
      reject(
        env,
        'EACCES',
        `tail_calls are not allowed when call stack of previous frames is ${depth} bytes. Too large`,
      );
    const own = roundDepth(env, info.stackDepth);
    if (priv && info.privStackMode === 0 && own >= MAX_PRIV_FRAME_MIN) info.privStackMode = PRIV_STACK_ADAPTIVE;
    if (info.privStackMode === PRIV_STACK_ADAPTIVE) {
      if (own > 512) reject(env, 'EACCES', `stack size of subprog ${sub} is ${own}. Too large`);
      frames.push({ sub, next: info.start, depth: 0, tail: false });
      return;
    }
    depth += own;
    if (depth > 512) {
      const total = frames.length + 1;
      reject(env, 'EACCES', `combined stack size of ${total} calls is ${depth}. Too large`);
    }
    frames.push({ sub, next: info.start, depth: own, tail: false });
  };
  enter(root);
  while (frames.length > 0) {
    const top = frames[frames.length - 1]!;
    const end = env.subprogs[top.sub + 1]!.start;
    let callee = -1;
    for (; top.next < end; top.next++) {
      const insn = env.insns[top.next]!;
      if (!isPseudoCall(insn) && !isPseudoFunc(insn)) continue;
      const sub = findSubprog(env, top.next + insn.imm + 1);
      if (sub < 0) continue;
      if (isPseudoFunc(insn) && env.subprogs[sub]!.isAsyncCb) continue;
      callee = sub;
      top.next++;
      break;
    }
    if (callee >= 0) {
      if (env.subprogs[callee]!.hasTailCall) tailCallSeen = true;
      if (frames.length >= 8) reject(env, 'E2BIG', `the call stack of ${frames.length + 1} frames is too deep !`);
      enter(callee);
      continue;
    }
    depth -= top.depth;
    frames.pop();
    // The kernel marks whatever calls at the time, once it has met a tail call: those that reach none as well.
    if (tailCallSeen) for (const f of frames) env.subprogs[f.sub]!.tailCallReachable = true;
  }
}
