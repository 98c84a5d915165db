import { FUNC_LOOP } from '../tables/helpers.table.ts';
import { checkFuncInfo, checkFuncInfoEarly, checkLineInfo, findExceptionCallback } from './btf_info.ts';
import {
  ControlFlow,
  checkSubprogs,
  computePostorder,
  computeScc,
  containingSubprog,
  isHelperCall,
  isKfuncCall,
  isMayGoto,
  isPseudoCall,
  isPseudoFunc,
} from './cfg.ts';
import { checkSubprog } from './check.ts';
import { checkMaxStackDepth } from './depth.ts';
import { VerifierEnv } from './env.ts';
import { dropFastcallStack, markFastcallPatterns } from './fastcall.ts';
import { resolvePseudoLdImm64 } from './ldimm.ts';
import { computeLiveRegisters } from './liveregs.ts';
import { Reject, reject, SubprogInfo, type Verdict, type VerifierInput } from './types.ts';

const MAX_SUBPROGS = 256;
const LOOP_STACK = 24;
const MAY_GOTO_STACK = 16;
/** BPF_LOG_STATS. */
const LOG_STATS = 4;

/** Entries of functions: targets of calls and of function references, in order (`add_subprog_and_kfunc`). */
function addSubprogs(env: VerifierEnv): void {
  const starts = new Set([0]);
  env.insns.forEach((insn, i) => {
    if (isKfuncCall(insn)) env.ops.addKfuncCall(env, insn);
    if (!isPseudoCall(insn) && !isPseudoFunc(insn)) return;
    const target = i + insn.imm + 1;
    if (target < 0 || target >= env.insns.length) reject(env, 'EINVAL', 'call to invalid destination');
    starts.add(target);
    if (starts.size > MAX_SUBPROGS) reject(env, 'E2BIG', 'too many subprograms');
  });
  const exceptionCallback = findExceptionCallback(env);
  if (exceptionCallback) starts.add(exceptionCallback);
  const sorted = [...starts].sort((a, b) => a - b);
  env.subprogs = [...sorted, env.insns.length].map((start) => Object.assign(new SubprogInfo(), { start }));
  env.subprogCnt = sorted.length;
  if (exceptionCallback) {
    env.exceptionCallbackSubprog = sorted.indexOf(exceptionCallback);
    Object.assign(env.subprogs[env.exceptionCallbackSubprog]!, { isCb: true, isAsyncCb: true, isExceptionCb: true });
  }
  if (env.input.logLevel & 2) for (const [i, start] of sorted.entries()) env.verbose(`func#${i} @${start}\n`);
}

/** Global functions are verified on their own, those reached first (`do_check_subprogs`). */
function checkGlobalSubprogs(env: VerifierEnv): void {
  const done = new Set<number>();
  if (env.exceptionCallbackSubprog) env.subprogs[env.exceptionCallbackSubprog]!.called = true;
  for (let again = true; again; ) {
    again = false;
    for (let i = 1; i < env.subprogCnt; i++) {
      const sub = env.subprogs[i]!;
      if (!sub.global || !sub.called || done.has(i)) continue;
      env.verbose(`Validating ${sub.name}() func#${i}...\n`);
      checkSubprog(env, i);
      env.verbose(`Func#${i} ('${sub.name}') is safe for any args that match its prototype\n`);
      done.add(i);
      again = true;
    }
  }
}

/** Stack that rewrites will need: three registers of an inlined bpf_loop, count and start time of may_goto. */
function reserveStack(env: VerifierEnv): void {
  const loops = new Set<SubprogInfo>();
  const mayGoto = new Set<SubprogInfo>();
  env.insns.forEach((insn, at) => {
    const sub = env.subprogs[containingSubprog(env, at)]!;
    if (isMayGoto(insn)) mayGoto.add(sub);
    if (env.aux[at]!.loopInlineFit && isHelperCall(insn) && insn.imm === FUNC_LOOP) loops.add(sub);
  });
  for (const sub of loops) sub.stackExtra += Math.ceil(sub.stackDepth / 8) * 8 - sub.stackDepth + LOOP_STACK;
  for (const sub of mayGoto) sub.stackExtra += MAY_GOTO_STACK;
}

/** An accepted program that throws and has no callback of its own got one that returns the cookie. */
const hasHiddenCallback = (env: VerifierEnv, errno: string): boolean =>
  errno === '' && env.seenException && env.exceptionCallbackSubprog === 0;

function finish(env: VerifierEnv, errno: string): Verdict {
  const depths = env.subprogs
    .slice(0, env.subprogCnt)
    .filter((sub, i) => i === 0 || sub.global || sub.static || sub.name === '')
    .map((sub) => sub.stackDepth + (errno ? 0 : sub.stackExtra))
    .join('+')
    .concat(hasHiddenCallback(env, errno) ? '+0' : '');
  const stats = {
    insnProcessed: env.insnProcessed,
    maxStatesPerInsn: env.maxStatesPerInsn,
    totalStates: env.totalStates,
    peakStates: env.peakStates,
    stackDepth: depths,
  };
  if (env.input.logLevel & LOG_STATS) env.verbose(`verification time 0 usec\nstack depth ${depths}\n`);
  env.verbose(
    `processed ${stats.insnProcessed} insns (limit 1000000) max_states_per_insn ${stats.maxStatesPerInsn} total_states ${stats.totalStates} peak_states ${stats.peakStates} mark_read 0\n`,
  );
  return {
    ok: errno === '',
    errno,
    log: env.log,
    stats,
    insns: env.insns,
    aux: env.aux,
    subprogs: env.subprogs.slice(0, env.subprogCnt),
    seenDirectWrite: env.seenDirectWrite,
    seenException: env.seenException,
    exceptionCallback: env.exceptionCallbackSubprog,
  };
}

/** Verifies a program as `bpf_check` of 6.18 does, up to the rewrites. Never throws for a refused program. */
export function verify(input: VerifierInput): Verdict {
  const env = new VerifierEnv(input);
  try {
    checkFuncInfoEarly(env);
    addSubprogs(env);
    checkSubprogs(env);
    checkFuncInfo(env);
    checkLineInfo(env);
    resolvePseudoLdImm64(env);
    new ControlFlow(env).check();
    computeScc(env);
    if (env.input.exploreAll) for (const aux of env.aux) aux.prunePoint = false;
    env.ops.checkAttach(env);
    env.postorder = computePostorder(env);
    computeLiveRegisters(env, env.postorder);
    markFastcallPatterns(env);
    checkSubprog(env, 0);
    checkGlobalSubprogs(env);
    dropFastcallStack(env);
    checkMaxStackDepth(env);
    reserveStack(env);
    return finish(env, '');
  } catch (error) {
    if (error instanceof Reject) return finish(env, error.errno);
    throw error;
  }
}
