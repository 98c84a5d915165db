import { helperName } from '../bpf/index.ts';
import type { GuestPtr } from '../machine/index.ts';
import { MAP_OPERATIONS, MAP_OPS } from '../verifier/index.ts';
import { mapGates } from './helpers_map.ts';
import { memoryGates } from './helpers_memory.ts';
import { ringGates } from './helpers_ring.ts';
import type { Kernel } from './kernel.ts';
import { MAP_TYPE } from './maps.ts';
import { TIMED_MAY_GOTO, timedMayGoto } from './may_goto.ts';
import type { GateCall, GateDef } from './types.ts';

const EINVAL = -22;

/** The functions behind the helpers that are modelled, and those that rewritten programs call. */
export function helperGates(kernel: () => Kernel): GateDef[] {
  const gates = new Map<string, GateDef>();
  const gate = (name: string, handler: (k: Kernel, call: GateCall) => void) =>
    void gates.set(name, { name, handler: (call) => handler(kernel(), call) });

  for (const [id, handler] of mapGates()) {
    gate(helperName(id), handler);
    const operation = MAP_OPERATIONS[id];
    for (const type of Object.values(MAP_TYPE)) {
      const own = operation === undefined ? undefined : MAP_OPS[type]?.[operation];
      if (own !== undefined) gate(own, handler);
    }
  }
  gate('__htab_map_lookup_elem', (k, call) => {
    const found = k.mapAt(call.ptr(0));
    const key = found === undefined ? undefined : k.memory.copyNofault(call.ptr(1), found.blueprint.keySize);
    call.retPtr(found === undefined || key === undefined ? 0 : (found.element?.(key) ?? 0));
  });

  gate(TIMED_MAY_GOTO, timedMayGoto);
  const time = (k: Kernel, call: GateCall) => call.retNumber(k.now());
  for (const name of ['bpf_ktime_get_ns', 'bpf_ktime_get_boot_ns', 'bpf_ktime_get_coarse_ns', 'bpf_ktime_get_tai_ns'])
    gate(name, time);
  gate('bpf_jiffies64', (k, call) => call.retNumber(k.jiffies()));
  gate('bpf_get_smp_processor_id', (_, call) => call.ret(0));
  gate('bpf_get_numa_node_id', (_, call) => call.ret(0));
  gate('bpf_user_rnd_u32', (k, call) => call.ret(k.random.u32() | 0));
  gate('bpf_get_current_pid_tgid', (_, call) => call.ret(1, 1));
  gate('bpf_get_current_uid_gid', (_, call) => call.ret(0));
  gate('bpf_get_current_comm', (k, call) => {
    const size = call.lo(1);
    if (size <= 0) return call.retNumber(EINVAL);
    const name = new TextEncoder().encode('trampet').subarray(0, size - 1);
    const target = k.memory.bytes(call.ptr(0), size).fill(0);
    target.set(name);
    call.ret(0);
  });
  for (const name of ['bpf_spin_lock', 'bpf_spin_unlock']) gate(name, (_, call) => call.ret(0));
  memoryGates(gate);
  ringGates(gate);

  const timerOf = (call: GateCall): GuestPtr => call.ptr(0);
  gate('bpf_timer_init', (k, call) => {
    const map = k.mapAt(call.ptr(1));
    call.retNumber(map === undefined || call.hi(2) !== 0 ? EINVAL : k.timers.init(timerOf(call), map, call.lo(2)));
  });
  gate('bpf_timer_set_callback', (k, call) => call.retNumber(k.timers.setCallback(timerOf(call), call.ptr(1))));
  gate('bpf_timer_start', (k, call) => {
    const ns = (call.lo(1) >>> 0) + (call.hi(1) >>> 0) * 0x1_0000_0000;
    call.retNumber(call.hi(2) !== 0 ? EINVAL : k.timers.start(timerOf(call), ns, call.lo(2)));
  });
  gate('bpf_timer_cancel', (k, call) => call.retNumber(k.timers.cancel(timerOf(call))));
  return [...gates.values()];
}
