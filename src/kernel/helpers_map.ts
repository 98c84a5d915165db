import { ERRNO } from '../base/index.ts';
import type { Kernel } from './kernel.ts';
import type { BpfMap } from './maps.ts';
import { SkStorage, socketKey } from './maps_hash.ts';
import type { GateCall } from './types.ts';

export type HelperHandler = (k: Kernel, call: GateCall) => void;

const MAX_LOOPS = 1 << 23;
/** BPF_SK_STORAGE_GET_F_CREATE. */
const F_CREATE = 1;

const mapOf = (k: Kernel, call: GateCall): BpfMap | undefined => k.mapAt(call.ptr(0));
/** Flags of 64 bits: those of the upper half are never known. */
const flagsOf = (call: GateCall, index: number): number => (call.hi(index) === 0 ? call.lo(index) >>> 0 : 0xffffffff);

function lookup(k: Kernel, call: GateCall): void {
  const map = mapOf(k, call);
  const key = map === undefined ? undefined : k.memory.copyNofault(call.ptr(1), map.blueprint.keySize);
  call.retPtr(map === undefined || key === undefined ? 0 : map.lookup(key));
}

function update(k: Kernel, call: GateCall): void {
  const map = mapOf(k, call);
  const key = map === undefined ? undefined : k.memory.copyNofault(call.ptr(1), map.blueprint.keySize);
  const value = map === undefined ? undefined : k.memory.copyNofault(call.ptr(2), map.blueprint.valueSize);
  const good = map !== undefined && key !== undefined && value !== undefined;
  call.retNumber(good ? map.update(key, value, flagsOf(call, 3)) : -ERRNO.EFAULT);
}

function remove(k: Kernel, call: GateCall): void {
  const map = mapOf(k, call);
  const key = map === undefined ? undefined : k.memory.copyNofault(call.ptr(1), map.blueprint.keySize);
  call.retNumber(map === undefined || key === undefined ? -ERRNO.EFAULT : map.delete(key));
}

function push(k: Kernel, call: GateCall): void {
  const map = mapOf(k, call);
  const value = map === undefined ? undefined : k.memory.copyNofault(call.ptr(1), map.blueprint.valueSize);
  call.retNumber(value === undefined ? -ERRNO.EFAULT : (map!.push?.(value, flagsOf(call, 2)) ?? -ERRNO.EINVAL));
}

/** `pop` and `peek` write into the program's memory. */
const take = (how: 'pop' | 'peek') => (k: Kernel, call: GateCall) => {
  const map = mapOf(k, call);
  const take = map?.[how];
  call.retNumber(
    take === undefined ? -ERRNO.EINVAL : take.call(map, k.memory.bytes(call.ptr(1), map!.blueprint.valueSize)),
  );
};

/** bpf_map_lookup_percpu_elem: there is one CPU. */
function lookupPercpu(k: Kernel, call: GateCall): void {
  if (call.lo(2) >>> 0 > 0) call.retPtr(0);
  else lookup(k, call);
}

function forEach(k: Kernel, call: GateCall): number {
  const map = mapOf(k, call);
  const [callback, context] = [call.ptr(1), { lo: call.lo(2), hi: call.hi(2) }];
  if (map === undefined || flagsOf(call, 3) !== 0) return -ERRNO.EINVAL;
  const scratch = k.heap.alloc(Math.max(8, map.blueprint.keySize));
  let done = 0;
  for (const key of map.keys()) {
    const value = map.lookup(key);
    // The callback before may have deleted it.
    if (value === 0) continue;
    k.memory.bytes(scratch, key.length).set(key);
    const result = k.call(callback, [{ ptr: map.pointer }, { ptr: scratch }, { ptr: value }, context]);
    done++;
    if (result.lo !== 0) break;
  }
  k.heap.free(scratch);
  return done;
}

function loop(k: Kernel, call: GateCall): number {
  const [count, callback, context] = [call.lo(0) >>> 0, call.ptr(1), { lo: call.lo(2), hi: call.hi(2) }];
  if (flagsOf(call, 3) !== 0) return -ERRNO.EINVAL;
  if (count > MAX_LOOPS) return -ERRNO.E2BIG;
  let done = 0;
  while (done < count) {
    const result = k.call(callback, [done, context]);
    done++;
    if (result.lo !== 0) break;
  }
  return done;
}

function storageGet(k: Kernel, call: GateCall): number {
  const map = mapOf(k, call);
  const flags = flagsOf(call, 3);
  if (!(map instanceof SkStorage) || call.ptr(1) === 0 || flags > F_CREATE) return 0;
  const key = socketKey(call.ptr(1));
  if (map.lookup(key) === 0 && flags === F_CREATE) {
    const { valueSize } = map.blueprint;
    const initial = call.ptr(2) === 0 ? undefined : k.memory.copyNofault(call.ptr(2), valueSize);
    map.update(key, initial ?? new Uint8Array(valueSize), 0);
  }
  return map.lookup(key);
}

function storageDelete(k: Kernel, call: GateCall): void {
  const map = mapOf(k, call);
  if (!(map instanceof SkStorage) || call.ptr(1) === 0) call.retNumber(-ERRNO.EINVAL);
  else call.retNumber(map.delete(socketKey(call.ptr(1))));
}

/** By helper number. */
export function mapGates(): Map<number, HelperHandler> {
  return new Map<number, HelperHandler>([
    [1, lookup],
    [2, update],
    [3, remove],
    [87, push],
    [88, take('pop')],
    [89, take('peek')],
    [107, (k, call) => call.retPtr(storageGet(k, call))],
    [108, storageDelete],
    [164, (k, call) => call.retNumber(forEach(k, call))],
    [181, (k, call) => call.retNumber(loop(k, call))],
    [195, lookupPercpu],
  ]);
}
