import { fromHex } from '../base/index.ts';
import { type ElfFile, readElf } from '../elf/index.ts';
import type { Argument, GateCall } from '../kernel/index.ts';
import type { GuestPtr } from '../machine/index.ts';
import type { ResolvedObject } from '../object/index.ts';
import { cfiOffset } from '../target/index.ts';
import { featuresOf, type Golden, low } from './_golden.ts';
import { UnsupportedReplay } from './error.ts';
import type { Replay } from './replay.ts';
import { argumentOf, BODIES, memberArguments, playBody, trigger } from './replay_bodies.ts';
import type { OracleDirectory } from './types.ts';

/** Functions of the recorder's own and of the kernel's test runs, which replays execute as they stand in vmlinux. */
const EXECUTED = /^(orc_t_\w+|orc_call_all|trig_read|bpf_fentry_test\d|bpf_modify_return_test2?)$/;
const RETURN = Uint8Array.of(0xc3, 0xcc);
const JUMP_R11 = Uint8Array.of(0x41, 0xff, 0xe3, 0xcc);
const R11 = 11;
const POP_R12 = Uint8Array.of(0x41, 0x5c);
const PUSH_R12 = Uint8Array.of(0x41, 0x54);
const CALL = 0xe8;
const CALL_SIZE = 5;
/** ENDBR and the patched call at a traced function's start. */
const PATCHED = 9;
/** Where modules and BPF images begin; the kernel's own text lies below. */
const IMAGES = 0xffffffffa0000000n;
/** Text of replays, where kernels have none. */
const OWN_TEXT = 0xffffffff9f000000n;

/** Kernel text that replays execute, with the call sites and traced functions as boot and attachment left them. */
export interface KernelFunctions {
  code: { address: bigint; bytes: Uint8Array }[];
  symbols: ReadonlyMap<string, bigint>;
  /** Where the host plays a function instead. */
  gates: readonly { address: bigint; play: (replay: Replay, call: GateCall) => void }[];
  /** What the recorder's trigger file printed when it was read. */
  trigger(replay: Replay): string;
  /** Calls every member of a table of the recorder's own ops. */
  callOps(replay: Replay, table: GuestPtr): void;
}

const vmlinuxes = new Map<string, ElfFile | undefined>();

/** What the golden's kernel executes: from its vmlinux where there is one, else from what was recorded of its text. */
export function kernelFunctions(directory: OracleDirectory, mode: string, golden: Golden): KernelFunctions {
  if (!vmlinuxes.has(directory.path)) {
    const bytes = directory.vmlinux();
    vmlinuxes.set(directory.path, bytes === undefined ? undefined : readElf(bytes));
  }
  const kernel = directory.golden(mode, '_kernel') as Golden | undefined;
  const elf = vmlinuxes.get(directory.path);
  const text = elf?.sections.find(({ name }) => name === '.text');
  if (elf === undefined || text === undefined) return recordedFunctions(golden, kernel, true);
  const symbols = new Map(elf.symbols.map(({ name, value }) => [name, value]));
  // Another build of the kernel has other addresses.
  if (symbols.get('__bpf_call_base') !== BigInt(golden.kernelSymbols['bpfCallBase'] ?? '0x0'))
    return recordedFunctions(golden, kernel, false);
  const code = elf.symbols
    .filter(({ name }) => EXECUTED.test(name))
    .map(({ value, size }) => {
      const at = Number(value - text.addr);
      return { address: value, bytes: text.data.slice(at, at + Number(size)) };
    });
  patch(code, golden, kernel);
  const thunk = (array: string) => BigInt(golden.kernelSymbols[array]!) + BigInt(32 * R11);
  for (const array of ['__x86_indirect_thunk_array', '__x86_indirect_call_thunk_array'])
    code.push({ address: thunk(array), bytes: JUMP_R11 });
  for (const name of ['__x86_return_thunk', 'returnThunk'])
    code.push({ address: BigInt(golden.kernelSymbols[name] ?? symbols.get(name) ?? 0), bytes: RETURN });
  const printed: string[] = [];
  const played = playedFunctions(elf, printed);
  return {
    code,
    symbols,
    gates: Object.entries(played).map(([name, play]) => ({ address: symbols.get(name)!, play })),
    trigger: (replay) => {
      replay.callKernel('trig_read', [0, 0, 0, 0]);
      return printed.pop() ?? '';
    },
    callOps: (replay, table) => void replay.callKernel('orc_call_all', [{ ptr: table }]),
  };
}

