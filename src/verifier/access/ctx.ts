import * as T from '../core/reg_types.table.ts';
import { type Env, reject } from '../core/types.ts';
import * as P from '../tables/contexts.table.ts';
import { btfArguments, type CtxAccess, scalar } from './ctx_btf.ts';
import { BPF_READ, BPF_WRITE } from './region.ts';

export type { CtxAccess } from './ctx_btf.ts';

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

/** `sizeof(__u64) * MAX_BPF_FUNC_ARGS`. */
const RAW_TP_BYTES = 96;

/** A context of plain bytes: reads of natural alignment within `bytes`. */
const plain =
  (bytes: number): Rule =>
  (_env, off, size, access) =>
    access === BPF_READ && off >= 0 && off + size <= bytes && off % size === 0 ? scalar() : null;

/** Of writable raw tracepoints: the first slot is a buffer. */
const rawTracepointWritable: Rule = (env, off, size, access, isLdsx) =>
  off === 0 && size === 8 && access === BPF_READ
    ? pointer(T.PTR_TO_TP_BUFFER)
    : plain(RAW_TP_BYTES)(env, off, size, access, isLdsx);

const tracepoint: Rule = (_env, off, size, access) =>
  access === BPF_READ && off >= 8 && off < 8192 && off % size === 0 ? scalar() : null;

const syscall: Rule = (_env, off, size) => (off >= 0 && off < 65536 && off % size === 0 ? scalar() : null);

const perfEvent: Rule = (_env, off, size, access) => {
  if (access !== BPF_READ || off < 0 || off >= 184 || off % size !== 0) return null;
  if (off >= 168) return narrowOk(off, size, 8) ? scalar(8) : null;
  return size === 8 ? scalar() : null;
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
  [P.PROG_RAW_TRACEPOINT]: plain(RAW_TP_BYTES),
  [P.PROG_RAW_TRACEPOINT_WRITABLE]: rawTracepointWritable,
  [P.PROG_TRACING]: btfArguments,
  [P.PROG_STRUCT_OPS]: btfArguments,
  [P.PROG_LSM]: btfArguments,
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
