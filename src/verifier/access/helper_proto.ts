import { HELPERS } from '../../bpf/index.ts';
import { type Env, opsName, reject } from '../core/types.ts';
import * as P from '../tables/contexts.table.ts';
import { HELPER_SETS } from '../tables/helper_sets.table.ts';
import { HELPER_PROTOS, type HelperProto } from '../tables/helpers.table.ts';
import { LSM_LOCKED_SOCKOPT, LSM_SLEEPABLE, LSM_UNLOCKED_SOCKOPT, lsmHook } from '../tables/lsm.table.ts';
import { isGplCompatible } from './license.ts';
import { unsupported } from './unsupported.ts';

/** Helpers that the release member of tcp_congestion_ops may not call. */
const NOT_IN_RELEASE: readonly string[] = ['setsockopt', 'getsockopt'];
/** Helpers of a program type that only some attach types have: `all`, or those of a set alone. */
const AT_ATTACH_TYPES: Readonly<Record<string, Readonly<Record<string, (attach: number) => boolean>>>> = {
  all: {
    get_retval: (attach) => !P.NO_RETVAL.includes(attach),
    set_retval: (attach) => !P.NO_RETVAL.includes(attach),
  },
  sock_addr_func_proto: {
    bind: (attach) => P.SOCK_ADDR_CONNECT.includes(attach),
    setsockopt: (attach) => SOCKOPT_OF_ADDR.includes(attach),
    getsockopt: (attach) => SOCKOPT_OF_ADDR.includes(attach),
  },
  cg_sockopt_func_proto: {
    setsockopt: (attach) => attach === P.CGROUP_SETSOCKOPT,
    getsockopt: (attach) => attach === P.CGROUP_SETSOCKOPT,
  },
};
const SOCKOPT_OF_ADDR: readonly number[] = [...P.SOCK_ADDR_IP4, ...P.SOCK_ADDR_IP6, ...P.SOCK_ADDR_UNIX];

/** Functions at which bpf_d_path may be called (`btf_allowlist_d_path`, kernel/trace/bpf_trace.c). */
const D_PATH_FUNCTIONS: readonly string[] = [
  'security_file_permission',
  'security_inode_getattr',
  'security_file_open',
  'security_path_truncate',
  'vfs_truncate',
  'vfs_fallocate',
  'dentry_open',
  'vfs_getattr',
  'filp_close',
];
/** Iterators over sockets, which give those too (`bpf_iter_get_func_proto`). */
const SOCKET_ITERATORS: readonly string[] = ['bpf_iter_tcp', 'bpf_iter_unix'];
/** Helpers that take a full socket in tcp_congestion_ops programs and in iterators, and other things elsewhere. */
export const SOCKET_PROTOS: Readonly<Record<string, string>> = {
  setsockopt: 'bpf_sk_setsockopt',
  getsockopt: 'bpf_sk_getsockopt',
};

/** Whether a tracing or LSM program runs from a trampoline (`bpf_prog_has_trampoline`). */
export const hasTrampoline = ({ input: { progType, expectedAttachType } }: Env): boolean =>
  (progType === P.PROG_TRACING && P.ATTACH_TRAMPOLINES.includes(expectedAttachType)) ||
  (progType === P.PROG_LSM && expectedAttachType === P.ATTACH_LSM_MAC);

const isIterator = ({ input }: Env): boolean => input.expectedAttachType === P.ATTACH_ITER;

const isSocketIterator = (env: Env): boolean =>
  env.input.progType === P.PROG_TRACING && isIterator(env) && SOCKET_ITERATORS.includes(env.attachFuncName);

/** What tracing programs must be to be given some helpers (`tracing_prog_func_proto`). */
const NEEDS: Readonly<Record<string, (env: Env) => boolean>> = {
  seq_printf: isIterator,
  seq_write: isIterator,
  seq_printf_btf: isIterator,
  get_func_arg: hasTrampoline,
  get_func_arg_cnt: hasTrampoline,
  get_func_ret: hasTrampoline,
  get_attach_cookie: (env) =>
    ![P.PROG_TRACING, P.PROG_LSM, P.PROG_SYSCALL].includes(env.input.progType) ||
    env.input.expectedAttachType === P.ATTACH_RAW_TP ||
    hasTrampoline(env),
};

