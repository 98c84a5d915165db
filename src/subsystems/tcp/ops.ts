import type { Argument, Kernel, StructOpsMap } from '../../kernel/index.ts';
import type { GuestPtr } from '../../machine/index.ts';

export const TYPE = 'tcp_congestion_ops';
/** TCP_CA_NAME_MAX. */
export const CC_NAME_MAX = 16;
/** Function members that a program may implement. */
export const CC_MEMBERS = [
  'ssthresh',
  'cong_avoid',
  'set_state',
  'cwnd_event',
  'in_ack_event',
  'pkts_acked',
  'min_tso_segs',
  'cong_control',
  'undo_cwnd',
  'sndbuf_expand',
  'init',
  'release',
] as const;
export type CcMember = (typeof CC_MEMBERS)[number];

/** The congestion control of a socket: calls go through the table in guest memory, as the kernel's own calls do. */
export class CongestionOps {
  readonly #kernel: Kernel;
  #kdata: GuestPtr;
  #has: ReadonlySet<CcMember>;
  /** Called before each call of a member. */
  onCall: ((member: CcMember, args: readonly Argument[]) => void) | undefined;
  /** Called after each call that returned. */
  onReturn: ((result: number) => void) | undefined;

  constructor(kernel: Kernel, kdata: GuestPtr) {
    this.#kernel = kernel;
    this.#kdata = kdata;
    this.#has = presentMembers(kernel, kdata);
    holder(kernel, kdata)?.get();
  }

  /** The socket is gone: it holds the table no longer (bpf_module_put). */
  release(): void {
    holder(this.#kernel, this.#kdata)?.put();
  }

  get kdata(): GuestPtr {
    return this.#kdata;
  }

  /** The table's flags. */
  get flags(): number {
    return flagsOf(this.#kernel, this.#kdata);
  }

  /** The socket uses another table from now on. */
  replace(kdata: GuestPtr): void {
    holder(this.#kernel, kdata)?.get();
    this.release();
    this.#kdata = kdata;
    this.#has = presentMembers(this.#kernel, kdata);
  }

  has(member: CcMember): boolean {
    return this.#has.has(member);
  }

  /** Calls a member if the table has it; its return value as u32, undefined if it has not. */
  call(member: CcMember, ...args: Argument[]): number | undefined {
    if (!this.#has.has(member)) return undefined;
    this.onCall?.(member, args);
    const result = this.#kernel.callMember(this.#kdata, TYPE, member, args).lo >>> 0;
    this.onReturn?.(result);
    return result;
  }
}

function presentMembers(kernel: Kernel, kdata: GuestPtr): Set<CcMember> {
  return new Set(CC_MEMBERS.filter((member) => kernel.memory.ptr(kdata + kernel.field(TYPE, member).offset) !== 0));
}

/** What keeps a table and its trampolines: the map of one that BPF implements; the kernel's own need no holder. */
function holder(kernel: Kernel, kdata: GuestPtr): StructOpsMap | undefined {
  return kernel.structOpsMaps.find((map) => map.kdata === kdata);
}

/** TCP_CONG_… of a table. */
export function flagsOf(kernel: Kernel, kdata: GuestPtr): number {
  return kernel.memory.u32(kdata + kernel.field(TYPE, 'flags').offset);
}

/** Name of a table. */
export function nameOf(kernel: Kernel, kdata: GuestPtr): string {
  const bytes = kernel.memory.bytes(kdata + kernel.field(TYPE, 'name').offset, CC_NAME_MAX);
  return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
}
