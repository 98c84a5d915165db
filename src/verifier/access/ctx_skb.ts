import * as T from '../core/reg_types.table.ts';
import { SKB } from '../tables/contexts.table.ts';
import { type CtxAccess, scalar } from './ctx_btf.ts';
import { type Field, inside, pointer, type Rule } from './ctx_net.ts';
import { BPF_READ, BPF_WRITE, narrowOk } from './region.ts';

// `struct __sk_buff` as each program type sees it (net/core/filter.c, 6.18).

/** Addresses: only as whole words. */
const WHOLE_WORDS = [SKB.remoteIp4, SKB.localIp4, SKB.remoteIp6, SKB.localIp6];

/** Rules that hold whatever the program type (`bpf_skb_is_valid_access`). */
function skbCommon(off: number, size: number, access: number, isLdsx: boolean): CtxAccess | null {
  if (off < 0 || off >= SKB.size || off % size !== 0) return null;
  if (inside(off, SKB.cb)) return off + size <= SKB.cb[0] + SKB.cb[1] ? scalar() : null;
  if ([SKB.data, SKB.dataMeta, SKB.dataEnd].some((field) => inside(off, field)))
    return isLdsx || size !== 4 ? null : scalar();
  if (WHOLE_WORDS.some((field) => inside(off, field))) return size === 4 ? scalar() : null;
  if (inside(off, SKB.flowKeys)) return null;
  if (inside(off, SKB.hwtstamp)) return access === BPF_READ && size === 8 ? scalar() : null;
  if (inside(off, SKB.tstamp)) return size === 8 ? scalar() : null;
  if (inside(off, SKB.sk))
    return access === BPF_READ && size === 8 ? pointer(T.PTR_TO_SOCK_COMMON | T.PTR_MAYBE_NULL) : null;
  if (inside(off, SKB.tstampType)) return null;
  if (access === BPF_WRITE) return size === 4 ? scalar() : null;
  return narrowOk(off, size, 4) ? scalar(4) : null;
}

/** What sets a program type apart: members that it cannot see, and those that it may set. */
interface SkbView {
  hidden: readonly Field[];
  writable: readonly Field[];
}

const view =
  ({ hidden, writable }: SkbView): Rule =>
  (_env, off, size, access, isLdsx) => {
    if (hidden.some((field) => inside(off, field))) return null;
    if (access === BPF_WRITE && !writable.some((field) => inside(off, field))) return null;
    const found = skbCommon(off, size, access, isLdsx);
    if (!found) return null;
    if (off === SKB.data[0]) return pointer(T.PTR_TO_PACKET);
    if (off === SKB.dataEnd[0]) return pointer(T.PTR_TO_PACKET_END);
    return off === SKB.dataMeta[0] ? pointer(T.PTR_TO_PACKET_META) : found;
  };

export const socketFilter = view({
  hidden: [SKB.tcClassid, SKB.data, SKB.dataMeta, SKB.dataEnd, SKB.addresses, SKB.tstamp, SKB.wireLen, SKB.hwtstamp],
  writable: [SKB.cb],
});

const classifierView = view({
  hidden: [SKB.addresses],
  writable: [SKB.mark, SKB.tcIndex, SKB.priority, SKB.tcClassid, SKB.cb, SKB.tstamp, SKB.queueMapping],
});

/** Classifiers see the kind of time stamp as well. */
export const classifier: Rule = (env, off, size, access, isLdsx) =>
  off === SKB.tstampType[0]
    ? access === BPF_READ && size === 1
      ? scalar()
      : null
    : classifierView(env, off, size, access, isLdsx);

export const cgroupSkb = view({
  hidden: [SKB.tcClassid, SKB.dataMeta, SKB.wireLen],
  writable: [SKB.mark, SKB.priority, SKB.cb, SKB.tstamp],
});

/** Lightweight tunnels. */
export const lwt = view({
  hidden: [SKB.tcClassid, SKB.addresses, SKB.dataMeta, SKB.tstamp, SKB.wireLen, SKB.hwtstamp],
  writable: [SKB.mark, SKB.priority, SKB.cb],
});

export const skSkb = view({
  hidden: [SKB.tcClassid, SKB.dataMeta, SKB.tstamp, SKB.wireLen, SKB.hwtstamp, SKB.mark],
  writable: [SKB.tcIndex, SKB.priority],
});
