import { CALL, type Insn, LD_IMM64, PSEUDO, PSEUDO_CALL, PSEUDO_KFUNC_CALL } from '../../bpf/index.ts';
import { type Env, reject } from './types.ts';

const DISCOVERED = 0x10;
const EXPLORED = 0x20;
const FALLTHROUGH = 1;
const BRANCH = 2;

const isLdImm64 = (insn: Insn): boolean => insn.code === LD_IMM64;
export const isPseudoCall = (insn: Insn): boolean => insn.code === CALL && insn.src === PSEUDO_CALL;
export const isKfuncCall = (insn: Insn): boolean => insn.code === CALL && insn.src === PSEUDO_KFUNC_CALL;
export const isHelperCall = (insn: Insn): boolean => insn.code === CALL && insn.src === 0;
export const isPseudoFunc = (insn: Insn): boolean => insn.code === LD_IMM64 && insn.src === PSEUDO.FUNC;
/** A call of bpf_throw (`is_bpf_throw_kfunc`). */
export const isThrow = (env: Env, insn: Insn): boolean =>
  isKfuncCall(insn) && insn.off === 0 && env.ops.kfuncName(env, insn) === 'bpf_throw';
export const isMayGoto = (insn: Insn): boolean => insn.code === 0xe5 && insn.src === 0;
export const isJump = (insn: Insn): boolean => (insn.code & 7) === 5 || (insn.code & 7) === 6;

/** Distance of a jump in slots: imm of a long `gotol`, else off. */
export const jumpOffset = (insn: Insn): number => (insn.code === 0x06 ? insn.imm : insn.off);

/** Index of the function that starts at `at`, or -1 (`find_subprog`). */
export function findSubprog(env: Env, at: number): number {
  for (let i = 0; i < env.subprogCnt; i++) if (env.subprogs[i]!.start === at) return i;
  return -1;
}

/** Index of the function that contains slot `at`. */
export function containingSubprog(env: Env, at: number): number {
  let i = env.subprogCnt - 1;
  while (i > 0 && env.subprogs[i]!.start > at) i--;
  return i;
}

/** Successors of slot `i` within its function (`bpf_insn_successors`), the fall-through first. */
export function successors(insns: readonly Insn[], i: number): number[] {
  const insn = insns[i]!;
  const next = i + (isLdImm64(insn) ? 2 : 1);
  if (!isJump(insn)) return [next];
  const op = insn.code & 0xf0;
  if (op === 0x90) return [];
  if (op === 0x80) return [next];
  const to = i + 1 + jumpOffset(insn);
  if (op === 0) return [to];
  return next === to ? [next] : [next, to];
}

/** Every jump stays in its function, and functions end in an exit or a jump (`check_subprogs`). */
export function checkSubprogs(env: Env): void {
  const { insns, subprogs } = env;
  let cur = 0;
  for (let i = 0; i < insns.length; i++) {
    const insn = insns[i]!;
    const end = subprogs[cur + 1]!.start;
    const op = insn.code & 0xf0;
    if (isHelperCall(insn)) {
      if (insn.imm === 12) Object.assign(subprogs[cur]!, { hasTailCall: true, tailCallReachable: true });
    }
    if ((insn.code & 7) === 0 && ((insn.code & 0xe0) === 0x20 || (insn.code & 0xe0) === 0x40))
      subprogs[cur]!.hasLdAbs = true;
    if (isJump(insn) && op !== 0x90 && op !== 0x80) {
      const to = i + jumpOffset(insn) + 1;
      if (to < subprogs[cur]!.start || to >= end) reject(env, 'EINVAL', `jump out of range from insn ${i} to ${to}`);
    }
    if (i === end - 1) {
      if (insn.code !== 0x95 && insn.code !== 0x06 && insn.code !== 0x05)
        reject(env, 'EINVAL', 'last insn is not an exit or jmp');
      cur++;
    }
  }
}

