import { ERRNO } from '../../base/index.ts';
import type { GateDef, Kernel, StructOpsDef, Subsystem } from '../../kernel/index.ts';
import type { GuestPtr } from '../../machine/index.ts';
import { CC_NAME_MAX, type CcMember, nameOf } from './ops.ts';
import { type TcpSock, tcpCongAvoidAi, tcpSlowStart } from './sock.ts';
import { findSocket } from './sockets.ts';
import { sockoptGates } from './sockopt.ts';

const TYPE = 'tcp_congestion_ops';
/** TCP_CONG_NON_RESTRICTED | TCP_CONG_NEEDS_ECN. */
const FLAGS_MASK = 3;

/** A registered congestion control (tcp_cong_list). */
interface Registered {
  name: string;
  kdata: GuestPtr;
}
/** One list for each kernel. */
const lists = new WeakMap<Kernel, Registered[]>();

function listOf(kernel: Kernel): Registered[] {
  let list = lists.get(kernel);
  if (list === undefined) {
    list = [];
    lists.set(kernel, list);
  }
  return list;
}

/** The table registered under `name` (tcp_ca_find). */
export function findCongestionControl(kernel: Kernel, name: string): GuestPtr | undefined {
  return listOf(kernel).find((entry) => entry.name === name)?.kdata;
}

/** Names of all registered congestion controls. */
export function congestionControls(kernel: Kernel): string[] {
  return listOf(kernel).map(({ name }) => name);
}

const has = (kernel: Kernel, kdata: GuestPtr, member: CcMember) =>
  kernel.memory.ptr(kdata + kernel.field(TYPE, member).offset) !== 0;

/** bpf_obj_name_cpy: letters, digits, `_` and `.`, NUL-terminated; negative for anything else. */
function checkName(value: Uint8Array): number {
  const end = value.indexOf(0);
  if (end < 0) return -ERRNO.EINVAL;
  const text = new TextDecoder().decode(value.subarray(0, end));
  return /^[A-Za-z0-9_.]*$/.test(text) ? text.length : -ERRNO.EINVAL;
}

/** tcp_validate_congestion_control. */
function validate(kernel: Kernel, kdata: GuestPtr): number {
  if (
    has(kernel, kdata, 'ssthresh') &&
    has(kernel, kdata, 'undo_cwnd') &&
    (has(kernel, kdata, 'cong_avoid') || has(kernel, kdata, 'cong_control'))
  )
    return 0;
  kernel.printk(`TCP: ${nameOf(kernel, kdata)} does not implement required ops`);
  return -ERRNO.EINVAL;
}

const STUBS: Record<CcMember, string> = {
  ssthresh: 'bpf_tcp_ca_ssthresh',
  cong_avoid: 'bpf_tcp_ca_cong_avoid',
  set_state: 'bpf_tcp_ca_set_state',
  cwnd_event: 'bpf_tcp_ca_cwnd_event',
  in_ack_event: 'bpf_tcp_ca_in_ack_event',
  pkts_acked: 'bpf_tcp_ca_pkts_acked',
  min_tso_segs: 'bpf_tcp_ca_min_tso_segs',
  cong_control: 'bpf_tcp_ca_cong_control',
  undo_cwnd: 'bpf_tcp_ca_undo_cwnd',
  sndbuf_expand: 'bpf_tcp_ca_sndbuf_expand',
  init: '__bpf_tcp_ca_init',
  release: '__bpf_tcp_ca_release',
};

/** The owner of `tcp_congestion_ops`: bpf_tcp_congestion_ops of net/ipv4/bpf_tcp_ca.c (6.12). */
const congestionOps: StructOpsDef = {
  name: TYPE,
  stubs: STUBS,
  checkMember: (_, program) => (program.sleepable ? -ERRNO.EINVAL : 0),
  initMember: (kernel, member, value, place) => {
    if (member === 'flags') {
      const flags = new DataView(value.buffer, value.byteOffset).getUint32(0, true);
      if ((flags & ~FLAGS_MASK) !== 0) return -ERRNO.EINVAL;
      kernel.memory.setU32(place, flags);
      return 1;
    }
    if (member === 'name') {
      if (checkName(value) <= 0) return -ERRNO.EINVAL;
      kernel.memory.bytes(place, CC_NAME_MAX).set(value);
      return 1;
    }
    return 0;
  },
  validate,
  reg: (kernel, kdata) => {
    const name = nameOf(kernel, kdata);
    const list = listOf(kernel);
    if (list.some((entry) => entry.name === name)) {
      kernel.printk(`TCP: ${name} already registered or non-unique key`);
      return -ERRNO.EEXIST;
    }
    list.push({ name, kdata });
    return 0;
  },
  unreg: (kernel, kdata) => {
    const list = listOf(kernel);
    const at = list.findIndex((entry) => entry.kdata === kdata);
    if (at >= 0) list.splice(at, 1);
  },
  update: (kernel, kdata, old) => {
    const name = nameOf(kernel, kdata);
    const entry = listOf(kernel).find((candidate) => candidate.name === nameOf(kernel, old));
    if (entry?.name !== name) {
      kernel.printk(`TCP: ${name} not registered or non-unique key`);
      return -ERRNO.EINVAL;
    }
    if (entry.kdata !== old) {
      kernel.printk('TCP: invalid old congestion control algorithm to replace');
      return -ERRNO.EINVAL;
    }
    // Connections that use the old table keep it: they hold its map.
    entry.kdata = kdata;
    return 0;
  },
};

/** Functions of net/ipv4/tcp_cong.c that programs may call. */
function kfuncs(kernel: () => Kernel): GateDef[] {
  const withSock = (
    name: string,
    work: (sock: TcpSock, first: number, second: number) => number | undefined,
  ): GateDef => ({
    name,
    handler: (call) => {
      const sock = findSocket(kernel(), call.ptr(0))?.sock;
      const result = sock === undefined ? 0 : work(sock, call.lo(1) >>> 0, call.lo(2) >>> 0);
      if (result !== undefined) call.ret(result | 0);
    },
  });
  return [
    withSock('tcp_reno_ssthresh', (sock) => Math.max(sock.get('snd_cwnd') >>> 1, 2)),
    withSock('tcp_reno_undo_cwnd', (sock) => Math.max(sock.get('snd_cwnd'), sock.get('prior_cwnd'))),
    withSock('tcp_slow_start', (sock, acked) => tcpSlowStart(sock, acked)),
    withSock('tcp_cong_avoid_ai', (sock, w, acked) => void tcpCongAvoidAi(sock, w, acked)),
    withSock('tcp_reno_cong_avoid', (sock, _ack, acked) => {
      if (!sock.isCwndLimited()) return undefined;
      const left = sock.inSlowStart() ? tcpSlowStart(sock, acked) : acked;
      if (left > 0) tcpCongAvoidAi(sock, sock.get('snd_cwnd'), left);
      return undefined;
    }),
    withSock('bpf_tcp_send_ack', () => 0),
  ];
}

/** TCP as an owner of ops tables. */
export const tcpSubsystem: Subsystem = {
  name: 'tcp',
  structOps: [congestionOps],
  gates: (kernel) => [...kfuncs(kernel), ...sockoptGates(kernel)],
};