/**
 * Functions of a build that is not here: the recorded first bytes of those that are traced, and bodies of our own.
 * `knowsTypes`: the directory's BTF is of this build.
 */
function recordedFunctions(golden: Golden, kernel: Golden | undefined, knowsTypes: boolean): KernelFunctions {
  const symbols = new Map<string, bigint>();
  const code: KernelFunctions['code'] = [];
  const entries = new Map(
    golden.tracedFunctions?.map(({ symbol, addr, bytesFromMinus16 }) => [symbol, { addr, bytesFromMinus16 }]),
  );
  const gates = Object.entries(BODIES).map(([name, body], i) => {
    const traced = entries.get(name);
    const bytes = fromHex(traced?.bytesFromMinus16.slice(32) ?? '');
    const entry = bytes.subarray(0, bytes[0] === CALL ? CALL_SIZE : PATCHED);
    const address = traced === undefined ? OWN_TEXT + BigInt(16 * i) : BigInt(traced.addr);
    symbols.set(name, address);
    if (entry.length > 0) code.push({ address, bytes: entry });
    return {
      address: address + BigInt(entry.length),
      play: (replay: Replay, call: GateCall) => playBody(replay, body, call),
    };
  });
  const sites = (kernel?.callSites ?? []).flatMap(({ addr, hex, opCandidates }) =>
    (opCandidates ?? []).flatMap((op) =>
      op.startsWith('orc_ops.') ? [{ member: op.slice(8), at: BigInt(addr), hex }] : [],
    ),
  );
  const starts = new Map<string, bigint>();
  sites.forEach(({ member, at, hex }, i) => {
    // r12 keeps the way back while the arguments on the stack lie where the callee looks for them.
    const start = OWN_TEXT + BigInt(4096 + 16 * i);
    const end = at + BigInt(hex.length / 2);
    code.push({ address: start, bytes: Uint8Array.of(...POP_R12, ...jump(start + 2n, at)) });
    code.push({ address: at, bytes: Uint8Array.of(...fromHex(hex), ...PUSH_R12, ...RETURN) });
    starts.set(member, start);
    const target = calledBy(hex, end);
    if (target !== undefined) code.push({ address: target, bytes: JUMP_R11 });
  });
  return {
    code,
    symbols,
    gates,
    trigger: (replay) => trigger(replay, (name, args) => replay.callKernel(name, args)),
    callOps: (replay, table) => {
      for (const [member, start] of starts) {
        const args = memberArguments(member, replay.task);
        const pointer = replay.memory.ptr(table + replay.btf.member('orc_ops', member).offset);
        if (pointer === 0 || args === undefined) continue;
        if (!knowsTypes && args.some((value) => typeof value === 'object' && 'ptr' in value))
          throw new UnsupportedReplay('the types of this build are not recorded');
        replay.machine.lo[R11] = pointer;
        replay.machine.hi[R11] = replay.memory.high(pointer);
        replay.callAt(start, args);
      }
    },
  };
}

/** Writes the recorded bytes of call sites and of traced functions over the compiled ones. */
function patch(code: KernelFunctions['code'], golden: Golden, kernel: Golden | undefined): void {
  const write = (address: bigint, hex: string) => {
    const target = code.find((part) => address >= part.address && address < part.address + BigInt(part.bytes.length));
    if (target === undefined) return;
    const at = Number(address - target.address);
    const bytes = fromHex(hex);
    target.bytes.set(bytes.subarray(0, target.bytes.length - at), at);
  };
  for (const { addr, hex } of kernel?.callSites ?? []) {
    write(BigInt(addr), hex);
    // A thunk of the site's own (ITS), placed at boot.
    const target = calledBy(hex, BigInt(addr) + BigInt(hex.length / 2));
    if (target !== undefined && target >= IMAGES) code.push({ address: target, bytes: JUMP_R11 });
  }
  for (const { addr, bytesFromMinus16 } of golden.tracedFunctions ?? [])
    write(BigInt(addr), bytesFromMinus16.slice(32, 32 + 2 * PATCHED));
}

/** Where a call site's direct call goes, if it ends in one; `end` is the address behind the site. */
function calledBy(hex: string, end: bigint): bigint | undefined {
  const bytes = fromHex(hex);
  if (bytes.length < CALL_SIZE || bytes[bytes.length - CALL_SIZE] !== CALL) return undefined;
  const distance = new DataView(bytes.buffer, bytes.byteOffset).getInt32(bytes.length - 4, true);
  return end + BigInt(distance);
}

