/** A line of C and the instruction that was made of it. */
export interface Place {
  /** Slot of the program as loaded. */
  insn: number;
  /** The instruction, as the log prints it but with names of maps and functions. */
  text: string;
  /** Function that the instruction is in. */
  function: string;
  /** Path as compiled, '' without line information. */
  file: string;
  /** From 1; 0 without line information. */
  line: number;
  column: number;
  source: string;
  /** Where in `source` the instruction comes from, from 0. */
  mark: number;
}

/** One instruction of the way to a refusal. */
export interface PathStep extends Place {
  /** Conditional jumps: whether this way takes the jump. */
  taken?: boolean;
  /** What it is about: `r1`, `stack -8`; '' where nothing is known of it. */
  operand: string;
  /** What is known of the operand behind the instruction (before it, of the last one), in words. */
  state: string;
  /** Times that the way comes through here. */
  times: number;
  /** Steps of the slice that were left out before this one. */
  omitted: number;
}

/** Why a program was refused, and what to do about it. */
export interface Explanation {
  /** Name of the class of refusals, as docs/verify.md lists them; 'other' if the message is of none. */
  class: string;
  errno: string;
  /** The verifier's own last words; several lines joined by '\n'. */
  message: string;
  reason: string;
  at: Place | null;
  path: PathStep[];
  suggestion: string | null;
}
