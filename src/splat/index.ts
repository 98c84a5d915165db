// splat: what a kernel's report of a control-flow failure says.
// Takes: a piece of kernel log, as pasted, and optionally a target's BTF and hash seed.
// Gives: for each report where the check stood, which type it wanted, which it found, and what it resembles for certain.
// Mirrors: handle_cfi_failure and exc_control_protection (arch/x86/kernel/{cfi,cet}.c, 6.12 and 6.18), oops printing.
// Leaves out: guesses: what a report does not hold is said to be missing.
export { type CheckKind, type Explanation, explain, type TypeReading } from './explain.ts';
export { type PastedReport, readReports } from './read.ts';
export { prototypesByHash } from './types.ts';
