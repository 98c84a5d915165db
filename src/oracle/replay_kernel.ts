import { type ElfFile, readElf } from '../elf/index.ts';
import type { Argument, GateCall } from '../kernel/index.ts';
import { cfiOffset } from '../target/index.ts';
import { featuresOf, type Golden, low } from './_golden.ts';
import type { Replay } from './replay.ts';
import type { OracleDirectory } from './types.ts';

/** Functions of the recorder's own and of the kernel's test runs, which replays execute as they stand in vmlinux. */
const EXECUTED = /^(orc_t_\w+|orc_call_all|trig_read|bpf_fentry_test\d|bpf_modify_return_test2?)$/;
/** Kernel functions that those call, played here. */
const PLAYED = ['_printk', 'scnprintf', 'simple_read_from_buffer', '__memset'] as const;
const RETURN = Uint8Array.of(0xc3, 0xcc);
const JUMP_R11 = Uint8Array.of(0x41, 0xff, 0xe3, 0xcc);
const R11 = 11;
/** Where modules and BPF images begin; the kernel's own text lies below. */
/** ENDBR and the patched call at a traced function's start. */
const PATCHED = 9;
const IMAGES = 0xffffffffa0000000n;

/** Kernel text that can be executed, with the call sites and traced functions as boot and attachment left them. */
export interface KernelFunctions {
  code: { address: bigint; bytes: Uint8Array }[];
  symbols: ReadonlyMap<string, bigint>;
  /** Symbols of functions that the host plays. */
  played: readonly (typeof PLAYED)[number][];
  /** A NUL-terminated string of the kernel's constants. */
  string(address: bigint): string;
}

const vmlinuxes = new Map<string, ElfFile | undefined>();

/** What the golden's kernel can execute; undefined without its vmlinux. */
export function kernelFunctions(directory: OracleDirectory, mode: string, golden: Golden): KernelFunctions | undefined {
  if (!vmlinuxes.has(directory.path)) {
    const bytes = directory.vmlinux();
    vmlinuxes.set(directory.path, bytes === undefined ? undefined : readElf(bytes));
  }
  const elf = vmlinuxes.get(directory.path);
  const text = elf?.sections.find(({ name }) => name === '.text');
  if (elf === undefined || text === undefined) return undefined;
  const symbols = new Map(elf.symbols.map(({ name, value }) => [name, value]));
  // Another build of the kernel has other addresses.
  if (symbols.get('__bpf_call_base') !== BigInt(golden.kernelSymbols['bpfCallBase'] ?? '0x0')) return undefined;
  const code = elf.symbols
    .filter(({ name }) => EXECUTED.test(name))
    .map(({ value, size }) => {
      const at = Number(value - text.addr);
      return { address: value, bytes: text.data.slice(at, at + Number(size)) };
    });
  patch(code, golden, directory.golden(mode, '_kernel') as Golden | undefined);
  const thunk = (array: string) => BigInt(golden.kernelSymbols[array]!) + BigInt(32 * R11);
  for (const array of ['__x86_indirect_thunk_array', '__x86_indirect_call_thunk_array'])
    code.push({ address: thunk(array), bytes: JUMP_R11 });
  for (const name of ['__x86_return_thunk', 'returnThunk'])
    code.push({ address: BigInt(golden.kernelSymbols[name] ?? symbols.get(name) ?? 0), bytes: RETURN });
  return { code, symbols, played: PLAYED, string: (address) => stringAt(elf, address) };
}

