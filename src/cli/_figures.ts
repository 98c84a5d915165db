import type { FlowReport } from '../subsystems/index.ts';

/** Share of a flow's packets that did not arrive, whether a queue dropped them or they were lost on the way. */
export function lossOf({ segments, dropped, lost }: FlowReport): number {
  const all = segments + dropped + lost;
  return all === 0 ? 0 : (dropped + lost) / all;
}
