import type { Btf } from '../../btf/index.ts';
import * as T from '../core/reg_types.table.ts';
import { registerIsNull } from '../core/regs.ts';
import { type Env, type RegState, Reject, reject, type SubprogArg } from '../core/types.ts';
import * as A from '../tables/arg_types.table.ts';
import { checkArgOffset } from './arg_offset.ts';
import { hasSize, isStruct, skipModifiers } from './btf_walk.ts';
import { checkDynptrArg } from './dynptr.ts';
import { checkMemoryArgument } from './helper_memory.ts';
import { checkStructType } from './helper_types.ts';
import { isScalarType, kindName } from './kfunc_meta.ts';
import { checkTaggedCtx, isProgCtx } from './prog_ctx.ts';
import { unsupported } from './unsupported.ts';

/** `arg:` tags of argument `i` of the function. */
function tagsOf(btf: Btf, func: number, i: number): string[] {
  const tags = btf.tagsOf(func).map((id) => btf.type(id));
  return tags.flatMap((tag) =>
    tag.kind === 'decl_tag' && tag.component === i && tag.name.startsWith('arg:') ? [tag.name.slice(4)] : [],
  );
}

const KNOWN_TAGS: readonly string[] = ['ctx', 'trusted', 'nonnull', 'nullable', 'arena', 'untrusted'];

/** The kernel's struct that a pointer of the program's BTF names, whatever its flavour (`btf_get_ptr_to_btf_id`). */
function kernelStruct(env: Env, i: number, id: number): number {
  const { type } = skipModifiers(env.btf!, id);
  const who = `arg#${i} reference type('${kindName(type)}')`;
  const name = type.name.replace(/___.*$/, '');
  const found = name === '' ? [] : env.vmlinux.findAll(name, type.kind);
  if (found.length === 0) throw reject(env, 'ENOENT', `${who} has no matches`);
  if (found.length > 1) reject(env, 'ESRCH', `${who} is ambiguous`);
  return found[0]!;
}

/** A pointer that the tag `arg:untrusted` says may be anything: it is only read, with probes. */
function untrustedArgument(env: Env, i: number, target: number): SubprogArg {
  const { type } = skipModifiers(env.btf!, target);
  if (type.kind === 'void' || type.kind === 'float' || isScalarType(type))
    return { argType: A.ARG_PTR_TO_MEM | T.MEM_RDONLY | T.PTR_UNTRUSTED, memSize: 0, btfId: 0 };
  const btfId = kernelStruct(env, i, target);
  const found = env.vmlinux.type(btfId);
  if (!isStruct(found)) {
    const has = `has type ${kindName(found).split(' ')[0]} '${found.name}'`;
    reject(env, 'EINVAL', `arg#${i} ${has}, but only struct or primitive types are allowed`);
  }
  return { argType: A.ARG_PTR_TO_BTF_ID | T.PTR_UNTRUSTED, memSize: 0, btfId };
}

/** A pointer that a function takes; null: a static function's, of which nothing is known. */
function pointerArgument(env: Env, subprog: number, i: number, target: number, tags: string[]): SubprogArg | null {
  const btf = env.btf!;
  const { type } = skipModifiers(btf, target);
  const plain = (argType: number): SubprogArg => ({ argType, memSize: 0, btfId: 0 });
  const alone = (tag: string, text: string): void => {
    if (tags.some((other) => other !== tag)) reject(env, 'EINVAL', `arg#${i} ${text}`);
  };
  const invalid = 'has invalid combination of tags';
  if (tags.includes('ctx') || isProgCtx(env, btf, target)) {
    alone('ctx', invalid);
    if (tags.includes('ctx')) checkTaggedCtx(env, i, target);
    return plain(A.ARG_PTR_TO_CTX);
  }
  if ((isStruct(type) || type.kind === 'fwd') && type.name === 'bpf_dynptr') {
    alone('', invalid);
    return plain(A.ARG_PTR_TO_DYNPTR | T.MEM_RDONLY);
  }
  if (tags.includes('trusted')) {
    if (tags.includes('nonnull')) reject(env, 'EINVAL', `arg#${i} ${invalid}`);
    const nullable = tags.includes('nullable') ? T.PTR_MAYBE_NULL : 0;
    return { argType: A.ARG_PTR_TO_BTF_ID | T.PTR_TRUSTED | nullable, memSize: 0, btfId: kernelStruct(env, i, target) };
  }
  if (tags.includes('untrusted')) {
    alone('untrusted', 'untrusted cannot be combined with any other tags');
    return untrustedArgument(env, i, target);
  }
  if (tags.includes('arena')) {
    alone('arena', 'arena cannot be combined with any other tags');
    return plain(A.ARG_PTR_TO_ARENA);
  }
  if (!env.subprogs[subprog]!.global) return null;
  if (tags.includes('nullable')) reject(env, 'EINVAL', `arg#${i} ${invalid}`);
  if (!hasSize(type)) {
    const text = `arg#${i} reference type('${kindName(type)}') size cannot be determined: -22`;
    return reject(env, 'EINVAL', text);
  }
  const flag = tags.includes('nonnull') ? 0 : T.PTR_MAYBE_NULL;
  return { argType: A.ARG_PTR_TO_MEM | flag, memSize: btf.sizeOf(target), btfId: 0 };
}

