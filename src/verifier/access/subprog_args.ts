import type { Btf } from '../../btf/index.ts';
import * as T from '../core/reg_types.table.ts';
import { type Env, type RegState, Reject, reject, type SubprogArg } from '../core/types.ts';
import * as A from '../tables/arg_types.table.ts';
import { CTX_STRUCT } from '../tables/kfuncs.table.ts';
import { checkArgOffset } from './arg_offset.ts';
import { isStruct, skipModifiers } from './btf_walk.ts';
import { checkMemoryArgument } from './helper_memory.ts';
import { kindName } from './kfunc_meta.ts';
import { isProjectionOf } from './struct_match.ts';
import { unsupported } from './unsupported.ts';

const MAX_ARGS = 5;
/** Kinds of types that have a size. */
const SIZED: readonly string[] = ['int', 'enum', 'enum64', 'struct', 'union', 'ptr', 'array', 'float'];

/** BPF_PROG_TYPE_*: types whose context has no named struct. */
const WITHOUT_CTX_STRUCT: readonly number[] = [5, 26, 27, 28, 29, 31];

const isInteger = (kind: string): boolean => kind === 'int' || kind === 'enum' || kind === 'enum64';

/** `arg:` tags of argument `i` of the function. */
function tagsOf(btf: Btf, func: number, i: number): string[] {
  const tags = btf.tagsOf(func).map((id) => btf.type(id));
  return tags.flatMap((tag) =>
    tag.kind === 'decl_tag' && tag.component === i && tag.name.startsWith('arg:') ? [tag.name.slice(4)] : [],
  );
}

/** A pointer that a function takes; null: a static function's, of which nothing is known. */
function pointerArgument(env: Env, subprog: number, i: number, target: number): SubprogArg | null {
  const btf = env.btf!;
  const sub = env.subprogs[subprog]!;
  const tags = tagsOf(btf, sub.funcId, i);
  const { type } = skipModifiers(btf, target);
  if (tags.length > 0 && !sub.global) {
    reject(env, 'EOPNOTSUPP', `arg#${i} type tag is not supported in static functions`);
  }
  if (tags.some((tag) => tag !== 'nonnull' && tag !== 'ctx')) unsupported(env, `argument tags of ${sub.name}()`);
  const ctx = CTX_STRUCT[env.input.progType] ?? '';
  const isCtx = isStruct(type) && type.name !== '' && (type.name === ctx || isProjectionOf(ctx, type.name));
  if (isCtx) return { argType: A.ARG_PTR_TO_CTX, memSize: 0, btfId: 0 };
  if (tags.includes('ctx')) unsupported(env, 'contexts known by their tag alone');
  if (isStruct(type) && type.name === 'bpf_dynptr') unsupported(env, 'dynptrs as arguments of functions');
  if (!sub.global) return null;
  if (!SIZED.includes(type.kind)) {
    const text = `arg#${i} reference type('${kindName(type)}') size cannot be determined: -22`;
    return reject(env, 'EINVAL', text);
  }
  if (isStruct(type) && ctx === '' && !WITHOUT_CTX_STRUCT.includes(env.input.progType))
    unsupported(env, 'functions in this program type');
  const flag = tags.includes('nonnull') ? 0 : T.PTR_MAYBE_NULL;
  return { argType: A.ARG_PTR_TO_MEM | flag, memSize: btf.sizeOf(target), btfId: 0 };
}

/** What the function's BTF says of its arguments; null where a static function's say nothing (`btf_prepare_func_args`). */
function readArguments(env: Env, subprog: number): SubprogArg[] | null {
  const { btf } = env;
  const sub = env.subprogs[subprog]!;
  if (!btf || !sub.funcId) return null;
  const func = btf.type(sub.funcId);
  const proto = func.kind === 'func' ? btf.type(func.type) : func;
  if (proto.kind !== 'func_proto') return unsupported(env, `the BTF of function ${subprog}`);
  if (proto.params.length > MAX_ARGS) {
    if (!sub.global) return null;
    const text = `Global function ${sub.name}() with ${proto.params.length} > ${MAX_ARGS} args. Buggy compiler.`;
    return reject(env, 'EINVAL', text);
  }
  if (!isInteger(skipModifiers(btf, proto.returns).type.kind)) {
    if (!sub.global) return null;
    const text = `Global function ${sub.name}() doesn't return scalar. Only those are supported.`;
    return reject(env, 'EINVAL', text);
  }
  const args: SubprogArg[] = [];
  for (const [i, param] of proto.params.entries()) {
    const { type } = skipModifiers(btf, param.type);
    if (type.kind === 'ptr') {
      const arg = pointerArgument(env, subprog, i, type.type);
      if (!arg) return null;
      args.push(arg);
    } else if (isInteger(type.kind)) args.push({ argType: A.ARG_ANYTHING, memSize: 0, btfId: 0 });
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
  checkArgOffset(env, regno, false, false);
  if (arg.argType === A.ARG_PTR_TO_CTX) {
    if (reg.type === T.PTR_TO_CTX) return true;
    env.verbose(`arg#${regno - 1} expects pointer to ctx\n`);
    return false;
  }
  checkMemoryArgument(env, regno, arg.memSize);
  if (arg.argType & T.PTR_MAYBE_NULL || !(reg.type & T.PTR_MAYBE_NULL)) return true;
  env.verbose(`arg#${regno - 1} is expected to be non-NULL\n`);
  return false;
}

/** Whether the registers are what the function's BTF asks for (`btf_check_subprog_call`). */
export function checkSubprogCall(env: Env, subprog: number, regs: RegState[]): boolean {
  const sub = env.subprogs[subprog]!;
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
