import { Random, TrampetError } from '../base/index.ts';
import { type Btf, kcfiHash, type MemberPlace } from '../btf/index.ts';
import type { JitContext } from '../jit/index.ts';
import type { GuestMemory, GuestPtr, Machine } from '../machine/index.ts';
import { HZ, seedHash, type Target } from '../target/index.ts';
import type { Allocator } from './alloc.ts';
import type { Trampoline } from './attach.ts';
import { BHI_THUNK_SIZE, hashPlace } from './cfi.ts';
import { KernelError } from './error.ts';
import type { BpfMap } from './maps.ts';
import { noRuns, type ProgramRuns } from './prog_enter.ts';
import { toOops, warnOfCfi } from './report.ts';
import type { RingRecord } from './ringbuf.ts';
import type { StructOpsMap } from './struct_ops.ts';
import type { Symbols } from './symbols.ts';
import type { TextCallSite } from './text.ts';
import { BHI_THUNKS } from './thunks.ts';
import { BpfTimers } from './timers.ts';
import { TraceBuffer } from './trace_buffer.ts';
import type { Argument, GateCall, StructOpsDef } from './types.ts';

/** Everything that boot prepares. */
export interface KernelParts {
  target: Target;
  memory: GuestMemory;
  machine: Machine;
  symbols: Symbols;
  callSites: TextCallSite[];
  heap: Allocator;
  vmalloc: Allocator;
  percpu: Allocator;
  images: Allocator;
  jit: JitContext;
  structOps: Map<string, StructOpsDef>;
  /** Address of the `jiffies` variable. */
  jiffies: GuestPtr;
  percpuBase: GuestPtr;
  /** Functions whose return value fmod_ret programs may change. */
  modifiable: ReadonlySet<string>;
  seed: number;
}

/** jiffies start five minutes before their low half wraps (INITIAL_JIFFIES). */
const INITIAL_JIFFIES = 2 ** 32 - 300 * HZ;

/** A booted guest kernel: one machine with its text, memory and registries. */
export class Kernel {
  readonly target: Target;
  readonly memory: GuestMemory;
  readonly machine: Machine;
  readonly symbols: Symbols;
  readonly callSites: readonly TextCallSite[];
  readonly heap: Allocator;
  readonly vmalloc: Allocator;
  readonly percpu: Allocator;
  readonly images: Allocator;
  readonly jit: JitContext;
  readonly structOps: ReadonlyMap<string, StructOpsDef>;
  readonly percpuBase: GuestPtr;
  readonly modifiable: ReadonlySet<string>;
  readonly random: Random;
  /** What blinding hides constants with; programs do not see it. */
  readonly blinding: Random;
  /** The kernel's log, and what programs print. */
  readonly log: string[] = [];
  readonly trace = new TraceBuffer();
  readonly maps: BpfMap[] = [];
  readonly structOpsMaps: StructOpsMap[] = [];
  /** Trampolines of traced functions, by the function's address (trampoline_table). */
  readonly trampolines = new Map<GuestPtr, Trampoline>();
  readonly runs: ProgramRuns = noRuns();
  /** Timers of programs; who moves the clock fires them. */
  readonly timers = new BpfTimers(this);
  /** Reads the records of all ring buffers as they are submitted; without it they wait for `RingbufMap.consume`. */
  onRecord: ((record: RingRecord) => void) | undefined;
  /** Hears each line that a program prints. */
  onPrint: ((line: string) => void) | undefined;
  /** Indirect calls of ops members so far, by member. */
  readonly calls = new Map<string, number>();
  /** The same for each table that there is, by its address. */
  readonly tableCalls = new Map<GuestPtr, Map<string, number>>();
  /** Exception table of all images: address of a load → where to go on, and the register to clear. */
  readonly extable = new Map<GuestPtr, { resume: GuestPtr; register: number }>();
  readonly #jiffies: GuestPtr;
  readonly #fields = new Map<string, MemberPlace>();
  /** Addresses of the members' call sites, by type and member. */
  readonly #callSites = new Map<string, Map<string, GuestPtr>>();
  /** Calls into the guest that are under way, and what waits for their end. */
  #depth = 0;
  #waiting: (() => void)[] = [];
  #now = 0;
  #shownJiffies = -1;
  #nextId = 1;

