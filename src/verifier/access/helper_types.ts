import { typeStr } from '../core/log.ts';
import * as T from '../core/reg_types.table.ts';
import { type Env, type RegState, reject } from '../core/types.ts';
import * as A from '../tables/arg_types.table.ts';
import type { CallMeta } from './helper_memory.ts';
import { checkKptrMatch } from './kptr.ts';
import { structIdsMatch } from './struct_match.ts';
import { unsupported } from './unsupported.ts';

const MEMORY = [
  T.PTR_TO_STACK,
  T.PTR_TO_PACKET,
  T.PTR_TO_PACKET_META,
  T.PTR_TO_MAP_KEY,
  T.PTR_TO_MAP_VALUE,
  T.PTR_TO_MEM,
  T.PTR_TO_MEM | T.MEM_RINGBUF,
  T.PTR_TO_BUF,
  T.PTR_TO_BTF_ID | T.PTR_TRUSTED,
];
const SCALAR = [T.SCALAR_VALUE];
const SOCKETS = [T.PTR_TO_SOCK_COMMON, T.PTR_TO_SOCKET, T.PTR_TO_TCP_SOCK, T.PTR_TO_XDP_SOCK];
const OBJECT = T.PTR_TO_BTF_ID | T.MEM_ALLOC;

/** Register types that an argument takes (`compatible_reg_types`). */
const COMPATIBLE: Readonly<Record<number, readonly number[]>> = {
  [A.ARG_PTR_TO_MAP_KEY]: MEMORY,
  [A.ARG_PTR_TO_MAP_VALUE]: MEMORY,
  [A.ARG_PTR_TO_MEM]: MEMORY,
  [A.ARG_CONST_SIZE]: SCALAR,
  [A.ARG_CONST_SIZE_OR_ZERO]: SCALAR,
  [A.ARG_CONST_ALLOC_SIZE_OR_ZERO]: SCALAR,
  [A.ARG_CONST_MAP_PTR]: [T.CONST_PTR_TO_MAP],
  [A.ARG_PTR_TO_CTX]: [T.PTR_TO_CTX],
  [A.ARG_PTR_TO_SOCK_COMMON]: SOCKETS,
  [A.ARG_PTR_TO_BTF_ID_SOCK_COMMON]: [...SOCKETS, T.PTR_TO_BTF_ID, T.PTR_TO_BTF_ID | T.PTR_TRUSTED],
  [A.ARG_PTR_TO_SOCKET]: [T.PTR_TO_SOCKET],
  [A.ARG_PTR_TO_BTF_ID]: [T.PTR_TO_BTF_ID, T.PTR_TO_BTF_ID | T.PTR_TRUSTED, T.PTR_TO_BTF_ID | T.MEM_RCU],
  [A.ARG_PTR_TO_SPIN_LOCK]: [T.PTR_TO_MAP_VALUE, OBJECT],
  [A.ARG_PTR_TO_RINGBUF_MEM]: [T.PTR_TO_MEM | T.MEM_RINGBUF],
  [A.ARG_PTR_TO_PERCPU_BTF_ID]: [
    T.PTR_TO_BTF_ID | T.MEM_PERCPU,
    T.PTR_TO_BTF_ID | T.MEM_PERCPU | T.MEM_RCU,
    T.PTR_TO_BTF_ID | T.MEM_PERCPU | T.PTR_TRUSTED,
  ],
  [A.ARG_PTR_TO_FUNC]: [T.PTR_TO_FUNC],
  [A.ARG_PTR_TO_STACK]: [T.PTR_TO_STACK],
  [A.ARG_PTR_TO_CONST_STR]: [T.PTR_TO_MAP_VALUE],
  [A.ARG_PTR_TO_TIMER]: [T.PTR_TO_MAP_VALUE],
  [A.ARG_KPTR_XCHG_DEST]: [T.PTR_TO_MAP_VALUE, OBJECT],
  [A.ARG_PTR_TO_DYNPTR]: [T.PTR_TO_STACK, T.CONST_PTR_TO_DYNPTR],
};

/** What of a call decides which types it takes. */
type TypeMeta = Pick<CallMeta, 'name' | 'proto' | 'kptr'>;

