import { ALU, type Insn, JMP, MODE, sizeInBytes } from '../../bpf/index.ts';
import * as b from './build.ts';
import { type Converted, type Converter, DW, type FieldAccess, follow, member, W } from './field.ts';
import { convertSkb, sharedInfo } from './skb.ts';

// Contexts around a socket, by offset in the struct of include/uapi/linux/bpf.h (net/core/filter.c, 6.18).

const inside = (off: number, start: number, end: number): boolean => off >= start && off < end;

/** A register that the access leaves alone; it is saved in the context meanwhile. */
export function spare({ dst, src }: Insn): number {
  return [9, 8, 7].find((reg) => reg !== dst && reg !== src)!;
}

/** Where a struct lies behind a pointer of the context: the pointer, the field in the struct, where to save a register. */
interface Nested {
  pointer: readonly [struct: string, path: string];
  field: readonly [struct: string, path: string];
  /** Bytes behind the field's start, and bytes that are moved. */
  off?: number;
  bytes?: number;
  temp?: readonly [struct: string, path: string];
}

/** Loads or stores behind a pointer of the context (`SOCK_ADDR_LOAD_OR_STORE_NESTED_FIELD_SIZE_OFF`). */
function nested(
  { insn: si, write, vmlinux }: FieldAccess,
  { pointer, field, off = 0, bytes, temp }: Nested,
): Converted {
  const [to, place] = [vmlinux.member(...pointer), vmlinux.member(...field)];
  const size = b.sizeBits(bytes ?? place.size);
  const at = place.offset + off;
  if (!write || temp === undefined)
    return { insns: [b.load(DW, si.dst, si.src, to.offset), b.load(size, si.dst, si.dst, at)], size: place.size };
  const reg = spare(si);
  const saved = vmlinux.member(...temp).offset;
  return {
    insns: [
      b.store(DW, si.dst, saved, reg),
      b.load(DW, reg, si.dst, to.offset),
      b.insn((si.code & 7) | MODE.MEM | size, reg, si.src, at, si.imm),
      b.load(DW, reg, si.dst, saved),
    ],
    size: place.size,
  };
}

/** Address and port of a socket behind a pointer of the context, at the offsets that four contexts have in common order. */
interface PeerOffsets {
  family: number;
  remoteIp4: number;
  localIp4: number;
  remoteIp6: number;
  localIp6: number;
  remotePort: number;
  localPort: number;
}

function peer(access: FieldAccess, sk: readonly [string, string], at: PeerOffsets): Converted | undefined {
  const { off, dst } = access.insn;
  const common = (path: string, within = 0): Converted => {
    const { insns, size } = follow(access, [...sk], ['sock_common', path]);
    const last = insns[1]!;
    return within === 0 && size <= 4
      ? { insns, size }
      : { insns: [insns[0]!, b.load(W, dst, dst, last.off + within)], size: 4 };
  };
  if (off === at.family) return common('skc_family');
  if (off === at.remoteIp4) return common('skc_daddr');
  if (off === at.localIp4) return common('skc_rcv_saddr');
  if (inside(off, at.remoteIp6, at.remoteIp6 + 16)) return common('skc_v6_daddr', off - at.remoteIp6);
  if (inside(off, at.localIp6, at.localIp6 + 16)) return common('skc_v6_rcv_saddr', off - at.localIp6);
  if (off === at.localPort) return common('skc_num');
  if (off !== at.remotePort) return undefined;
  const { insns, size } = common('skc_dport');
  return { insns: [...insns, b.alu32Imm(ALU.LSH, dst, 16)], size };
}

