import { decode, formatX86, type Symbolize } from '../x86/index.ts';
import { type Cpu, Trap } from './_cpu.ts';
import { FLAGS_WORDS, flagBits, setExplicit } from './_flags.ts';
import { OpBuffer } from './_lift.ts';
import { REGISTERS } from './_ops.ts';
import { run } from './_run.ts';
import { GuestFault, MachineError } from './error.ts';
import { type GuestMemory, PAGE_SIZE } from './memory.ts';
import type { FaultInfo, GuestPtr } from './types.ts';

const DEFAULT_BUDGET = 1_000_000_000;
/** rdi, rsi, rdx, rcx, r8, r9. */
const ARGUMENTS = [7, 6, 2, 1, 8, 9] as const;
const RAX = 0;
const RSP = 4;

/** The processor's state besides memory. */
export interface Registers {
  /** Low and high halves of rax rcx rdx rbx rsp rbp rsi rdi r8 … r15. */
  lo: Int32Array;
  hi: Int32Array;
  /** Low half of the next instruction's address. */
  rip: GuestPtr;
  /** CF, PF, ZF, SF, OF as in RFLAGS. */
  flags: number;
}

export interface MachineOptions {
  /** Enforce indirect branch tracking. */
  ibt: boolean;
}

/**
 * A processor that executes the bytes in guest memory: exact registers and flags, page permissions, IBT. Host functions are
 * reached by `vmcall`; they may call back into the guest.
 */
export class Machine {
  readonly memory: GuestMemory;
  readonly #cpu: Cpu;
  /** Called at each `vmcall` with its address; execution then goes on after it. */
  onHypercall: (machine: Machine, address: GuestPtr) => void = (_, address) => {
    throw new MachineError(`hypercall at 0x${address.toString(16)} that nobody handles`, 'MACHINE_HYPERCALL');
  };
  /** Called at each fault; true if it was repaired (registers and `rip` changed) and execution shall go on. */
  onFault: (machine: Machine, fault: FaultInfo) => boolean = () => false;
  /** Address of a `vmcall` to which host-made calls return. */
  hostReturn: GuestPtr = 0;

  constructor(memory: GuestMemory, options: MachineOptions) {
    this.memory = memory;
    const cpu: Cpu = {
      memory,
      lo: new Int32Array(REGISTERS),
      hi: new Int32Array(REGISTERS),
      fl: new Int32Array(FLAGS_WORDS),
      rip: 0,
      instructions: 0,
      limit: DEFAULT_BUDGET,
      ibt: options.ibt,
      gsLo: 0,
      gsHi: 0,
      ops: new OpBuffer(),
      tables: new Array(memory.data.length / PAGE_SIZE),
      touched: [],
      generation: 0,
      trace: undefined,
      hypercall: (address) => this.onHypercall(this, address),
    };
    this.#cpu = cpu;
    memory.onCodeChange(() => this.#dropCode());
  }

  #dropCode(): void {
    const cpu = this.#cpu;
    cpu.generation++;
    for (const place of cpu.touched) cpu.tables[place] = undefined;
    cpu.touched = [];
    // Running code still reads the old buffer until its next look-up.
    cpu.ops = new OpBuffer();
  }

  get lo(): Int32Array {
    return this.#cpu.lo;
  }
  get hi(): Int32Array {
    return this.#cpu.hi;
  }
  get rip(): GuestPtr {
    return this.#cpu.rip >>> 0;
  }
  set rip(value: GuestPtr) {
    this.#cpu.rip = value;
  }
  /** Instructions executed so far. */
  get instructions(): number {
    return this.#cpu.instructions;
  }
  get ibt(): boolean {
    return this.#cpu.ibt;
  }

  /** Raises a budget fault after `count` more instructions (looked at between blocks of at most 64). */
  setBudget(count: number): void {
    this.#cpu.limit = this.#cpu.instructions + count;
  }

  /** Base address of the gs segment, as halves: this CPU's per-CPU area, less where its symbols start. */
  setGs(lo: number, hi: number): void {
    this.#cpu.gsLo = lo >>> 0;
    this.#cpu.gsHi = hi;
  }

  /** From inside of a hypercall: execution goes on at `address` instead of behind the `vmcall`. */
  jump(address: GuestPtr): void {
    this.#cpu.rip = address;
    this.#dropCode();
  }

