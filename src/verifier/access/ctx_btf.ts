import type { Btf, BtfFuncProto, BtfType } from '../../btf/index.ts';
import * as T from '../core/reg_types.table.ts';
import type { Env } from '../core/types.ts';
import { opsName } from '../core/types.ts';
import * as P from '../tables/contexts.table.ts';
import { ITER_TARGETS } from '../tables/iterators.table.ts';
import { LSM_UNTRUSTED, lsmHook } from '../tables/lsm.table.ts';
import { RAW_TP_ERROR_ARGS, RAW_TP_NULL_ARGS } from '../tables/raw_tp_null.table.ts';
import { isStruct, skipModifiers, tagFlag } from './btf_walk.ts';
import { BPF_READ } from './region.ts';
import { unsupported } from './unsupported.ts';

// Contexts that are the arguments of a kernel function: a slot of 8 bytes each, typed by its prototype in BTF.

/** What a load from the context gives (`struct bpf_insn_access_aux`). */
export interface CtxAccess {
  type: number;
  btf: Btf | null;
  btfId: number;
  /** Width of the real field where a narrower load is to be rewritten; 0 without. */
  fieldSize: number;
  /** What an LSM hook has returned so far (`is_retval`). */
  returned?: true;
}

export const scalar = (fieldSize = 0): CtxAccess => ({ type: T.SCALAR_VALUE, btf: null, btfId: 0, fieldSize });

/** MAX_BPF_FUNC_ARGS slots. */
const CTX_BYTES = 96;

/** Arguments of a kernel function, tracepoint or struct_ops member (`bpf_tracing_btf_ctx_access`). */
export function btfArguments(env: Env, off: number, size: number, access: number): CtxAccess | null {
  if (off < 0 || off >= CTX_BYTES || access !== BPF_READ || off % size !== 0) return null;
  const found = btfCtxAccess(env, off, size);
  if (!found || env.input.progType !== P.PROG_STRUCT_OPS || found.btfId !== env.vmlinux.find('sock', 'struct'))
    return found;
  const ops = opsName(env.input, env.vmlinux);
  return ops === 'tcp_congestion_ops' ? { ...found, btfId: env.vmlinux.find('tcp_sock', 'struct')! } : found;
}

/** The argument that byte `off` belongs to; structs by value take several slots (`get_ctx_arg_idx`). */
function argIndex(btf: Btf, proto: BtfFuncProto, off: number): number {
  let end = 0;
  for (let i = 0; i < proto.params.length; i++) {
    const type = skipModifiers(btf, proto.params[i]!.type).type;
    end += type.kind === 'ptr' ? 8 : Math.ceil(btf.sizeOf(proto.params[i]!.type) / 8) * 8;
    if (off < end) return i;
  }
  return off < end + 8 ? proto.params.length : proto.params.length + 1;
}

const KIND_WORDS: Readonly<Record<string, string>> = { func_proto: 'FUNC_PROTO' };

const isSmallInt = (type: BtfType): boolean => type.kind === 'int' && [1, 2, 4, 8].includes(type.size);

/** Type of what the function returns, where a program may see it; null after the reason was written. */
function returnType(env: Env, proto: BtfFuncProto, arg: number): number | null {
  switch (env.input.expectedAttachType) {
    case P.ATTACH_LSM_MAC:
    case P.ATTACH_LSM_CGROUP:
    case P.ATTACH_FEXIT:
      return proto.returns;
    case P.ATTACH_MODIFY_RETURN: {
      const { type } = skipModifiers(env.vmlinux, proto.returns);
      if (isSmallInt(type)) return proto.returns;
      return said(env, `ret type ${type.kind.toUpperCase()} not allowed for fmod_ret`);
    }
    default:
      return said(env, `func '${env.attachFuncName}' doesn't have ${arg + 1}-th argument`);
  }
}

/** Whether arguments are what they seem without further checks (`prog_args_trusted`). */
function argsTrusted(env: Env): boolean {
  const { progType, expectedAttachType } = env.input;
  if (progType === P.PROG_TRACING)
    return expectedAttachType === P.ATTACH_RAW_TP || expectedAttachType === P.ATTACH_ITER;
  if (progType === P.PROG_LSM) return !LSM_UNTRUSTED.has(lsmHook(env.attachFuncName));
  return progType === P.PROG_STRUCT_OPS;
}

