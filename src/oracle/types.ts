/** What became of one comparison with a golden. `unsupported` is counted and shown, never dropped. */
export interface Outcome {
  /** e.g. `images`, `trampolines`, `stubs`, `call sites`, `type ids`, `relocated insns`, `runs`. */
  kind: string;
  /** CFI mode directory, or `-` for goldens without modes. */
  mode: string;
  object: string;
  /** What was compared: function, trampoline symbol, prototype. */
  name: string;
  status: 'passed' | 'failed' | 'unsupported';
  /** Failed: the first difference (`+0x1c`, `insn 12`), what the kernel has and what we have, in assembly where it is code. */
  at?: string;
  want?: string;
  got?: string;
  /** Unsupported: what is not modelled. */
  why?: string;
}

/** A directory of goldens: `obj/` beside `golden/` (with or without a folder per mode). */
export interface OracleDirectory {
  path: string;
  /** vmlinux BTF of the kernel the goldens come from. */
  btf: Uint8Array;
  modes: string[];
  /** Object names without extension. */
  objects: string[];
  object(name: string): Uint8Array;
  /** Parsed golden, or undefined where that mode has none. Values are data from outside: check before use. */
  golden(mode: string, name: string): unknown;
}

export interface Checker {
  kind: string;
  /** Yields one outcome per comparison for one object in one mode (`object` is `_kernel` for per-kernel facts). */
  check(directory: OracleDirectory, mode: string, object: string): Iterable<Outcome>;
}
