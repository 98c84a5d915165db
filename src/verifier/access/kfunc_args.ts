import { typeStr } from '../core/log.ts';
import { markChainPrecision } from '../core/precise.ts';
import * as T from '../core/reg_types.table.ts';
import { registerIsNull } from '../core/regs.ts';
import { type Env, type RegState, reject } from '../core/types.ts';
import { isConst } from '../domain/index.ts';
import * as K from '../tables/kfuncs.table.ts';
import { checkArgOffset } from './arg_offset.ts';
import { skipModifiers } from './btf_walk.ts';
import { checkDynptrArg, type DynptrFacts, dynptrFlag } from './dynptr.ts';
import { checkIteratorArg, destroyIterator, type IteratorPlace, isIteratorParam } from './iterators.ts';
import { hasSuffix, isScalarType, type KfuncMeta, kindName } from './kfunc_meta.ts';
import { isTrusted, kernelStructOf, pointerKind, type Target } from './kfunc_pointer.ts';
import { isNocastAlias, isProjectionOf, structIdsMatch } from './struct_match.ts';
import { unsupported } from './unsupported.ts';

const MAX_ARGS = 5;

/** What the arguments of a call have shown (`struct bpf_kfunc_call_arg_meta`). */
export interface KfuncArgs {
  refObjId: number;
  /** Register whose reference the kfunc takes back; 0 without. */
  releaseRegno: number;
  iterator: IteratorPlace | null;
  dynptr: DynptrFacts | null;
}

function checkScalar(env: Env, meta: KfuncMeta, arg: number): void {
  const regno = arg + 1;
  const reg = env.reg(regno);
  const param = meta.params[arg]!;
  if (reg.type !== T.SCALAR_VALUE) reject(env, 'EINVAL', `R${regno} is not a scalar`);
  if (param.name === 'rdonly_buf_size' || param.name === 'rdwr_buf_size') {
    unsupported(env, `kfunc ${meta.name}, which returns a buffer`);
  }
  if (!hasSuffix(param, '__k')) return;
  if (!isConst(reg)) reject(env, 'EINVAL', `R${regno} must be a known constant`);
  markChainPrecision(env, regno);
}

/** Pointers that must be trusted or, for KF_RCU, protected (`KF_TRUSTED_ARGS`). */
function checkTrust(env: Env, meta: KfuncMeta, regno: number): void {
  if (!(meta.flags & (K.KF_TRUSTED_ARGS | K.KF_RCU))) return;
  const reg = env.reg(regno);
  if (isTrusted(reg)) return;
  if (!(meta.flags & K.KF_RCU)) reject(env, 'EINVAL', `R${regno} must be referenced or trusted`);
  if (!(reg.type & T.MEM_RCU)) reject(env, 'EINVAL', `R${regno} must be a rcu pointer`);
}