  constructor(parts: KernelParts) {
    this.target = parts.target;
    this.memory = parts.memory;
    this.machine = parts.machine;
    this.symbols = parts.symbols;
    this.callSites = parts.callSites;
    this.heap = parts.heap;
    this.vmalloc = parts.vmalloc;
    this.percpu = parts.percpu;
    this.images = parts.images;
    this.jit = parts.jit;
    this.structOps = parts.structOps;
    this.percpuBase = parts.percpuBase;
    this.modifiable = parts.modifiable;
    this.random = new Random(parts.seed);
    this.blinding = new Random(~parts.seed);
    this.#jiffies = parts.jiffies;
    this.machine.onFault = (machine, fault) => {
      const resume = warnOfCfi(this, fault);
      if (resume !== undefined) {
        machine.rip = resume;
        return true;
      }
      const entry = this.extable.get(Number(fault.rip & 0xffffffffn));
      if (entry === undefined || (fault.vector !== '#PF' && fault.vector !== '#GP')) return false;
      if (entry.register >= 0) {
        machine.lo[entry.register] = 0;
        machine.hi[entry.register] = 0;
      }
      machine.rip = entry.resume;
      return true;
    };
    this.setTime(0);
  }

  get btf(): Btf {
    return this.target.btf;
  }

  /** Nanoseconds since boot. */
  now(): number {
    return this.#now;
  }