  /** Calls `hook` with the address of each instruction before it runs; undefined ends tracing. */
  set trace(hook: ((address: GuestPtr) => void) | undefined) {
    this.#cpu.trace = hook;
    this.#dropCode();
  }

  /** Integer argument `index` (0 … 5) of the System V ABI. */
  setArg(index: number, lo: number, hi = 0): void {
    const register = ARGUMENTS[index];
    if (register === undefined)
      throw new MachineError(`argument ${index} is not passed in a register`, 'MACHINE_ARGUMENT');
    this.#cpu.lo[register] = lo;
    this.#cpu.hi[register] = hi;
  }

  setArgPtr(index: number, pointer: GuestPtr): void {
    this.setArg(index, pointer, pointer === 0 ? 0 : this.memory.high(pointer));
  }

  /** Low and high half of the return value. */
  get resultLo(): number {
    return this.#cpu.lo[RAX]!;
  }
  get resultHi(): number {
    return this.#cpu.hi[RAX]!;
  }

  registers(): Registers {
    return {
      lo: this.#cpu.lo.slice(0, 16),
      hi: this.#cpu.hi.slice(0, 16),
      rip: this.rip,
      flags: flagBits(this.#cpu.fl),
    };
  }

  setRegisters(state: Registers): void {
    this.#cpu.lo.set(state.lo);
    this.#cpu.hi.set(state.hi);
    this.#cpu.rip = state.rip;
    setExplicit(this.#cpu.fl, state.flags);
  }

  setStack(top: GuestPtr): void {
    this.#cpu.lo[RSP] = top;
    this.#cpu.hi[RSP] = this.memory.high((top - 8) >>> 0);
  }

  /**
   * Calls the guest function at `entry`, arguments being set, and runs it until it returns. May be used by a hypercall
   * handler: the call nests on the guest's stack.
   * @throws GuestFault
   */
  call(entry: GuestPtr): void {
    const cpu = this.#cpu;
    const { lo, hi, memory } = cpu;
    const savedLo = lo[RSP]!;
    const savedHi = hi[RSP]!;
    const savedRip = cpu.rip;
    const aligned = lo[RSP]! & ~15;
    lo[RSP] = (aligned - 8) | 0;
    memory.setPtr(lo[RSP]! >>> 0, this.hostReturn);
    cpu.rip = entry;
    try {
      this.#runUntil(this.hostReturn, aligned);
    } finally {
      if (cpu.lo[RSP] === aligned) {
        lo[RSP] = savedLo;
        hi[RSP] = savedHi;
        cpu.rip = savedRip;
      }
    }
  }

  /** Executes one instruction. @throws GuestFault */
  step(): void {
    const before = this.#cpu.trace;
    if (before === undefined) this.trace = () => {};
    try {
      run(this.#cpu, -1, 0, true);
    } catch (error) {
      this.#settle(error);
    } finally {
      if (before === undefined) this.trace = undefined;
    }
  }

  #runUntil(stopAt: GuestPtr, stopRsp: number): void {
    for (;;) {
      try {
        run(this.#cpu, stopAt, stopRsp, false);
        return;
      } catch (error) {
        // A repaired fault: go on where the handler put rip.
        this.#settle(error);
      }
    }
  }

  /** Returns if the fault was repaired; throws it, or any other error, otherwise. */
  #settle(error: unknown): void {
    if (!(error instanceof Trap)) throw error;
    const fault: FaultInfo = { ...error.fault, rip: error.at ?? this.#codeAddress(this.rip) };
    if (fault.vector === 'budget' || !this.onFault(this, fault)) throw new GuestFault(fault);
  }

  #codeAddress(pointer: GuestPtr): bigint {
    const high = this.memory.pageHigh[pointer >>> 12]!;
    return (BigInt(high >>> 0) << 32n) | BigInt(pointer);
  }

  /** The instruction at `pointer`, as text. */
  disassemble(pointer: GuestPtr, symbolize?: Symbolize): string {
    const bytes = this.memory.copyNofault(pointer, 1);
    if (bytes === undefined) return '(unmapped)';
    const offset = this.memory.offset(pointer);
    const insn = decode(this.memory.data.subarray(offset, offset + 15), 0);
    return insn.row === undefined ? '(bad)' : formatX86(insn, this.#codeAddress(pointer), symbolize);
  }
}
