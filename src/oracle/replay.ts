import { fromHex, Random } from '../base/index.ts';
import { LD_IMM64, readInsns } from '../bpf/index.ts';
import type { Btf } from '../btf/index.ts';
import { type Argument, type GateCall, gateCall } from '../kernel/index.ts';
import { type Access, type FaultInfo, GuestMemory, type GuestPtr, Machine, PAGE_SIZE } from '../machine/index.ts';
import { cfiOffset } from '../target/index.ts';
import { featuresOf, type Golden, type GoldenSubprogram, low } from './_golden.ts';
import { UnsupportedReplay } from './error.ts';
import { PACKET_SIZE, type ReplayHelper, replayHelpers } from './replay_helpers.ts';
import type { KernelFunctions } from './replay_kernel.ts';

// The recorded images, at the addresses that they had, executed: kernel functions that they call are gates, and what they
// point to is mapped where their constants say.

const STACK = 0xffffc900f0000000n;
const STACK_SIZE = 64 << 10;
const PERCPU = 0xffff8880e0000000n;
const PERCPU_SIZE = 4 << 20;
/** Context, packet, `struct bpf_prog`s and map elements. */
const SCRATCH = 0xffff8880d0000000n;
const SCRATCH_SIZE = 1 << 20;
/** `vmcall ; ret`, and the thunks that take a branch for someone. */
const GATE = [0x0f, 0x01, 0xc1, 0xc3];
/** Where `struct bpf_array` is allocated: upper bits of the direct map, with four and five levels of paging. */
const DIRECT_MAP = new Set([0xffff88n, 0xff1100n]);
const RETURN = [0xc3, 0xcc];
const JUMP_RCX = [0xff, 0xe1, 0xcc];
const BUDGET = 10_000_000;
/** Where kernel addresses begin, with five levels of paging as with four; modules and their data lie behind the kernel. */
const HIGH_HALF = 0xff00000000000000n;
const MODULES = 0xffffffffa0000000n;
/** Instructions that blinding makes of a 64-bit constant, by their opcode. */
const AX = 11;
const TAIL_CALL = 0xf5;
const [MOV64_K, XOR64_K, LSH64_K, MOV32_K, XOR32_K] = [0xb7, 0xa7, 0x67, 0xb4, 0xa4];

export interface ReplayOptions {
  golden: Golden;
  btf: Btf;
  seed: number;
  /** The packet's bytes behind its first, which are not recorded. */
  filler: number;
  kernel: KernelFunctions;
}

/** What a recorded program needs of its surroundings. */
export class Replay {
  readonly memory: GuestMemory;
  readonly machine: Machine;
  readonly golden: Golden;
  readonly btf: Btf;
  readonly packet: GuestPtr;
  /** The current task: init, of which only the pid is known. */
  readonly task: GuestPtr;
  /** What programs get where they ask for random numbers. */
  readonly random: Random;
  readonly #filler: number;
  readonly call: GateCall;
  readonly #gates = new Map<GuestPtr, ReplayHelper>();
  #scratch: GuestPtr;
  /** Program arrays whose slots are known. */
  readonly #filled = new Set<GuestPtr>();

  readonly #kernel: KernelFunctions;

  /** @throws UnsupportedReplay where recorded addresses cannot be mapped together */
  constructor({ golden, btf, seed, filler, kernel }: ReplayOptions) {
    this.random = new Random(seed);
    this.#filler = filler;
    this.golden = golden;
    this.btf = btf;
    const pages = new Map<bigint, Access>();
    const need = (address: bigint, length: number, access: Access) => {
      for (let page = address & -4096n; page < address + BigInt(length); page += 4096n) pages.set(page, access);
    };
    this.#kernel = kernel;
    const code = [...codeOf(golden), ...kernel.code];
    for (const { address } of kernel.gates) code.push({ address, bytes: Uint8Array.from(GATE) });
    for (const { address, bytes } of code) need(address, bytes.length, 'rx');
    const data = pointedTo(golden).filter((address) => pages.get(address & -4096n) === undefined);
    for (const address of data) need(address, 2 * PAGE_SIZE, 'rw');
    need(STACK, STACK_SIZE, 'rw');
    need(PERCPU, PERCPU_SIZE, 'rw');
    need(SCRATCH, SCRATCH_SIZE, 'rw');
    this.memory = mapPages(pages);
    this.machine = new Machine(this.memory, { ibt: false });
    for (const { address, bytes } of code) this.memory.poke(Number(address & 0xffffffffn), bytes);
    this.#scratch = Number(SCRATCH & 0xffffffffn) + 64;
    const helpers = replayHelpers(this);
    for (const [address, name] of callTargets(golden)) {
      if (THUNKS.test(name) || name.startsWith('bpf_prog:')) continue;
      const unknown = () => {
        throw new UnsupportedReplay(`'${name}' is not played in replays`);
      };
      this.#gates.set(low(address), helpers[name] ?? unknown);
    }
    for (const { address, play } of kernel.gates)
      this.#gates.set(Number(address & 0xffffffffn), (call) => play(this, call));
    this.call = gateCall(this.machine);
    this.machine.onHypercall = (_, address) => this.#gates.get(address)?.(this.call);
    this.machine.onFault = (machine, fault) => this.#goesOn(machine, fault);
    this.machine.hostReturn = HOST_RETURN;
    this.machine.setStack(Number(STACK & 0xffffffffn) + STACK_SIZE - 64);
    this.task = this.alloc(btf.struct('task_struct').size);
    this.memory.setU32(this.task + btf.member('task_struct', 'pid').offset, 1);
    this.#setPerCpu();
    this.packet = this.alloc(PACKET_SIZE);
    this.#fillTailCallMaps();
  }

