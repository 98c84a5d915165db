import { ERRNO } from '../base/index.ts';
import { UnsupportedError } from './error.ts';
import type { Kernel } from './kernel.ts';
import type { GateCall, GateDef } from './types.ts';

/** BPF_MAX_LOOPS. */
const MAX_LOOPS = 8 << 20;
/** `struct bpf_dynptr_kern`: the word with the size, and the bits of it. */
const SIZE_AT = 8;
const OFFSET_AT = 12;
const SIZE_MASK = 0xff_ffff;
const READ_ONLY = 0x8000_0000;

/**
 * Kernel functions that programs of every type may call (common_kfunc_set of kernel/bpf/helpers.c, and the number iterator of
 * kernel/bpf/bpf_iter.c, 6.18), as far as they need nothing of who calls them. Sections without preemption or with RCU's
 * read lock are the whole of a run here.
 */
export function commonKfuncs(kernel: () => Kernel): GateDef[] {
  const gate = (name: string, work: (k: Kernel, call: GateCall) => void): GateDef => ({
    name,
    handler: (call) => work(kernel(), call),
  });
  const nothing = (name: string) => gate(name, () => {});
  return [
    gate('bpf_iter_num_new', (k, call) => {
      const [at, start, end] = [call.ptr(0), call.lo(1), call.lo(2)];
      const err = start > end ? -ERRNO.EINVAL : end - start > MAX_LOOPS ? -ERRNO.E2BIG : 0;
      k.memory.setU32(at, err === 0 ? start - 1 : 0);
      k.memory.setU32(at + 4, err === 0 ? end : 0);
      call.retNumber(err);
    }),
    gate('bpf_iter_num_next', (k, call) => {
      const at = call.ptr(0);
      const next = k.memory.i32(at) + 1;
      if (next >= k.memory.i32(at + 4)) {
        k.memory.setU32(at, 0);
        k.memory.setU32(at + 4, 0);
        call.retPtr(0);
        return;
      }
      k.memory.setU32(at, next);
      call.retPtr(at);
    }),
    gate('bpf_iter_num_destroy', (k, call) => {
      k.memory.setU32(call.ptr(0), 0);
      k.memory.setU32(call.ptr(0) + 4, 0);
    }),
    gate('bpf_obj_new_impl', (k, call) => {
      const size = call.lo(0) >>> 0;
      // The verifier puts the size there.
      if (size === 0) throw new UnsupportedError('bpf_obj_new in a program that was not verified is not modelled');
      call.retPtr(k.heap.alloc(size));
    }),
    gate('bpf_obj_drop_impl', (k, call) => k.heap.free(call.ptr(0))),
    nothing('bpf_rcu_read_lock'),
    nothing('bpf_rcu_read_unlock'),
    nothing('bpf_preempt_disable'),
    nothing('bpf_preempt_enable'),
    gate('bpf_dynptr_is_null', (k, call) => call.ret(k.memory.ptr(call.ptr(0)) === 0 ? 1 : 0)),
    gate('bpf_dynptr_is_rdonly', (k, call) => {
      const readOnly = (k.memory.u32(call.ptr(0) + SIZE_AT) & READ_ONLY) !== 0;
      call.ret(k.memory.ptr(call.ptr(0)) !== 0 && readOnly ? 1 : 0);
    }),
    gate('bpf_dynptr_size', (k, call) => {
      const isNull = k.memory.ptr(call.ptr(0)) === 0;
      call.retNumber(isNull ? -ERRNO.EINVAL : k.memory.u32(call.ptr(0) + SIZE_AT) & SIZE_MASK);
    }),
    gate('bpf_dynptr_adjust', (k, call) => {
      const [at, start, end] = [call.ptr(0), call.lo(1) >>> 0, call.lo(2) >>> 0];
      if (k.memory.ptr(at) === 0 || start > end) return call.retNumber(-ERRNO.EINVAL);
      const word = k.memory.u32(at + SIZE_AT);
      if (start > (word & SIZE_MASK) || end > (word & SIZE_MASK)) return call.retNumber(-ERRNO.ERANGE);
      k.memory.setU32(at + OFFSET_AT, k.memory.u32(at + OFFSET_AT) + start);
      k.memory.setU32(at + SIZE_AT, ((word & ~SIZE_MASK) | (end - start)) >>> 0);
      call.ret(0);
    }),
    gate('bpf_dynptr_clone', (k, call) => {
      const [from, to] = [call.ptr(0), call.ptr(1)];
      if (k.memory.ptr(from) === 0) {
        k.memory.bytes(to, 16).fill(0);
        return call.retNumber(-ERRNO.EINVAL);
      }
      k.memory.bytes(to, 16).set(k.memory.bytes(from, 16));
      call.ret(0);
    }),
  ];
}
