import { ALU, CLASS, type Insn, JMP } from '../../bpf/index.ts';
import * as b from './build.ts';
import {
  B,
  type Converted,
  type Converter,
  DW,
  type FieldAccess,
  follow,
  isStoreOfRegister,
  member,
  storeAs,
  W,
} from './field.ts';
import { NO_QUEUE_MAPPING } from './sock.ts';

const PKT_TYPE_MAX = 7;

/** Members of `struct __sk_buff` that are members of `struct sk_buff`, by offset. */
const PLAIN: Readonly<Record<number, string>> = {
  0: 'len',
  8: 'mark',
  16: 'protocol',
  24: 'vlan_tci',
  28: 'vlan_proto',
  32: 'priority',
  36: 'skb_iif',
  44: 'tc_index',
  68: 'hash',
  76: 'data',
  168: 'sk',
};
/** Members that are members of the socket. */
const OF_SOCKET: Readonly<Record<number, string>> = {
  88: 'skc_family',
  92: 'skc_daddr',
  96: 'skc_rcv_saddr',
  132: 'skc_dport',
  136: 'skc_num',
};
/** Members of `skb_shinfo(skb)`. */
const SHARED: Readonly<Record<number, string>> = { 164: 'gso_segs', 176: 'gso_size', 184: 'hwtstamps' };
const PKT_TYPE = 4;
const QUEUE_MAPPING = 12;
const VLAN_PRESENT = 20;
const IFINDEX = 40;
const CB = 48;
const CB_END = 68;
const TC_CLASSID = 72;
const DATA_END = 80;
const NAPI_ID = 84;
const REMOTE_IP6 = 100;
const LOCAL_IP6 = 116;
const REMOTE_PORT = 132;
const DATA_META = 140;
const TSTAMP = 152;
const WIRE_LEN = 160;
export const TSTAMP_TYPE = 180;

/** `struct __sk_buff` for all program types (`bpf_convert_ctx_access`, net/core/filter.c, 6.18). */
export const convertSkb: Converter = (access) => {
  const { insn: si, vmlinux } = access;
  const { off, dst, src } = si;
  if (PLAIN[off] !== undefined) {
    const found = member(access, 'sk_buff', PLAIN[off]);
    return found.size === 8 ? { ...found, size: 0 } : found;
  }
  if (SHARED[off] !== undefined) return sharedInfo(access, dst, src, SHARED[off]);
  if (OF_SOCKET[off] !== undefined) {
    const found = follow(access, ['sk_buff', 'sk'], ['sock_common', OF_SOCKET[off]]);
    return off === REMOTE_PORT ? { ...found, insns: [...found.insns, b.alu32Imm(ALU.LSH, dst, 16)] } : found;
  }
  if (off >= REMOTE_IP6 && off < LOCAL_IP6) return ip6(access, 'skc_v6_daddr', off - REMOTE_IP6);
  if (off >= LOCAL_IP6 && off < REMOTE_PORT) return ip6(access, 'skc_v6_rcv_saddr', off - LOCAL_IP6);
  if (off >= CB && off < CB_END) {
    const place = vmlinux.member('sk_buff', 'cb').offset + vmlinux.member('qdisc_skb_cb', 'data').offset + off - CB;
    const size = si.code & 0x18;
    return { insns: [access.write ? storeAs(si, size, place) : b.load(size, dst, src, place)], size: 0 };
  }
  switch (off) {
    case PKT_TYPE: {
      const { offset } = vmlinux.member('sk_buff', '__pkt_type_offset');
      return { insns: [b.load(B, dst, src, offset), b.alu32Imm(ALU.AND, dst, PKT_TYPE_MAX)], size: 1 };
    }
    case QUEUE_MAPPING:
      return queueMapping(access);
    case VLAN_PRESENT: {
      const { offset, size } = vmlinux.member('sk_buff', 'vlan_all');
      return { insns: [b.load(W, dst, src, offset), b.jumpImm(JMP.JEQ, dst, 0, 1), b.mov32Imm(dst, 1)], size };
    }
    case IFINDEX: {
      const { insns, size } = follow(access, ['sk_buff', 'dev'], ['net_device', 'ifindex']);
      return { insns: [insns[0]!, b.jumpImm(JMP.JEQ, dst, 0, 1), insns[1]!], size };
    }
    case TC_CLASSID:
      return inCb(access, 'qdisc_skb_cb', 'tc_classid');
    case WIRE_LEN:
      return inCb(access, 'qdisc_skb_cb', 'pkt_len');
    case DATA_META:
      return { ...inCb(access, 'bpf_skb_data_end', 'data_meta'), size: 0 };
    case DATA_END:
      return { ...inCb(access, 'bpf_skb_data_end', 'data_end'), size: 0 };
    case TSTAMP:
      return { insns: access.write ? writeTstamp(access) : readTstamp(access), size: 0 };
    case TSTAMP_TYPE: {
      const { offset, mask } = tstampBits(access);
      return { insns: [b.load(B, dst, src, offset), b.alu32Imm(ALU.AND, dst, mask)], size: 0 };
    }
    case NAPI_ID:
      return napiId(access);
    default:
      return undefined;
  }
};

/** A classifier's packet always has a device (`tc_cls_act_convert_ctx_access`). */
export const convertSkbOfClassifier: Converter = (access) =>
  access.insn.off === IFINDEX ? follow(access, ['sk_buff', 'dev'], ['net_device', 'ifindex']) : convertSkb(access);

