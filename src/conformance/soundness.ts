import type { Insn } from '../bpf/index.ts';
import type { Btf } from '../btf/index.ts';
import {
  ExploredPaths,
  type MapInfo,
  RunFollower,
  TooManySteps,
  type VerifierInput,
  verifyProgram,
} from '../verifier/index.ts';
import type { Guest } from './guest.ts';
import { interpret } from './interpreter.ts';
import { placed, VALUE_SIZE } from './verifiable.ts';

/** What came of judging a program and running it. */
export type Soundness =
  /** Accepted; every run stayed in what was known, and JIT and machine agree with the interpreter. */
  | { verdict: 'accepted'; steps: number }
  | { verdict: 'refused'; errno: string }
  /**
   * Walking every path ends in another verdict than pruning, though no run broke a promise: a fault of pruning, or a rule
   * by which a program is refused with more knowledge and accepted with less.
   */
  | { verdict: 'differs'; why: string }
  /** More steps than are followed. */
  | { verdict: 'large' }
  /** A fault of the verifier, or of what runs the program. */
  | { verdict: 'unsound'; why: string };

const MAX_STEPS = 4000;
const SOCKET_FILTER = 1;
const ARRAY = 2;
/** BPF_F_TEST_STATE_FREQ: a checkpoint wherever there may be one. */
const TEST_STATE_FREQ = 8;
const STACK = 512n;
const MAP = 'value';

/**
 * Judges programs of `verifiableProgram` and runs what is accepted:
 * every value of every run lies in the abstract one at every step, on the path that the run takes; a program that the
 * verifier accepts with its pruning, usual and eager, is one that it accepts when it walks every path; and accepted programs run in the
 * interpreter, and where a guest is given in its machine, with no fault and the same result.
 */
export class SoundnessCheck {
  readonly #vmlinux: Btf;
  readonly #guest: Guest | undefined;

  constructor(vmlinux: Btf, guest?: Guest) {
    this.#vmlinux = vmlinux;
    this.#guest = guest;
  }

  /** @param values contents of the map's value for each run, {@link VALUE_SIZE} bytes */
  check(insns: readonly Insn[], values: readonly Uint8Array[]): Soundness {
    const input = this.#input(insns);
    const pruned = [0, TEST_STATE_FREQ].map((progFlags) => verifyProgram({ ...input, progFlags }));
    const accepted = pruned.some(({ ok }) => ok);
    const paths = new ExploredPaths(MAX_STEPS);
    let full: ReturnType<typeof verifyProgram>;
    try {
      full = verifyProgram({ ...input, exploreAll: true, observer: paths });
    } catch (error) {
      if (error instanceof TooManySteps) return accepted ? this.#run(insns, values) : { verdict: 'large' };
      throw error;
    }
    const differing = pruned.find(({ ok }) => ok !== full.ok);
    if (differing !== undefined) {
      const ran = accepted ? this.#run(insns, values) : undefined;
      if (ran?.verdict === 'unsound') return ran;
      return { verdict: 'differs', why: full.ok ? `pruning finds ${differing.errno}` : `pruning hides ${full.errno}` };
    }
    if (!full.ok) return { verdict: 'refused', errno: full.errno };
    const ran = this.#run(insns, values, paths);
    return ran.verdict === 'large' ? { verdict: 'accepted', steps: paths.steps } : ran;
  }

  #run(insns: readonly Insn[], values: readonly Uint8Array[], paths?: ExploredPaths): Soundness {
    const base = this.#guest?.memoryBase ?? 0xffff888000000000n;
    const program = placed(insns, base);
    for (const value of values) {
      const why = this.#runOnce(program, value, base, paths);
      if (why !== undefined) return { verdict: 'unsound', why };
    }
    return { verdict: 'large' };
  }

  #runOnce(program: readonly Insn[], value: Uint8Array, base: bigint, paths?: ExploredPaths): string | undefined {
    const follower = paths === undefined ? undefined : new RunFollower(paths);
    let broken: string | undefined;
    const result = attempt(() =>
      interpret(program, value, base, undefined, (at, registers, depth, byteAt) => {
        if (follower === undefined || broken !== undefined) return;
        const framePointers = Array.from({ length: depth + 1 }, (_, f) => registers[10]! + STACK * BigInt(depth - f));
        broken = follower.step({ at, registers, framePointers, byteAt, valueAddress: () => base });
      }),
    );
    if (broken !== undefined) return broken;
    if (typeof result === 'string') return `interpreter: ${result}`;
    if (this.#guest === undefined) return undefined;
    const guest = this.#guest;
    const machine = attempt(() => guest.run(program, value));
    if (typeof machine === 'string') return `machine: ${machine}`;
    if (machine.r0 !== result.r0) return `r0 is 0x${machine.r0.toString(16)}, not 0x${result.r0.toString(16)}`;
    return machine.memory.every((byte, i) => byte === result.memory[i]) ? undefined : 'the value differs';
  }

  #input(insns: readonly Insn[]): Omit<VerifierInput, 'ops'> {
    const map: MapInfo = {
      name: MAP,
      type: ARRAY,
      keySize: 4,
      valueSize: VALUE_SIZE,
      maxEntries: 1,
      flags: 0,
      btf: null,
      btfKeyTypeId: 0,
      btfValueTypeId: 0,
      record: null,
      inner: null,
      frozen: false,
    };
    return {
      name: 'random',
      insns,
      progType: SOCKET_FILTER,
      expectedAttachType: 0,
      sleepable: false,
      progFlags: 0,
      license: 'GPL',
      attachBtfId: 0,
      memberIndex: 0,
      btf: null,
      funcInfo: [],
      lineInfo: [],
      maps: [map],
      target: { vmlinux: this.#vmlinux, hz: 1000, cpus: 2, jitRequested: true, privateStack: true },
      logLevel: 0,
    };
  }
}

function attempt<T>(run: () => T): T | string {
  try {
    return run();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
