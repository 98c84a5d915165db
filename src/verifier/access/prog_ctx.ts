import type { Btf, BtfType } from '../../btf/index.ts';
import { type Env, reject } from '../core/types.ts';
import * as P from '../tables/contexts.table.ts';
import { CTX_STRUCT } from '../tables/kfuncs.table.ts';
import { isStruct, skipModifiers } from './btf_walk.ts';
import { isProjectionOf } from './struct_match.ts';

const USER_REGS = 'bpf_user_pt_regs_t';
const QUALIFIERS: readonly BtfType['kind'][] = ['const', 'volatile', 'restrict', 'type_tag'];

/** Whether type `id` is the typedef that kprobes know their registers by, behind qualifiers. */
function isUserRegs(btf: Btf, id: number): boolean {
  let type = btf.type(id);
  while (QUALIFIERS.includes(type.kind)) type = btf.type((type as { type: number }).type);
  return type.kind === 'typedef' && type.name === USER_REGS;
}

/** Whether a pointer to type `id` is this program's context (`btf_is_prog_ctx_type`, kernel/bpf/btf.c, 6.18). */
export function isProgCtx({ input }: Env, btf: Btf, id: number): boolean {
  if (input.progType === P.PROG_KPROBE && isUserRegs(btf, id)) return true;
  const { type } = skipModifiers(btf, id);
  const ctx = CTX_STRUCT[input.progType];
  if (input.progType === P.PROG_KPROBE && isStruct(type) && type.name === USER_REGS) return true;
  return isStruct(type) && ctx !== undefined && (type.name === ctx || isProjectionOf(ctx, type.name));
}

/** Types beside the program type's own that a context may be declared with. */
function isOtherCtx({ input }: Env, type: BtfType): boolean {
  const words = type.kind === 'int' && type.size === 8;
  const named = (name: string): boolean => isStruct(type) && type.name === name;
  switch (input.progType) {
    case P.PROG_KPROBE:
    case P.PROG_PERF_EVENT:
      return named('pt_regs');
    case P.PROG_RAW_TRACEPOINT:
    case P.PROG_RAW_TRACEPOINT_WRITABLE:
    case P.PROG_LSM:
    case P.PROG_STRUCT_OPS:
      return words;
    case P.PROG_TRACEPOINT:
    case P.PROG_SYSCALL:
      return true;
    case P.PROG_TRACING:
      if (input.expectedAttachType === P.ATTACH_RAW_TP) return words || named('bpf_raw_tracepoint_args');
      if (input.expectedAttachType === P.ATTACH_ITER) return isStruct(type) && type.name.startsWith('bpf_iter__');
      return P.ATTACH_TRAMPOLINES.includes(input.expectedAttachType) && words;
    default:
      return false;
  }
}

/** A pointer to type `id` that the tag `arg:ctx` says is the context (`btf_validate_prog_ctx_type`). */
export function checkTaggedCtx(env: Env, arg: number, id: number): void {
  const btf = env.btf!;
  const { progType } = env.input;
  if ((progType === P.PROG_KPROBE || progType === P.PROG_PERF_EVENT) && isUserRegs(btf, id)) return;
  const { type } = skipModifiers(btf, id);
  if (type.kind === 'void') return;
  if (type.name === '') reject(env, 'EINVAL', `arg#${arg} type doesn't have a name`);
  if (isOtherCtx(env, type)) return;
  const ctx = CTX_STRUCT[progType];
  if (ctx === undefined) throw reject(env, 'EINVAL', `arg#${arg} should be void pointer`);
  if (!isStruct(type) || type.name !== ctx) reject(env, 'EINVAL', `arg#${arg} should be \`struct ${ctx} *\``);
}
