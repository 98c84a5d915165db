import { formatLink, type LinkSpec } from '../net/index.ts';
import type { FlowReport } from '../subsystems/index.ts';

/** The link in words, or both. */
export const linkWords = ({ link, second }: { link: LinkSpec; second?: LinkSpec | null | undefined }): string =>
  [link, ...(second == null ? [] : [second])].map(formatLink).join(' → ');

/** Share of the flows' packets that did not arrive, whether a queue dropped them or they were lost on the way. */
export function lossOf(flows: readonly FlowReport[]): number {
  let [gone, all] = [0, 0];
  for (const { segments, dropped, lost } of flows) {
    gone += dropped + lost;
    all += segments + dropped + lost;
  }
  return all === 0 ? 0 : gone / all;
}

/** What all flows together got of the link, bits a second over the whole run, however long each was on. */
export function totalGoodput(flows: readonly FlowReport[], seconds: number): number {
  const bits = flows.reduce((sum, { goodputBps, secondsInState }) => {
    const on = Object.values(secondsInState).reduce((all, part) => all + part, 0);
    return sum + goodputBps * on;
  }, 0);
  return bits / seconds;
}