/** Writes the recorded bytes of call sites and of traced functions over the compiled ones. */
function patch(code: KernelFunctions['code'], golden: Golden, kernel: Golden | undefined): void {
  const write = (address: bigint, hex: string) => {
    const target = code.find((part) => address >= part.address && address < part.address + BigInt(part.bytes.length));
    if (target === undefined) return;
    const at = Number(address - target.address);
    const bytes = (hex.match(/../g) ?? []).map((byte) => Number.parseInt(byte, 16));
    target.bytes.set(bytes.slice(0, target.bytes.length - at), at);
  };
  for (const { addr, hex } of kernel?.callSites ?? []) {
    write(BigInt(addr), hex);
    // A thunk of the site's own (ITS), placed at boot.
    const distance = /2ee8([0-9a-f]{8})$/.exec(hex)?.[1]?.match(/../g);
    const target = BigInt(addr) + 20n + BigInt.asIntN(32, BigInt(`0x${distance?.reverse().join('') ?? '0'}`));
    if (distance !== undefined && target >= IMAGES) code.push({ address: target, bytes: JUMP_R11 });
  }
  for (const { addr, bytesFromMinus16 } of golden.tracedFunctions ?? [])
    write(BigInt(addr), bytesFromMinus16.slice(32, 32 + 2 * PATCHED));
}

function stringAt(elf: ElfFile, address: bigint): string {
  const section = elf.sections.find(
    ({ addr, data }) => addr !== 0n && address >= addr && address < addr + BigInt(data.length),
  );
  if (section === undefined) return '';
  const start = Number(address - section.addr);
  return new TextDecoder().decode(section.data.subarray(start, section.data.indexOf(0, start)));
}

/** The played functions of a replay; what they print goes to `printed`. */
export function playedFunctions(
  replay: () => Replay,
  kernel: KernelFunctions,
  printed: string[],
): Record<(typeof PLAYED)[number], (call: GateCall) => void> {
  const wide = (call: GateCall, i: number) => (BigInt(call.hi(i) >>> 0) << 32n) | BigInt(call.lo(i) >>> 0);
  /** Argument `i` of a function with variable arguments: six in registers, the others behind the return address. */
  const argument = (call: GateCall, i: number) => {
    if (i < 6) return wide(call, i);
    const { machine, memory } = replay();
    return memory.view.getBigUint64(memory.offset((machine.lo[4]! >>> 0) + 8 * (i - 5), 8), true);
  };
  const print = (call: GateCall, first: number) => {
    let next = first + 1;
    return kernel.string(wide(call, first)).replace(/%(l{0,2})([dux])/g, (_, long: string, kind: string) => {
      const value = argument(call, next++);
      const bits = long === '' ? 32 : 64;
      return (kind === 'd' ? BigInt.asIntN(bits, value) : BigInt.asUintN(bits, value)).toString(kind === 'x' ? 16 : 10);
    });
  };
  return {
    _printk: (call) => {
      printed.push(print(call, 0).trim());
      call.ret(0);
    },
    scnprintf: (call) => {
      printed.push(print(call, 2).trim());
      call.ret(0);
    },
    simple_read_from_buffer: (call) => call.ret(0),
    __memset: (call) => {
      replay().memory.bytes(call.ptr(0), call.lo(2)).fill(call.lo(1));
      call.retPtr(call.ptr(0));
    },
  };
}

/** Calls every member of the recorded table through the kernel's own call sites, as the recorder's test type does. */
export function callAllOps(replay: Replay, kernel: KernelFunctions): void {
  const { golden, btf, memory } = replay;
  const offset = cfiOffset(featuresOf(golden));
  const table = replay.alloc(btf.struct('orc_ops').size);
  for (const { symbol, addr } of golden.trampolines ?? []) {
    const member = symbol?.replace('bpf__orc_ops_', '') ?? '';
    memory.setPtr(table + btf.member('orc_ops', member).offset, low(addr) + offset);
  }
  replay.callKernel(kernel, 'orc_call_all', [{ ptr: table }]);
}

/** BPF_PROG_TEST_RUN of tracing programs (bpf_prog_test_run_tracing, net/bpf/test_run.c, 6.12): calls the test functions. */
export function runTracing(replay: Replay, kernel: KernelFunctions, expectedAttach: string): number {
  const call = (name: string, args: readonly Argument[]) => replay.callKernel(kernel, name, args);
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
