import type { Btf, BtfType } from '../../btf/index.ts';
import * as T from '../core/reg_types.table.ts';
import { registerIsNull } from '../core/regs.ts';
import { type Env, type RegState, type RegView, reject } from '../core/types.ts';
import { isStruct, skipModifiers } from './btf_walk.ts';
import { isIteratorParam } from './iterators.ts';
import { hasSuffix, isScalarType, type KfuncMeta, type KfuncParam, kindName } from './kfunc_meta.ts';
import { isProgCtx } from './prog_ctx.ts';

/** What a pointer points to, behind typedefs and qualifiers. */
export interface Target {
  id: number;
  type: BtfType;
}

/** `enum kfunc_ptr_arg_type`. */
export type PointerKind =
  | 'ctx'
  | 'null'
  | 'object'
  | 'refcounted'
  | 'dynptr'
  | 'iterator'
  | 'list_head'
  | 'list_node'
  | 'tree_root'
  | 'tree_node'
  | 'string'
  | 'map'
  | 'workqueue'
  | 'task_work'
  | 'irq_flag'
  | 'res_lock'
  | 'struct'
  | 'callback'
  | 'memory'
  | 'sized_memory';

/** BPF_REG_TRUSTED_MODIFIERS. */
export const TRUSTED = T.MEM_ALLOC | T.PTR_TRUSTED | T.NON_OWN_REF;
/** Structs that registers of these types point to (`reg2btf_ids`). */
const STRUCT_OF_TYPE: Readonly<Record<number, string>> = {
  [T.PTR_TO_SOCKET]: 'sock',
  [T.PTR_TO_SOCK_COMMON]: 'sock_common',
  [T.PTR_TO_TCP_SOCK]: 'tcp_sock',
  [T.CONST_PTR_TO_MAP]: 'bpf_map',
};
/** Structs whose pointers are special arguments. */
const KIND_OF_STRUCT: Readonly<Record<string, PointerKind>> = {
  bpf_dynptr: 'dynptr',
  bpf_list_head: 'list_head',
  bpf_list_node: 'list_node',
  bpf_rb_root: 'tree_root',
  bpf_rb_node: 'tree_node',
};
const KIND_OF_FIELD: Readonly<Record<string, PointerKind>> = { bpf_wq: 'workqueue', bpf_task_work: 'task_work' };

/** Whether nothing can have happened to what the register points to (`is_trusted_reg`). */
export function isTrusted(reg: RegView): boolean {
  if (reg.refObjId) return true;
  const flags = reg.type & ~T.BASE_TYPE_MASK;
  if (flags & ~TRUSTED) return false;
  return flags !== 0 || STRUCT_OF_TYPE[reg.type & T.BASE_TYPE_MASK] !== undefined;
}

/** The kernel struct that a register points to; null for other pointers. */
export function kernelStructOf(env: Env, reg: RegState): { btf: Btf; id: number } | null {
  const base = reg.type & T.BASE_TYPE_MASK;
  if (base === T.PTR_TO_BTF_ID) return { btf: reg.btf!, id: reg.btfId };
  const name = STRUCT_OF_TYPE[base];
  const id = name === undefined ? undefined : env.vmlinux.find(name, 'struct');
  return id === undefined ? null : { btf: env.vmlinux, id };
}

/** Whether a struct holds scalars only, four levels deep (`__btf_type_is_scalar_struct`). */
export function isScalarStruct(env: Env, btf: Btf, type: BtfType, depth: number): boolean {
  if (!isStruct(type)) return false;
  for (const member of type.members) {
    const inner = skipModifiers(btf, member.type).type;
    if (isStruct(inner)) {
      if (depth >= 3) {
        env.verbose('max struct nesting depth exceeded\n');
        return false;
      }
      if (!isScalarStruct(env, btf, inner, depth + 1)) return false;
    } else if (inner.kind === 'array') {
      if (inner.length === 0 || !isScalarType(skipModifiers(btf, inner.element).type)) return false;
    } else if (!isScalarType(inner)) return false;
  }
  return true;
}

function isSizeOfBefore(env: Env, meta: KfuncMeta, arg: number): boolean {
  const param = meta.params[arg];
  if (!param || !isScalarType(param.type) || env.reg(arg + 1).type !== T.SCALAR_VALUE) return false;
  return hasSuffix(param, '__sz') || hasSuffix(param, '__szk');
}

const pointee = ({ type }: KfuncParam): number => (type.kind === 'ptr' ? type.type : 0);

/** What kind of argument pointer parameter `arg` takes, given the register (`get_kfunc_ptr_arg_type`). */
export function pointerKind(env: Env, meta: KfuncMeta, arg: number, target: Target): PointerKind {
  const param = meta.params[arg]!;
  const reg = env.reg(arg + 1);
  const struct = target.type.kind === 'struct' ? target.type.name : '';
  if (meta.name === 'bpf_cast_to_kern_ctx' || isProgCtx(env, meta.btf, pointee(param))) return 'ctx';
  if (hasSuffix(param, '__nullable') && registerIsNull(reg)) return 'null';
  if (hasSuffix(param, '__alloc')) return 'object';
  if (hasSuffix(param, '__refcounted_kptr')) return 'refcounted';
  if (struct === 'bpf_dynptr') return 'dynptr';
  if (isIteratorParam(meta, arg)) return 'iterator';
  if (KIND_OF_STRUCT[struct]) return KIND_OF_STRUCT[struct]!;
  if (hasSuffix(param, '__str')) return 'string';
  if (hasSuffix(param, '__map')) return 'map';
  if (KIND_OF_FIELD[struct]) return KIND_OF_FIELD[struct]!;
  if (hasSuffix(param, '__irq_flag')) return 'irq_flag';
  if (struct === 'bpf_res_spin_lock') return 'res_lock';
  if (kernelStructOf(env, reg)) {
    if (isStruct(target.type)) return 'struct';
    const type = `pointer type ${kindName(target.type)}`;
    return reject(env, 'EINVAL', `kernel function ${meta.name} args#${arg} ${type} is not supported`);
  }
  if (target.type.kind === 'func_proto') return 'callback';
  const sized = isSizeOfBefore(env, meta, arg + 1);
  const ok =
    isScalarType(target.type) ||
    isScalarStruct(env, meta.btf, target.type, 0) ||
    (sized && target.type.kind === 'void');
  if (ok) return sized ? 'sized_memory' : 'memory';
  const words = `${sized ? 'void, ' : ''}scalar, or struct with scalar`;
  return reject(env, 'EINVAL', `arg#${arg} pointer type ${kindName(target.type)} must point to ${words}`);
}
