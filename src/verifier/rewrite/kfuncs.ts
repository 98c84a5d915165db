import type { Insn } from '../../bpf/index.ts';
import type { InsnAux } from '../core/types.ts';
import { PACKET_WRITERS } from '../tables/contexts.table.ts';
import * as b from './build.ts';
import { callOf, type RewriteTarget, unknownTo } from './target.ts';

/** Kfuncs that are told what an allocated object is made of: the register that gets `struct btf_struct_meta *`. */
const OBJECTS: Readonly<Record<string, number>> = {
  bpf_obj_new_impl: 2,
  bpf_percpu_obj_new_impl: 2,
  bpf_obj_drop_impl: 2,
  bpf_percpu_obj_drop_impl: 2,
  bpf_refcount_acquire_impl: 2,
  bpf_list_push_front_impl: 3,
  bpf_list_push_back_impl: 3,
  bpf_rbtree_add_impl: 4,
};
const NEW: readonly string[] = ['bpf_obj_new_impl', 'bpf_percpu_obj_new_impl'];
/** Those that insert a node: the register behind gets the node's offset. */
const INSERTS: readonly string[] = ['bpf_list_push_front_impl', 'bpf_list_push_back_impl', 'bpf_rbtree_add_impl'];
/** Kfuncs that only tell the verifier something. */
const CASTS: readonly string[] = ['bpf_cast_to_kern_ctx', 'bpf_rdonly_cast'];

/**
 * What stands in place of the call `insn` of a kernel function (`fixup_kfunc_call`, kernel/bpf/verifier.c, 6.18).
 * @throws VerifierError `unsupported` if the kernel has no such function
 */
export function rewriteKfunc(
  insn: Insn,
  aux: InsnAux,
  progType: number,
  target: RewriteTarget,
  where: string,
): readonly Insn[] {
  const name = target.vmlinux.name(insn.imm);
  if (CASTS.includes(name)) return [b.mov(0, 1)];
  const specialised = name === 'bpf_dynptr_from_skb' && !PACKET_WRITERS.includes(progType) ? `${name}_rdonly` : name;
  const call = callOf(target, specialised, where, insn);
  if (aux.argProg > 0) {
    if (target.progAux === undefined) throw unknownTo(where, 'prog->aux has no address');
    return [...b.loadImm64(aux.argProg, target.progAux), call];
  }
  const register = OBJECTS[name];
  if (register === undefined) return [call];
  // Structs without special fields have none: the register gets 0.
  if (aux.kptrStructMeta?.record) throw unknownTo(where, 'where the kernel keeps struct btf_struct_meta is not known');
  return [
    ...(NEW.includes(name) ? [b.movImm(1, aux.objNewSize)] : []),
    ...b.loadImm64(register, 0n),
    ...(INSERTS.includes(name) ? [b.movImm(register + 1, aux.insertOff)] : []),
    call,
  ];
}
