import { ALU, CALL, CLASS, type Insn, LD_IMM64, PSEUDO_CALL } from '../bpf/index.ts';
import { bootKernel, type GateCall, type Kernel, placeFunctions, type Subsystem } from '../kernel/index.ts';
import type { GuestPtr } from '../machine/index.ts';
import { CFI_HASHES, type Target } from '../target/index.ts';
import { assumePlain, type RewrittenFunction, rewriteAccepted } from '../verifier/index.ts';
import { ConformanceError } from './error.ts';
import { HELPERS, type HelperMemory, UNWIND } from './helpers.ts';
import { type Execution, STACK_SIZE } from './interpreter.ts';

const CALL_PROGRAM = 'call_bpf_prog';
const helperSymbol = (number: number): string => `conformance_helper_${number}`;
const BUDGET = 20_000_000;

/** The end of a program from inside of a helper. */
class Unwound {}

/** A guest kernel in which plain programs are compiled, placed and called through a checked call site, as the kernel does. */
export class Guest {
  readonly kernel: Kernel;
  /** Where the memory of programs lies. */
  readonly #memory: GuestPtr;

  constructor(target: Target) {
    const subsystem: Subsystem = {
      name: 'conformance',
      structOps: [],
      callSites: [{ name: CALL_PROGRAM, hash: CFI_HASHES.program }],
      gates: (kernel) =>
        HELPERS.map((_, number) => ({ name: helperSymbol(number), handler: helperGate(kernel, number) })),
    };
    this.kernel = bootKernel({ target, subsystems: [subsystem] });
    this.#memory = this.kernel.heap.alloc(MEMORY_SIZE, 4096);
  }

  /** The address that r1 has in every program. */
  get memoryBase(): bigint {
    return this.kernel.memory.address(this.#memory);
  }

  /**
   * Runs a program on the machine: r1 points to a copy of `memory`, r2 is its length.
   * @throws ConformanceError for instructions that the kernel refuses, KernelOops if the guest faults
   */
  run(insns: readonly Insn[], memory: Uint8Array): Execution {
    const { kernel } = this;
    if (memory.length > MEMORY_SIZE)
      throw new ConformanceError(`${memory.length} bytes of memory`, undefined, 'refused');
    const undo: (() => void)[] = [];
    try {
      const functions = placeFunctions(kernel, prepare(kernel, insns), undo);
      kernel.memory.bytes(this.#memory, Math.max(1, memory.length)).set(memory);
      kernel.machine.setBudget(BUDGET);
      const registers = kernel.machine.registers();
      let returned: { lo: number; hi: number };
      try {
        returned = kernel.call(
          kernel.symbol(CALL_PROGRAM),
          [{ ptr: this.#memory }, memory.length],
          0,
          functions[0]!.entry,
        );
      } catch (error) {
        if (!(error instanceof Unwound)) throw error;
        kernel.machine.setRegisters(registers);
        returned = { lo: 0, hi: 0 };
      }
      return {
        r0: (BigInt(returned.hi >>> 0) << 32n) | BigInt(returned.lo >>> 0),
        memory: kernel.memory.bytes(this.#memory, memory.length).slice(),
      };
    } finally {
      for (const step of undo.reverse()) step();
    }
  }
}

const MEMORY_SIZE = 1 << 16;

/** Divisions guarded, helpers settled, functions apart. */
function prepare(kernel: Kernel, insns: readonly Insn[]): RewrittenFunction[] {
  const starts = new Set([0]);
  for (let i = 0; i < insns.length; i++) {
    const insn = insns[i]!;
    if (insn.code === LD_IMM64) {
      i++;
      continue;
    }
    // The verifier: only calls by constants exist (bpf_opcode_in_insntable).
    if (insn.code === (CALL | 8)) throw new ConformanceError('unknown opcode 8d', `insn ${i}`, 'refused');
    if (insn.code === CALL && insn.src === PSEUDO_CALL) starts.add(i + 1 + insn.imm);
    const constant = (insn.code & 8) === 0 && insn.imm === 0;
    const op = insn.code & 0xf0;
    const arithmetic = (insn.code & 7) === CLASS.ALU || (insn.code & 7) === CLASS.ALU64;
    if (arithmetic && (op === ALU.DIV || op === ALU.MOD) && constant)
      throw new ConformanceError('div by zero', `insn ${i}`, 'refused');
  }
  const order = [...starts].sort((a, b) => a - b);
  const accepted = assumePlain(insns, order, STACK_SIZE);
  insns.forEach((insn, i) => {
    if (insn.code !== CALL || insn.src !== 0) return;
    if (HELPERS[insn.imm] === undefined)
      throw new ConformanceError(`invalid func unknown#${insn.imm}`, undefined, 'refused');
    accepted.aux[i]!.helperProto = helperSymbol(insn.imm);
  });
  const input = { name: 'program', progType: 0, expectedAttachType: 0, attachBtfId: 0, sleepable: false, maps: [] };
  return rewriteAccepted(accepted, input, {
    vmlinux: kernel.btf,
    symbol: (name) => kernel.memory.address(kernel.symbol(name)),
    cpuNumber: { offset: undefined, wide: false },
    timedMayGoto: false,
  }).functions;
}

function helperGate(kernel: () => Kernel, number: number): (call: GateCall) => void {
  return (call) => {
    const { memory } = kernel();
    const access: HelperMemory = {
      byte: (address) => memory.u8(memory.pointer(address)),
      setByte: (address, value) => memory.setU8(memory.pointer(address), value),
    };
    const args = [0, 1, 2, 3, 4].map((i) => (BigInt(call.hi(i) >>> 0) << 32n) | BigInt(call.lo(i) >>> 0));
    const result = HELPERS[number]!.run(args, access);
    if (number === UNWIND && result === 0n) throw new Unwound();
    call.ret(Number(BigInt.asIntN(32, result)), Number(BigInt.asIntN(32, result >> 32n)));
  };
}
