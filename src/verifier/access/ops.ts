import { isPseudoCall } from '../core/cfg.ts';
import type { VerifierOps } from '../core/hooks.ts';
import { initArguments } from './arguments.ts';
import { checkAttach } from './attach.ts';
import { checkMemAccess } from './memory.ts';
import { clearAllPktPointers, findGoodPktPointers, markPtrOrNullRegs, saveAuxPtrType } from './pointers.ts';
import { checkResourceLeak } from './references.ts';
import { checkReturnCode } from './return_code.ts';
import { unsupported } from './unsupported.ts';

/** What the main loop asks of src/verifier/access. */
export const verifierOps: VerifierOps = {
  checkMemAccess,
  saveAuxPtrType,
  checkAtomic: (env) => unsupported(env, 'atomic instructions'),
  checkHelperCall: (env, insn) => unsupported(env, `helper ${insn.imm}`),
  checkKfuncCall: (env) => unsupported(env, 'kernel functions'),
  checkReturnCode,
  checkLdAbs: (env) => unsupported(env, 'legacy packet loads'),
  checkAttach,
  initArguments,
  prepareFuncArgs: (env) => unsupported(env, 'global functions'),
  checkSubprogCall: (env) => unsupported(env, 'calls of functions'),
  markPtrOrNullRegs,
  findGoodPktPointers,
  checkResourceLeak,
  clearAllPktPointers,
  kfuncIsIterNext: (env) => unsupported(env, 'kernel functions'),
  callSummary: (env, insn) => (isPseudoCall(insn) ? null : unsupported(env, `helper ${insn.imm}`)),
  callbackKind: (env, insn) => unsupported(env, `helper ${insn.imm}`),
  callMightSleep: (env, insn) => unsupported(env, `helper ${insn.imm}`),
  callChangesPktData: (env, insn) => unsupported(env, `helper ${insn.imm}`),
  addKfuncCall: (env) => unsupported(env, 'kernel functions'),
  checkPseudoBtfId: (env) => unsupported(env, 'references to kernel variables'),
  checkMapProgCompatibility: () => undefined,
  kfuncName: (env) => unsupported(env, 'kernel functions'),
  typeName: (btf, id) => btf.name(id),
};
