// verifier/domain: what is known of a scalar, and how each operation changes it.
// Takes: ranges, which operations change in place.
// Gives: ScalarRange, transfer functions, branch decisions and refinement, printing.
// Mirrors: kernel/bpf/{tnum,verifier,log}.c of Linux 6.18.
// Leaves out: pointers, and everything that needs more than two registers.
export { add, and, arsh, lsh, mul, neg, or, rsh, sub, xor } from './alu.ts';
export { boundsSync, boundsViolation } from './bounds.ts';
export { isBranchTaken, refineBranch } from './branch.ts';
export { bswap, coerceToSize, coerceToSizeSx, coerceToSizeSx32, zext32 } from './cast.ts';
export { boundsText, printRange, snumText, tnumText, unumText } from './print.ts';
export { copyRange, isConst, ScalarRange, sameRange, setConst, setUnknown, unbound32, unbound64 } from './range.ts';
export { rangeWithin, tnumIn } from './within.ts';
