import type { Kernel } from '../../../kernel/index.ts';
import type { GuestPtr } from '../../../machine/index.ts';
import { CC_NAME_MAX, type CcMember, TYPE } from '../ops.ts';

/** One of the kernel's own congestion controls: its flags, and the functions of its members. */
interface Module {
  name: string;
  /** TCP_CONG_NON_RESTRICTED 1, TCP_CONG_NEEDS_ECN 2. */
  flags: number;
  members: Partial<Record<CcMember, string>>;
  /** No connection asks for it by name. */
  hidden?: true;
}

const RENO = {
  ssthresh: 'tcp_reno_ssthresh',
  cong_avoid: 'tcp_reno_cong_avoid',
  undo_cwnd: 'tcp_reno_undo_cwnd',
} as const;
/** What DCTCP becomes where ECN was not negotiated. */
export const FALLBACK = 'dctcp-reno';

/** Tables of net/ipv4/tcp_{cong,cubic,dctcp,bbr}.c (6.18). Of those that BTF has no functions of, the kernel was built without. */
const MODULES: readonly Module[] = [
  { name: 'reno', flags: 1, members: RENO },
  {
    name: 'cubic',
    flags: 0,
    members: {
      init: 'cubictcp_init',
      ssthresh: 'cubictcp_recalc_ssthresh',
      cong_avoid: 'cubictcp_cong_avoid',
      set_state: 'cubictcp_state',
      undo_cwnd: 'tcp_reno_undo_cwnd',
      cwnd_event: 'cubictcp_cwnd_event',
      pkts_acked: 'cubictcp_acked',
    },
  },
  {
    name: 'dctcp',
    flags: 2,
    members: {
      init: 'dctcp_init',
      in_ack_event: 'dctcp_update_alpha',
      cwnd_event: 'dctcp_cwnd_event',
      ssthresh: 'dctcp_ssthresh',
      cong_avoid: 'tcp_reno_cong_avoid',
      undo_cwnd: 'dctcp_cwnd_undo',
      set_state: 'dctcp_state',
    },
  },
  { name: FALLBACK, flags: 0, members: RENO, hidden: true },
  {
    name: 'bbr',
    flags: 1,
    members: {
      init: 'bbr_init',
      cong_control: 'bbr_main',
      sndbuf_expand: 'bbr_sndbuf_expand',
      undo_cwnd: 'bbr_undo_cwnd',
      cwnd_event: 'bbr_cwnd_event',
      ssthresh: 'bbr_ssthresh',
      min_tso_segs: 'bbr_min_tso_segs',
      set_state: 'bbr_set_state',
    },
  },
];

const built = new WeakMap<Kernel, Map<string, GuestPtr>>();

/**
 * The table of one of the kernel's own congestion controls, in guest memory, with its functions' addresses: it is called
 * through the same checks as those of programs. Undefined for names of no module that this kernel has.
 */
export function findModule(kernel: Kernel, name: string): GuestPtr | undefined {
  let tables = built.get(kernel);
  if (tables === undefined) {
    tables = new Map();
    built.set(kernel, tables);
  }
  let table = tables.get(name);
  const module = MODULES.find((candidate) => candidate.name === name);
  if (table !== undefined || module === undefined || !isBuiltIn(kernel, module)) return table;
  table = kernel.vmalloc.alloc(kernel.btf.struct(TYPE).size, 64);
  const place = (member: string) => table! + kernel.field(TYPE, member).offset;
  for (const [member, symbol] of Object.entries(module.members))
    kernel.memory.setPtr(place(member), kernel.symbol(symbol));
  kernel.memory.setU32(place('flags'), module.flags);
  kernel.memory.bytes(place('name'), CC_NAME_MAX).set(new TextEncoder().encode(name));
  tables.set(name, table);
  return table;
}

const isBuiltIn = ({ btf }: Kernel, { members }: Module): boolean =>
  Object.values(members).every((symbol) => btf.find(symbol, 'func') !== undefined);

/** Whether connections may ask for it by name. */
export const isHidden = (name: string): boolean =>
  MODULES.some((module) => module.name === name && module.hidden === true);
