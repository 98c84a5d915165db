import type { GuestPtr } from '../machine/index.ts';
import { MAP_OPS } from '../verifier/index.ts';
import type { Kernel } from './kernel.ts';
import { type BpfMap, MAP_TYPE, RingbufMap } from './maps.ts';
import { formatPrintk, readString } from './printk.ts';
import type { GateCall, GateDef } from './types.ts';

const EINVAL = -22;
const EFAULT = -14;
const E2BIG = -7;
const ENOENT = -2;

/** Types of the maps that are modelled with their functions. */
const MAP_TYPES: readonly number[] = [
  MAP_TYPE.HASH,
  MAP_TYPE.ARRAY,
  MAP_TYPE.PERCPU_HASH,
  MAP_TYPE.PERCPU_ARRAY,
  MAP_TYPE.LRU_HASH,
];

/** The functions behind the helpers that are modelled, and those that rewritten programs call. */
export function helperGates(kernel: () => Kernel): GateDef[] {
  const gates: GateDef[] = [];
  const gate = (name: string, handler: (k: Kernel, call: GateCall) => void) =>
    gates.push({ name, handler: (call) => handler(kernel(), call) });
  const map = (k: Kernel, call: GateCall): BpfMap | undefined => k.maps.find(({ pointer }) => pointer === call.ptr(0));
  const bytes = (k: Kernel, pointer: GuestPtr, size: number) => k.memory.copyNofault(pointer, size);

  const lookup = (k: Kernel, call: GateCall) => {
    const found = map(k, call);
    const key = found === undefined ? undefined : bytes(k, call.ptr(1), found.blueprint.keySize);
    call.retPtr(found === undefined || key === undefined ? 0 : found.lookup(key));
  };
  const update = (k: Kernel, call: GateCall) => {
    const found = map(k, call);
    const key = found === undefined ? undefined : bytes(k, call.ptr(1), found.blueprint.keySize);
    const value = found === undefined ? undefined : bytes(k, call.ptr(2), found.blueprint.valueSize);
    call.retNumber(
      found === undefined || key === undefined || value === undefined ? EFAULT : found.update(key, value, call.lo(3)),
    );
  };
  const remove = (k: Kernel, call: GateCall) => {
    const found = map(k, call);
    const key = found === undefined ? undefined : bytes(k, call.ptr(1), found.blueprint.keySize);
    call.retNumber(found === undefined || key === undefined ? EFAULT : found.delete(key));
  };
  gate('bpf_map_lookup_elem', lookup);
  gate('bpf_map_update_elem', update);
  gate('bpf_map_delete_elem', remove);
  const operations = new Map<string, (k: Kernel, call: GateCall) => void>();
  for (const type of MAP_TYPES) {
    const own = MAP_OPS[type]!;
    operations.set(own.lookup!, lookup).set(own.update!, update).set(own.delete!, remove);
  }
  for (const [name, handler] of operations) gate(name, handler);
  gate('__htab_map_lookup_elem', (k, call) => {
    const found = map(k, call);
    const key = found === undefined ? undefined : bytes(k, call.ptr(1), found.blueprint.keySize);
    const value = found === undefined || key === undefined ? 0 : found.lookup(key);
    const header = k.field('htab_elem', 'key').offset + (((found?.blueprint.keySize ?? 0) + 7) & ~7);
    call.retPtr(value === 0 ? 0 : value - header);
  });

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

  gate('bpf_trace_printk', (k, call) => {
    const format = readString(k, { lo: call.lo(0) });
    print(
      k,
      call,
      format,
      [2, 3, 4].map((i) => ({ lo: call.lo(i), hi: call.hi(i) })),
    );
  });
  gate('bpf_trace_vprintk', (k, call) =>
    print(k, call, readString(k, { lo: call.lo(0) }), packed(k, call.ptr(2), call.lo(3))),
  );
  gate('bpf_snprintf', (k, call) => {
    const text = formatPrintk(k, readString(k, { lo: call.lo(2) }), packed(k, call.ptr(3), call.lo(4)));
    if (text === undefined) return call.retNumber(EINVAL);
    const encoded = new TextEncoder().encode(text);
    const room = call.lo(1);
    if (room > 0) {
      const kept = encoded.subarray(0, room - 1);
      k.memory.bytes(call.ptr(0), kept.length).set(kept);
      k.memory.setU8(call.ptr(0) + kept.length, 0);
    }
    call.ret(encoded.length + 1);
  });
  const probe = (k: Kernel, call: GateCall) => {
    const size = call.lo(1);
    const source = bytes(k, call.ptr(2), size);
    const target = k.memory.bytes(call.ptr(0), size);
    if (source === undefined) target.fill(0);
    else target.set(source);
    call.retNumber(source === undefined ? EFAULT : 0);
  };
  gate('bpf_probe_read_kernel', probe);
  gate('bpf_probe_read', probe);
  for (const name of ['bpf_spin_lock', 'bpf_spin_unlock']) gate(name, (_, call) => call.ret(0));

  gate('bpf_sk_storage_get', (k, call) => {
    const found = map(k, call);
    if (found === undefined || call.ptr(1) === 0) return call.retPtr(0);
    const key = socketKey(call.ptr(1));
    if (found.lookup(key) === 0 && (call.lo(3) & 1) !== 0) {
      const initial = call.ptr(2) === 0 ? undefined : bytes(k, call.ptr(2), found.blueprint.valueSize);
      found.update(key, initial ?? new Uint8Array(found.blueprint.valueSize), 0);
    }
    call.retPtr(found.lookup(key));
  });
  gate('bpf_sk_storage_delete', (k, call) => call.retNumber(map(k, call)?.delete(socketKey(call.ptr(1))) ?? ENOENT));

  const ring = (k: Kernel, call: GateCall) => {
    const found = map(k, call);
    return found instanceof RingbufMap ? found : undefined;
  };
  const holder = (k: Kernel, sample: GuestPtr) =>
    k.maps.find((candidate): candidate is RingbufMap => candidate instanceof RingbufMap && candidate.holds(sample));
  gate('bpf_ringbuf_reserve', (k, call) => call.retPtr(ring(k, call)?.reserve(call.lo(1)) ?? 0));
  gate('bpf_ringbuf_submit', (k, call) => holder(k, call.ptr(0))?.commit(call.ptr(0), false));
  gate('bpf_ringbuf_discard', (k, call) => holder(k, call.ptr(0))?.commit(call.ptr(0), true));
  gate('bpf_ringbuf_output', (k, call) => {
    const data = bytes(k, call.ptr(1), call.lo(2));
    call.retNumber(data === undefined ? EFAULT : (ring(k, call)?.output(data) ?? EINVAL));
  });

  gate('bpf_loop', (k, call) => {
    const [count, callback, context] = [call.lo(0) >>> 0, call.ptr(1), { lo: call.lo(2), hi: call.hi(2) }];
    if (count > 1 << 23) return call.retNumber(E2BIG);
    let done = 0;
    while (done < count) {
      const result = k.call(callback, [done, context]);
      done++;
      if (result.lo !== 0) break;
    }
    call.ret(done);
  });
  const forEach = (k: Kernel, call: GateCall) => {
    const found = map(k, call);
    const [callback, context] = [call.ptr(1), { lo: call.lo(2), hi: call.hi(2) }];
    if (found === undefined) return call.retNumber(EINVAL);
    const scratch = k.heap.alloc(Math.max(8, found.blueprint.keySize));
    let done = 0;
    for (const key of found.keys()) {
      k.memory.bytes(scratch, key.length).set(key);
      const result = k.call(callback, [{ ptr: found.pointer }, { ptr: scratch }, { ptr: found.lookup(key) }, context]);
      done++;
      if (result.lo !== 0) break;
    }
    k.heap.free(scratch);
    call.ret(done);
  };
  for (const name of new Set(['bpf_for_each_map_elem', ...MAP_TYPES.map((type) => MAP_OPS[type]!.forEach!)]))
    gate(name, forEach);
  return gates;
}

/** Socket storage is keyed by the socket. */
function socketKey(socket: GuestPtr): Uint8Array {
  return new Uint8Array(Uint32Array.of(socket).buffer);
}

function packed(k: Kernel, pointer: GuestPtr, size: number): { lo: number; hi: number }[] {
  const args: { lo: number; hi: number }[] = [];
  for (let at = 0; at + 8 <= size; at += 8)
    args.push({ lo: k.memory.i32(pointer + at), hi: k.memory.i32(pointer + at + 4) });
  return args;
}

function print(k: Kernel, call: GateCall, format: string, args: { lo: number; hi: number }[]): void {
  const text = formatPrintk(k, format, args);
  if (text === undefined) {
    call.retNumber(EINVAL);
    return;
  }
  k.trace.push(text.replace(/\n$/, ''));
  call.ret(text.length);
}