/** A pointer to a kernel struct against the struct that the parameter names (`process_kf_arg_ptr_to_btf_id`). */
function checkStruct(env: Env, meta: KfuncMeta, arg: number, wanted: Target): void {
  const reg = env.reg(arg + 1);
  const own = kernelStructOf(env, reg);
  const unsafe = reg.type & ~T.BASE_TYPE_MASK & ~(T.MEM_ALLOC | T.PTR_TRUSTED | T.NON_OWN_REF);
  if (!own || (T.isBase(reg.type, T.PTR_TO_BTF_ID) && unsafe && !(reg.type & T.MEM_RCU))) {
    const flags = reg.type & (T.MEM_ALLOC | T.PTR_TRUSTED | T.NON_OWN_REF);
    const expected = typeStr((reg.type & T.BASE_TYPE_MASK) | flags);
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

function checkMapArg(env: Env, meta: KfuncMeta, arg: number): void {
  const id = env.vmlinux.find('bpf_map', 'struct');
  if (id === undefined) unsupported(env, 'a kernel without struct bpf_map');
  checkStruct(env, meta, arg, { id, type: env.vmlinux.type(id) });
}

function checkDynptr(env: Env, meta: KfuncMeta, arg: number, insnIdx: number, seen: KfuncArgs): void {
  const uninit = hasSuffix(meta.params[arg]!, '__uninit');
  let flags = env.reg(arg + 1).type === T.CONST_PTR_TO_DYNPTR ? T.MEM_RDONLY : 0;
  let clone = 0;
  if (uninit) {
    if (!seen.dynptr) unsupported(env, `kfunc ${meta.name}`);
    flags |= T.MEM_UNINIT | dynptrFlag(seen.dynptr!.type);
    clone = seen.dynptr!.refObjId;
  }
  const facts = checkDynptrArg(env, arg + 1, insnIdx, flags, clone);
  if (facts) seen.dynptr = facts;
}

function noteReference(env: Env, meta: KfuncMeta, reg: RegState, regno: number, seen: KfuncArgs): void {
  if (!reg.refObjId) return;
  const release = (meta.flags & K.KF_RELEASE) !== 0;
  if (release && seen.refObjId) {
    const ids = `R${regno} ${reg.refObjId} ${seen.refObjId}`;
    reject(env, 'EFAULT', `verifier internal error: more than one arg with ref_obj_id ${ids}`);
  }
  seen.refObjId = reg.refObjId;
  if (release) seen.releaseRegno = regno;
}

function checkPointer(env: Env, meta: KfuncMeta, arg: number, insnIdx: number, seen: KfuncArgs): void {
  const regno = arg + 1;
  const reg = env.reg(regno);
  const param = meta.params[arg]!;
  if (param.type.kind !== 'ptr') {
    reject(env, 'EINVAL', `Unrecognized arg#${arg} type ${kindName(param.type).split(' ')[0]}`);
  }
  const mayBeNull = registerIsNull(reg) || (reg.type & T.PTR_MAYBE_NULL) !== 0;
  if (meta.flags & (K.KF_TRUSTED_ARGS | K.KF_RCU) && mayBeNull && !hasSuffix(param, '__nullable')) {
    reject(env, 'EACCES', `Possibly NULL pointer passed to trusted arg${arg}`);
  }
  noteReference(env, meta, reg, regno, seen);
  const target = skipModifiers(meta.btf, param.type.type);
  const kind = isIteratorParam(meta, arg) ? 'iterator' : pointerKind(env, meta, arg, target);
  if (kind === 'null') return;
  if (kind === 'map' && !reg.map) reject(env, 'EINVAL', `pointer in R${regno} isn't map pointer`);
  if (kind === 'map' || kind === 'struct') checkTrust(env, meta, regno);
  checkArgOffset(env, regno, (meta.flags & K.KF_RELEASE) !== 0 && reg.refObjId !== 0, false);
  switch (kind) {
    case 'ctx':
      if (reg.type !== T.PTR_TO_CTX) {
        reject(env, 'EINVAL', `arg#${arg} expected pointer to ctx, but got ${typeStr(reg.type)}`);
      }
      break;
    case 'dynptr':
      checkDynptr(env, meta, arg, insnIdx, seen);
      break;
    case 'iterator':
      seen.iterator = checkIteratorArg(env, meta, regno, insnIdx);
      if (!seen.iterator) break;
      seen.refObjId = env.cur.frame[seen.iterator.frameno]!.peekSlot(seen.iterator.spi)!.spilled.refObjId;
      if (meta.flags & K.KF_ITER_DESTROY) destroyIterator(env, meta, seen.iterator);
      break;
    case 'map':
      checkMapArg(env, meta, arg);
      break;
    case 'struct':
      checkStruct(env, meta, arg, target);
      break;
    default:
      unsupported(env, `argument ${arg} of kfunc ${meta.name}, a pointer to memory`);
  }
}

/** The arguments of a call against the kfunc's prototype (`check_kfunc_args`, kernel/bpf/verifier.c, 6.18). */
export function checkKfuncArgs(env: Env, meta: KfuncMeta, insnIdx: number): KfuncArgs {
  const seen: KfuncArgs = { refObjId: 0, releaseRegno: 0, iterator: null, dynptr: null };
  const count = meta.params.length;
  if (count > MAX_ARGS) reject(env, 'EINVAL', `Function ${meta.name} has ${count} > ${MAX_ARGS} args`);
  for (const [arg, param] of meta.params.entries()) {
    if (hasSuffix(param, '__ign')) continue;
    if (isScalarType(param.type)) checkScalar(env, meta, arg);
    else checkPointer(env, meta, arg, insnIdx, seen);
  }
  if (meta.flags & K.KF_RELEASE && !seen.releaseRegno) {
    reject(env, 'EINVAL', `release kernel function ${meta.name} expects refcounted PTR_TO_BTF_ID`);
  }
  return seen;
}