/** `struct bpf_sock_addr` (`sock_addr_convert_ctx_access`). */
export const convertSockAddr: Converter = (access) => {
  const { insn: si } = access;
  const KERN = 'bpf_sock_addr_kern';
  const temp = [KERN, 'tmp_reg'] as const;
  const address = (struct: string, path: string, off: number, bytes: number) =>
    nested(access, { pointer: [KERN, 'uaddr'], field: [struct, path], off, bytes, temp });
  const source = (field: readonly [string, string], off: number) => {
    const bytes = sizeInBytes(si.code);
    return { ...nested(access, { pointer: [KERN, 't_ctx'], field, off, bytes, temp }), size: 4 };
  };
  switch (si.off) {
    case 0:
      return nested(access, { pointer: [KERN, 'uaddr'], field: ['sockaddr', 'sa_family'] });
    case 4:
      return address('sockaddr_in', 'sin_addr', 0, sizeInBytes(si.code));
    case 24:
      return address('sockaddr_in6', 'sin6_port', 0, Math.min(2, sizeInBytes(si.code)));
    case 28:
      return nested(access, { pointer: [KERN, 'sk'], field: ['sock_common', 'skc_family'] });
    case 32:
      return nested(access, { pointer: [KERN, 'sk'], field: ['sock', 'sk_type'] });
    case 36:
      return nested(access, { pointer: [KERN, 'sk'], field: ['sock', 'sk_protocol'] });
    case 40:
      return source(['in_addr', 's_addr'], 0);
    case 64:
      return { ...member(access, KERN, 'sk'), size: 0 };
    default:
      if (inside(si.off, 8, 24))
        return { ...address('sockaddr_in6', 'sin6_addr', si.off - 8, sizeInBytes(si.code)), size: 4 };
      return inside(si.off, 44, 60) ? source(['in6_addr', 'in6_u'], si.off - 44) : undefined;
  }
};

/** `struct sk_msg_md` (`sk_msg_convert_ctx_access`). */
export const convertSkMsg: Converter = (access) => {
  const own: Readonly<Record<number, string>> = { 0: 'data', 8: 'data_end', 72: 'sk' };
  const { off } = access.insn;
  if (own[off] !== undefined) return { ...member(access, 'sk_msg', own[off]), size: 0 };
  if (off === 68) return { ...member(access, 'sk_msg_sg', 'size'), size: 0 };
  return peer(access, ['sk_msg', 'sk'], {
    family: 16,
    remoteIp4: 20,
    localIp4: 24,
    remoteIp6: 28,
    localIp6: 44,
    remotePort: 60,
    localPort: 64,
  });
};

/** `struct __sk_buff` of a flow dissector (`flow_dissector_convert_ctx_access`). */
export const convertFlowDissector: Converter = (access) => {
  const own: Readonly<Record<number, string>> = { 76: 'data', 80: 'data_end', 144: 'flow_keys' };
  const name = own[access.insn.off];
  return name === undefined ? undefined : { ...member(access, 'bpf_flow_dissector', name), size: 0 };
};

/** `struct sk_reuseport_md` (`sk_reuseport_convert_ctx_access`). */
export const convertReuseport: Converter = (access) => {
  const KERN = 'sk_reuseport_kern';
  const own: Readonly<Record<number, string>> = {
    8: 'data_end',
    28: 'bind_inany',
    32: 'hash',
    40: 'sk',
    48: 'migrating_sk',
  };
  const ofSkb: Readonly<Record<number, string>> = { 0: 'data', 16: 'len', 20: 'protocol' };
  const { off } = access.insn;
  if (own[off] !== undefined) return member(access, KERN, own[off]);
  if (ofSkb[off] !== undefined) return nested(access, { pointer: [KERN, 'skb'], field: ['sk_buff', ofSkb[off]] });
  return off === 24 ? nested(access, { pointer: [KERN, 'sk'], field: ['sock', 'sk_protocol'] }) : undefined;
};

/** `struct bpf_sk_lookup` (`sk_lookup_convert_ctx_access`). */
export const convertSkLookup: Converter = (access) => {
  const KERN = 'bpf_sk_lookup_kern';
  const { off, dst, src } = access.insn;
  const own: Readonly<Record<number, string>> = {
    8: 'family',
    12: 'protocol',
    16: 'v4.saddr',
    36: 'sport',
    40: 'v4.daddr',
    60: 'dport',
    64: 'ingress_ifindex',
  };
  if (off === 0) return { ...member(access, KERN, 'selected_sk'), size: 0 };
  if (off === 38) return { insns: [b.mov32Imm(dst, 0)], size: 2 };
  if (own[off] !== undefined) return member(access, KERN, own[off]);
  const remote = inside(off, 20, 36);
  if (!remote && !inside(off, 44, 60)) return undefined;
  const { offset } = access.vmlinux.member(KERN, remote ? 'v6.saddr' : 'v6.daddr');
  const within = off - (remote ? 20 : 44);
  return { insns: [b.load(DW, dst, src, offset), b.jumpImm(JMP.JEQ, dst, 0, 1), b.load(W, dst, dst, within)], size: 4 };
};

