import type { Argument, GateCall } from '../kernel/index.ts';
import type { GuestPtr } from '../machine/index.ts';
import type { Replay } from './replay.ts';

// The recorder's own test functions and those of net/bpf/test_run.c: what they compute and what they are called with, for
// builds of the kernel whose text was not recorded.

/** A function's result; arguments are the eightbytes in the order of the System V ABI, on the stack after six. */
type Body = (argument: (i: number) => bigint, replay: Replay) => bigint;

const total = (argument: (i: number) => bigint, count: number) =>
  Array.from({ length: count }, (_, i) => argument(i)).reduce((a, b) => a + b, 0n);
const sum =
  (count: number): Body =>
  (argument) =>
    total(argument, count);
const half = (value: bigint) => value >> 32n;
const i8 = (value: bigint) => BigInt.asIntN(8, value);
const u8 = (value: bigint) => value & 0xffn;
const u16 = (value: bigint) => value & 0xffffn;
const u32 = (value: bigint) => BigInt.asUintN(32, value);
const int =
  (body: Body): Body =>
  (argument, replay) =>
    u32(body(argument, replay));
/** Adds one to what the second argument points to; the sum of what stood there, one, and the others. */
const modify = (others: readonly number[]): Body =>
  int((argument, { memory }) => {
    const at = Number(u32(argument(1)));
    const before = memory.i32(at);
    memory.setU32(at, (before + 1) >>> 0);
    return others.reduce((total, i) => total + argument(i), BigInt(before) + 1n);
  });

/** By symbol. */
export const BODIES: Readonly<Record<string, Body>> = {
  bpf_fentry_test1: int((argument) => argument(0) + 1n),
  ...Object.fromEntries([2, 3, 4, 5, 6].map((n) => [`bpf_fentry_test${n}`, int(sum(n))])),
  bpf_modify_return_test: modify([0]),
  bpf_modify_return_test2: modify([0, 2, 3, 4, 5, 6]),
  orc_t_void: () => 0n,
  orc_t_i1: int((argument) => argument(0) + 1n),
  orc_t_u8: int(sum(2)),
  orc_t_3: (argument) => argument(0) + argument(1) + u32(argument(2)),
  orc_t_6: int(sum(6)),
  orc_t_7: int(sum(7)),
  orc_t_8: int((argument) => total(argument, 7) + i8(argument(7))),
  orc_t_12: (argument) =>
    total(argument, 7) + u32(argument(7)) + u16(argument(8)) + u8(argument(9)) + argument(10) + argument(11),
  orc_t_s4: int((argument) => u16(argument(0)) + u8(argument(0) >> 16n) + u8(argument(0) >> 24n) + argument(1)),
  orc_t_s8: int((argument) => argument(0) + half(argument(0)) + argument(1)),
  orc_t_s12: int((argument) => argument(0) + argument(1) + half(argument(1)) + argument(2)),
  orc_t_s16: int(sum(4)),
  orc_t_s16b: int((argument) => total(argument, 5) + half(argument(4))),
  orc_t_s16stk: int(sum(8)),
  orc_t_mod: modify([0]),
  orc_t_mod7: int(sum(8)),
  orc_t_modl: (argument) => argument(0) + BigInt.asIntN(32, argument(1)) + (BigInt.asIntN(64, argument(1)) >> 32n),
};

/** Argument `i` at the entry of a function that a guest called: six in registers, the others behind the return address. */
export function argumentOf({ machine, memory }: Replay, call: GateCall, i: number): bigint {
  if (i < 6) return (BigInt(call.hi(i) >>> 0) << 32n) | BigInt(call.lo(i) >>> 0);
  return memory.view.getBigUint64(memory.offset((machine.lo[4]! >>> 0) + 8 * (i - 5), 8), true);
}

/** Plays a body for a guest that called its function. */
export function playBody(replay: Replay, body: Body, call: GateCall): void {
  const result = body((i) => argumentOf(replay, call, i), replay);
  call.ret(Number(BigInt.asIntN(32, result)), Number(BigInt.asIntN(32, result >> 32n)));
}

const ONE_TO = (last: number) => Array.from({ length: last }, (_, i) => i + 1);
const PAIR = { lo: 4, hi: 5 };

/** Calls of the recorder's trigger file: the label that it prints, the function's suffix, arguments. */
const TRIGGERED: readonly (readonly [label: string, name: string, args: readonly Argument[]])[] = [
  ['i1', 'i1', [1]],
  ['u8', 'u8', [250, 3]],
  ['t3', '3', [-5, 8, 97]],
  ['t6', '6', ONE_TO(6)],
  ['t7', '7', ONE_TO(7)],
  ['t8', '8', [...ONE_TO(7), -8]],
  ['t12', '12', ONE_TO(12)],
  ['s4', 's4', [0x3020001, 1]],
  ['s8', 's8', [PAIR, 1]],
  ['s12', 's12', [1, { lo: 6, hi: 7 }, 8]],
  ['s16', 's16', [1, 9, 10, 2]],
  ['s16b', 's16b', [9, 10, 9, 10, PAIR]],
  ['s16stk', 's16stk', [...ONE_TO(6), 9, 10]],
];

/** What reading the trigger file printed: results of the test functions as `printf` shows each. */
export function trigger(replay: Replay, call: (name: string, args: readonly Argument[]) => number): string {
  const words = TRIGGERED.map(([label, name, args]) => {
    if (label === 'i1') call('orc_t_void', []);
    const result = call(`orc_t_${name}`, args);
    return `${label}=${label === 'u8' ? result & 0xff : result | 0}`;
  });
  const effect: GuestPtr = replay.alloc(4);
  replay.memory.setU32(effect, 3);
  const mod = call('orc_t_mod', [1, { ptr: effect }]) | 0;
  words.push(`mod=${mod}`, `x=${replay.memory.u32(effect)}`);
  words.push(`mod7=${call('orc_t_mod7', [...ONE_TO(6), 9, 10]) | 0}`, `modl=${call('orc_t_modl', [5, PAIR]) | 0}`);
  return `TRIG ${words.join(' ')}`;
}

/** Arguments that the recorder passes to each member of its own ops; `task` is the current task. */
export function memberArguments(member: string, task: GuestPtr): readonly Argument[] | undefined {
  const known: Record<string, readonly Argument[]> = {
    none: [],
    i1: [41],
    u3: [{ lo: 0, hi: 0x100 }, 7, 200],
    neg8: [-3, -300],
    flag: [1, { ptr: task }],
    six: [-1, 2, -3, 0x78, 5, 6],
    eight: [...ONE_TO(7), -8],
    twelve: ONE_TO(12),
    st8: [PAIR, 1],
    st16: [1, 9, 10, 2],
    ststk: [...ONE_TO(6), 9, 10],
    un: [{ lo: 1, hi: 2 }, 3, 7],
    ids: [5, 0x4d],
    fp: [0, { ptr: task }, 0x63],
    slp: [3],
  };
  return known[member];
}
