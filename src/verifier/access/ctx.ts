import type { Btf, BtfFuncProto } from '../../btf/index.ts';
import * as T from '../core/reg_types.table.ts';
import { type Env, reject } from '../core/types.ts';
import * as P from '../tables/contexts.table.ts';
import { RAW_TP_NULL_ARGS } from '../tables/raw_tp_null.table.ts';
import { isStruct, skipModifiers, tagFlag } from './btf_walk.ts';
import { BPF_READ, BPF_WRITE } from './region.ts';
import { unsupported } from './unsupported.ts';

/** What a load from the context gives (`struct bpf_insn_access_aux`). */
export interface CtxAccess {
  type: number;
  btf: Btf | null;
  btfId: number;
  /** Width of the real field where a narrower load is to be rewritten; 0 without. */
  fieldSize: number;
}

const scalar = (fieldSize = 0): CtxAccess => ({ type: T.SCALAR_VALUE, btf: null, btfId: 0, fieldSize });
const pointer = (type: number): CtxAccess => ({ type, btf: null, btfId: 0, fieldSize: 0 });

type Rule = (env: Env, off: number, size: number, access: number, isLdsx: boolean) => CtxAccess | null;

const inside = (off: number, [start, size]: readonly [number, number]): boolean => off >= start && off < start + size;

/** A narrower load that stays in its field and is aligned (`bpf_ctx_narrow_access_ok`). */
function narrowOk(off: number, size: number, defaultSize: number): boolean {
  return (
    size <= defaultSize &&
    size > 0 &&
    (size & (size - 1)) === 0 &&
    ((off & (defaultSize - 1)) % defaultSize) + size <= defaultSize
  );
}

/** Rules that hold for `struct __sk_buff` whatever the program type (`bpf_skb_is_valid_access`). */
function skbCommon(off: number, size: number, access: number): CtxAccess | null {
  const { SKB } = P;
  if (off < 0 || off >= SKB.size || off % size !== 0) return null;
  if (inside(off, SKB.cb)) return off + size <= SKB.cb[0] + SKB.cb[1] ? scalar() : null;
  for (const field of [SKB.data, SKB.dataMeta, SKB.dataEnd])
    if (inside(off, field) && (off !== field[0] || size !== 4)) return null;
  if (inside(off, SKB.flowKeys) || inside(off, SKB.hwtstamp))
    return inside(off, SKB.hwtstamp) && access === BPF_READ && size === 8 ? scalar() : null;
  if (inside(off, SKB.tstamp)) return size === 8 ? scalar() : null;
  if (inside(off, SKB.sk)) {
    return off === SKB.sk[0] && size === 8 && access === BPF_READ
      ? pointer(T.PTR_TO_SOCK_COMMON | T.PTR_MAYBE_NULL)
      : null;
  }
  if (inside(off, SKB.tstampType)) return null;
  if (access === BPF_WRITE) return size === 4 ? scalar() : null;
  return narrowOk(off, size, 4) ? scalar(4) : null;
}

function skbPointer(off: number, meta: boolean): CtxAccess | null {
  const { SKB } = P;
  if (off === SKB.data[0]) return pointer(T.PTR_TO_PACKET);
  if (off === SKB.dataEnd[0]) return pointer(T.PTR_TO_PACKET_END);
  if (off === SKB.dataMeta[0] && meta) return pointer(T.PTR_TO_PACKET_META);
  return null;
}

/** Offsets of the members that a classifier may store to: mark, queue_mapping, priority, tc_index, tc_classid, tstamp. */
const CLS_WRITABLE = [8, 12, 32, 44, 72, 152];

const socketFilter: Rule = (_env, off, size, access) => {
  const { SKB } = P;
  const hidden = [
    SKB.tcClassid,
    SKB.data,
    SKB.dataMeta,
    SKB.dataEnd,
    [SKB.family[0], 48] as const,
    SKB.tstamp,
    SKB.wireLen,
    SKB.hwtstamp,
  ];
  if (hidden.some((field) => inside(off, field))) return null;
  if (access === BPF_WRITE && !inside(off, SKB.cb)) return null;
  return skbCommon(off, size, access);
};

