import { type Env, reject } from '../core/types.ts';
import * as P from '../tables/contexts.table.ts';
import { HELPER_NAMES, HELPER_SETS } from '../tables/helper_sets.table.ts';
import { HELPER_PROTOS, type HelperProto } from '../tables/helpers.table.ts';
import { isGplCompatible } from './license.ts';

/** Helpers that the release member of tcp_congestion_ops may not call. */
const NOT_IN_RELEASE: readonly string[] = ['setsockopt', 'getsockopt'];
/** Prototypes that tcp_congestion_ops programs get of helpers that other types know by other rules. */
const TCP_CA_PROTOS: Readonly<Record<string, string>> = {
  setsockopt: 'bpf_sk_setsockopt',
  getsockopt: 'bpf_sk_getsockopt',
};

function setOf(env: Env): string {
  if (env.input.progType !== P.PROG_STRUCT_OPS) return P.PROG_HELPER_SET[env.input.progType] ?? '';
  return env.vmlinux.name(env.input.attachBtfId) === 'tcp_congestion_ops' ? 'bpf_tcp_ca_get_func_proto' : '';
}

/** The prototype of helper `func` for this program (`env->ops->get_func_proto`); null if its type may not call it. */
export function helperProto(env: Env, func: number): HelperProto | null {
  return HELPER_PROTOS[helperProtoName(env, func) ?? ''] ?? null;
}

/** The prototype's name without `_proto`. */
export function helperProtoName(env: Env, func: number): string | null {
  const name = HELPER_NAMES[func];
  let set = setOf(env);
  if (
    name === undefined ||
    (set === 'bpf_tcp_ca_get_func_proto' && env.attachFuncName === 'release' && NOT_IN_RELEASE.includes(name))
  ) {
    return null;
  }
  if (set === 'bpf_tcp_ca_get_func_proto' && TCP_CA_PROTOS[name]) return TCP_CA_PROTOS[name];
  for (; set; set = HELPER_SETS[set]!.base) {
    const found = HELPER_SETS[set]!.protos[name];
    if (found === undefined) continue;
    return typeof found === 'string' ? found : found[env.input.sleepable ? 0 : 1];
  }
  return null;
}

/** As {@link helperProto}, refusing with the verifier's words (the start of `check_helper_call`). */
export function requireHelperProto(env: Env, func: number): HelperProto {
  const name = HELPER_NAMES[func];
  if (func === 0 || name === undefined) return reject(env, 'EINVAL', `invalid func unknown#${func}`);
  const proto = helperProto(env, func);
  if (!proto) return reject(env, 'EINVAL', `program of this type cannot use helper bpf_${name}#${func}`);
  if (proto.gplOnly && !isGplCompatible(env.input.license)) {
    return reject(env, 'EINVAL', 'cannot call GPL-restricted function from non-GPL compatible program');
  }
  if (proto.mightSleep && !env.cur.inSleepable) {
    return reject(env, 'EINVAL', 'helper call might sleep in a non-sleepable prog');
  }
  return proto;
}