/** `struct __sk_buff` of sk_skb programs (`sk_skb_convert_ctx_access`): its end is computed, its notes are its own. */
export const convertSkSkb: Converter = (access) => {
  const { insn: si, vmlinux, write } = access;
  const CB = 48;
  if (inside(si.off, CB, CB + 20)) {
    const at = vmlinux.member('sk_buff', 'cb').offset + vmlinux.member('sk_skb_cb', 'data').offset + si.off - CB;
    const size = si.code & 0x18;
    const store = b.insn((si.code & 7) | MODE.MEM | size, si.dst, si.src, at, si.imm);
    return { insns: [write ? store : b.load(size, si.dst, si.src, at)], size: 0 };
  }
  if (si.off !== 80) return convertSkb(access);
  const same = si.dst === si.src;
  const reg = same ? spare(si) : si.dst;
  const saved = vmlinux.member('sk_buff', 'cb').offset + vmlinux.member('sk_skb_cb', 'temp_reg').offset;
  const field = (path: string, into: number) => {
    const { offset, size } = vmlinux.member('sk_buff', path);
    return b.load(b.sizeBits(size), into, si.src, offset);
  };
  const end = [
    field('data', reg),
    field('len', b.AX),
    b.alu(ALU.ADD, reg, b.AX),
    field('data_len', b.AX),
    b.alu(ALU.SUB, reg, b.AX),
  ];
  if (!same) return { insns: end, size: 0 };
  const back = [b.mov(b.AX, si.src), b.mov(si.dst, reg), b.load(DW, reg, b.AX, saved)];
  return { insns: [b.store(DW, si.src, saved, reg), ...end, ...back], size: 0 };
};

const OPS = 'bpf_sock_ops_kern';
/** Members of `struct bpf_sock_ops` that are the TCP socket's. */
const OF_TCP: Readonly<Record<number, string>> = {
  76: 'snd_cwnd',
  80: 'srtt_us',
  84: 'bpf_sock_ops_cb_flags',
  92: 'rtt_min',
  96: 'snd_ssthresh',
  100: 'rcv_nxt',
  104: 'snd_nxt',
  108: 'snd_una',
  112: 'mss_cache',
  116: 'ecn_flags',
  120: 'rate_delivered',
  124: 'rate_interval_us',
  128: 'packets_out',
  132: 'retrans_out',
  136: 'total_retrans',
  140: 'segs_in',
  144: 'data_segs_in',
  148: 'segs_out',
  152: 'data_segs_out',
  156: 'lost_out',
  160: 'sacked_out',
  168: 'bytes_received',
  176: 'bytes_acked',
};

/** `struct bpf_sock_ops` (`sock_ops_convert_ctx_access`). */
export const convertSockOps: Converter = (access) => {
  const { insn: si, vmlinux } = access;
  const { off, dst, src } = si;
  const own: Readonly<Record<number, string>> = { 0: 'op', 72: 'is_fullsock', 200: 'skb_data_end' };
  if (own[off] !== undefined) return { ...member({ ...access, write: false }, OPS, own[off]), size: 0 };
  if (inside(off, 4, 20)) {
    const at = vmlinux.member(OPS, 'replylong').offset + off - 4;
    const store = b.insn((si.code & 7) | MODE.MEM | W, dst, src, at, si.imm);
    return { insns: [access.write ? store : b.load(W, dst, src, at)], size: 0 };
  }
  if (OF_TCP[off] !== undefined) {
    const { offset, size } = vmlinux.member('tcp_sock', OF_TCP[off]);
    const first = off === 92 ? vmlinux.member('minmax_sample', 'v') : undefined;
    return ofFullSocket(access, { offset: offset + (first?.offset ?? 0), size: first?.size ?? size });
  }
  if (off === 164) {
    const place = vmlinux.member('sock', 'sk_txhash');
    return access.write ? setFullSocket(access, place) : ofFullSocket(access, place);
  }
  if (off === 88) return follow(access, [OPS, 'sk'], ['sock_common', 'skc_state']);
  if (off === 184) return ofFullSocket(access, undefined);
  return (
    skbOf(access) ??
    peer(access, [OPS, 'sk'], {
      family: 20,
      remoteIp4: 24,
      localIp4: 28,
      remoteIp6: 32,
      localIp6: 48,
      remotePort: 64,
      localPort: 68,
    })
  );
};