  /** Zeroed bytes that live as long as the replay. */
  alloc(size: number): GuestPtr {
    const at = this.#scratch;
    this.#scratch += (size + 63) & ~63;
    return at;
  }

  /** Runs the main function of a program with a context of its type; r0's low half, unsigned, as test runs report it. */
  run(name: string): number {
    const program = this.golden.programs?.find((candidate) => candidate.name === name);
    const main = program?.subprogs[0];
    if (program === undefined || main === undefined) throw new UnsupportedReplay(`no program '${name}'`);
    // The recorder's packet: all that programs say of it is that it has 64 bytes and begins with 1.
    this.memory.bytes(this.packet, PACKET_SIZE).fill(this.#filler);
    this.memory.setU8(this.packet, 1);
    this.machine.setArgPtr(0, program.type === 'xdp' ? this.#xdpBuff() : this.#skBuff());
    this.machine.setBudget(BUDGET);
    this.machine.call(entryOf(main));
    return this.machine.resultLo >>> 0;
  }

  /** Calls a kernel function by its symbol; its return value's low half. */
  callKernel(name: string, args: readonly Argument[]): number {
    const address = this.#kernel.symbols.get(name);
    if (address === undefined) throw new UnsupportedReplay(`no kernel function '${name}'`);
    return this.callAt(address, args);
  }

  /** Calls what stands at a full address. */
  callAt(address: bigint, args: readonly Argument[]): number {
    const { machine, memory } = this;
    const set = (value: Argument): [lo: number, hi: number] =>
      typeof value === 'number'
        ? [value | 0, Math.floor(value / 0x1_0000_0000) | 0]
        : 'ptr' in value
          ? [value.ptr | 0, memory.high(value.ptr)]
          : [value.lo, value.hi];
    const before = machine.lo[4]!;
    const behind = args.slice(6);
    machine.lo[4] = ((before & ~15) - ((8 * behind.length + 15) & ~15)) | 0;
    for (const [i, value] of args.slice(0, 6).entries()) machine.setArg(i, ...set(value));
    behind.forEach((value, i) => {
      const [lo, hi] = set(value);
      const at = memory.offset((machine.lo[4]! >>> 0) + 8 * i, 8);
      memory.view.setInt32(at, lo, true);
      memory.view.setInt32(at + 4, hi, true);
    });
    machine.setBudget(BUDGET);
    machine.call(Number(address & 0xffffffffn));
    machine.lo[4] = before;
    return machine.resultLo;
  }

  /** The program's function that is called when it throws. */
  exceptionCallback(address: GuestPtr): GuestPtr {
    const own = this.golden.programs?.find(({ subprogs }) => subprogs.some((part) => covers(part, address)));
    const callback = own?.subprogs.find(({ exceptionCb }) => exceptionCb);
    if (callback === undefined) throw new UnsupportedReplay('an exception without a callback');
    return entryOf(callback);
  }

  /** The function of a recorded image that covers `address`. */
  functionAt(address: GuestPtr): GoldenSubprogram | undefined {
    return this.golden.programs?.flatMap(({ subprogs }) => subprogs).find((part) => covers(part, address));
  }

  /** cfi=warn (handle_cfi_failure, 6.18): after FineIBT's trap in a preamble the function is entered all the same. */
  #goesOn(machine: Machine, fault: FaultInfo): boolean {
    if (this.golden.features['cfiWarn'] !== true || fault.vector !== '#UD') return false;
    const offset = cfiOffset(featuresOf(this.golden));
    const image = this.golden.trampolines?.find(
      ({ addr, kcoreMatches }) => kcoreMatches === true && fault.rip >= BigInt(addr) && fault.rip < BigInt(addr) + 32n,
    );
    if (image === undefined) return false;
    machine.rip = low(image.addr) + offset;
    return true;
  }

  #setPerCpu(): void {
    const { kernelSymbols } = this.golden;
    const thisCpuOff = BigInt(kernelSymbols['thisCpuOff'] ?? '0x0');
    // Per-CPU symbols are small offsets, or kernel addresses: either way the area's base makes addresses of them.
    const origin = thisCpuOff > HIGH_HALF ? thisCpuOff & -0x200000n : 0n;
    const base = BigInt.asUintN(64, PERCPU - origin);
    this.machine.setGs(Number(BigInt.asIntN(32, base)), Number(BigInt.asIntN(32, base >> 32n)));
    const place = (symbol: bigint) => Number((PERCPU + symbol - origin) & 0xffffffffn);
    this.memory.view.setBigUint64(this.memory.offset(place(thisCpuOff), 8), base, true);
    if (kernelSymbols['pcpuHot'] === undefined) return;
    this.memory.setPtr(place(BigInt(kernelSymbols['pcpuHot'])), this.task);
  }