/** A member of what the owner keeps in `skb->cb`. */
function inCb({ insn: si, write, vmlinux }: FieldAccess, struct: string, path: string): Converted {
  const place = vmlinux.member(struct, path);
  const offset = vmlinux.member('sk_buff', 'cb').offset + place.offset;
  const bits = b.sizeBits(place.size);
  return { insns: [write ? storeAs(si, bits, offset) : b.load(bits, si.dst, si.src, offset)], size: place.size };
}

function ip6({ insn: { dst, src }, vmlinux }: FieldAccess, path: string, off: number): Converted {
  const { offset } = vmlinux.member('sock_common', path);
  return {
    insns: [b.load(DW, dst, src, vmlinux.member('sk_buff', 'sk').offset), b.load(W, dst, dst, offset + off)],
    size: 4,
  };
}

/** Below NR_CPUS + 1 stands the processor that sent the packet: no NAPI instance. */
function napiId(access: FieldAccess): Converted | undefined {
  if (access.maxCpus === undefined) return undefined;
  const { dst } = access.insn;
  const { insns, size } = member(access, 'sk_buff', 'napi_id');
  return { insns: [...insns, b.jumpImm(JMP.JGE, dst, access.maxCpus + 1, 1), b.movImm(dst, 0)], size };
}

/** Storing "no queue" does nothing. */
function queueMapping(access: FieldAccess): Converted {
  const { insn: si, write } = access;
  const found = member(access, 'sk_buff', 'queue_mapping');
  if (!write) return found;
  if ((si.code & 7) === CLASS.ST && si.imm >>> 0 >= NO_QUEUE_MAPPING) return { ...found, insns: [b.jump(0)] };
  const guard = isStoreOfRegister(si) ? [b.jumpImm(JMP.JGE, si.src, NO_QUEUE_MAPPING, 1)] : [];
  return { ...found, insns: [...guard, ...found.insns] };
}

/** A member of `skb_shinfo(skb)`, which lies at the end of the packet's memory: head + end. */
export function sharedInfo(
  { vmlinux }: Pick<FieldAccess, 'vmlinux'>,
  dst: number,
  skb: number,
  path: string,
): Converted {
  const [end, head] = [vmlinux.member('sk_buff', 'end'), vmlinux.member('sk_buff', 'head')];
  const place = vmlinux.member('skb_shared_info', path);
  return {
    insns: [
      b.load(b.sizeBits(end.size), b.AX, skb, end.offset),
      b.load(DW, dst, skb, head.offset),
      b.alu(ALU.ADD, dst, b.AX),
      b.load(b.sizeBits(place.size), dst, dst, place.offset),
    ],
    size: place.size,
  };
}

/** The byte that says what `skb->tstamp` is, the bits of its kind and the one of ingress. */
function tstampBits({ vmlinux }: FieldAccess): { offset: number; mask: number; ingress: number } {
  const { offset } = vmlinux.member('sk_buff', '__mono_tc_offset');
  const mask = (path: string) => {
    const { bitOffset, bitSize } = vmlinux.member('sk_buff', path);
    return ((1 << bitSize) - 1) << (bitOffset - 8 * offset);
  };
  return { offset, mask: mask('tstamp_type'), ingress: mask('tc_at_ingress') };
}

/** A program that does not ask what the time is gets none of a packet to deliver later. */
function readTstamp(access: FieldAccess): Insn[] {
  const { dst, src } = access.insn;
  const { offset, mask, ingress } = tstampBits(access);
  const read = b.load(DW, dst, src, access.vmlinux.member('sk_buff', 'tstamp').offset);
  if (access.knowsTstampType) return [read];
  return [
    b.load(B, b.AX, src, offset),
    b.jump32Imm(JMP.JSET, b.AX, ingress, 1),
    b.jump(4),
    b.jump32Imm(JMP.JSET, b.AX, mask, 1),
    b.jump(2),
    b.movImm(dst, 0),
    b.jump(1),
    read,
  ];
}

/** On ingress what such a program stores is a time of arrival. */
function writeTstamp(access: FieldAccess): Insn[] {
  const { dst } = access.insn;
  const { offset, mask, ingress } = tstampBits(access);
  const write = storeAs(access.insn, DW, access.vmlinux.member('sk_buff', 'tstamp').offset);
  if (access.knowsTstampType) return [write];
  return [
    b.load(B, b.AX, dst, offset),
    b.jump32Imm(JMP.JSET, b.AX, ingress, 1),
    b.jump(2),
    b.alu32Imm(ALU.AND, b.AX, ~mask),
    b.store(B, dst, offset, b.AX),
    write,
  ];
}

/** A program that writes to the packet first makes it its own (`bpf_unclone_prologue`); `drop`: its verdict if it cannot. */
export function unclonePrologue({ vmlinux }: Pick<FieldAccess, 'vmlinux'>, drop: number): Insn[] {
  const R6 = 6;
  const { offset } = vmlinux.member('sk_buff', '__cloned_offset');
  return [
    b.load(B, R6, 1, offset),
    b.alu32Imm(ALU.AND, R6, 1),
    b.jumpImm(JMP.JEQ, R6, 0, 7),
    b.mov(R6, 1),
    b.alu(ALU.XOR, 2, 2),
    b.call(39),
    b.jumpImm(JMP.JEQ, 0, 0, 2),
    b.mov32Imm(0, drop),
    b.exit(),
    b.mov(1, R6),
  ];
}
