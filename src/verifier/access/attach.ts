import { type Env, reject } from '../core/types.ts';
import * as P from '../tables/contexts.table.ts';
import { isStruct, skipModifiers } from './btf_walk.ts';
import { isGplCompatible } from './license.ts';

/**
 * Before anything is walked: what the program attaches to (`check_attach_btf_id`, `check_struct_ops_btf_id`). Sets the
 * function prototype and name that context accesses are checked against.
 */
export function checkAttach(env: Env): void {
  const { input, vmlinux } = env;
  if (input.progType === P.PROG_STRUCT_OPS) {
    checkStructOps(env);
    return;
  }
  if (input.progType !== P.PROG_TRACING || !input.attachBtfId) return;
  const target = vmlinux.type(input.attachBtfId);
  env.attachFuncName = vmlinux.name(input.attachBtfId).replace(/^btf_trace_/, '');
  if (target.kind === 'func') env.attachFuncProto = target.type;
  if (target.kind !== 'typedef') return;
  env.attachFuncName = env.attachFuncName.replace(/^btf_trace_/, '');
  const pointer = skipModifiers(vmlinux, input.attachBtfId).type;
  if (pointer.kind === 'ptr') env.attachFuncProto = skipModifiers(vmlinux, pointer.type).id;
}

function checkStructOps(env: Env): void {
  const { input, vmlinux } = env;
  if (!isGplCompatible(input.license)) {
    reject(env, 'EINVAL', 'struct ops programs must have a GPL compatible license');
  }
  if (!input.attachBtfId) reject(env, 'ENOTSUP', '');
  const ops = vmlinux.type(input.attachBtfId);
  if (!isStruct(ops)) reject(env, 'ENOTSUP', `attach_btf_id ${input.attachBtfId} is not a supported struct`);
  const struct = vmlinux.struct(input.attachBtfId);
  const member = struct.members[input.memberIndex];
  if (!member) {
    reject(env, 'EINVAL', `attach to invalid member idx ${input.memberIndex} of struct ${struct.name}`);
  }
  const { name, type } = struct.members[input.memberIndex]!;
  const pointer = skipModifiers(vmlinux, type).type;
  const proto = pointer.kind === 'ptr' ? skipModifiers(vmlinux, pointer.type) : null;
  if (proto?.type.kind !== 'func_proto') {
    reject(env, 'EINVAL', `attach to invalid member ${name}(@idx ${input.memberIndex}) of struct ${struct.name}`);
  }
  if (struct.name === 'tcp_congestion_ops' && P.TCP_CA_UNSUPPORTED.includes(name)) {
    reject(env, 'ENOTSUP', `attach to unsupported member ${name} of struct ${struct.name}`);
  }
  env.attachFuncProto = proto!.id;
  env.attachFuncName = name;
}
