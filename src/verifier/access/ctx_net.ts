import * as T from '../core/reg_types.table.ts';
import type { Env } from '../core/types.ts';
import * as P from '../tables/contexts.table.ts';
import { type CtxAccess, scalar } from './ctx_btf.ts';
import { BPF_READ, BPF_WRITE, narrowOk } from './region.ts';
import { sockField } from './sockets.ts';

// Contexts of the network program types beside sk_buff's (net/core/filter.c, kernel/bpf/cgroup.c, 6.18). Offsets are
// those of include/uapi/linux/bpf.h.

/** An access to a context: what it gives, or null if it is not allowed (`is_valid_access`). */
export type Rule = (env: Env, off: number, size: number, access: number, isLdsx: boolean) => CtxAccess | null;

export const pointer = (type: number): CtxAccess => ({ type, btf: null, btfId: 0, fieldSize: 0 });

/** A range of bytes: start, size. */
export type Field = readonly [start: number, size: number];

export const inside = (off: number, [start, size]: Field): boolean => off >= start && off < start + size;

const narrow = (off: number, size: number, defaultSize: number): CtxAccess | null =>
  narrowOk(off, size, defaultSize) ? scalar(defaultSize) : null;

/** An aligned access within a context of `bytes`. */
const placed = (off: number, size: number, bytes: number): boolean => off >= 0 && off < bytes && off % size === 0;

const word = (size: number): CtxAccess | null => (size === 4 ? scalar() : null);
const pointerOf8 = (size: number, type: number): CtxAccess | null => (size === 8 ? pointer(type) : null);

const SOCK = { srcIp4: [24, 4], srcIp6: [28, 16], srcPort: [44, 4] } as const;
/** bpf_sock: bound_dev_if, mark, priority. */
const SOCK_SETTABLE = [0, 16, 20];

/** `struct bpf_sock` as a context (`sock_filter_is_valid_access`). */
const cgroupSock: Rule = ({ input: { expectedAttachType: attach } }, off, size, access) => {
  const width = sockField(off, size);
  if (width === null) return null;
  const found = scalar(width);
  if (SOCK_SETTABLE.includes(off)) return P.SOCK_CREATE_RELEASE.includes(attach) ? found : null;
  if (inside(off, SOCK.srcIp4) && attach !== P.POST_BIND4) return null;
  if (inside(off, SOCK.srcIp6) && attach !== P.POST_BIND6) return null;
  if (inside(off, SOCK.srcPort) && attach !== P.POST_BIND4 && attach !== P.POST_BIND6) return null;
  return access === BPF_READ ? found : null;
};

const ADDR = {
  userIp4: [4, 4],
  userIp6: [8, 16],
  userPort: [24, 4],
  msgSrcIp4: [40, 4],
  msgSrcIp6: [44, 16],
  sk: [64, 8],
  size: 72,
} as const;
/** bpf_sock_addr: user_family, family, type, protocol. */
const ADDR_READABLE: readonly Field[] = [
  [0, 4],
  [28, 12],
];
/** Members that only programs at sockets of their family may touch. */
const ADDR_OF_FAMILY: readonly (readonly [Field, readonly number[]])[] = [
  [ADDR.userIp4, P.SOCK_ADDR_IP4],
  [ADDR.userIp6, P.SOCK_ADDR_IP6],
  [ADDR.msgSrcIp4, [P.UDP4_SENDMSG]],
  [ADDR.msgSrcIp6, [P.UDP6_SENDMSG]],
];

/** An aligned double word within a field (`bpf_ctx_wide_access_ok`). */
const wideOk = (off: number, size: number, [start, length]: Field): boolean =>
  size === 8 && off >= start && off + 8 <= start + length && off % 8 === 0;

const sockAddr: Rule = ({ input: { expectedAttachType: attach } }, off, size, access) => {
  if (!placed(off, size, ADDR.size)) return null;
  if (ADDR_OF_FAMILY.some(([field, attached]) => inside(off, field) && !attached.includes(attach))) return null;
  if (inside(off, ADDR.sk)) return access === BPF_READ ? pointerOf8(size, T.PTR_TO_SOCKET) : null;
  if (ADDR_READABLE.some((field) => inside(off, field))) return access === BPF_READ ? word(size) : null;
  const addresses = [ADDR.userIp4, ADDR.userIp6, ADDR.userPort, ADDR.msgSrcIp4, ADDR.msgSrcIp6];
  if (!addresses.some((field) => inside(off, field))) return null;
  if (wideOk(off, size, ADDR.userIp6) || wideOk(off, size, ADDR.msgSrcIp6)) return scalar(access === BPF_READ ? 4 : 0);
  return access === BPF_READ ? narrow(off, size, 4) : word(size);
};

const OPS = { reply: 4, txhash: 164, bytes: [168, 16], flags: 212, hwtstamp: [216, 8], size: 224 } as const;

const sockOps: Rule = (_env, off, size, access) => {
  if (!placed(off, size, OPS.size)) return null;
  if (access === BPF_WRITE) return off === OPS.reply || off === OPS.txhash ? word(size) : null;
  if (inside(off, OPS.bytes) || inside(off, OPS.hwtstamp)) return size === 8 ? scalar() : null;
  if (inside(off, [184, 8])) return pointerOf8(size, T.PTR_TO_SOCKET | T.PTR_MAYBE_NULL);
  if (inside(off, [192, 8])) return pointerOf8(size, T.PTR_TO_PACKET);
  if (inside(off, [200, 8])) return pointerOf8(size, T.PTR_TO_PACKET_END);
  return off === OPS.flags ? narrow(off, size, 4) : word(size);
};