/** Type of a traced function's argument (`btf_ctx_access`); null after the reason was written. */
function btfCtxAccess(env: Env, off: number, size: number): CtxAccess | null {
  const name = `func '${env.attachFuncName}'`;
  if (off % 8) return said(env, `${name} offset ${off} is not multiple of 8`);
  const btf = env.vmlinux;
  const proto = env.attachFuncProto ? btf.type(env.attachFuncProto) : null;
  if (proto?.kind !== 'func_proto')
    return off < 40 ? scalar() : said(env, `${name} doesn't have ${off / 8 + 1}-th argument`);
  const { expectedAttachType, progType } = env.input;
  const traced = progType === P.PROG_TRACING && expectedAttachType === P.ATTACH_RAW_TP;
  const params = traced ? proto.params.slice(1) : proto.params;
  const arg = argIndex(btf, { ...proto, params }, off);
  if (arg > params.length) return said(env, `${name} doesn't have ${arg + 1}-th argument`);
  const typeId = arg === params.length ? returnType(env, proto, arg) : params[arg]!.type;
  if (typeId === null) return null;
  const { type } = skipModifiers(btf, typeId);
  const returned = arg === params.length && expectedAttachType === P.ATTACH_LSM_MAC;
  if (isSmallInt(type) || type.kind === 'enum' || type.kind === 'enum64' || isStruct(type))
    return returned ? { ...scalar(), returned } : scalar();
  if (type.kind !== 'ptr') {
    const kind = KIND_WORDS[type.kind] ?? type.kind.toUpperCase();
    return said(env, `${name} arg${arg} '${type.name}' has type ${kind}. Only pointer access is allowed`);
  }
  if (size !== 8) return said(env, `${name} size ${size} must be 8`);
  const target = skipModifiers(btf, type.type);
  const iter = expectedAttachType === P.ATTACH_ITER && progType === P.PROG_TRACING ? iterArg(env, off) : undefined;
  if (iter !== undefined && iter.struct === undefined) return { ...scalar(), type: iter.type };
  if (target.id === 0 || target.type.kind === 'int') return scalar();
  if (iter?.struct !== undefined)
    return { type: iter.type, btf, btfId: btf.find(iter.struct, 'struct') ?? 0, fieldSize: 0 };
  const kind = target.type.kind.toUpperCase();
  if (!isStruct(target.type)) return said(env, `${name} arg${arg} type ${kind} is not a struct`);
  if (stubParam(env, arg).endsWith('__nullable')) {
    return { type: T.PTR_TO_BTF_ID | T.PTR_TRUSTED | T.PTR_MAYBE_NULL, btf, btfId: target.id, fieldSize: 0 };
  }
  const listed = (table: typeof RAW_TP_NULL_ARGS): boolean =>
    traced && table[env.attachFuncName]?.includes(arg) === true;
  const nullable = params[arg]?.name.endsWith('__nullable') || listed(RAW_TP_NULL_ARGS) ? T.PTR_MAYBE_NULL : 0;
  const trusted = argsTrusted(env) ? T.PTR_TRUSTED : 0;
  const tag = tagFlag(btf, type.type) & (T.MEM_USER | T.MEM_PERCPU);
  env.verbose(`${name} arg${arg} has btf_id ${target.id} type ${kind} '${target.type.name}'\n`);
  if (listed(RAW_TP_ERROR_ARGS)) {
    env.verbose(`marking pointer arg${arg} as scalar as it may encode error`);
    return scalar();
  }
  return { type: T.PTR_TO_BTF_ID | trusted | nullable | tag, btf, btfId: target.id, fieldSize: 0 };
}

const iterArg = (env: Env, off: number) => ITER_TARGETS[env.attachFuncName.replace(/^bpf_iter_/, '')]?.[off];

/** Name of an argument in the kernel's stub of a struct_ops member, which tells what it may be (`prepare_arg_info`). */
function stubParam(env: Env, arg: number): string {
  if (env.input.progType !== P.PROG_STRUCT_OPS) return '';
  const btf = env.vmlinux;
  const id = btf.find(`${btf.name(env.input.attachBtfId)}__${env.attachFuncName}`, 'func');
  const func = id === undefined ? null : btf.type(id);
  const proto = func?.kind === 'func' ? btf.type(func.type) : null;
  const name = (proto?.kind === 'func_proto' && proto.params[arg]?.name) || '';
  if (name.endsWith('__ref')) unsupported(env, 'arguments that come with a reference');
  return name;
}

function said(env: Env, text: string): null {
  env.verbose(`${text}\n`);
  return null;
}