/** `jmp rel32` at `from`. */
function jump(from: bigint, to: bigint): Uint8Array {
  const bytes = Uint8Array.of(0xe9, 0, 0, 0, 0);
  new DataView(bytes.buffer).setInt32(1, Number(to - from - 5n), true);
  return bytes;
}

function stringAt(elf: ElfFile, address: bigint): string {
  const section = elf.sections.find(
    ({ addr, data }) => addr !== 0n && address >= addr && address < addr + BigInt(data.length),
  );
  if (section === undefined) return '';
  const start = Number(address - section.addr);
  return new TextDecoder().decode(section.data.subarray(start, section.data.indexOf(0, start)));
}

/** Kernel functions that the executed ones call, by symbol; what they print goes to `printed`. */
function playedFunctions(elf: ElfFile, printed: string[]): Record<string, (replay: Replay, call: GateCall) => void> {
  const print = (replay: Replay, call: GateCall, first: number) => {
    let next = first + 1;
    const format = stringAt(elf, argumentOf(replay, call, first));
    const text = format.replace(/%(l{0,2})([dux])/g, (_, long: string, kind: string) => {
      const value = argumentOf(replay, call, next++);
      const bits = long === '' ? 32 : 64;
      return (kind === 'd' ? BigInt.asIntN(bits, value) : BigInt.asUintN(bits, value)).toString(kind === 'x' ? 16 : 10);
    });
    printed.push(text.trim());
    call.ret(0);
  };
  return {
    _printk: (replay, call) => print(replay, call, 0),
    scnprintf: (replay, call) => print(replay, call, 2),
    simple_read_from_buffer: (_, call) => call.ret(0),
    __memset: ({ memory }, call) => {
      memory.bytes(call.ptr(0), call.lo(2)).fill(call.lo(1));
      call.retPtr(call.ptr(0));
    },
  };
}

/** Calls every member of the recorded table through the kernel's own call sites, as the recorder's test type does. */
export function callAllOps(replay: Replay, kernel: KernelFunctions, { structOps }: ResolvedObject): void {
  const { golden, btf, memory } = replay;
  const offset = cfiOffset(featuresOf(golden));
  const table = replay.alloc(btf.struct('orc_ops').size);
  // Trampolines stand in the order of the members.
  const at = (member: string) => btf.member('orc_ops', member).offset;
  const members = (structOps.find(({ type }) => type === 'orc_ops')?.programs ?? [])
    .map(({ member }) => at(member))
    .sort((a, b) => a - b);
  golden.trampolines?.forEach(({ addr }, i) => {
    if (members[i] !== undefined) memory.setPtr(table + members[i], low(addr) + offset);
  });
  kernel.callOps(replay, table);
}

/** BPF_PROG_TEST_RUN of tracing programs (bpf_prog_test_run_tracing, net/bpf/test_run.c, 6.12): calls the test functions. */
export function runTracing(replay: Replay, expectedAttach: string): number {
  const call = (name: string, args: readonly Argument[]) => replay.callKernel(name, args);
  if (expectedAttach !== 'modify_return') {
    for (const [name, args] of FENTRY_TESTS) call(name, args);
    return 0;
  }
  const b = replay.alloc(4);
  let effects = 0;
  let sum = 0;
  for (const [name, rest] of [
    ['bpf_modify_return_test', []],
    ['bpf_modify_return_test2', [3, 4, 5, 6, 7]],
  ] as const) {
    replay.memory.setU32(b, 2);
    sum += call(name, [1, { ptr: b }, ...rest]) | 0;
    if (replay.memory.u32(b) !== 2) effects++;
  }
  return ((effects << 16) | (sum & 0xffff)) >>> 0;
}

const FENTRY_TESTS: readonly (readonly [string, readonly number[]])[] = [
  ['bpf_fentry_test1', [1]],
  ['bpf_fentry_test2', [2, 3]],
  ['bpf_fentry_test3', [4, 5, 6]],
  ['bpf_fentry_test4', [7, 8, 9, 10]],
  ['bpf_fentry_test5', [11, 12, 13, 14, 15]],
  ['bpf_fentry_test6', [16, 17, 18, 19, 20, 21]],
];