  #skBuff(): GuestPtr {
    const skb = this.alloc(this.btf.struct('sk_buff').size);
    const field = (name: string) => skb + this.btf.member('sk_buff', name).offset;
    this.memory.setU32(field('len'), PACKET_SIZE);
    this.memory.setPtr(field('data'), this.packet);
    this.memory.setPtr(field('head'), this.packet);
    this.memory.setPtr(field('dev'), this.alloc(this.btf.struct('net_device').size));
    const end = this.btf.member('bpf_skb_data_end', 'data_end').offset;
    this.memory.setPtr(field('cb') + end, this.packet + PACKET_SIZE);
    return skb;
  }

  #xdpBuff(): GuestPtr {
    const buff = this.alloc(this.btf.struct('xdp_buff').size);
    const field = (name: string) => buff + this.btf.member('xdp_buff', name).offset;
    this.memory.setPtr(field('data'), this.packet);
    this.memory.setPtr(field('data_end'), this.packet + PACKET_SIZE);
    this.memory.setPtr(field('rxq'), this.alloc(this.btf.struct('xdp_rxq_info').size));
    return buff;
  }

  /** Slots of program arrays, as the recorded pokes of direct tail calls tell them. */
  #fillTailCallMaps(): void {
    for (const { map, key, bpfFunc } of tailCallSlots(this.golden)) this.#fillSlot(map, key, bpfFunc);
  }

  #fillSlot(map: GuestPtr, key: number, bpfFunc: GuestPtr): void {
    const offsets = this.golden.structOffsets as Record<string, number>;
    const prog = this.alloc(256);
    this.memory.setPtr(prog + offsets['off_bpf_func']!, bpfFunc);
    this.memory.setU32(map + offsets['off_max_entries']!, 4);
    this.memory.setPtr(map + offsets['off_ptrs']! + 8 * key, prog);
    this.#filled.add(map);
  }

  /** Puts programs by name into the slots of the program array at `map`. */
  fillProgramArray(map: GuestPtr, slots: readonly { index: number; name: string }[]): void {
    for (const { index, name } of slots) {
      const main = this.golden.programs?.find((program) => program.name === name)?.subprogs[0];
      if (main !== undefined) this.#fillSlot(map, index, entryOf(main));
    }
  }

  /** @throws UnsupportedReplay if a program makes tail calls through an array whose slots are not known */
  checkTailCalls(): void {
    for (const part of this.golden.programs?.flatMap(({ subprogs }) => subprogs) ?? []) {
      if (!readInsns(fromHex(part.jitInsnsHex)).some(({ code }) => code === TAIL_CALL)) continue;
      const maps = constantsOf(part).filter((address) => DIRECT_MAP.has(address >> 40n));
      if (maps.some((address) => !this.#filled.has(Number(address & 0xffffffffn))))
        throw new UnsupportedReplay('the slots of a program array are not recorded');
    }
  }
}

const HOST_RETURN = Number(SCRATCH & 0xffffffffn) + SCRATCH_SIZE;
const THUNKS = /^(__x86_indirect_(jump_)?thunk_rcx|__x86_indirect_its_thunk_rcx|.*_return_thunk)$/;

const covers = (part: GoldenSubprogram, address: GuestPtr) =>
  address >= low(part.image) && address < low(part.image) + part.hex.length / 2;
const entryOf = (part: GoldenSubprogram): GuestPtr => low(part.image) + part.entryOffset;

function callTargets(golden: Golden): [address: string, name: string][] {
  const parts = [...(golden.programs ?? []).flatMap(({ subprogs }) => subprogs), ...(golden.trampolines ?? [])];
  const seen = new Map<string, string>();
  for (const { callTargets: targets } of parts)
    for (const [address, name] of Object.entries(targets ?? {}))
      if (!name.startsWith('bpf_prog:')) seen.set(address, name);
  return [...seen];
}

/** All code that replays execute: images as they were in the end, gates at the functions that they call, thunks. */
function codeOf(golden: Golden): { address: bigint; bytes: Uint8Array }[] {
  const code = (golden.programs ?? []).flatMap(({ subprogs }) =>
    subprogs.map((part) => ({ address: BigInt(part.image), bytes: fromHex(part.hexFinal ?? part.hex) })),
  );
  for (const { addr, hex, kcoreMatches } of golden.trampolines ?? [])
    if (kcoreMatches === true) code.push({ address: BigInt(addr), bytes: fromHex(hex) });
  for (const [address, name] of callTargets(golden)) {
    const bytes = name.includes('_return_thunk') ? RETURN : THUNKS.test(name) ? JUMP_RCX : GATE;
    code.push({ address: BigInt(address), bytes: Uint8Array.from(bytes) });
  }
  const { returnThunk } = golden.kernelSymbols;
  if (featuresOf(golden).rethunk && returnThunk !== undefined)
    code.push({ address: BigInt(returnThunk), bytes: Uint8Array.from(RETURN) });
  code.push({ address: SCRATCH + BigInt(SCRATCH_SIZE), bytes: Uint8Array.from(GATE) });
  return code;
}

/** Kernel addresses among the constants of the final instructions. */
function pointedTo(golden: Golden): bigint[] {
  const found = new Set<bigint>();
  for (const part of (golden.programs ?? []).flatMap(({ subprogs }) => subprogs))
    for (const address of constantsOf(part)) found.add(address);
  return [...found].filter((address) => address >= HIGH_HALF && address < MODULES);
}

/** The 64-bit constants of a function in order; those that blinding took apart (bpf_jit_blind_insn) put together again. */
export function constantsOf(part: GoldenSubprogram): bigint[] {
  const insns = readInsns(fromHex(part.jitInsnsHex));
  const blinded = (i: number, move: number, xor: number) => {
    const [first, second] = [insns[i], insns[i + 1]];
    if (first?.code !== move || first.dst !== AX || second?.code !== xor || second.dst !== AX) return undefined;
    return BigInt((first.imm ^ second.imm) >>> 0);
  };
  return insns.flatMap((insn, i) => {
    if (insn.code === LD_IMM64 && insns[i + 1] !== undefined)
      return [(BigInt(insns[i + 1]!.imm >>> 0) << 32n) | BigInt(insn.imm >>> 0)];
    const high = insns[i + 2]?.code === LSH64_K ? blinded(i, MOV64_K, XOR64_K) : undefined;
    const low = blinded(i + 4, MOV32_K, XOR32_K);
    return high === undefined || low === undefined ? [] : [(high << 32n) | low];
  });
}

function mapPages(pages: ReadonlyMap<bigint, Access>): GuestMemory {
  const sorted = [...pages].sort(([a], [b]) => (a < b ? -1 : 1));
  const memory = new GuestMemory(sorted.length * PAGE_SIZE);
  const lows = new Set(sorted.map(([page]) => page & 0xffffffffn));
  if (lows.size < sorted.length) throw new UnsupportedReplay('two recorded addresses share their low 32 bits');
  for (let i = 0; i < sorted.length; ) {
    let end = i + 1;
    while (end < sorted.length && sorted[end]![0] === sorted[end - 1]![0] + 4096n && sorted[end]![1] === sorted[i]![1])
      end++;
    memory.mapRegion(`page ${i}`, sorted[i]![0], (end - i) * PAGE_SIZE, sorted[i]![1]);
    i = end;
  }
  return memory;
}

interface Slot {
  map: GuestPtr;
  key: number;
  bpfFunc: GuestPtr;
}

function tailCallSlots(golden: Golden): Slot[] {
  const targets = new Map(
    (golden.pokes ?? [])
      .map(({ ip, new: to }) => [low(`0x${ip}`), low(`0x${to}`)] as const)
      .filter(([, to]) => to !== 0),
  );
  const parts = (golden.programs ?? []).flatMap(({ subprogs }) => subprogs);
  const entries = parts.map(entryOf);
  return parts.flatMap((part) => {
    const map = constantsOf(part).find((address) => DIRECT_MAP.has(address >> 40n));
    return (part.pokes ?? []).flatMap(({ tailcallTarget, key }) => {
      const to = targets.get(low(`0x${tailcallTarget}`));
      const bpfFunc = entries.find((entry) => to !== undefined && to > entry && to - entry <= 16);
      return map === undefined || bpfFunc === undefined
        ? []
        : [{ map: Number(map & 0xffffffffn), key: Number(key), bpfFunc }];
    });
  });
}