/** The flag that says whether the socket's fields may be touched: since 6.15 it must be locked too. */
function guard({ vmlinux }: FieldAccess, fields: boolean): { offset: number; size: number } {
  const locked = vmlinux.struct(OPS).members.some(({ name }) => name === 'is_locked_tcp_sock');
  return vmlinux.member(OPS, fields && locked ? 'is_locked_tcp_sock' : 'is_fullsock');
}

/** A field of the socket, or the socket itself, if it is a full one; 0 otherwise (`SOCK_OPS_GET_FIELD`, `SOCK_OPS_GET_SK`). */
function ofFullSocket(access: FieldAccess, place: { offset: number; size: number } | undefined): Converted {
  const { insn: si, vmlinux } = access;
  const { dst, src } = si;
  const same = dst === src;
  const reg = spare(si);
  const temp = vmlinux.member(OPS, 'temp').offset;
  const flag = guard(access, place !== undefined);
  const tested = same ? reg : dst;
  const restore = b.load(DW, reg, src, temp);
  const jump = (place === undefined ? 1 : 2) + (same ? 2 : 0);
  return {
    insns: [
      ...(same ? [b.store(DW, src, temp, reg)] : []),
      b.load(b.sizeBits(flag.size), tested, src, flag.offset),
      b.jumpImm(JMP.JEQ, tested, 0, jump),
      ...(same ? [restore] : []),
      b.load(DW, dst, src, vmlinux.member(OPS, 'sk').offset),
      ...(place === undefined ? [] : [b.load(b.sizeBits(place.size), dst, dst, place.offset)]),
      ...(same ? [b.jump(2), restore, b.movImm(dst, 0)] : []),
    ],
    size: 0,
  };
}

/** Stores to a field of a full socket (`SOCK_OPS_SET_FIELD`). */
function setFullSocket(access: FieldAccess, place: { offset: number; size: number }): Converted {
  const { insn: si, vmlinux } = access;
  const reg = spare(si);
  const temp = vmlinux.member(OPS, 'temp').offset;
  const flag = guard(access, true);
  return {
    insns: [
      b.store(DW, si.dst, temp, reg),
      b.load(b.sizeBits(flag.size), reg, si.dst, flag.offset),
      b.jumpImm(JMP.JEQ, reg, 0, 2),
      b.load(DW, reg, si.dst, vmlinux.member(OPS, 'sk').offset),
      b.insn((si.code & 7) | MODE.MEM | b.sizeBits(place.size), reg, si.src, place.offset, si.imm),
      b.load(DW, reg, si.dst, temp),
    ],
    size: 0,
  };
}

/** Fields of the packet, if there is one. */
function skbOf(access: FieldAccess): Converted | undefined {
  const { vmlinux } = access;
  const { off, dst, src } = access.insn;
  const skb = b.load(DW, dst, src, vmlinux.member(OPS, 'skb').offset);
  const guarded = (insns: readonly Insn[], size: number): Converted => ({
    insns: [skb, b.jumpImm(JMP.JEQ, dst, 0, insns.length), ...insns],
    size,
  });
  const field = ({ offset, size }: { offset: number; size: number }, base = 0) =>
    b.load(b.sizeBits(size), dst, dst, base + offset);
  switch (off) {
    case 192:
      return guarded([field(vmlinux.member('sk_buff', 'data'))], 0);
    case 208:
      return guarded([field(vmlinux.member('sk_buff', 'len'))], 0);
    case 212: {
      const flags = vmlinux.member('tcp_skb_cb', 'tcp_flags');
      return guarded([field(flags, vmlinux.member('sk_buff', 'cb').offset)], flags.size);
    }
    case 216: {
      const { insns, size } = sharedInfo(access, dst, dst, 'hwtstamps');
      return guarded(insns, size);
    }
    default:
      return undefined;
  }
}
