import type { Kernel } from '../../kernel/index.ts';
import type { GuestPtr } from '../../machine/index.ts';
import { findModule, isHidden } from './modules/tables.ts';

/** A registered congestion control (tcp_cong_list). */
export interface Registered {
  name: string;
  kdata: GuestPtr;
}
/** One list for each kernel. */
const lists = new WeakMap<Kernel, Registered[]>();

export function registered(kernel: Kernel): Registered[] {
  let list = lists.get(kernel);
  if (list === undefined) {
    list = [];
    lists.set(kernel, list);
  }
  return list;
}

/** The table registered under `name` by a program, or one of the kernel's own: reno, and cubic, dctcp and bbr where BTF has them (tcp_ca_find). */
export function findCongestionControl(kernel: Kernel, name: string): GuestPtr | undefined {
  const own = registered(kernel).find((entry) => entry.name === name)?.kdata;
  return own ?? (isHidden(name) ? undefined : findModule(kernel, name));
}

/** Names of all congestion controls that programs registered. */
export function congestionControls(kernel: Kernel): string[] {
  return registered(kernel).map(({ name }) => name);
}
