import { PROG_TYPES } from '../../bpf/index.ts';
import { type Env, reject } from '../core/types.ts';
import * as P from '../tables/contexts.table.ts';
import { ITER_TARGETS } from '../tables/iterators.table.ts';
import { LSM_DISABLED, LSM_SLEEPABLE } from '../tables/lsm.table.ts';
import { isStruct, skipModifiers } from './btf_walk.ts';
import { isGplCompatible } from './license.ts';
import { unsupported } from './unsupported.ts';

/** Attach types of tracing programs that may sleep. */
const SLEEPABLE_TRACING: readonly number[] = [...P.ATTACH_TRAMPOLINES, P.ATTACH_ITER];
/** Functions that must not be traced (`btf_id_deny`), with CONFIG_SMP. */
const DENIED: readonly string[] = [
  'migrate_disable',
  'migrate_enable',
  'rcu_read_unlock_strict',
  'preempt_count_add',
  'preempt_count_sub',
  '__rcu_read_lock',
  '__rcu_read_unlock',
];
/** Functions that never return (`noreturn_deny`). */
const NO_RETURN: readonly string[] = [
  '__ia32_sys_exit',
  '__ia32_sys_exit_group',
  '__kunit_abort',
  'kunit_try_catch_throw',
  '__module_put_and_kthread_exit',
  '__x64_sys_exit',
  '__x64_sys_exit_group',
  'do_exit',
  'do_group_exit',
  'kthread_complete_and_exit',
  'kthread_exit',
  'make_task_dead',
];

/**
 * Before anything is walked: what the program attaches to (`check_attach_btf_id`, `check_struct_ops_btf_id`). Sets the
 * function prototype and name that context accesses are checked against.
 */
export function checkAttach(env: Env): void {
  const { progType, sleepable } = env.input;
  if (progType === P.PROG_SYSCALL) {
    if (!sleepable) reject(env, 'EINVAL', 'Syscall programs can only be sleepable');
    return;
  }
  if (sleepable && !canSleep(env)) {
    const types = 'fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops';
    reject(env, 'EINVAL', `Only ${types} programs can be sleepable`);
  }
  if (progType === P.PROG_STRUCT_OPS) checkStructOps(env);
  else if (progType === P.PROG_TRACING || progType === P.PROG_LSM) checkTarget(env);
  else if (!(progType in P.PROG_HELPER_SET)) unsupported(env, `programs of type ${PROG_TYPES[progType] ?? progType}`);
}

/** `can_be_sleepable`. */
function canSleep({ input: { progType, expectedAttachType } }: Env): boolean {
  if (progType === P.PROG_TRACING) return SLEEPABLE_TRACING.includes(expectedAttachType);
  if (progType === P.PROG_LSM) return expectedAttachType !== P.ATTACH_LSM_CGROUP;
  return progType === P.PROG_KPROBE || progType === P.PROG_STRUCT_OPS;
}

/** The kernel function, tracepoint or iterator that a tracing program attaches to (`bpf_check_attach_target`). */
function checkTarget(env: Env): void {
  const { input, vmlinux } = env;
  if (!input.attachBtfId) reject(env, 'EINVAL', 'Tracing programs must provide btf_id');
  const target = vmlinux.type(input.attachBtfId);
  env.attachFuncName = target.name;
  if (input.expectedAttachType === P.ATTACH_RAW_TP) {
    checkTracepoint(env);
    return;
  }
  if (target.kind !== 'func') throw reject(env, 'EINVAL', `attach_btf_id ${input.attachBtfId} is not a function`);
  env.attachFuncProto = target.type;
  if (input.expectedAttachType === P.ATTACH_ITER) {
    if (!ITER_TARGETS[target.name.replace(/^bpf_iter_/, '')]) unsupported(env, `iterators over ${target.name}`);
    return;
  }
  if (input.sleepable || input.expectedAttachType === P.ATTACH_MODIFY_RETURN) checkInjection(env, target.name);
  if (input.progType === P.PROG_LSM) checkLsm(env, target.name);
  else if (DENIED.includes(target.name))
    reject(env, 'EINVAL', `Attaching tracing programs to function '${target.name}' is rejected.`);
  else if (input.expectedAttachType !== P.ATTACH_FENTRY && NO_RETURN.includes(target.name))
    reject(env, 'EINVAL', `Attaching fexit/fmod_ret to __noreturn function '${target.name}' is rejected.`);
}

function checkTracepoint(env: Env): void {
  const { input, vmlinux } = env;
  const id = input.attachBtfId;
  const name = vmlinux.name(id);
  if (vmlinux.kind(id) !== 'typedef') reject(env, 'EINVAL', `attach_btf_id ${id} is not a typedef`);
  if (!name.startsWith('btf_trace_')) reject(env, 'EINVAL', `attach_btf_id ${id} points to wrong type name ${name}`);
  env.attachFuncName = name.slice('btf_trace_'.length);
  // The template's arguments have names, which tell whether they may be null.
  const template = vmlinux.find(`__bpf_trace_${env.attachFuncName}`, 'func');
  const func = template === undefined ? null : vmlinux.type(template);
  const pointer = skipModifiers(vmlinux, id).type;
  if (func?.kind === 'func') env.attachFuncProto = func.type;
  else if (pointer.kind === 'ptr') env.attachFuncProto = skipModifiers(vmlinux, pointer.type).id;
}

/** Whether a program may sleep there, or change what the function returns: most of this no BTF tells. */
function checkInjection(env: Env, name: string): void {
  const { progType, sleepable } = env.input;
  if (progType === P.PROG_LSM) {
    if (sleepable && !LSM_SLEEPABLE.has(name.replace(/^bpf_lsm_/, '')))
      reject(env, 'EINVAL', `${name} is not sleepable`);
    return;
  }
  if (/^__x64_sys_|^bpf_fentry_test\d|^bpf_modify_return_test/.test(name)) return;
  if (!sleepable && name.startsWith('security_')) return;
  unsupported(env, `attachment to ${name}, which only functions open to error injection allow,`);
}

/** `bpf_lsm_verify_prog`. */
function checkLsm(env: Env, name: string): void {
  const { license, attachBtfId } = env.input;
  if (!isGplCompatible(license)) reject(env, 'EINVAL', 'LSM programs must have a GPL compatible license');
  if (LSM_DISABLED.has(name.replace(/^bpf_lsm_/, '')))
    reject(env, 'EINVAL', `attach_btf_id ${attachBtfId} points to disabled hook ${name}`);
  if (!name.startsWith('bpf_lsm_'))
    reject(env, 'EINVAL', `attach_btf_id ${attachBtfId} points to wrong type name ${name}`);
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
  const sleeps = struct.name === 'bpf_dummy_ops' && input.sleepable && name !== 'test_sleepable';
  if (sleeps) reject(env, 'EINVAL', `attach to unsupported member ${name} of struct ${struct.name}`);
  if (struct.name === 'tcp_congestion_ops' && P.TCP_CA_UNSUPPORTED.includes(name)) {
    reject(env, 'ENOTSUP', `attach to unsupported member ${name} of struct ${struct.name}`);
  }
  env.attachFuncProto = proto!.id;
  env.attachFuncName = name;
}