/** Tags of argument `i`, which must be known and on a global function's. */
function checkedTags(env: Env, subprog: number, i: number): string[] {
  const sub = env.subprogs[subprog]!;
  const tags = tagsOf(env.btf!, sub.funcId, i);
  for (const tag of tags) {
    if (!sub.global) reject(env, 'EOPNOTSUPP', `arg#${i} type tag is not supported in static functions`);
    if (!KNOWN_TAGS.includes(tag)) reject(env, 'EOPNOTSUPP', `arg#${i} has unsupported set of tags`);
  }
  return tags;
}

/** What the function's BTF says of its arguments; null where a static function's say nothing (`btf_prepare_func_args`). */
function readArguments(env: Env, subprog: number): SubprogArg[] | null {
  const { btf } = env;
  const sub = env.subprogs[subprog]!;
  if (!btf || !sub.funcId) return null;
  const func = btf.type(sub.funcId);
  const proto = func.kind === 'func' ? btf.type(func.type) : func;
  if (proto.kind !== 'func_proto') return unsupported(env, `the BTF of function ${subprog}`);
  if (proto.params.length > T.MAX_BPF_FUNC_REG_ARGS) {
    if (!sub.global) return null;
    const text = `Global function ${sub.name}() with ${proto.params.length} > ${T.MAX_BPF_FUNC_REG_ARGS} args. Buggy compiler.`;
    return reject(env, 'EINVAL', text);
  }
  if (!isScalarType(skipModifiers(btf, proto.returns).type)) {
    if (!sub.global) return null;
    const text = `Global function ${sub.name}() doesn't return scalar. Only those are supported.`;
    return reject(env, 'EINVAL', text);
  }
  const args: SubprogArg[] = [];
  for (const [i, param] of proto.params.entries()) {
    const tags = checkedTags(env, subprog, i);
    const { type } = skipModifiers(btf, param.type);
    if (type.kind === 'ptr') {
      const arg = pointerArgument(env, subprog, i, type.type, tags);
      if (!arg) return null;
      args.push(arg);
      continue;
    }
    if (tags.length > 0) reject(env, 'EINVAL', `arg#${i} has pointer tag, but is not a pointer type`);
    if (isScalarType(type)) args.push({ argType: A.ARG_ANYTHING, memSize: 0, btfId: 0 });
    else if (!sub.global) return null;
    else {
      const kind = type.kind.toUpperCase();
      reject(env, 'EINVAL', `Arg#${i} type ${kind} in ${sub.name}() is not supported yet.`);
    }
  }
  return args;
}

/** Fills `args` of the function; false where a static function's BTF says nothing of use. */
export function prepareFuncArgs(env: Env, subprog: number): boolean {
  const sub = env.subprogs[subprog]!;
  if (sub.argsCached) return true;
  const args = readArguments(env, subprog);
  if (!args) return false;
  sub.args = args;
  sub.argCnt = args.length;
  sub.argsCached = true;
  return true;
}

function matches(env: Env, regno: number, reg: RegState, arg: SubprogArg): boolean {
  if (arg.argType === A.ARG_ANYTHING) {
    if (reg.type === T.SCALAR_VALUE) return true;
    env.verbose(`R${regno} is not a scalar\n`);
    return false;
  }
  // Loads through an untrusted pointer are probed, whatever it is.
  if (arg.argType & T.PTR_UNTRUSTED) return true;
  switch (arg.argType & T.BASE_TYPE_MASK) {
    case A.ARG_PTR_TO_CTX:
      checkArgOffset(env, regno, false, false);
      return reg.type === T.PTR_TO_CTX || said(env, `arg#${regno - 1} expects pointer to ctx`);
    case A.ARG_PTR_TO_ARENA:
      if (reg.type === T.PTR_TO_ARENA || reg.type === T.SCALAR_VALUE) return true;
      return said(env, `R${regno} is not a pointer to arena or scalar.`);
    case A.ARG_PTR_TO_DYNPTR:
      checkArgOffset(env, regno, false, true);
      checkDynptrArg(env, regno, -1, T.MEM_RDONLY, 0);
      return true;
    case A.ARG_PTR_TO_BTF_ID:
      if (registerIsNull(reg) && arg.argType & T.PTR_MAYBE_NULL) return true;
      checkStructType(env, regno, arg.argType, env.vmlinux.name(arg.btfId));
      checkArgOffset(env, regno, false, false);
      return true;
  }
  checkArgOffset(env, regno, false, false);
  checkMemoryArgument(env, regno, arg.memSize);
  if (arg.argType & T.PTR_MAYBE_NULL || !(reg.type & T.PTR_MAYBE_NULL)) return true;
  return said(env, `arg#${regno - 1} is expected to be non-NULL`);
}

function said(env: Env, text: string): false {
  env.verbose(`${text}\n`);
  return false;
}

/** Whether the registers are what the function's BTF asks for (`btf_check_subprog_call`). */
export function checkSubprogCall(env: Env, subprog: number, regs: RegState[]): boolean {
  const sub = env.subprogs[subprog]!;
  if (sub.unreliable) return false;
  try {
    if (prepareFuncArgs(env, subprog) && sub.args.every((arg, i) => matches(env, i + 1, regs[i + 1]!, arg)))
      return true;
  } catch (error) {
    if (!(error instanceof Reject)) throw error;
  }
  sub.unreliable = true;
  return false;
}

/** The main program's own function must not be more than a function of its context, but what is wrong is only said. */
export function prepareMainArgs(env: Env): void {
  try {
    prepareFuncArgs(env, 0);
  } catch (error) {
    if (!(error instanceof Reject)) throw error;
  }
}
