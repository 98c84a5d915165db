import { ERRNO } from '../../base/index.ts';
import type { GateDef, Kernel, StructOpsDef, Subsystem } from '../../kernel/index.ts';
import type { GuestPtr } from '../../machine/index.ts';
import { findCongestionControl, registered } from './controls.ts';
import { moduleGates } from './modules/modules.ts';
import { CC_NAME_MAX, type CcMember, nameOf, TYPE } from './ops.ts';
import { findSocket } from './sockets.ts';
import { sockoptGates } from './sockopt.ts';

/** TCP_CONG_NON_RESTRICTED | TCP_CONG_NEEDS_ECN. */
const FLAGS_MASK = 3;

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
    const list = registered(kernel);
    if (findCongestionControl(kernel, name) !== undefined) {
      kernel.printk(`TCP: ${name} already registered or non-unique key`);
      return -ERRNO.EEXIST;
    }
    list.push({ name, kdata });
    return 0;
  },
  unreg: (kernel, kdata) => {
    const list = registered(kernel);
    const at = list.findIndex((entry) => entry.kdata === kdata);
    if (at >= 0) list.splice(at, 1);
  },
  update: (kernel, kdata, old) => {
    const name = nameOf(kernel, kdata);
    const entry = registered(kernel).find((candidate) => candidate.name === nameOf(kernel, old));
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

/** bpf_tcp_send_ack: on a socket that receives no data, nobody looks at what is sent. */
const sendAck = (kernel: () => Kernel): GateDef => ({
  name: 'bpf_tcp_send_ack',
  handler: (call) => {
    findSocket(kernel(), call.ptr(0))?.sendAck?.(call.lo(1) >>> 0);
    call.ret(0);
  },
});

/** TCP as an owner of ops tables. */
export const tcpSubsystem: Subsystem = {
  name: 'tcp',
  structOps: [congestionOps],
  gates: (kernel) => [...moduleGates(kernel), ...sockoptGates(kernel), sendAck(kernel)],
};