/** The depth-first walk of `check_cfg`: reachability, prune points, postorder and what a function's callees do. */
export class ControlFlow {
  readonly postorder: number[] = [];
  private readonly state: Uint8Array;
  private readonly stack: number[] = [];
  private readonly env: Env;

  constructor(env: Env) {
    this.env = env;
    this.state = new Uint8Array(env.insns.length);
  }

  /** Walks all functions; refuses unreachable instructions. */
  check(): void {
    const { env, state } = this;
    this.walk(0);
    const ex = env.exceptionCallbackSubprog;
    if (ex && state[env.subprogs[ex]!.start] === 0) this.walk(env.subprogs[ex]!.start);
    for (let i = 0; i < env.insns.length; i++) {
      if (state[i] !== EXPLORED) reject(env, 'EINVAL', `unreachable insn ${i}`);
      if (isLdImm64(env.insns[i]!)) {
        if (state[i + 1] !== 0) reject(env, 'EINVAL', `jump into the middle of ldimm64 insn ${i}`);
        i++;
      }
    }
  }

  private walk(root: number): void {
    const { env, state, stack } = this;
    state[root] = DISCOVERED;
    stack.push(root);
    env.aux[root]!.jmpPoint = true;
    env.aux[root]!.prunePoint = true;
    while (stack.length > 0) {
      const t = stack[stack.length - 1]!;
      if (this.visit(t)) {
        stack.pop();
        state[t] = EXPLORED;
      }
    }
  }

  /** True when the target was walked already and `t` may go on to its next edge. */
  private push(t: number, w: number, e: number): boolean {
    const { env, state } = this;
    if (e === FALLTHROUGH && state[t]! >= (DISCOVERED | FALLTHROUGH)) return true;
    if (e === BRANCH && state[t]! >= (DISCOVERED | BRANCH)) return true;
    if (w < 0 || w >= env.insns.length) reject(env, 'EINVAL', `jump out of range from insn ${t} to ${w}`);
    if (e === BRANCH) {
      env.aux[w]!.prunePoint = true;
      env.aux[w]!.jmpPoint = true;
      env.aux[w]!.jumpTarget = true;
    }
    if (state[w] === 0) {
      state[t] = DISCOVERED | e;
      state[w] = DISCOVERED;
      this.stack.push(w);
      return false;
    }
    if ((state[w]! & 0xf0) === DISCOVERED) {
      if (!env.bpfCapable) reject(env, 'EINVAL', `back-edge from insn ${t} to ${w}`);
      return true;
    }
    if (state[w] === EXPLORED) {
      state[t] = DISCOVERED | e;
      return true;
    }
    return true;
  }

  private callee(t: number, insn: Insn, visitCallee: boolean): boolean {
    const { env } = this;
    const size = isLdImm64(insn) ? 2 : 1;
    const done = this.push(t, t + size, FALLTHROUGH);
    if (t + 1 < env.insns.length) {
      env.aux[t + size]!.prunePoint = true;
      env.aux[t + size]!.jmpPoint = true;
    }
    if (!visitCallee) return done;
    env.aux[t]!.prunePoint = true;
    const w = t + insn.imm + 1;
    this.mergeCallee(t, w);
    return this.push(t, w, BRANCH) && done;
  }

  private mergeCallee(t: number, w: number): void {
    const { env } = this;
    const caller = env.subprogs[containingSubprog(env, t)]!;
    const callee = env.subprogs[containingSubprog(env, w)]!;
    if (callee.changesPktData) caller.changesPktData = true;
    if (callee.mightSleep) caller.mightSleep = true;
  }

