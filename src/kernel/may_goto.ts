import type { Kernel } from './kernel.ts';

/** The function that the timed may_goto calls every 65535 rounds (arch/x86/net/bpf_timed_may_goto.S, 6.18). */
export const TIMED_MAY_GOTO = 'arch_bpf_timed_may_goto';

const R10 = 10;
const RBP = 5;
const BPF_MAX_TIMED_LOOPS = 0xffff;
/** Rounds as the counted kind has them: 8 Mi. */
const MAX_REFILLS = 128;

/**
 * Refills a loop's count while its quarter of a second is not over (bpf_check_timed_may_goto, kernel/bpf/core.c, 6.18). The
 * guest's clock stands while a program runs; what ends the loop here is the number of refills, kept where the kernel keeps
 * the start time. r10 is the place of both below the frame and takes the new count; no other register changes.
 */
export function timedMayGoto({ machine, memory }: Kernel): void {
  const start = (machine.lo[RBP]! + machine.lo[R10]! + 8) >>> 0;
  const refills = memory.u32(start);
  memory.setU32(start, refills + 1);
  machine.lo[R10] = refills < MAX_REFILLS ? BPF_MAX_TIMED_LOOPS : 0;
  machine.hi[R10] = 0;
}
