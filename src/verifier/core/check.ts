import { CALL, type Insn } from '../../bpf/index.ts';
import { BPF_READ, BPF_WRITE } from '../access/region.ts';
import { FUNC_SPIN_UNLOCK, FUNC_TAIL_CALL } from '../tables/helpers.table.ts';
import { checkAlu } from './alu.ts';
import { popStack, pushStack } from './branch.ts';
import { checkFuncCall, initFrameRegs, prepareFuncExit } from './calls.ts';
import { isPseudoCall, isThrow, jumpOffset } from './cfg.ts';
import { markRegScratched, scratchAll, type VerifierEnv } from './env.ts';
import { checkCondJump } from './jump.ts';
import { checkLdImm } from './ldimm.ts';
import { printInsn, printInsnState, printLinfo, printVerifierState } from './log.ts';
import { pushInsnHistory } from './precise.ts';
import { BPF_COMPLEXITY_LIMIT_INSNS } from './reg_types.table.ts';
import { checkBounds, checkRegArg, markRegUnknown } from './regs.ts';
import { isStateVisited, updateBranchCounts } from './states.ts';
import { FuncState, reject, VerifierState } from './types.ts';

/** One instruction that is no jump; the next is the one behind it. No path ends here. */
function checkStraight(env: VerifierEnv, insn: Insn): false {
  const { ops, insnIdx } = env;
  const size = insn.code & 0x18;
  switch (insn.code & 7) {
    case 4:
    case 7:
      checkAlu(env, insn);
      break;
    case 1: {
      const mode = insn.code & 0xe0;
      checkRegArg(env, insn.src, 'src');
      checkRegArg(env, insn.dst, 'dst_no_mark');
      const srcType = env.peek(insn.src).type;
      ops.checkMemAccess(env, insnIdx, insn.src, insn.off, size, BPF_READ, insn.dst, false, mode === 0x80);
      ops.saveAuxPtrType(env, srcType, true);
      checkBounds(env, env.reg(insn.dst), 'ldx');
      break;
    }
    case 3: {
      if ((insn.code & 0xe0) === 0xc0) {
        ops.checkAtomic(env, insn);
        break;
      }
      if ((insn.code & 0xe0) !== 0x60 || insn.imm !== 0) reject(env, 'EINVAL', 'BPF_STX uses reserved fields');
      checkRegArg(env, insn.src, 'src');
      checkRegArg(env, insn.dst, 'src');
      const dstType = env.peek(insn.dst).type;
      ops.checkMemAccess(env, insnIdx, insn.dst, insn.off, size, BPF_WRITE, insn.src, false, false);
      ops.saveAuxPtrType(env, dstType, false);
      break;
    }
    case 2: {
      if ((insn.code & 0xe0) !== 0x60 || insn.src !== 0) reject(env, 'EINVAL', 'BPF_ST uses reserved fields');
      checkRegArg(env, insn.dst, 'src');
      const dstType = env.peek(insn.dst).type;
      ops.checkMemAccess(env, insnIdx, insn.dst, insn.off, size, BPF_WRITE, -1, false, false);
      ops.saveAuxPtrType(env, dstType, false);
      break;
    }
    default: {
      const mode = insn.code & 0xe0;
      if (mode === 0x20 || mode === 0x40) ops.checkLdAbs(env, insn);
      else if (mode === 0) {
        checkLdImm(env, insn);
        env.insnIdx++;
        env.aux[env.insnIdx]!.seen = 1;
      } else reject(env, 'EINVAL', 'invalid BPF_LD mode');
    }
  }
  env.insnIdx++;
  return false;
}

/** A tail call of a function ends it with what the other program returned, or fails and goes on here. */
function leaveByTailCall(env: VerifierEnv): void {
  markRegScratched(env, 0);
  pushStack(env, env.insnIdx + 1, env.insnIdx, false);
  env.ops.clearAllPktPointers(env);
  markRegUnknown(env, env.reg(0));
  prepareFuncExit(env);
}

/** True when the path ends here, by an exception. */
function checkCall(env: VerifierEnv, insn: Insn): boolean {
  env.jmpsProcessed++;
  if (insn.code !== CALL || (insn.src !== 2 && insn.off !== 0) || insn.src > 2 || insn.dst !== 0)
    reject(env, 'EINVAL', 'BPF_CALL uses reserved fields');
  if (env.cur.activeLocks && insn.src === 0 && insn.imm !== FUNC_SPIN_UNLOCK)
    reject(env, 'EINVAL', 'function calls are not allowed while holding a lock');
  if (isPseudoCall(insn)) checkFuncCall(env, insn);
  else if (insn.src === 2) {
    env.ops.checkKfuncCall(env, insn, env.insnIdx);
    if (isThrow(env, insn)) {
      env.ops.checkResourceLeak(env, true, true, 'bpf_throw');
      return true;
    }
  } else {
    env.ops.checkHelperCall(env, insn, env.insnIdx);
    if (insn.imm === FUNC_TAIL_CALL && env.cur.curframe > 0) {
      leaveByTailCall(env);
      return false;
    }
  }
  env.insnIdx++;
  return false;
}

