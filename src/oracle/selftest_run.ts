import { TrampetError } from '../base/index.ts';
import type { Btf } from '../btf/index.ts';
import { bootKernel, type Kernel, KernelOops, loadDetached } from '../kernel/index.ts';
import type { GuestPtr } from '../machine/index.ts';
import type { ResolvedObject, ResolvedProgram } from '../object/index.ts';
import { CFI_HASHES, makeTarget } from '../target/index.ts';

const CALL_PROGRAM = 'call_bpf_prog';
const BUDGET = 50_000_000;
const START = 1_000_000_000;
const PAGE = 4096;
/** TEST_DATA_LEN: the zeros that programs get as a packet. */
const DATA_LENGTH = 64;
const HEADROOM = 256;
const ETHERNET_HEADER = 14;
/** They see the link layer's header. */
const LINK_LAYER = new Set(['sched_cls', 'sched_act']);
const PACKETS = new Set([...LINK_LAYER, 'socket_filter', 'cgroup_skb', 'lwt_in', 'lwt_out', 'lwt_xmit']);
const NO_DATA = new Set(['syscall']);

/** What the selftests put into maps before programs run (prog_tests/verifier.c): `struct test_val` with index and foo[6]. */
const FILLED: Readonly<Record<string, string>> = {
  verifier_array_access: 'map_array_ro',
  verifier_value_ptr_arith: 'map_array_48b',
};
const TEST_VALUE = Uint32Array.of(28, 0, 0, 0, 0, 0, 0, 0xabcdef12, 0, 0, 0, 0);
const FIRST = new Uint8Array(4);

/** What came of a run: what the program returned, or why there is nothing to say. */
export type SelftestRun = { returned: number } | { oops: string } | { notRun: string };

/** A kernel in which accepted programs run as by BPF_PROG_TEST_RUN, on a packet of zeros. */
export class SelftestKernel {
  readonly #btf: Btf;
  #kernel: Kernel | undefined;

  constructor(btf: Btf) {
    this.#btf = btf;
  }

  /** Runs a program of an object of which everything that it needs is loaded, and nothing else. */
  run(file: string, resolved: ResolvedObject, name: string): SelftestRun {
    const program = resolved.programs.find((candidate) => candidate.name === name)!;
    if (!PACKETS.has(program.type) && !NO_DATA.has(program.type) && program.type !== 'xdp')
      return { notRun: `no context for ${program.type}` };
    this.#kernel ??= boot(this.#btf);
    const kernel = this.#kernel;
    const undo: (() => void)[] = [];
    try {
      const loaded = loadDetached(kernel, resolved);
      undo.push(loaded.unload);
      const filled = loaded.maps.find(({ blueprint }) => blueprint.name === FILLED[file]);
      filled?.update(FIRST, new Uint8Array(TEST_VALUE.buffer), 0);
      const { ptr, release } = context(kernel, program);
      undo.push(release);
      kernel.machine.setBudget(BUDGET);
      const { bpfFunc } = loaded.programs.find((candidate) => candidate.name === name)!;
      return { returned: kernel.call(kernel.symbol(CALL_PROGRAM), [{ ptr }, 0], 0, bpfFunc).lo | 0 };
    } catch (error) {
      if (!(error instanceof TrampetError)) throw error;
      if (!(error instanceof KernelOops))
        return { notRun: error.message.replace(/^program '[^']*': |^\w+: insn \d+: /, '') };
      this.#kernel = undefined;
      return { oops: error.message };
    } finally {
      for (const step of undo.reverse()) step();
    }
  }
}

function boot(btf: Btf): Kernel {
  const callSites = [{ name: CALL_PROGRAM, hash: CFI_HASHES.program }];
  const kernel = bootKernel({
    target: makeTarget({ release: '6.18', cfi: 'off', btf }),
    subsystems: [{ name: 'selftests', structOps: [], callSites }],
  });
  kernel.setTime(START);
  return kernel;
}

/** What the program is called with (net/bpf/test_run.c). */
function context(kernel: Kernel, { type }: ResolvedProgram): { ptr: GuestPtr; release: () => void } {
  const { memory, heap, btf } = kernel;
  const places: GuestPtr[] = [];
  const zeros = (size: number) => {
    const ptr = heap.alloc(size, PAGE);
    memory.bytes(ptr, size).fill(0);
    places.push(ptr);
    return ptr;
  };
  const struct = (name: string) => zeros(btf.struct(name).size);
  const link = (at: GuestPtr, owner: string, member: string, to: GuestPtr) =>
    memory.setPtr(at + kernel.field(owner, member).offset, to);
  const release = () => {
    for (const place of places) heap.free(place);
  };
  if (NO_DATA.has(type)) return { ptr: zeros(PAGE), release };
  const start = zeros(PAGE) + HEADROOM;
  const end = start + DATA_LENGTH;
  const loopback = struct('net_device');
  memory.setU32(loopback + kernel.field('net_device', 'ifindex').offset, 1);
  if (type === 'xdp') {
    const ptr = struct('xdp_buff');
    const queue = struct('xdp_rxq_info');
    link(queue, 'xdp_rxq_info', 'dev', loopback);
    link(ptr, 'xdp_buff', 'rxq', queue);
    link(ptr, 'xdp_buff', 'data_hard_start', start - HEADROOM);
    link(ptr, 'xdp_buff', 'data_meta', start);
    link(ptr, 'xdp_buff', 'data', start);
    link(ptr, 'xdp_buff', 'data_end', end);
    return { ptr, release };
  }
  const ptr = struct('sk_buff');
  const data = LINK_LAYER.has(type) ? start : start + ETHERNET_HEADER;
  link(ptr, 'sk_buff', 'data', data);
  link(ptr, 'sk_buff', 'dev', loopback);
  link(ptr, 'sk_buff', 'sk', struct('sock'));
  memory.setU32(ptr + kernel.field('sk_buff', 'len').offset, end - data);
  const block = ptr + kernel.field('sk_buff', 'cb').offset;
  link(block, 'bpf_skb_data_end', 'data_meta', data);
  link(block, 'bpf_skb_data_end', 'data_end', end);
  return { ptr, release };
}
