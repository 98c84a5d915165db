import type { VerifierOps } from '../core/hooks.ts';
import { initArguments } from './arguments.ts';
import { checkAtomic } from './atomic.ts';
import { checkAttach } from './attach.ts';
import { checkPseudoBtfId } from './btf_var.ts';
import {
  checkHelperCall,
  helperCallbackKind,
  helperChangesPacket,
  helperMightSleep,
  helperSummary,
} from './helper_call.ts';
import { checkKfuncCall } from './kfunc_call.ts';
import {
  addKfuncCall,
  kfuncCallbackKind,
  kfuncChangesPacket,
  kfuncIsIterNext,
  kfuncMightSleep,
  kfuncName,
  kfuncSummary,
} from './kfunc_meta.ts';
import { checkLdAbs } from './ld_abs.ts';
import { checkMapProgCompatibility } from './map_rules.ts';
import { checkMemAccess } from './memory.ts';
import { clearAllPktPointers, findGoodPktPointers, markPtrOrNullRegs, saveAuxPtrType } from './pointers.ts';
import { checkResourceLeak } from './references.ts';
import { checkReturnCode } from './return_code.ts';
import { checkSubprogCall, prepareFuncArgs } from './subprog_args.ts';

/** What the main loop asks of src/verifier/access. */
export const verifierOps: VerifierOps = {
  checkMemAccess,
  saveAuxPtrType,
  checkAtomic,
  checkHelperCall,
  checkKfuncCall,
  checkReturnCode,
  checkLdAbs,
  checkAttach,
  initArguments,
  prepareFuncArgs,
  checkSubprogCall,
  markPtrOrNullRegs,
  findGoodPktPointers,
  checkResourceLeak,
  clearAllPktPointers,
  kfuncIsIterNext,
  callSummary: (env, insn) => (insn.src === 0 ? helperSummary(env, insn.imm) : kfuncSummary(env, insn)),
  callbackKind: (env, insn) => (insn.src === 0 ? helperCallbackKind(insn.imm) : kfuncCallbackKind(env, insn)),
  callMightSleep: (env, insn) => (insn.src === 0 ? helperMightSleep(env, insn.imm) : kfuncMightSleep(env, insn)),
  callChangesPktData: (env, insn) => (insn.src === 0 ? helperChangesPacket(insn.imm) : kfuncChangesPacket(env, insn)),
  addKfuncCall,
  checkPseudoBtfId,
  checkMapProgCompatibility,
  kfuncName,
  typeName: (btf, id) => btf.name(id),
};
