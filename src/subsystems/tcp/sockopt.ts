import { ERRNO } from '../../base/index.ts';
import { type GateDef, type Kernel, UnsupportedError } from '../../kernel/index.ts';
import type { GuestPtr } from '../../machine/index.ts';
import { CC_NAME_MAX, nameOf } from './ops.ts';
import { findSocket, type Socket, setCongestionControl } from './sockets.ts';

const SOL_SOCKET = 1;
const SOL_TCP = 6;
const SO = { SNDBUF: 7, PRIORITY: 12, MARK: 36, MAX_PACING_RATE: 47 } as const;
const TCP = { NODELAY: 1, MAXSEG: 2, CONGESTION: 13, BPF_IW: 1001, BPF_SNDCWND_CLAMP: 1002 } as const;
/** Options of bpf_sol_tcp_setsockopt that the kernel takes and nothing here obeys. */
const UNMODELLED_BPF = [1003, 1004, 1008];
/** Options of sol_socket_sockopt and sol_tcp_sockopt that are not modelled. */
const UNMODELLED: Readonly<Record<number, readonly number[]>> = {
  [SOL_SOCKET]: [2, 8, 9, 15, 18, 25, 62, 74],
  [SOL_TCP]: [4, 5, 6, 7, 10, 16, 18, 25, 27, 28, 44],
};
const PACING_NEEDED = 1;
const EXT_NOTSUPP = -524;

/** One call: where the option lies, and its length. */
interface Option {
  level: number;
  name: number;
  value: GuestPtr;
  length: number;
}

/**
 * `bpf_setsockopt` and `bpf_getsockopt` of congestion controls, bpf_sk_setsockopt and bpf_sk_getsockopt: _bpf_setsockopt and _bpf_getsockopt of net/core/filter.c
 * (6.18). Options that the kernel knows and nobody here obeys end the run as unsupported.
 */
export function sockoptGates(kernel: () => Kernel): GateDef[] {
  const gate = (name: string, work: (k: Kernel, socket: Socket, option: Option) => number): GateDef => ({
    name,
    handler: (call) => {
      const k = kernel();
      const socket = findSocket(k, call.ptr(0));
      const option = { level: call.lo(1), name: call.lo(2), value: call.ptr(3), length: call.lo(4) };
      call.retNumber(socket === undefined ? -ERRNO.EINVAL : work(k, socket, option));
    },
  });
  return [
    gate('bpf_sk_setsockopt', setsockopt),
    gate('bpf_sk_getsockopt', (k, socket, option) => {
      const err = getsockopt(k, socket, option);
      if (err !== 0) k.memory.bytes(option.value, option.length).fill(0);
      return err;
    }),
  ];
}

function setsockopt(k: Kernel, socket: Socket, option: Option): number {
  const { level, name, value, length } = option;
  if (level === SOL_TCP && name === TCP.CONGESTION) return changeControl(k, socket, value, length);
  refuseUnmodelled(option);
  if (length !== 4) return -ERRNO.EINVAL;
  const number = k.memory.i32(value);
  const { sock } = socket;
  if (level === SOL_TCP && name === TCP.BPF_IW) {
    // Only before the first data goes out.
    if (number <= 0 || sock.get('data_segs_out') > 0) return -ERRNO.EINVAL;
    sock.set('snd_cwnd', number);
    return 0;
  }
  if (level === SOL_TCP && name === TCP.BPF_SNDCWND_CLAMP) {
    if (number <= 0) return -ERRNO.EINVAL;
    sock.set('snd_cwnd_clamp', number);
    sock.set('snd_ssthresh', number);
    return 0;
  }
  if (level === SOL_SOCKET && (name === SO.PRIORITY || name === SO.MARK)) {
    k.memory.setU32(fieldOf(k, socket, name === SO.MARK ? 'sk_mark' : 'sk_priority'), number);
    return 0;
  }
  if (level === SOL_SOCKET && name === SO.MAX_PACING_RATE) {
    // ~0 stands for no limit (~0UL).
    const rate = number === -1 ? Number.MAX_SAFE_INTEGER : number >>> 0;
    if (number !== -1 && sock.get('sk_pacing_status') === 0) sock.set('sk_pacing_status', PACING_NEEDED);
    sock.set('sk_max_pacing_rate', rate);
    if (rate < sock.get('sk_pacing_rate')) sock.set('sk_pacing_rate', rate);
    return 0;
  }
  if (
    (level === SOL_SOCKET && name === SO.SNDBUF) ||
    (level === SOL_TCP && (name === TCP.NODELAY || name === TCP.MAXSEG))
  )
    throw unmodelled(option);
  return -ERRNO.EINVAL;
}

/** sol_tcp_sockopt_congestion. */
function changeControl(k: Kernel, socket: Socket, value: GuestPtr, length: number): number {
  if (length < 2) return -ERRNO.EINVAL;
  const bytes = k.memory.bytes(value, Math.min(length, CC_NAME_MAX - 1));
  const end = bytes.indexOf(0);
  const name = new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
  // tcp_cdg keeps a pointer where a program may write.
  if (length >= 3 && name === 'cdg') return EXT_NOTSUPP;
  if (socket.changing) return -ERRNO.EBUSY;
  socket.changing = true;
  try {
    return setCongestionControl(k, socket.sock.pointer, name);
  } finally {
    socket.changing = false;
  }
}

function getsockopt(k: Kernel, socket: Socket, option: Option): number {
  const { level, name, value, length } = option;
  const { sock, ops } = socket;
  if (level === SOL_TCP && name === TCP.CONGESTION) {
    if (length < 2 || ops === undefined) return -ERRNO.EINVAL;
    const target = k.memory.bytes(value, length).fill(0);
    target.set(new TextEncoder().encode(nameOf(k, ops.kdata)).subarray(0, Math.min(length - 1, CC_NAME_MAX)));
    return 0;
  }
  refuseUnmodelled(option);
  if (length !== 4) return -ERRNO.EINVAL;
  const give = (number: number) => {
    k.memory.setU32(value, number);
    return 0;
  };
  if (level === SOL_TCP && name === TCP.NODELAY) return give(0);
  if (level === SOL_TCP && name === TCP.MAXSEG) return give(sock.get('mss_cache'));
  if (level === SOL_SOCKET && name === SO.SNDBUF) return give(sock.get('sk_sndbuf'));
  if (level === SOL_SOCKET && name === SO.PRIORITY) return give(k.memory.u32(fieldOf(k, socket, 'sk_priority')));
  if (level === SOL_SOCKET && name === SO.MARK) return give(k.memory.u32(fieldOf(k, socket, 'sk_mark')));
  if (level === SOL_SOCKET && name === SO.MAX_PACING_RATE)
    return give(Math.min(0xffffffff, sock.get('sk_max_pacing_rate')));
  return -ERRNO.EINVAL;
}

const fieldOf = (k: Kernel, { sock }: Socket, name: string): GuestPtr => sock.pointer + k.field('sock', name).offset;

function refuseUnmodelled(option: Option): void {
  const { level, name } = option;
  const known = UNMODELLED[level]?.includes(name) === true || (level === SOL_TCP && UNMODELLED_BPF.includes(name));
  if (known || level === 0 || level === 41) throw unmodelled(option);
}

function unmodelled({ level, name }: Option): UnsupportedError {
  return new UnsupportedError(`socket option ${name} of level ${level} is not modelled`, 'bpf_setsockopt');
}
