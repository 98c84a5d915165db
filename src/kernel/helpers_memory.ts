import { ERRNO } from '../base/index.ts';
import type { GuestPtr } from '../machine/index.ts';
import type { HelperHandler } from './helpers_map.ts';
import type { Kernel } from './kernel.ts';
import { formatPrintk, readString } from './printk.ts';
import type { GateCall } from './types.ts';

/** BPF_STRTOX_BASE_MASK. */
const BASE_MASK = 0x1f;
const U64_MAX = (1n << 64n) - 1n;

/** Helpers that read memory, compare and format it. */
export function memoryGates(gate: (name: string, handler: HelperHandler) => void): void {
  gate('bpf_trace_printk', (k, call) => {
    const args = [2, 3, 4].map((i) => ({ lo: call.lo(i), hi: call.hi(i) }));
    print(k, call, readString(k, { lo: call.lo(0) }), args);
  });
  gate('bpf_trace_vprintk', (k, call) =>
    print(k, call, readString(k, { lo: call.lo(0) }), packed(k, call.ptr(2), call.lo(3))),
  );
  gate('bpf_snprintf', (k, call) => {
    const text = formatPrintk(k, readString(k, { lo: call.lo(2) }), packed(k, call.ptr(3), call.lo(4)));
    if (text === undefined || call.lo(4) % 8 !== 0) return call.retNumber(-ERRNO.EINVAL);
    const encoded = new TextEncoder().encode(text);
    const room = call.lo(1);
    if (room > 0) {
      const kept = encoded.subarray(0, room - 1);
      k.memory.bytes(call.ptr(0), kept.length).set(kept);
      k.memory.setU8(call.ptr(0) + kept.length, 0);
    }
    call.ret(encoded.length + 1);
  });

  const read: HelperHandler = (k, call) => {
    const size = call.lo(1);
    const source = k.memory.copyNofault(call.ptr(2), size);
    const target = k.memory.bytes(call.ptr(0), size);
    if (source === undefined) target.fill(0);
    else target.set(source);
    call.retNumber(source === undefined ? -ERRNO.EFAULT : 0);
  };
  gate('bpf_probe_read_kernel', read);
  gate('bpf_probe_read', read);
  // Nobody's memory is there to be read when a packet comes.
  const readUser: HelperHandler = (k, call) => {
    k.memory.bytes(call.ptr(0), call.lo(1)).fill(0);
    call.retNumber(-ERRNO.EFAULT);
  };
  gate('bpf_probe_read_user', readUser);
  gate('bpf_probe_read_user_str', readUser);
  const readText: HelperHandler = (k, call) => {
    const size = call.lo(1);
    const target = k.memory.bytes(call.ptr(0), size);
    for (let i = 0; i < size; i++) {
      const byte = k.memory.copyNofault(call.ptr(2) + i, 1)?.[0];
      if (byte === undefined) {
        target.fill(0);
        return call.retNumber(-ERRNO.EFAULT);
      }
      target[i] = i === size - 1 ? 0 : byte;
      if (target[i] === 0) return call.ret(i + 1);
    }
    call.ret(0);
  };
  gate('bpf_probe_read_kernel_str', readText);
  gate('bpf_probe_read_str', readText);

  gate('bpf_strncmp', (k, call) => {
    const size = call.lo(1) >>> 0;
    for (let i = 0; i < size; i++) {
      const [a, b] = [k.memory.u8(call.ptr(0) + i), k.memory.u8(call.ptr(2) + i)];
      if (a !== b) return call.retNumber(a < b ? -1 : 1);
      if (a === 0) break;
    }
    call.ret(0);
  });
  gate('bpf_strtol', (k, call) => call.retNumber(parse(k, call, true)));
  gate('bpf_strtoul', (k, call) => call.retNumber(parse(k, call, false)));
}

/** bpf_strtol and bpf_strtoul: white space, sign, prefix, digits; the number of characters that were read. */
function parse(k: Kernel, call: GateCall, signed: boolean): number {
  const size = call.lo(1) >>> 0;
  const base = call.lo(2) >>> 0;
  if (size === 0 || call.hi(2) !== 0 || (base & ~BASE_MASK) !== 0 || ![0, 8, 10, 16].includes(base))
    return -ERRNO.EINVAL;
  const text = new TextDecoder('latin1').decode(k.memory.bytes(call.ptr(0), size));
  const parts = /^([ \t\n\v\f\r\xa0]*)([-+]?)(.*)$/s.exec(text)!;
  const [, space, sign, rest] = parts as unknown as [string, string, string, string];
  const negative = sign === '-';
  if (sign === '+' || rest === '' || (negative && !signed)) return -ERRNO.EINVAL;
  const isHex = base === 16 ? /^0x/i.test(rest) : base === 0 && /^0x[0-9a-f]/i.test(rest);
  const radix = isHex ? 16 : base !== 0 ? base : rest.startsWith('0') ? 8 : 10;
  const digits = { 8: /^[0-7]*/, 10: /^\d*/, 16: /^[0-9a-f]*/i }[radix as 8 | 10 | 16].exec(
    rest.slice(isHex ? 2 : 0),
  )![0];
  if (digits === '') return -ERRNO.EINVAL;
  const value = BigInt(radix === 8 ? `0o${digits}` : radix === 16 ? `0x${digits}` : digits);
  const most = !signed ? U64_MAX : negative ? 1n << 63n : (1n << 63n) - 1n;
  if (value > most) return -ERRNO.ERANGE;
  const bits = BigInt.asUintN(64, negative ? -value : value);
  k.memory.setU32(call.ptr(3), Number(bits & 0xffffffffn));
  k.memory.setU32(call.ptr(3) + 4, Number(bits >> 32n));
  return space.length + sign.length + (isHex ? 2 : 0) + digits.length;
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
    call.retNumber(-ERRNO.EINVAL);
    return;
  }
  const line = text.replace(/\n$/, '');
  k.trace.push(line);
  k.onPrint?.(line);
  call.ret(text.length);
}
