import * as T from '../core/reg_types.table.ts';

/** An argument of an iterator program that is more than a trusted pointer (`struct bpf_ctx_arg_aux`). */
interface IterArg {
  type: number;
  /** The struct behind a BTF pointer. */
  struct?: string;
}

const MAYBE = T.PTR_TO_BTF_ID | T.PTR_MAYBE_NULL;
const TRUSTED = MAYBE | T.PTR_TRUSTED;
const KEY: IterArg = { type: T.PTR_TO_BUF | T.PTR_MAYBE_NULL | T.MEM_RDONLY };
const VALUE: IterArg = { type: T.PTR_TO_BUF | T.PTR_MAYBE_NULL };

/** Iterator targets (`SEC("iter/…")`) and their arguments by offset in the context (`struct bpf_iter_reg`, 6.18). */
export const ITER_TARGETS: Readonly<Record<string, Readonly<Record<number, IterArg>>>> = {
  task: { 8: { type: TRUSTED, struct: 'task_struct' } },
  task_file: { 8: { type: MAYBE, struct: 'task_struct' }, 24: { type: MAYBE, struct: 'file' } },
  task_vma: { 8: { type: MAYBE, struct: 'task_struct' }, 16: { type: MAYBE, struct: 'vm_area_struct' } },
  cgroup: { 8: { type: TRUSTED, struct: 'cgroup' } },
  bpf_map: { 8: { type: TRUSTED, struct: 'bpf_map' } },
  bpf_map_elem: { 16: KEY, 24: VALUE },
  bpf_prog: { 8: { type: MAYBE, struct: 'bpf_prog' } },
  bpf_link: { 8: { type: MAYBE, struct: 'bpf_link' } },
  sockmap: { 16: KEY, 24: { type: MAYBE, struct: 'sock' } },
  bpf_sk_storage_map: { 16: { type: MAYBE, struct: 'sock' }, 24: VALUE },
  tcp: { 8: { type: TRUSTED, struct: 'sock_common' } },
  udp: { 8: { type: TRUSTED, struct: 'udp_sock' } },
  unix: { 8: { type: MAYBE, struct: 'unix_sock' } },
  netlink: { 8: { type: MAYBE, struct: 'netlink_sock' } },
  ipv6_route: { 8: { type: MAYBE, struct: 'fib6_info' } },
  ksym: { 8: { type: MAYBE, struct: 'kallsym_iter' } },
  kmem_cache: { 8: { type: TRUSTED, struct: 'kmem_cache' } },
  dmabuf: { 8: { type: MAYBE, struct: 'dma_buf' } },
};