/** An exit of the frame; true when the path ends (`process_bpf_exit_full`). */
function checkExit(env: VerifierEnv, insn: Insn): boolean {
  env.jmpsProcessed++;
  if (insn.code !== 0x95 || insn.imm !== 0 || insn.src !== 0 || insn.dst !== 0)
    reject(env, 'EINVAL', 'BPF_EXIT uses reserved fields');
  env.ops.checkResourceLeak(env, false, env.cur.curframe === 0, 'BPF_EXIT instruction in main prog');
  if (env.cur.curframe > 0) {
    prepareFuncExit(env);
    return false;
  }
  env.ops.checkReturnCode(env, 0, 'R0');
  return true;
}

/** Jumps and calls; true when the path ends here. */
function checkJump(env: VerifierEnv, insn: Insn): boolean {
  const op = insn.code & 0xf0;
  if (op === 0x80) return checkCall(env, insn);
  if (op === 0x90) return checkExit(env, insn);
  env.jmpsProcessed++;
  if (op === 0) {
    if (insn.code & 8 || insn.src !== 0 || insn.dst !== 0 || ((insn.code & 7) === 5 ? insn.imm : insn.off) !== 0)
      reject(env, 'EINVAL', 'BPF_JA uses reserved fields');
    env.insnIdx += jumpOffset(insn) + 1;
    return false;
  }
  checkCondJump(env, insn);
  return false;
}

/** The path walked ended: account for it and take up the next; false when none is left. */
function nextPath(env: VerifierEnv): boolean {
  scratchAll(env);
  updateBranchCounts(env, env.cur);
  env.live.update(env);
  return popStack(env) !== undefined;
}

function logStep(env: VerifierEnv, fromBranch: boolean): void {
  const { cur } = env;
  if (env.input.logLevel & 2 && fromBranch) {
    env.verbose(`\nfrom ${env.prevInsnIdx} to ${env.insnIdx}${cur.speculative ? ' (speculative execution)' : ''}:`);
    printVerifierState(env, cur, cur.curframe, true);
  }
  if (!env.input.logLevel) return;
  if (env.scratchedRegs !== 0 || env.scratchedSlots.includes(1)) printInsnState(env, cur, cur.curframe);
  printLinfo(env, env.insnIdx, '; ');
  printInsn(env);
}

/** Walks every path from the current state (`do_check`). */
function doCheck(env: VerifierEnv): void {
  const { insns } = env;
  const { observer } = env.input;
  let fromBranch = false;
  let prev = -1;
  for (;;) {
    env.prevInsnIdx = prev;
    if (env.insnIdx >= insns.length) reject(env, 'EFAULT', `invalid insn idx ${env.insnIdx} insn_cnt ${insns.length}`);
    const insn = insns[env.insnIdx]!;
    if (++env.insnProcessed > BPF_COMPLEXITY_LIMIT_INSNS)
      reject(env, 'E2BIG', `BPF program is too large. Processed ${env.insnProcessed} insn`);
    env.cur.lastInsnIdx = env.prevInsnIdx;
    env.cur.insnIdx = env.insnIdx;
    observer?.step(env);
    if (env.aux[env.insnIdx]!.prunePoint && isStateVisited(env, env.insnIdx)) {
      if (env.input.logLevel) {
        if (fromBranch)
          env.verbose(
            `\nfrom ${env.prevInsnIdx} to ${env.insnIdx}${env.cur.speculative ? ' (speculative execution)' : ''}: safe\n`,
          );
        else env.verbose(`${env.insnIdx}: safe\n`);
      }
      if (!nextPath(env)) return;
      prev = env.prevInsnIdx;
      fromBranch = true;
      continue;
    }
    if (env.aux[env.insnIdx]!.jmpPoint) pushInsnHistory(env, 0);
    logStep(env, fromBranch);
    fromBranch = false;
    env.aux[env.insnIdx]!.seen = 1;
    const at = env.insnIdx;
    const cls = insn.code & 7;
    prev = at;
    env.live.begin(env, at);
    const ends = cls !== 5 && cls !== 6 ? checkStraight(env, insn) : checkJump(env, insn);
    env.live.commit();
    // Back in a caller, the log shows all of its state.
    if (cls === 5 && (insn.code & 0xf0) === 0x90) fromBranch = true;
    if (ends) {
      if (!nextPath(env)) return;
      prev = env.prevInsnIdx;
      fromBranch = true;
    }
  }
}

/** Verifies function `subprog` from its entry (`do_check_common`). */
export function checkSubprog(env: VerifierEnv, subprog: number): void {
  const state = new VerifierState();
  state.inSleepable = env.input.sleepable;
  const func = new FuncState();
  func.callsite = -1;
  func.subprogno = subprog;
  initFrameRegs(env, func);
  state.frame = [func];
  state.branches = 1;
  env.cur = state;
  env.prevLinfo = -1;
  env.insnIdx = env.subprogs[subprog]!.start;
  state.firstInsnIdx = env.insnIdx;
  state.lastInsnIdx = -1;
  scratchAll(env);
  env.branches.length = 0;
  env.ops.initArguments(env, state, subprog);
  doCheck(env);
  env.explored.clear();
}
