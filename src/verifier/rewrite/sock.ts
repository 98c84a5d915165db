import { JMP } from '../../bpf/index.ts';
import * as b from './build.ts';
import { type Converter, member, W } from './field.ts';

export const NO_QUEUE_MAPPING = 0xffff;
const SRC_IP4 = 24;
const SRC_IP6 = 28;
const SRC_PORT = 44;
const DST_IP4 = 52;
const DST_IP6 = 56;
const STATE = 72;
const RX_QUEUE_MAPPING = 76;

/** Members of `struct bpf_sock` as members of `struct sock`, by offset. */
const SOCK: Readonly<Record<number, readonly [struct: string, path: string]>> = {
  0: ['sock_common', 'skc_bound_dev_if'],
  4: ['sock_common', 'skc_family'],
  8: ['sock', 'sk_type'],
  12: ['sock', 'sk_protocol'],
  16: ['sock', 'sk_mark'],
  20: ['sock', 'sk_priority'],
  44: ['sock_common', 'skc_num'],
  48: ['sock_common', 'skc_dport'],
  72: ['sock_common', 'skc_state'],
};
/** Members of `struct bpf_tcp_sock`, by offset. */
const TCP_SOCK: Readonly<Record<number, readonly [struct: string, path: string]>> = {
  0: ['tcp_sock', 'snd_cwnd'],
  4: ['tcp_sock', 'srtt_us'],
  12: ['tcp_sock', 'snd_ssthresh'],
  16: ['tcp_sock', 'rcv_nxt'],
  20: ['tcp_sock', 'snd_nxt'],
  24: ['tcp_sock', 'snd_una'],
  28: ['tcp_sock', 'mss_cache'],
  32: ['tcp_sock', 'ecn_flags'],
  36: ['tcp_sock', 'rate_delivered'],
  40: ['tcp_sock', 'rate_interval_us'],
  44: ['tcp_sock', 'packets_out'],
  48: ['tcp_sock', 'retrans_out'],
  52: ['tcp_sock', 'total_retrans'],
  56: ['tcp_sock', 'segs_in'],
  60: ['tcp_sock', 'data_segs_in'],
  64: ['tcp_sock', 'segs_out'],
  68: ['tcp_sock', 'data_segs_out'],
  72: ['tcp_sock', 'lost_out'],
  76: ['tcp_sock', 'sacked_out'],
  80: ['tcp_sock', 'bytes_received'],
  88: ['tcp_sock', 'bytes_acked'],
  96: ['tcp_sock', 'dsack_dups'],
  100: ['tcp_sock', 'delivered'],
  104: ['tcp_sock', 'delivered_ce'],
  108: ['inet_connection_sock', 'icsk_retransmits'],
};
const RTT_MIN = 8;

/** `struct bpf_sock` (`bpf_sock_convert_ctx_access`, net/core/filter.c, 6.18). */
export const convertSock: Converter = (access) => {
  const { insn: si, vmlinux } = access;
  const { off, dst, src } = si;
  const plain = SOCK[off];
  if (plain !== undefined) {
    const found = member(access, ...plain);
    return [SRC_PORT, STATE, 4, 8, 12, 48].includes(off) ? found : { ...found, size: 0 };
  }
  const ip = (path: string, within: number) => {
    const place = vmlinux.member('sock_common', path);
    return { insns: [b.load(si.code & 0x18, dst, src, place.offset + within)], size: 4 };
  };
  if (off === SRC_IP4) return ip('skc_rcv_saddr', 0);
  if (off === DST_IP4) return ip('skc_daddr', 0);
  if (off >= SRC_IP6 && off < SRC_PORT) return ip('skc_v6_rcv_saddr', off - SRC_IP6);
  if (off >= DST_IP6 && off < STATE) return ip('skc_v6_daddr', off - DST_IP6);
  if (off !== RX_QUEUE_MAPPING) return undefined;
  const { insns } = member(access, 'sock_common', 'skc_rx_queue_mapping');
  return { insns: [...insns, b.jumpImm(JMP.JNE, dst, NO_QUEUE_MAPPING, 1), b.mov32Imm(dst, -1)], size: 4 };
};

/** `struct bpf_tcp_sock` (`bpf_tcp_sock_convert_ctx_access`). */
export const convertTcpSock: Converter = (access) => {
  const { insn: si, vmlinux } = access;
  const plain = TCP_SOCK[si.off];
  if (plain !== undefined) return { ...member(access, ...plain), size: 0 };
  if (si.off !== RTT_MIN) return undefined;
  const offset = vmlinux.member('tcp_sock', 'rtt_min').offset + vmlinux.member('minmax_sample', 'v').offset;
  return { insns: [b.load(W, si.dst, si.src, offset)], size: 0 };
};

/** `struct bpf_xdp_sock`. */
export const convertXdpSock: Converter = (access) =>
  access.insn.off === 0 ? { ...member(access, 'xdp_sock', 'queue_id'), size: 0 } : undefined;