const skMsg: Rule = (_env, off, size, access) => {
  if (access === BPF_WRITE || off % size !== 0) return null;
  if (inside(off, [0, 8])) return pointerOf8(size, T.PTR_TO_PACKET);
  if (inside(off, [8, 8])) return pointerOf8(size, T.PTR_TO_PACKET_END);
  if (inside(off, [72, 8])) return pointerOf8(size, T.PTR_TO_SOCKET);
  return inside(off, [16, 56]) ? word(size) : null;
};

const flowDissector: Rule = (_env, off, size, access, isLdsx) => {
  const { SKB } = P;
  if (!placed(off, size, SKB.size) || access === BPF_WRITE) return null;
  if (inside(off, SKB.flowKeys)) return pointerOf8(size, T.PTR_TO_FLOW_KEYS);
  if (isLdsx || size !== 4) return null;
  if (inside(off, SKB.data)) return pointer(T.PTR_TO_PACKET);
  return inside(off, SKB.dataEnd) ? pointer(T.PTR_TO_PACKET_END) : null;
};

const skReuseport: Rule = (_env, off, size, access) => {
  if (!placed(off, size, 56) || access !== BPF_READ) return null;
  if (off === 0) return pointerOf8(size, T.PTR_TO_PACKET);
  if (off === 8) return pointerOf8(size, T.PTR_TO_PACKET_END);
  if (off === 32) return word(size);
  if (off === 40) return pointerOf8(size, T.PTR_TO_SOCKET);
  if (off === 48) return pointerOf8(size, T.PTR_TO_SOCK_COMMON | T.PTR_MAYBE_NULL);
  if (inside(off, [20, 4]) && size < 2) return null;
  return inside(off, [16, 16]) ? narrow(off, size, 4) : null;
};

const skLookup: Rule = (_env, off, size, access) => {
  if (!placed(off, size, 72) || access !== BPF_READ) return null;
  if (inside(off, [0, 8])) return pointerOf8(size, T.PTR_TO_SOCKET | T.PTR_MAYBE_NULL);
  if (inside(off, [36, 2])) return size === 4 ? scalar() : narrow(off, size, 2);
  if (inside(off, [38, 2])) return narrow(off, size, 2);
  return inside(off, [8, 60]) ? narrow(off, size, 4) : null;
};

const cgroupDevice: Rule = (_env, off, size, access) => {
  if (access === BPF_WRITE || off < 0 || off + size > 12 || off % size !== 0) return null;
  return inside(off, [0, 4]) ? narrow(off, size, 4) : word(size);
};

const cgroupSysctl: Rule = (_env, off, size, access) => {
  if (off < 0 || off + size > 8 || off % size !== 0) return null;
  if (access === BPF_READ) return narrow(off, size, 4);
  return inside(off, [4, 4]) ? word(size) : null;
};

const SOCKOPT = {
  sk: [0, 8],
  optval: [8, 8],
  optvalEnd: [16, 8],
  level: 24,
  optname: 28,
  optlen: 32,
  retval: 36,
} as const;

const cgroupSockopt: Rule = ({ input: { expectedAttachType: attach } }, off, size, access) => {
  if (!placed(off, size, 40)) return null;
  if (access === BPF_WRITE) {
    if (off === SOCKOPT.retval) return attach === P.CGROUP_GETSOCKOPT ? word(size) : null;
    if (off === SOCKOPT.optname || off === SOCKOPT.level) return attach === P.CGROUP_SETSOCKOPT ? word(size) : null;
    return off === SOCKOPT.optlen ? word(size) : null;
  }
  if (inside(off, SOCKOPT.sk)) return pointerOf8(size, T.PTR_TO_SOCKET);
  if (inside(off, SOCKOPT.optval)) return pointerOf8(size, T.PTR_TO_PACKET);
  if (inside(off, SOCKOPT.optvalEnd)) return pointerOf8(size, T.PTR_TO_PACKET_END);
  if (inside(off, [SOCKOPT.retval, 4]) && attach !== P.CGROUP_GETSOCKOPT) return null;
  return word(size);
};

/** `struct bpf_nf_ctx`: state, skb (`nf_is_valid_access`). */
const netfilter: Rule = ({ vmlinux }, off, size, access) => {
  if (off < 0 || off >= 16 || access === BPF_WRITE || size !== 8) return null;
  const btfId = vmlinux.find(off < 8 ? 'nf_hook_state' : 'sk_buff', 'struct');
  return btfId === undefined ? null : { type: T.PTR_TO_BTF_ID | T.PTR_TRUSTED, btf: vmlinux, btfId, fieldSize: 0 };
};

export const NET_RULES: Readonly<Record<number, Rule>> = {
  [P.PROG_CGROUP_SOCK]: cgroupSock,
  [P.PROG_CGROUP_SOCK_ADDR]: sockAddr,
  [P.PROG_SOCK_OPS]: sockOps,
  [P.PROG_SK_MSG]: skMsg,
  [P.PROG_FLOW_DISSECTOR]: flowDissector,
  [P.PROG_SK_REUSEPORT]: skReuseport,
  [P.PROG_SK_LOOKUP]: skLookup,
  [P.PROG_CGROUP_DEVICE]: cgroupDevice,
  [P.PROG_CGROUP_SYSCTL]: cgroupSysctl,
  [P.PROG_CGROUP_SOCKOPT]: cgroupSockopt,
  [P.PROG_NETFILTER]: netfilter,
};
