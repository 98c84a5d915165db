import { typeStr } from '../core/log.ts';
import * as T from '../core/reg_types.table.ts';
import { type Env, reject } from '../core/types.ts';
import * as K from '../tables/kfuncs.table.ts';
import { skipModifiers } from './btf_walk.ts';
import type { KfuncArgs } from './kfunc_args.ts';
import { type KfuncMeta, kindName } from './kfunc_meta.ts';
import { isTrusted, kernelStructOf, type Target, TRUSTED } from './kfunc_pointer.ts';
import { isNocastAlias, isProjectionOf, structIdsMatch } from './struct_match.ts';
import { unsupported } from './unsupported.ts';

/** Pointers that must be trusted or, for KF_RCU, protected (`KF_TRUSTED_ARGS`, which what is given back implies). */
export function checkTrust(env: Env, meta: KfuncMeta, regno: number): void {
  if (!(meta.flags & (K.KF_TRUSTED_ARGS | K.KF_RELEASE | K.KF_RCU))) return;
  const reg = env.reg(regno);
  if (isTrusted(reg)) return;
  if (!(meta.flags & K.KF_RCU)) reject(env, 'EINVAL', `R${regno} must be referenced or trusted`);
  if (!(reg.type & T.MEM_RCU)) reject(env, 'EINVAL', `R${regno} must be a rcu pointer`);
}

/** A pointer to a kernel struct against the struct that the parameter names (`process_kf_arg_ptr_to_btf_id`). */
export function checkStruct(env: Env, meta: KfuncMeta, arg: number, wanted: Target): void {
  const reg = env.reg(arg + 1);
  const own = kernelStructOf(env, reg);
  const unsafe = reg.type & ~T.BASE_TYPE_MASK & ~TRUSTED;
  if (!own || (T.isBase(reg.type, T.PTR_TO_BTF_ID) && unsafe && !(reg.type & T.MEM_RCU))) {
    const expected = typeStr((reg.type & T.BASE_TYPE_MASK) | (reg.type & TRUSTED));
    reject(env, 'EINVAL', `arg#${arg} is ${typeStr(reg.type)} expected ${expected} or socket`);
  }
  const name = own.btf.name(own.id);
  const release = (meta.flags & K.KF_RELEASE) !== 0 && reg.refObjId !== 0;
  const strict = release || isNocastAlias(name, wanted.type.name);
  const struct = skipModifiers(own.btf, own.id);
  if (structIdsMatch(env, own.btf, struct.id, reg.off, meta.btf, wanted.id, strict)) return;
  if (isProjectionOf(wanted.type.name, struct.type.name)) return;
  const has = `R${arg + 1} has a pointer to ${kindName(struct.type)}`;
  reject(
    env,
    'EINVAL',
    `kernel function ${meta.name} args#${arg} expected pointer to ${kindName(wanted.type)} but ${has}`,
  );
}

/** A map; where an earlier argument is a field of a map's value, that map. */
export function checkMapArg(env: Env, meta: KfuncMeta, arg: number, seen: KfuncArgs): void {
  const id = env.vmlinux.find('bpf_map', 'struct');
  if (id === undefined) unsupported(env, 'a kernel without struct bpf_map');
  const reg = env.reg(arg + 1);
  checkStruct(env, meta, arg, { id: id!, type: env.vmlinux.type(id!) });
  seen.map = reg.map;
  seen.mapUid = reg.mapUid;
}
