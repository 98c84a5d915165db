import type { Argument, Kernel } from '../../kernel/index.ts';
import type { GuestPtr } from '../../machine/index.ts';

const TYPE = 'tcp_congestion_ops';
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

const inUse = new WeakMap<Kernel, Set<CongestionOps>>();

/** A table was replaced: whoever uses the old one gets the new one (tcp_update_congestion_control). */
export function replaceInUse(kernel: Kernel, old: GuestPtr, next: GuestPtr): void {
  for (const ops of inUse.get(kernel) ?? []) if (ops.kdata === old) ops.replace(next);
}

/** The congestion control of a socket: calls go through the table in guest memory, as the kernel's own calls do. */
export class CongestionOps {
  readonly #kernel: Kernel;
  #kdata: GuestPtr;
  #has: ReadonlySet<CcMember>;
  /** Called before each call of a member. */
  onCall: ((member: CcMember, args: readonly Argument[]) => void) | undefined;

  constructor(kernel: Kernel, kdata: GuestPtr) {
    this.#kernel = kernel;
    this.#kdata = kdata;
    this.#has = presentMembers(kernel, kdata);
    const known = inUse.get(kernel);
    if (known === undefined) inUse.set(kernel, new Set([this]));
    else known.add(this);
  }

  /** The socket is gone. */
  release(): void {
    inUse.get(this.#kernel)?.delete(this);
  }

  get kdata(): GuestPtr {
    return this.#kdata;
  }

  /** The table was replaced while it was in use. */
  replace(kdata: GuestPtr): void {
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
    return this.#kernel.callMember(this.#kdata, TYPE, member, args).lo >>> 0;
  }
}

function presentMembers(kernel: Kernel, kdata: GuestPtr): Set<CcMember> {
  return new Set(CC_MEMBERS.filter((member) => kernel.memory.ptr(kdata + kernel.field(TYPE, member).offset) !== 0));
}
