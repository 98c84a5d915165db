import type { GateCall } from '../kernel/index.ts';
import type { GuestPtr } from '../machine/index.ts';
import { UnsupportedReplay } from './error.ts';
import type { Replay } from './replay.ts';

/** Bytes of the recorder's packet. */
export const PACKET_SIZE = 64;

/** A kernel function as replays play it. */
export type ReplayHelper = (call: GateCall) => void;

const RBP = 5;

/** Kernel functions by symbol: as much of each as recorded programs see of it. */
export function replayHelpers(replay: Replay): Readonly<Record<string, ReplayHelper>> {
  const { memory } = replay;
  const elements = new Map<string, { key: GuestPtr; value: GuestPtr }>();
  let timer: { callback: GuestPtr; map: GuestPtr; value: GuestPtr } | undefined;
  const enter: ReplayHelper = (call) => call.ret(1);
  const nothing: ReplayHelper = () => {};
  /** Legacy packet loads: big-endian, or -EFAULT. */
  const load =
    (size: 1 | 2 | 4): ReplayHelper =>
    (call) => {
      const offset = call.lo(1);
      if (offset < 0 || offset > PACKET_SIZE - size) call.ret(-14, -1);
      else call.ret(memory.bytes(replay.packet + offset, size).reduce((value, byte) => (value << 8) | byte, 0));
    };
  return {
    __bpf_prog_enter: enter,
    __bpf_prog_enter_recur: enter,
    __bpf_prog_enter_sleepable_recur: enter,
    __bpf_prog_exit: nothing,
    __bpf_prog_exit_recur: nothing,
    __bpf_prog_exit_sleepable_recur: nothing,
    __bpf_tramp_enter: nothing,
    __bpf_tramp_exit: nothing,
    bpf_user_rnd_u32: (call) => call.ret(replay.random.u32() | 0),
    bpf_skb_load_bytes: (call) => {
      memory.bytes(call.ptr(2), call.lo(3)).set(memory.bytes(replay.packet + call.lo(1), call.lo(3)));
      call.ret(0);
    },
    bpf_skb_store_bytes: (call) => {
      memory.bytes(replay.packet + call.lo(1), call.lo(3)).set(memory.bytes(call.ptr(2), call.lo(3)));
      call.ret(0);
    },
    bpf_skb_load_helper_8_no_cache: load(1),
    bpf_skb_load_helper_16_no_cache: load(2),
    bpf_skb_load_helper_32_no_cache: load(4),
    bpf_get_current_pid_tgid: (call) => call.ret(1, 1),
    bpf_ktime_get_ns: (call) => call.ret(1_000_000_000),
    arch_bpf_timed_may_goto: () => {
      throw new UnsupportedReplay('runs until a quarter of a second has passed');
    },
    bpf_ringbuf_reserve: (call) => call.retPtr(replay.alloc(call.lo(1))),
    bpf_ringbuf_submit: nothing,
    bpf_get_smp_processor_id: (call) => call.ret(0),
    // No process has memory here: -EFAULT.
    bpf_copy_from_user: (call) => call.ret(-14, -1),
    bpf_get_current_task_btf: (call) => call.retPtr(replay.task),
    // Keys and values of the recorded hash maps have 4 and 8 bytes.
    htab_map_update_elem: (call) => {
      const key = replay.alloc(4);
      const value = replay.alloc(8);
      memory.bytes(key, 4).set(memory.bytes(call.ptr(1), 4));
      memory.bytes(value, 8).set(memory.bytes(call.ptr(2), 8));
      elements.set(memory.bytes(key, 4).join(), { key, value });
      call.ret(0);
    },
    __htab_map_lookup_elem: (call) => call.ret(0),
    bpf_for_each_hash_elem: (call) => {
      const [map, callback, context] = [call.ptr(0), call.ptr(1), call.ptr(2)];
      for (const { key, value } of elements.values()) {
        for (const [i, pointer] of [map, key, value, context].entries()) replay.machine.setArgPtr(i, pointer);
        replay.machine.call(callback);
      }
      call.ret(elements.size);
    },
    bpf_timer_init: (call) => {
      timer = { callback: 0, map: call.ptr(1), value: call.ptr(0) };
      call.ret(0);
    },
    bpf_timer_set_callback: (call) => {
      if (timer !== undefined) timer.callback = call.ptr(1);
      call.ret(0);
    },
    // It fires at once: nobody looks between the start and the callback.
    bpf_timer_start: (call) => {
      const due = timer;
      if (due !== undefined) {
        for (const [i, pointer] of [due.map, replay.alloc(4), due.value].entries())
          replay.machine.setArgPtr(i, pointer);
        replay.machine.call(due.callback);
      }
      call.ret(0);
    },
    bpf_throw: (call) => throwException(replay, call),
  };
}

/**
 * bpf_throw (kernel/bpf/helpers.c, 6.12): walks up to the function that is the exception's boundary, and leaves for the
 * program's callback with that function's stack and frame pointer.
 */
function throwException(replay: Replay, call: GateCall): void {
  const { machine, memory } = replay;
  let back = memory.ptr(machine.lo[4]! >>> 0);
  let stack = (machine.lo[4]! >>> 0) + 8;
  let frame = machine.lo[RBP]! >>> 0;
  while (replay.functionAt(back)?.exceptionBoundary !== true) {
    back = memory.ptr(frame + 8);
    stack = frame + 16;
    frame = memory.ptr(frame);
  }
  machine.setArg(0, call.lo(0), call.hi(0));
  machine.setArgPtr(1, stack);
  machine.setArgPtr(2, frame);
  machine.jump(replay.exceptionCallback(back));
}
