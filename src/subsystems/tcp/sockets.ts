import { ERRNO } from '../../base/index.ts';
import type { Kernel } from '../../kernel/index.ts';
import type { GuestPtr } from '../../machine/index.ts';
import { findCongestionControl } from './controls.ts';
import { type CongestionOps, flagsOf } from './ops.ts';
import type { TcpSock } from './sock.ts';

/** TCP_CONG_NON_RESTRICTED. */
const NON_RESTRICTED = 1;
const ESTABLISHED = 1;
const AF_INET = 2;
const IPPROTO_TCP = 6;

/** A socket that the helpers and kfuncs know by its address. */
export interface Socket {
  sock: TcpSock;
  /** What it is controlled by; absent for sockets of which nobody said so. */
  ops?: CongestionOps;
  /** A program's bpf_setsockopt(TCP_CONGESTION) is under way (bpf_chg_cc_inprogress). */
  changing: boolean;
  /** Sends an acknowledgment up to a sequence number; absent for sockets that receive no data. */
  sendAck?: (next: number) => void;
}

const sockets = new WeakMap<Kernel, Map<GuestPtr, Socket>>();

/** Makes a socket known to the kfuncs, which get its address, and fills in what an established TCP socket says of itself. */
export function registerSocket(kernel: Kernel, sock: TcpSock, ops?: CongestionOps): void {
  let known = sockets.get(kernel);
  if (known === undefined) {
    known = new Map();
    sockets.set(kernel, known);
  }
  known.set(sock.pointer, { sock, changing: false, ...(ops === undefined ? {} : { ops }) });
  const { memory } = kernel;
  const at = (struct: string, member: string) => sock.pointer + kernel.field(struct, member).offset;
  memory.setU8(at('sock_common', 'skc_state'), ESTABLISHED);
  memory.setU8(at('sock_common', 'skc_family'), AF_INET);
  memory.setU8(at('sock', 'sk_protocol'), IPPROTO_TCP);
  if (ops !== undefined) memory.setPtr(at('inet_connection_sock', 'icsk_ca_ops'), ops.kdata);
}

/** The socket is gone, and with it what programs keep about it. */
export function forgetSocket(kernel: Kernel, sock: TcpSock): void {
  sockets.get(kernel)?.delete(sock.pointer);
  for (const map of kernel.maps) map.forgetSocket?.(sock.pointer);
}

export function findSocket(kernel: Kernel, pointer: GuestPtr): Socket | undefined {
  return sockets.get(kernel)?.get(pointer);
}

/**
 * `setsockopt(TCP_CONGESTION)` on a connected socket: the old control's `release`, the new one's `init`. 0, or -ENOENT for a
 * name that nobody registered, -EPERM for a restricted control without CAP_NET_ADMIN, -EINVAL for a socket without control.
 * Mirrors tcp_set_congestion_control and tcp_reinit_congestion_control (net/ipv4/tcp_cong.c, 6.18).
 */
export function setCongestionControl(kernel: Kernel, pointer: GuestPtr, name: string, capable = true): number {
  const socket = findSocket(kernel, pointer);
  if (socket?.ops === undefined) return -ERRNO.EINVAL;
  const { sock, ops } = socket;
  const kdata = findCongestionControl(kernel, name);
  if (kdata === ops.kdata) return 0;
  if (kdata === undefined) return -ERRNO.ENOENT;
  if (!capable && (flagsOf(kernel, kdata) & NON_RESTRICTED) === 0) return -ERRNO.EPERM;
  const { memory } = kernel;
  ops.call('release', { ptr: pointer });
  useControl(kernel, pointer, kdata);
  const { offset, size } = kernel.field('inet_connection_sock', 'icsk_ca_priv');
  memory.bytes(pointer + offset, size).fill(0);
  sock.set('prior_ssthresh', 0);
  ops.call('init', { ptr: pointer });
  sock.set('icsk_ca_initialized', 1);
  return 0;
}

/** The socket has another table from now on; neither `release` nor `init` is called. */
export function useControl(kernel: Kernel, pointer: GuestPtr, kdata: GuestPtr): void {
  findSocket(kernel, pointer)?.ops?.replace(kdata);
  kernel.memory.setPtr(pointer + kernel.field('inet_connection_sock', 'icsk_ca_ops').offset, kdata);
}