/** Kernel structs whose type is compared; other flags have rules of their own. */
const COMPARED: readonly number[] = [0, T.PTR_TRUSTED, T.MEM_RCU];
const TAKES_OBJECTS: readonly string[] = ['spin_lock', 'spin_unlock', 'kptr_xchg'];
const SOURCE = 2;

/** The type as the argument sees it: what it allows is not looked at. */
function seenType(reg: RegState, regno: number, argType: number, meta: TypeMeta): number {
  let { type } = reg;
  if (argType & T.MEM_RDONLY) type &= ~T.MEM_RDONLY;
  if (argType & T.PTR_MAYBE_NULL) type &= ~T.PTR_MAYBE_NULL;
  if ((argType & T.BASE_TYPE_MASK) === A.ARG_PTR_TO_MEM) type &= ~T.DYNPTR_TYPE_FLAG_MASK;
  // An object of the program's own may be given to a map.
  if (meta.name === 'kptr_xchg' && type & T.MEM_ALLOC && regno === SOURCE) type &= ~(T.MEM_ALLOC | T.MEM_PERCPU);
  return type;
}

/** Whether the register is of a type that the argument takes, and of the right struct (`check_reg_type`). */
export function checkType(env: Env, regno: number, argType: number, meta: TypeMeta): void {
  const reg = env.reg(regno);
  const types = COMPATIBLE[argType & T.BASE_TYPE_MASK];
  if (!types) throw unsupported(env, `argument ${regno} of helper bpf_${meta.name}`);
  if (!types.includes(seenType(reg, regno, argType, meta))) {
    reject(env, 'EACCES', `R${regno} type=${typeStr(reg.type)} expected=${types.map(typeStr).join(', ')}`);
  }
  if (!T.isBase(reg.type, T.PTR_TO_BTF_ID)) return;
  if (types === MEMORY) {
    if (argType & T.MEM_RDONLY) return;
    reject(env, 'EACCES', `bpf_${meta.name}() may write into memory pointed by R${regno} type=${typeStr(reg.type)}`);
  }
  const flags = reg.type & ~T.BASE_TYPE_MASK & ~T.PTR_MAYBE_NULL;
  if (COMPARED.includes(flags)) checkStruct(env, regno, reg, argType, meta);
  else if (flags & T.MEM_ALLOC) {
    if (!TAKES_OBJECTS.includes(meta.name)) {
      reject(env, 'EFAULT', 'verifier bug: unimplemented handling of MEM_ALLOC');
    }
    if (meta.name === 'kptr_xchg' && regno === SOURCE) checkKptrMatch(env, meta.kptr!, regno);
  }
}

/** A kernel struct as argument of a global function that names it (`check_reg_type`, with no helper). */
export function checkStructType(env: Env, regno: number, argType: number, wanted: string): void {
  const proto = { ret: A.RET_INTEGER, args: [], argBtf: { [regno]: wanted } };
  checkType(env, regno, argType, { name: '', proto, kptr: null });
}

function wantedStruct(regno: number, argType: number, meta: TypeMeta): string | undefined {
  const named = meta.proto.argBtf?.[regno];
  if (named) return named;
  return (argType & T.BASE_TYPE_MASK) === A.ARG_PTR_TO_BTF_ID_SOCK_COMMON ? 'sock_common' : undefined;
}

function checkStruct(env: Env, regno: number, reg: RegState, argType: number, meta: TypeMeta): void {
  const released = (argType & T.OBJ_RELEASE) !== 0;
  if (reg.type & T.PTR_MAYBE_NULL && (!(argType & T.PTR_MAYBE_NULL) || released)) {
    reject(env, 'EACCES', `Possibly NULL pointer passed to helper arg${regno}`);
  }
  if (meta.name === 'kptr_xchg') {
    checkKptrMatch(env, meta.kptr!, regno);
    return;
  }
  const name = wantedStruct(regno, argType, meta);
  if (!name) throw unsupported(env, `argument ${regno} of helper bpf_${meta.name}`);
  const wanted = env.vmlinux.find(name, 'struct') ?? 0;
  const strict = released && meta.name !== 'sk_release';
  if (wanted && structIdsMatch(env, reg.btf!, reg.btfId, reg.off, env.vmlinux, wanted, strict)) return;
  reject(env, 'EACCES', `R${regno} is of type ${reg.btf!.name(reg.btfId)} but ${name} is expected`);
}