  /** Moves the clock; jiffies follow. */
  setTime(ns: number): void {
    this.#now = ns;
    const jiffies = this.jiffies();
    if (jiffies === this.#shownJiffies) return;
    this.#shownJiffies = jiffies;
    this.memory.setU64(this.#jiffies, jiffies);
  }

  jiffies(): number {
    return INITIAL_JIFFIES + Math.floor((this.#now * HZ) / 1e9);
  }

  printk(line: string): void {
    this.log.push(line);
  }

  nextId(): number {
    return this.#nextId++;
  }

  /** Place of a member of a kernel struct (`tcp_sock`, `snd_cwnd`), from BTF. */
  field(struct: string, path: string): MemberPlace {
    const key = `${struct}.${path}`;
    let place = this.#fields.get(key);
    if (place === undefined) {
      place = this.btf.member(struct, path);
      this.#fields.set(key, place);
    }
    return place;
  }

  /** Low half of a symbol's address. @throws KernelError */
  symbol(name: string): GuestPtr {
    const symbol = this.symbols.find(name);
    if (symbol === undefined) throw new KernelError(`symbol '${name}' is not in this kernel`, 'ENOENT');
    return symbol.start;
  }

  /**
   * The type hash in front of a function, `cfi_get_func_hash` (arch/x86/kernel/cfi.c): read from memory, 0 where it cannot
   * be read or CFI is off.
   */
  cfiFuncHash(func: GuestPtr): number {
    const place = hashPlace(this.target.features, this.target.era);
    if (place === undefined) return 0;
    const bytes = this.memory.copyNofault((func - place.before) >>> 0, 4);
    return bytes === undefined ? 0 : (bytes[0]! | (bytes[1]! << 8) | (bytes[2]! << 16) | (bytes[3]! << 24)) >>> 0;
  }

  /**
   * How many argument registers a function has, `cfi_get_func_arity` (arch/x86/kernel/alternative.c, 6.18): the distance in
   * thunks of what its preamble's last four bytes would call. Only FineIBT+BHI uses it.
   */
  cfiFuncArity(func: GuestPtr): number {
    const bytes = this.target.features.cfiBhi ? this.memory.copyNofault((func - 4) >>> 0, 4) : undefined;
    if (bytes === undefined) return 0;
    const target = func + new DataView(bytes.buffer, bytes.byteOffset).getInt32(0, true);
    return Math.floor((target - this.symbol(BHI_THUNKS)) / BHI_THUNK_SIZE);
  }

  /** What callers check for a prototype of the kernel's BTF, seeded; undefined if CFI is off, or BTF cannot say the C type. */
  typeId(proto: number): number | undefined {
    if (this.target.features.cfi === 'off') return undefined;
    try {
      return seedHash(kcfiHash(this.btf, proto), this.target.hashSeed, this.target.era);
    } catch (error) {
      if (!(error instanceof TrampetError)) throw error;
      return undefined;
    }
  }

  /**
   * Calls a guest function directly, as host code stands in for its caller.
   * @throws KernelOops if the guest faults
   */
  call(entry: GuestPtr, args: readonly Argument[], rax: GuestPtr = 0, r11: GuestPtr = 0): { lo: number; hi: number } {
    const { machine, memory } = this;
    const rsp = machine.lo[4]! >>> 0;
    const stackArgs = Math.max(0, args.length - 6);
    const top = ((rsp & ~15) - ((8 * stackArgs + 15) & ~15)) >>> 0;
    for (let i = 0; i < args.length; i++) {
      const arg = args[i]!;
      const lo = typeof arg === 'number' ? arg | 0 : 'ptr' in arg ? arg.ptr | 0 : arg.lo;
      const hi =
        typeof arg === 'number'
          ? Math.floor(arg / 0x1_0000_0000) | 0
          : 'ptr' in arg
            ? arg.ptr === 0
              ? 0
              : memory.high(arg.ptr)
            : arg.hi;
      if (i < 6) machine.setArg(i, lo, hi);
      else {
        memory.view.setInt32(memory.offset(top + 8 * (i - 6), 8), lo, true);
        memory.view.setInt32(memory.offset(top + 8 * (i - 6) + 4, 4), hi, true);
      }
    }
    machine.lo[0] = rax;
    machine.hi[0] = rax === 0 ? 0 : memory.high(rax);
    machine.lo[11] = r11;
    machine.hi[11] = r11 === 0 ? 0 : memory.pageHigh[r11 >>> 12]!;
    machine.lo[4] = top;
    this.#depth++;
    try {
      machine.call(entry);
    } catch (error) {
      throw toOops(this, error);
    } finally {
      machine.lo[4] = rsp;
      this.#depth--;
      if (this.#depth === 0 && this.#waiting.length > 0) for (const work of this.#waiting.splice(0)) work();
    }
    return { lo: machine.resultLo, hi: machine.resultHi };
  }

  /** The map whose `struct bpf_map` is at an address. */
  mapAt(pointer: GuestPtr): BpfMap | undefined {
    return this.maps.find((map) => map.pointer === pointer);
  }

  /** Does `work` once no guest code can be in what it frees (call_rcu): when no call into the guest is under way. */
  callRcu(work: () => void): void {
    if (this.#depth === 0) work();
    else this.#waiting.push(work);
  }

  /** Calls a member of a registered table through its call site in guest text. @throws KernelOops */
  callMember(kdata: GuestPtr, type: string, member: string, args: readonly Argument[]): { lo: number; hi: number } {
    this.calls.set(member, (this.calls.get(member) ?? 0) + 1);
    const own = this.tableCalls.get(kdata);
    own?.set(member, (own.get(member) ?? 0) + 1);
    let sites = this.#callSites.get(type);
    if (sites === undefined) {
      sites = new Map();
      this.#callSites.set(type, sites);
    }
    let site = sites.get(member);
    if (site === undefined) {
      site = this.symbol(callSiteName(type, member));
      sites.set(member, site);
    }
    return this.call(site, args, kdata);
  }
}

/** Symbol of the function that calls a member. */
export const callSiteName = (type: string, member: string): string => `call_${type}_${member}`;

/** A gate's view of the machine's registers. */
export function gateCall(machine: Machine): GateCall {
  const ARGUMENTS = [7, 6, 2, 1, 8, 9] as const;
  const { lo, hi } = machine;
  const call: GateCall = {
    lo: (index) => lo[ARGUMENTS[index]!]!,
    hi: (index) => hi[ARGUMENTS[index]!]!,
    ptr: (index) => lo[ARGUMENTS[index]!]! >>> 0,
    ret: (low, high = 0) => {
      lo[0] = low;
      hi[0] = high;
    },
    retNumber: (value) => call.ret(value | 0, Math.floor(value / 0x1_0000_0000) | 0),
    retPtr: (pointer) => call.ret(pointer, pointer === 0 ? 0 : machine.memory.high(pointer)),
  };
  return call;
}