  private visit(t: number): boolean {
    const { env } = this;
    const insn = env.insns[t]!;
    const aux = env.aux;
    if (isPseudoFunc(insn)) return this.callee(t, insn, true);
    if (!isJump(insn)) return this.push(t, t + (isLdImm64(insn) ? 2 : 1), FALLTHROUGH);
    const op = insn.code & 0xf0;
    if (op === 0x90) return true;
    if (op === 0x80) {
      const subprog = env.subprogs[containingSubprog(env, t)]!;
      if (insn.src === 0 || insn.src === PSEUDO_KFUNC_CALL) {
        const kind = env.ops.callbackKind(env, insn);
        if (kind === 2) {
          aux[t]!.prunePoint = true;
          aux[t]!.jmpPoint = true;
        }
        if (kind === 1) {
          aux[t]!.callsCallback = true;
          aux[t]!.forceCheckpoint = true;
          aux[t]!.prunePoint = true;
          aux[t]!.jmpPoint = true;
        }
        if (env.ops.callChangesPktData(env, insn)) subprog.changesPktData = true;
        if (env.ops.callMightSleep(env, insn)) subprog.mightSleep = true;
        if (insn.src === PSEUDO_KFUNC_CALL && env.ops.kfuncIsIterNext(env, insn)) {
          aux[t]!.prunePoint = true;
          aux[t]!.forceCheckpoint = true;
        }
      }
      return this.callee(t, insn, insn.src === PSEUDO_CALL);
    }
    if (op === 0) {
      if ((insn.code & 8) !== 0) reject(env, 'EINVAL', '');
      const to = t + jumpOffset(insn) + 1;
      const done = this.push(t, to, FALLTHROUGH);
      aux[to]!.prunePoint = true;
      aux[to]!.jmpPoint = true;
      aux[to]!.jumpTarget = true;
      return done;
    }
    aux[t]!.prunePoint = true;
    if (isMayGoto(insn)) aux[t]!.forceCheckpoint = true;
    if (!this.push(t, t + 1, FALLTHROUGH)) return false;
    return this.push(t, t + insn.off + 1, BRANCH);
  }
}

/** Postorder of every function (`compute_postorder`); sets `postorderStart`. */
export function computePostorder(env: Env): Int32Array {
  const n = env.insns.length;
  const order = new Int32Array(n);
  const state = new Uint8Array(n);
  let count = 0;
  for (let s = 0; s < env.subprogCnt; s++) {
    env.subprogs[s]!.postorderStart = count;
    const stack = [env.subprogs[s]!.start];
    while (stack.length > 0) {
      const top = stack[stack.length - 1]!;
      if (state[top]! & 2) {
        stack.pop();
        if (!(state[top]! & 1)) {
          state[top]! |= 1;
          order[count++] = top;
        }
        continue;
      }
      for (const next of successors(env.insns, top)) if (state[next] === 0) stack.push(next);
      state[top]! |= 2;
    }
  }
  env.subprogs[env.subprogCnt]!.postorderStart = count;
  return order.subarray(0, count);
}

/** Numbers the strongly connected components with more than one instruction, or a self edge (`compute_scc`): 0 is none. */
export function computeScc(env: Env): void {
  const n = env.insns.length;
  const pre = new Int32Array(n);
  const low = new Int32Array(n);
  const NONE = 0x7fffffff;
  const stack: number[] = [];
  let order = 1;
  let scc = 1;
  for (let root = 0; root < n; root++) {
    if (pre[root] !== 0) continue;
    const dfs: { w: number; succ: number[]; at: number }[] = [];
    const enter = (w: number) => {
      pre[w] = low[w] = order++;
      stack.push(w);
      dfs.push({ w, succ: successors(env.insns, w), at: 0 });
    };
    enter(root);
    while (dfs.length > 0) {
      const top = dfs[dfs.length - 1]!;
      const { w, succ } = top;
      if (top.at < succ.length) {
        const v = succ[top.at]!;
        if (pre[v] === 0) {
          enter(v);
          continue;
        }
        low[w] = Math.min(low[w]!, low[v]!);
        top.at++;
        continue;
      }
      dfs.pop();
      if (low[w]! < pre[w]!) continue;
      const selfLoop = succ.includes(w);
      const assign = stack[stack.length - 1] !== w || selfLoop;
      let v: number;
      do {
        v = stack.pop()!;
        low[v] = NONE;
        if (assign) env.aux[v]!.scc = scc;
      } while (v !== w);
      if (assign) scc++;
    }
  }
}
