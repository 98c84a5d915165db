import type { TcpCall } from './tcp_trace.ts';

const STATES = ['Open', 'Disorder', 'CWR', 'Recovery', 'Loss'];

/** Microseconds between reductions: the first pair is left out where there are more, for it is still slow start's. */
export function sawtoothSeconds(reductions: readonly number[]): number | undefined {
  if (reductions.length < 2) return undefined;
  const from = reductions.length > 2 ? 1 : 0;
  return (reductions.at(-1)! - reductions[from]!) / (reductions.length - 1 - from);
}

/** What the calls of one flow tell: `end` is when it was over, microseconds. */
export function flowFigures(calls: readonly TcpCall[], end: number): Record<string, number> {
  const figures: Record<string, number> = { recoveries: 0, rtos: 0, cwr_entries: 0, undos: 0 };
  const rtts: number[] = [];
  const reductions: number[] = [];
  const inState = [0, 0, 0, 0, 0];
  let state = 0;
  let since = calls[0]?.at ?? 0;
  for (const { op, args, at } of calls) {
    figures[`calls.${op}`] = (figures[`calls.${op}`] ?? 0) + 1;
    if (op === 'pkts_acked' && args[1]! >= 0) rtts.push(args[1]!);
    if (op === 'ssthresh') reductions.push(at / 1e6);
    if (op === 'undo_cwnd') figures.undos!++;
    if (op !== 'set_state') continue;
    inState[state]! += at - since;
    state = args[0]!;
    since = at;
    if (state === 2) figures.cwr_entries!++;
    if (state === 3) figures.recoveries!++;
    if (state === 4) figures.rtos!++;
  }
  inState[state]! += end - since;
  for (const [i, name] of STATES.entries()) if (inState[i]! > 0) figures[`time_in_state_s.${name}`] = inState[i]! / 1e6;
  const sorted = rtts.toSorted((a, b) => a - b);
  const percentile = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  figures.rtt_mean_us = rtts.reduce((sum, rtt) => sum + rtt, 0) / Math.max(1, rtts.length);
  figures.rtt_p50_us = percentile(0.5);
  figures.rtt_p95_us = percentile(0.95);
  const period = sawtoothSeconds(reductions);
  if (period !== undefined) figures.sawtooth_period_s = period;
  return figures;
}
