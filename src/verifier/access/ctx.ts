import * as T from '../core/reg_types.table.ts';
import { type Env, reject } from '../core/types.ts';
import * as P from '../tables/contexts.table.ts';
import { btfArguments, type CtxAccess, scalar } from './ctx_btf.ts';
import { NET_RULES, pointer, type Rule } from './ctx_net.ts';
import { cgroupSkb, classifier, lwt, skSkb, socketFilter } from './ctx_skb.ts';
import { BPF_READ, BPF_WRITE, narrowOk } from './region.ts';

export type { CtxAccess } from './ctx_btf.ts';

const XDP_EGRESS_IFINDEX = 20;

const xdp: Rule = (env, off, size, access, isLdsx) => {
  if (access === BPF_WRITE || off < 0 || off >= 24 || off % size !== 0 || size !== 4) return null;
  if (off === XDP_EGRESS_IFINDEX && env.input.expectedAttachType !== P.ATTACH_XDP_DEVMAP) return null;
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
  ...NET_RULES,
  [P.PROG_LWT_IN]: lwt,
  [P.PROG_LWT_OUT]: lwt,
  [P.PROG_LWT_XMIT]: lwt,
  [P.PROG_LWT_SEG6LOCAL]: lwt,
  [P.PROG_SK_SKB]: skSkb,
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