const classifier: Rule = (_env, off, size, access, isLdsx) => {
  const { SKB } = P;
  if (access === BPF_WRITE && !CLS_WRITABLE.includes(off) && !inside(off, SKB.cb)) return null;
  if (inside(off, [SKB.family[0], 48])) return null;
  if (off === SKB.tstampType[0]) return size === 1 ? scalar() : null;
  const special = skbPointer(off, true);
  const common = skbCommon(off, size, access);
  if (!special || !common) return common;
  return isLdsx ? null : special;
};

const cgroupSkb: Rule = (_env, off, size, access, isLdsx) => {
  const { SKB } = P;
  if (inside(off, SKB.tcClassid) || inside(off, SKB.dataMeta) || inside(off, SKB.wireLen)) return null;
  const writable = [8, 32, 152].includes(off) || inside(off, SKB.cb);
  if (access === BPF_WRITE && !writable) return null;
  const special = skbPointer(off, false);
  const common = skbCommon(off, size, access);
  if (!special || !common) return common;
  return isLdsx ? null : special;
};

const xdp: Rule = (_env, off, size, access, isLdsx) => {
  if (access === BPF_WRITE || off < 0 || off >= 24 || off % size !== 0 || size !== 4) return null;
  const type = [T.PTR_TO_PACKET, T.PTR_TO_PACKET_END, T.PTR_TO_PACKET_META][off >> 2];
  if (type === undefined) return scalar();
  return isLdsx ? null : pointer(type);
};

/** A context of plain bytes: reads of natural alignment within `bytes`. */
const plain =
  (bytes: number): Rule =>
  (_env, off, size, access) =>
    access === BPF_READ && off >= 0 && off + size <= bytes && off % size === 0 ? scalar() : null;

const tracepoint: Rule = (_env, off, size, access) =>
  access === BPF_READ && off >= 8 && off < 8192 && off % size === 0 ? scalar() : null;

const syscall: Rule = (_env, off, size) => (off >= 0 && off < 65536 && off % size === 0 ? scalar() : null);

const perfEvent: Rule = (_env, off, size, access) => {
  if (access !== BPF_READ || off < 0 || off >= 184 || off % size !== 0) return null;
  if (off >= 168) return narrowOk(off, size, 8) ? scalar(8) : null;
  return size === 8 ? scalar() : null;
};

/** Arguments of a kernel function, tracepoint or struct_ops member (`bpf_tracing_btf_ctx_access`). */
const btfArguments: Rule = (env, off, size, access) => {
  if (off < 0 || off >= 96 || access !== BPF_READ || off % size !== 0) return null;
  const found = btfCtxAccess(env, off, size);
  if (!found || env.input.progType !== P.PROG_STRUCT_OPS || found.btfId !== env.vmlinux.find('sock', 'struct'))
    return found;
  const ops = env.vmlinux.name(env.input.attachBtfId);
  return ops === 'tcp_congestion_ops' ? { ...found, btfId: env.vmlinux.find('tcp_sock', 'struct')! } : found;
};

const RULES: Readonly<Record<number, Rule>> = {
  [P.PROG_SOCKET_FILTER]: socketFilter,
  [P.PROG_SCHED_CLS]: classifier,
  [P.PROG_SCHED_ACT]: classifier,
  [P.PROG_CGROUP_SKB]: cgroupSkb,
  [P.PROG_XDP]: xdp,
  [P.PROG_KPROBE]: plain(168),
  [P.PROG_TRACEPOINT]: tracepoint,
  [P.PROG_PERF_EVENT]: perfEvent,
  [P.PROG_RAW_TRACEPOINT]: plain(96),
  [P.PROG_TRACING]: btfArguments,
  [P.PROG_STRUCT_OPS]: btfArguments,
  [P.PROG_SYSCALL]: syscall,
};

/** An access to the context (`check_ctx_access`). */
export function checkCtxAccess(
  env: Env,
  insnIdx: number,
  off: number,
  size: number,
  access: number,
  isLdsx: boolean,
): CtxAccess {
  const found = RULES[env.input.progType]?.(env, off, size, access, isLdsx);
  if (!found) return reject(env, 'EACCES', `invalid bpf_context access off=${off} size=${size}`);
  if (!found.btf) env.aux[insnIdx]!.ctxFieldSize = found.fieldSize;
  env.maxCtxOffset = Math.max(env.maxCtxOffset, off + size);
  return found;
}

