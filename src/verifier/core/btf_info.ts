import type { Btf, BtfType } from '../../btf/index.ts';
import type { VerifierEnv } from './env.ts';
import { type Env, Reject, reject } from './types.ts';

const STATIC = 0;
const GLOBAL = 1;
const EXCEPTION_TAG = 'exception_callback:';

/** Refuses with a message that the kernel does not end with a newline. */
function rejectOpen(env: Env, text: string): never {
  env.verbose(text);
  throw new Reject('EINVAL');
}

/** Functions that leave early need a return type, hence BTF (`check_abnormal_return`). */
function checkAbnormalReturn(env: Env): void {
  for (let i = 1; i < env.subprogCnt; i++) {
    if (env.subprogs[i]!.hasLdAbs) reject(env, 'EINVAL', 'LD_ABS is not allowed in subprogs without BTF');
    if (env.subprogs[i]!.hasTailCall) reject(env, 'EINVAL', 'tail_call is not allowed in subprogs without BTF');
  }
}

/** Records of functions are in order and name functions (`check_btf_func_early`). */
export function checkFuncInfoEarly(env: Env): void {
  const { btf, funcInfo } = env.input;
  let previous = 0;
  for (const [i, { offset, type }] of funcInfo.entries()) {
    const at = offset / 8;
    if (i === 0 && at !== 0) rejectOpen(env, `nonzero insn_off ${at} for the first func info record`);
    if (i > 0 && at <= previous)
      rejectOpen(env, `same or smaller insn offset (${at}) than previous func info record (${previous})`);
    if (!btf || type <= 0 || type >= btf.typeCount || btf.kind(type) !== 'func')
      rejectOpen(env, `invalid type id ${type} in func info`);
    previous = at;
  }
}

/** Slot of the function that a tag of the main program names as its exception callback, 0 without (`bpf_find_exception_callback_insn_off`). */
export function findExceptionCallback(env: Env): number {
  const { btf, funcInfo } = env.input;
  if (!btf || funcInfo.length === 0) return 0;
  const name = exceptionTag(env, btf, funcInfo[0]!.type);
  if (name === undefined) return 0;
  const id = btf.find(name, 'func');
  if (id === undefined) return reject(env, 'ENOENT', `exception callback '${name}' could not be found in BTF`);
  const func = btf.type(id);
  const info = funcInfo.find((candidate) => candidate.type === id);
  if (func.kind !== 'func' || func.linkage !== GLOBAL || info?.madeStatic)
    reject(env, 'EINVAL', `exception callback '${name}' must have global linkage`);
  if (info?.offset === 0) reject(env, 'EINVAL', 'invalid exception callback insn_off in func_info: 0');
  return info ? info.offset / 8 : reject(env, 'EINVAL', 'exception callback type id not found in func_info');
}

function exceptionTag(env: Env, btf: Btf, main: number): string | undefined {
  let found: string | undefined;
  for (let id = 1; id < btf.typeCount; id++) {
    if (btf.kind(id) !== 'decl_tag') continue;
    const tag = btf.type(id);
    if (tag.kind !== 'decl_tag' || tag.type !== main || tag.component !== -1 || !tag.name.startsWith(EXCEPTION_TAG))
      continue;
    if (found !== undefined) reject(env, 'EEXIST', 'multiple exception callback tags for main subprog');
    found = tag.name.slice(EXCEPTION_TAG.length);
  }
  return found;
}

const isSmallIntOrEnum = (btf: Btf, type: BtfType): boolean =>
  type.kind === 'enum' || type.kind === 'enum64' || (type.kind === 'int' && btf.sizeOf(type.id) <= 8);

/** Names and linkage of functions (`check_btf_func`). */
export function checkFuncInfo(env: Env): void {
  const { btf, funcInfo } = env.input;
  if (!btf || funcInfo.length === 0) {
    checkAbnormalReturn(env);
    return;
  }
  if (funcInfo.length !== env.subprogCnt)
    reject(env, 'EINVAL', "number of funcs in func_info doesn't match number of subprogs");
  for (const [i, { offset, type, madeStatic }] of funcInfo.entries()) {
    const sub = env.subprogs[i]!;
    if (sub.start !== offset / 8)
      reject(env, 'EINVAL', "func_info BTF section doesn't match subprog layout in BPF program");
    const func = btf.type(type);
    if (func.kind !== 'func') continue;
    const proto = btf.type(func.type);
    const scalar = proto.kind === 'func_proto' && isSmallIntOrEnum(btf, btf.resolve(proto.returns));
    if (i > 0 && !scalar && sub.hasLdAbs)
      reject(env, 'EINVAL', "LD_ABS is only allowed in functions that return 'int'.");
    if (i > 0 && !scalar && sub.hasTailCall)
      reject(env, 'EINVAL', "tail_call is only allowed in functions that return 'int'.");
    sub.funcId = type;
    sub.name = func.name;
    sub.global = func.linkage === GLOBAL && !madeStatic;
    sub.static = func.linkage === STATIC || madeStatic === true;
  }
}

/** Records of lines are in order, within the program, and each function has one at its start (`check_btf_line`). */
export function checkLineInfo(env: VerifierEnv): void {
  const { lineInfo } = env.input;
  if (lineInfo.length === 0) return;
  let previous = 0;
  let sub = 0;
  for (const [i, { offset }] of lineInfo.entries()) {
    const at = offset / 8;
    if ((i > 0 && at <= previous) || at >= env.insns.length) {
      const place = `prev_offset:${previous} prog->len:${env.insns.length}`;
      reject(env, 'EINVAL', `Invalid line_info[${i}].insn_off:${at} (${place})`);
    }
    if (env.insns[at]!.code === 0) reject(env, 'EINVAL', `Invalid insn code at line_info[${i}].insn_off`);
    if (sub < env.subprogCnt) {
      const { start } = env.subprogs[sub]!;
      if (at === start) env.subprogs[sub++]!.lineInfoIdx = i;
      else if (start < at) reject(env, 'EINVAL', `missing bpf_line_info for func#${sub}`);
    }
    previous = at;
  }
  if (sub < env.subprogCnt) {
    const missing = `${env.subprogCnt - sub} funcs starting from func#${sub}`;
    reject(env, 'EINVAL', `missing bpf_line_info for ${missing}`);
  }
}