/** Socket options in lsm_cgroup programs: the hook tells whether the socket is locked already. */
function sockoptOfHook(env: Env, name: string): string | null {
  const hook = lsmHook(env.attachFuncName);
  if (LSM_LOCKED_SOCKOPT.has(hook)) return `bpf_sk_${name}`;
  return LSM_UNLOCKED_SOCKOPT.has(hook) ? `bpf_unlocked_sk_${name}` : null;
}

const isLsmCgroup = ({ input }: Env): boolean => input.expectedAttachType === P.ATTACH_LSM_CGROUP;

function setOf(env: Env): string {
  if (isLsmCgroup(env)) return 'bpf_lsm_cgroup_func_proto';
  if (env.input.progType !== P.PROG_STRUCT_OPS) return P.PROG_HELPER_SET[env.input.progType] ?? '';
  return opsName(env.input, env.vmlinux) === 'tcp_congestion_ops' ? 'bpf_tcp_ca_get_func_proto' : '';
}

/** The prototype of helper `func` for this program (`env->ops->get_func_proto`); null if its type may not call it. */
export function helperProto(env: Env, func: number): HelperProto | null {
  const name = helperProtoName(env, func);
  return name === null ? null : (HELPER_PROTOS[name] ?? unsupported(env, `helper bpf_${HELPERS[func]}`));
}

/** The prototype's name without `_proto`. */
export function helperProtoName(env: Env, func: number): string | null {
  const name = HELPERS[func];
  let set = setOf(env);
  if (
    name === undefined ||
    (set === 'bpf_tcp_ca_get_func_proto' && env.attachFuncName === 'release' && NOT_IN_RELEASE.includes(name))
  ) {
    return null;
  }
  const attached = AT_ATTACH_TYPES[set]?.[name] ?? AT_ATTACH_TYPES['all']![name];
  if (attached && !attached(env.input.expectedAttachType)) return null;
  if (NEEDS[name]?.(env) === false) return null;
  if (isLsmCgroup(env) && SOCKET_PROTOS[name]) return sockoptOfHook(env, name);
  if (SOCKET_PROTOS[name] && (set === 'bpf_tcp_ca_get_func_proto' || isSocketIterator(env))) {
    return SOCKET_PROTOS[name];
  }
  for (; set; set = HELPER_SETS[set]!.base) {
    const found = HELPER_SETS[set]!.protos[name];
    if (found === undefined) continue;
    const proto = typeof found === 'string' ? found : found[env.input.sleepable ? 0 : 1];
    return checksRecursion(env) ? proto : proto.replace(RECURSION_SAFE, '');
  }
  return null;
}

/** Prototypes of the functions for programs that may run within themselves. */
const RECURSION_SAFE = /_recur$/;

/** Whether a program is kept from running within itself (`bpf_prog_check_recur`, include/linux/bpf_verifier.h). */
const checksRecursion = ({ input }: Env): boolean =>
  input.progType === P.PROG_TRACING
    ? input.expectedAttachType !== P.ATTACH_ITER
    : input.progType !== P.PROG_STRUCT_OPS && input.progType !== P.PROG_LSM;

/** Where a helper may be called beyond its program types (`fn->allowed`). */
function allowedHere(env: Env, name: string): boolean {
  const { progType, expectedAttachType } = env.input;
  const sleepableHook = LSM_SLEEPABLE.has(lsmHook(env.attachFuncName));
  if (name === 'ima_inode_hash' || name === 'ima_file_hash') return sleepableHook;
  if (name !== 'd_path') return true;
  if (progType === P.PROG_TRACING && expectedAttachType === P.ATTACH_ITER) return true;
  return progType === P.PROG_LSM ? sleepableHook : D_PATH_FUNCTIONS.includes(env.attachFuncName);
}

/** As {@link helperProto}, refusing with the verifier's words (the start of `check_helper_call`). */
export function requireHelperProto(env: Env, func: number): HelperProto {
  const name = HELPERS[func];
  if (func === 0 || name === undefined) return reject(env, 'EINVAL', `invalid func unknown#${func}`);
  const proto = helperProto(env, func);
  if (!proto) return reject(env, 'EINVAL', `program of this type cannot use helper bpf_${name}#${func}`);
  if (proto.gplOnly && !isGplCompatible(env.input.license)) {
    return reject(env, 'EINVAL', 'cannot call GPL-restricted function from non-GPL compatible program');
  }
  if (!allowedHere(env, name)) return reject(env, 'EINVAL', 'helper call is not allowed in probe');
  if (proto.mightSleep && !env.cur.inSleepable) {
    return reject(env, 'EINVAL', 'helper call might sleep in a non-sleepable prog');
  }
  return proto;
}
