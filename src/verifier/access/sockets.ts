import { typeStr } from '../core/log.ts';
import * as T from '../core/reg_types.table.ts';
import { type Env, reject } from '../core/types.ts';
import { smin } from './numbers.ts';
import { narrowOk } from './region.ts';

/** Members of `struct bpf_sock` (include/uapi/linux/bpf.h): places that may be read in parts, by their first byte. */
const NARROW: ReadonlySet<number> = new Set([
  4,
  8,
  12,
  72,
  44,
  76,
  24,
  25,
  26,
  27,
  52,
  53,
  54,
  55,
  ...Array.from({ length: 16 }, (_, i) => 28 + i),
  ...Array.from({ length: 16 }, (_, i) => 56 + i),
]);
const SOCK_SIZE = 80;
const SOCK_DST_PORT = 48;
const SOCK_DST_IP4 = 52;
/** From `type` to the end of `priority`: members that a sock_common has not. */
const SOCK_FULL_ONLY = [8, 24] as const;
const TCP_SOCK_SIZE = 112;
/** `bytes_received` and `bytes_acked`. */
const TCP_SOCK_WIDE: readonly number[] = [80, 88];
const XDP_SOCK_SIZE = 4;

/** Width of the real member where a narrower load is to be rewritten, 0 without; null: no such access. */
export type Field = number | null;

const narrow = (off: number, size: number, width: number): Field => (narrowOk(off, size, width) ? width : null);

/** An access to `struct bpf_sock` (`bpf_sock_is_valid_access`). */
export function sockField(off: number, size: number): Field {
  if (off < 0 || off >= SOCK_SIZE || off % size !== 0) return null;
  if (NARROW.has(off)) return narrow(off, size, 4);
  if (off === SOCK_DST_PORT || off === SOCK_DST_PORT + 1) return narrow(off, size, size === 4 ? 4 : 2);
  if (off > SOCK_DST_PORT && off < SOCK_DST_IP4) return null;
  return size === 4 ? 0 : null;
}

const sockCommon = (off: number, size: number): Field =>
  off >= SOCK_FULL_ONLY[0] && off < SOCK_FULL_ONLY[1] ? null : sockField(off, size);

function tcpSock(off: number, size: number): Field {
  if (off < 0 || off >= TCP_SOCK_SIZE || off % size !== 0) return null;
  return size === (TCP_SOCK_WIDE.includes(off) ? 8 : 4) ? 0 : null;
}

const xdpSock = (off: number, size: number): Field => (off >= 0 && off < XDP_SOCK_SIZE && size === 4 ? 0 : null);

const RULES: Readonly<Record<number, (off: number, size: number) => Field>> = {
  [T.PTR_TO_SOCK_COMMON]: sockCommon,
  [T.PTR_TO_SOCKET]: sockField,
  [T.PTR_TO_TCP_SOCK]: tcpSock,
  [T.PTR_TO_XDP_SOCK]: xdpSock,
};

/** A load from a socket that a helper or the context gave (`check_sock_access`, kernel/bpf/verifier.c, 6.18). */
export function checkSockAccess(env: Env, insnIdx: number, regno: number, off: number, size: number): void {
  const reg = env.peek(regno);
  if (smin(reg) < 0) {
    reject(env, 'EACCES', `R${regno} min value is negative, either use unsigned index or do a if (index >=0) check.`);
  }
  const width = RULES[reg.type]!(off, size);
  if (width === null) reject(env, 'EACCES', `R${regno} invalid ${typeStr(reg.type)} access off=${off} size=${size}`);
  env.aux[insnIdx]!.ctxFieldSize = width!;
}

const FLOW_KEYS_SIZE = 56;

/** `struct bpf_flow_keys` (`check_flow_keys_access`). */
export function checkFlowKeys(env: Env, off: number, size: number): void {
  if (off >= 0 && off + size <= FLOW_KEYS_SIZE) return;
  reject(env, 'EACCES', `invalid access to flow keys off=${off} size=${size}`);
}
