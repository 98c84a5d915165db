/** What became of one comparison with a golden. `unsupported` is counted and shown, never dropped. */
export interface Outcome {
  /** What was compared: function, trampoline symbol, prototype. */
  name: string;
  status: 'passed' | 'failed' | 'unsupported';
  /** Failed: the first difference (`+0x1c`, `insn 12`), what the kernel has and what we have, in assembly where it is code. */
  at?: string;
  want?: string;
  got?: string;
  /** Failed in code: the instructions around the difference, kernel's to the left, ours to the right. */
  listing?: string[];
  /** Unsupported: what is not modelled. */
  why?: string;
}

/** A directory of goldens: `obj/` beside `golden/` (with or without a folder per mode). */
export interface OracleDirectory {
  path: string;
  /** vmlinux BTF of the kernel the goldens come from. */
  readonly btf: Uint8Array;
  /** Folders of `golden`, or `-` if there are none. */
  modes: string[];
  /** Names of goldens without extension, of all modes. */
  objects: string[];
  object(name: string): Uint8Array;
  /** Parsed golden, or undefined where that mode has none. Values are data from outside: check before use. */
  golden(mode: string, name: string): unknown;
  /** A file beside the folders (`kcfi-typeids.json`), unpacked. */
  file(name: string): Uint8Array | undefined;
  /** The kernel itself (`vmlinux*`), if it is there. */
  vmlinux(): Uint8Array | undefined;
}

/** Compares one kind of golden. */
export interface Checker {
  /** `images`, `text pokes`, `trampolines`, `stubs`, `call sites`, `type ids`, `relocated insns`, `verdict`, `log`, `rewritten insns`, `object images`, `blinded insns`, `runs`. */
  kind: string;
  /** The golden stands beside the folders and is compared once. */
  once?: boolean;
  /** Yields one outcome per comparison for one golden in one mode. */
  check(directory: OracleDirectory, mode: string, object: string): Iterable<Outcome>;
}
