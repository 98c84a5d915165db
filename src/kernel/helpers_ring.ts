import { ERRNO } from '../base/index.ts';
import type { GuestPtr } from '../machine/index.ts';
import type { HelperHandler } from './helpers_map.ts';
import type { Kernel } from './kernel.ts';
import { RingbufMap } from './ringbuf.ts';
import type { GateCall } from './types.ts';

/** `struct bpf_dynptr_kern`: data, then size (24 bits) with kind and a bit for read-only, then offset. */
const SIZE_AT = 8;
const OFFSET_AT = 12;
const MAX_SIZE = 0xff_ffff;
const READ_ONLY = 0x8000_0000;
const KIND = { LOCAL: 1, RINGBUF: 2 } as const;
const KIND_SHIFT = 28;

const noFlags = (call: GateCall, index: number): boolean => call.lo(index) === 0 && call.hi(index) === 0;
const ringOf = (k: Kernel, call: GateCall): RingbufMap | undefined => {
  const map = k.mapAt(call.ptr(0));
  return map instanceof RingbufMap ? map : undefined;
};

/** Ends the reservation of a record, whichever ring it lies in. */
function commit(k: Kernel, sample: GuestPtr, discard: boolean): void {
  for (const map of k.maps)
    if (map instanceof RingbufMap && map.holds(sample)) {
      map.commit(sample, discard);
      return;
    }
}

/** Helpers of ring buffers and of dynptrs: kernel/bpf/{ringbuf,helpers}.c (6.18). */
export function ringGates(gate: (name: string, handler: HelperHandler) => void): void {
  gate('bpf_ringbuf_reserve', (k, call) =>
    call.retPtr(noFlags(call, 2) && call.hi(1) === 0 ? (ringOf(k, call)?.reserve(call.lo(1) >>> 0) ?? 0) : 0),
  );
  gate('bpf_ringbuf_submit', (k, call) => commit(k, call.ptr(0), false));
  gate('bpf_ringbuf_discard', (k, call) => commit(k, call.ptr(0), true));
  gate('bpf_ringbuf_output', (k, call) => {
    const data = k.memory.copyNofault(call.ptr(1), call.lo(2));
    const flags = call.hi(3) === 0 ? call.lo(3) >>> 0 : 0xffffffff;
    call.retNumber(data === undefined ? -ERRNO.EFAULT : (ringOf(k, call)?.output(data, flags) ?? -ERRNO.EINVAL));
  });
  gate('bpf_ringbuf_query', (k, call) =>
    call.retNumber(call.hi(1) === 0 ? (ringOf(k, call)?.query(call.lo(1) >>> 0) ?? 0) : 0),
  );

  gate('bpf_ringbuf_reserve_dynptr', (k, call) => {
    const size = call.lo(1) >>> 0;
    const pointer = call.ptr(3);
    clear(k, pointer);
    if (!noFlags(call, 2)) return call.retNumber(-ERRNO.EINVAL);
    if (size > MAX_SIZE) return call.retNumber(-ERRNO.E2BIG);
    const sample = ringOf(k, call)?.reserve(size) ?? 0;
    if (sample === 0) return call.retNumber(-ERRNO.EINVAL);
    init(k, pointer, sample, KIND.RINGBUF, size);
    call.ret(0);
  });
  const end =
    (discard: boolean): HelperHandler =>
    (k, call) => {
      const sample = k.memory.ptr(call.ptr(0));
      if (sample !== 0) commit(k, sample, discard);
      clear(k, call.ptr(0));
      call.ret(0);
    };
  gate('bpf_ringbuf_submit_dynptr', end(false));
  gate('bpf_ringbuf_discard_dynptr', end(true));

  gate('bpf_dynptr_from_mem', (k, call) => {
    const size = call.lo(1) >>> 0;
    const pointer = call.ptr(3);
    clear(k, pointer);
    if (size > MAX_SIZE) return call.retNumber(-ERRNO.E2BIG);
    if (!noFlags(call, 2)) return call.retNumber(-ERRNO.EINVAL);
    init(k, pointer, call.ptr(0), KIND.LOCAL, size);
    call.ret(0);
  });
  gate('bpf_dynptr_read', (k, call) => {
    const length = call.lo(1) >>> 0;
    const from = noFlags(call, 4) ? place(k, call.ptr(2), call.lo(3) >>> 0, length) : -ERRNO.EINVAL;
    if (from < 0) return call.retNumber(from);
    k.memory.bytes(call.ptr(0), length).set(k.memory.bytes(from, length));
    call.ret(0);
  });
  gate('bpf_dynptr_write', (k, call) => {
    const length = call.lo(3) >>> 0;
    const isReadOnly = (k.memory.u32(call.ptr(0) + SIZE_AT) & READ_ONLY) !== 0;
    const to = isReadOnly ? -ERRNO.EINVAL : place(k, call.ptr(0), call.lo(1) >>> 0, length);
    if (to < 0) return call.retNumber(to);
    if (!noFlags(call, 4)) return call.retNumber(-ERRNO.EINVAL);
    k.memory.bytes(to, length).set(k.memory.bytes(call.ptr(2), length));
    call.ret(0);
  });
  gate('bpf_dynptr_data', (k, call) => {
    const isReadOnly = (k.memory.u32(call.ptr(0) + SIZE_AT) & READ_ONLY) !== 0;
    const found = isReadOnly ? -ERRNO.EINVAL : place(k, call.ptr(0), call.lo(1) >>> 0, call.lo(2) >>> 0);
    call.retPtr(Math.max(0, found));
  });
}

function clear(k: Kernel, pointer: GuestPtr): void {
  k.memory.bytes(pointer, 16).fill(0);
}

function init(k: Kernel, pointer: GuestPtr, data: GuestPtr, kind: number, size: number): void {
  k.memory.setPtr(pointer, data);
  k.memory.setU32(pointer + SIZE_AT, ((kind << KIND_SHIFT) | size) >>> 0);
  k.memory.setU32(pointer + OFFSET_AT, 0);
}

/** Where `length` bytes from `offset` on lie, or a negative errno (bpf_dynptr_check_off_len). */
function place(k: Kernel, pointer: GuestPtr, offset: number, length: number): number {
  const data = k.memory.ptr(pointer);
  if (data === 0) return -ERRNO.EINVAL;
  const size = k.memory.u32(pointer + SIZE_AT) & MAX_SIZE;
  if (length > size || offset > size - length) return -ERRNO.E2BIG;
  return data + k.memory.u32(pointer + OFFSET_AT) + offset;
}
