import * as b from './build.ts';
import { convertSockopt, convertSysctl } from './context_cgroup.ts';
import {
  convertFlowDissector,
  convertReuseport,
  convertSkLookup,
  convertSkMsg,
  convertSkSkb,
  convertSockAddr,
  convertSockOps,
} from './context_sock.ts';
import { type Converter, DW, follow } from './field.ts';
import { convertSkb, convertSkbOfClassifier } from './skb.ts';
import { convertSock } from './sock.ts';

/** `struct xdp_md` (`xdp_convert_ctx_access`, net/core/filter.c, 6.18). */
const convertXdp: Converter = (access) => {
  switch (access.insn.off) {
    case 0:
      return follow(access, ['xdp_buff', 'data']);
    case 4:
      return follow(access, ['xdp_buff', 'data_end']);
    case 8:
      return follow(access, ['xdp_buff', 'data_meta']);
    case 12:
      return follow(access, ['xdp_buff', 'rxq'], ['xdp_rxq_info', 'dev'], ['net_device', 'ifindex']);
    case 16:
      return follow(access, ['xdp_buff', 'rxq'], ['xdp_rxq_info', 'queue_index']);
    case 20:
      return follow(access, ['xdp_buff', 'txq'], ['xdp_txq_info', 'dev'], ['net_device', 'ifindex']);
    default:
      return undefined;
  }
};

const SAMPLE_PERIOD = 168;
const ADDR = 176;

/** `struct bpf_perf_event_data` (`pe_prog_convert_ctx_access`, kernel/trace/bpf_trace.c, 6.18). */
const convertPerfEvent: Converter = (access) => {
  const { insn: si, vmlinux } = access;
  if (si.off === SAMPLE_PERIOD)
    return follow(access, ['bpf_perf_event_data_kern', 'data'], ['perf_sample_data', 'period']);
  if (si.off === ADDR) return follow(access, ['bpf_perf_event_data_kern', 'data'], ['perf_sample_data', 'addr']);
  const { offset } = vmlinux.member('bpf_perf_event_data_kern', 'regs');
  return { insns: [b.load(DW, si.dst, si.src, offset), b.load(DW, si.dst, si.dst, si.off)], size: 0 };
};

/** BPF_PROG_TYPE_* → `convert_ctx_access`; null: the context is read as it lies in memory. */
export const CONTEXTS: Readonly<Record<number, Converter | null>> = {
  1: convertSkb,
  2: null,
  3: convertSkbOfClassifier,
  4: convertSkbOfClassifier,
  5: null,
  6: convertXdp,
  7: convertPerfEvent,
  8: convertSkb,
  9: convertSock,
  10: convertSkb,
  11: convertSkb,
  12: convertSkb,
  13: convertSockOps,
  14: convertSkSkb,
  15: null,
  16: convertSkMsg,
  17: null,
  18: convertSockAddr,
  19: convertSkb,
  21: convertReuseport,
  22: convertFlowDissector,
  23: convertSysctl,
  24: null,
  25: convertSockopt,
  26: null,
  27: null,
  29: null,
  30: convertSkLookup,
  31: null,
  32: null,
};