/** The argument that byte `off` belongs to; structs by value take several slots (`get_ctx_arg_idx`). */
function argIndex(btf: Btf, proto: BtfFuncProto, off: number): number {
  let end = 0;
  for (let i = 0; i < proto.params.length; i++) {
    const type = skipModifiers(btf, proto.params[i]!.type).type;
    end += type.kind === 'ptr' ? 8 : Math.ceil(btf.sizeOf(proto.params[i]!.type) / 8) * 8;
    if (off < end) return i;
  }
  return off < end + 8 ? proto.params.length : proto.params.length + 1;
}

/** fexit and fmod_ret: what the function returns stands behind its arguments. */
const AFTER_RETURN: readonly number[] = [25, 26];

const KIND_WORDS: Readonly<Record<string, string>> = { func_proto: 'FUNC_PROTO' };

/** Type of a traced function's argument (`btf_ctx_access`); null after the reason was written. */
function btfCtxAccess(env: Env, off: number, size: number): CtxAccess | null {
  const name = `func '${env.attachFuncName}'`;
  if (off % 8) return said(env, `${name} offset ${off} is not multiple of 8`);
  const btf = env.vmlinux;
  const proto = env.attachFuncProto ? btf.type(env.attachFuncProto) : null;
  if (proto?.kind !== 'func_proto')
    return off < 40 ? scalar() : said(env, `${name} doesn't have ${off / 8 + 1}-th argument`);
  const traced = env.input.progType === P.PROG_TRACING && env.input.expectedAttachType === 23;
  const params = traced ? proto.params.slice(1) : proto.params;
  const arg = argIndex(btf, { ...proto, params }, off);
  const returned = arg === params.length && AFTER_RETURN.includes(env.input.expectedAttachType);
  if (arg >= params.length && !returned) return said(env, `${name} doesn't have ${arg + 1}-th argument`);
  if (traced && RAW_TP_NULL_ARGS[env.attachFuncName]?.includes(arg))
    unsupported(env, `argument ${arg} of tracepoint ${env.attachFuncName}, which may be null`);
  const { type } = skipModifiers(btf, returned ? proto.returns : params[arg]!.type);
  if (type.kind === 'int' || type.kind === 'enum' || type.kind === 'enum64' || isStruct(type)) return scalar();
  if (type.kind !== 'ptr') {
    const kind = KIND_WORDS[type.kind] ?? type.kind.toUpperCase();
    return said(env, `${name} arg${arg} '${type.kind}' has type ${kind}. Only pointer access is allowed`);
  }
  if (size !== 8) return said(env, `${name} size ${size} must be 8`);
  const target = skipModifiers(btf, type.type);
  if (target.id === 0 || target.type.kind === 'int') return scalar();
  const kind = target.type.kind.toUpperCase();
  if (!isStruct(target.type)) return said(env, `${name} arg${arg} type ${kind} is not a struct`);
  if (stubParam(env, arg).endsWith('__nullable')) {
    return { type: T.PTR_TO_BTF_ID | T.PTR_TRUSTED | T.PTR_MAYBE_NULL, btf, btfId: target.id, fieldSize: 0 };
  }
  const nullable = params[arg]?.name.endsWith('__nullable') ? T.PTR_MAYBE_NULL : 0;
  env.verbose(`${name} arg${arg} has btf_id ${target.id} type ${kind} '${target.type.name}'\n`);
  return {
    type: T.PTR_TO_BTF_ID | T.PTR_TRUSTED | nullable | tagFlag(btf, type.type),
    btf,
    btfId: target.id,
    fieldSize: 0,
  };
}

/** Name of an argument in the kernel's stub of a struct_ops member, which tells what it may be (`prepare_arg_info`). */
function stubParam(env: Env, arg: number): string {
  if (env.input.progType !== P.PROG_STRUCT_OPS) return '';
  const btf = env.vmlinux;
  const id = btf.find(`${btf.name(env.input.attachBtfId)}__${env.attachFuncName}`, 'func');
  const func = id === undefined ? null : btf.type(id);
  const proto = func?.kind === 'func' ? btf.type(func.type) : null;
  const name = (proto?.kind === 'func_proto' && proto.params[arg]?.name) || '';
  if (name.endsWith('__ref')) unsupported(env, 'arguments that come with a reference');
  return name;
}

function said(env: Env, text: string): null {
  env.verbose(`${text}\n`);
  return null;
}
