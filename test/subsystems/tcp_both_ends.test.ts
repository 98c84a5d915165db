import { describe, expect, it } from 'vitest';
import { parseLink } from '../../src/net/index.ts';
import { type Hosts, runFlows } from '../../src/subsystems/index.ts';
import { example, session } from '../support.ts';

/** Runs the kernel's own DCTCP over a link that marks. */
function run(hosts: Hosts) {
  const { kernel } = session(example('reno'), 'off');
  const { flows } = runFlows(kernel, {
    link: parseLink('50mbit,4ms,200p,ecn=15p'),
    flows: [{ name: 'f', congestion: 'dctcp', source: { kind: 'bulk' }, startNs: 0, hosts }],
    seconds: 2,
    seed: 1,
  });
  return flows[0]!;
}

describe('a congestion control at both ends', () => {
  it("the kernel's DCTCP echoes marks as the receiver without it does for it", () => {
    const alone = run({});
    const both = run({ bothEnds: true });
    expect(alone.marked).toBeGreaterThan(50);
    const { goodputBps, rttMsMean, marked, segments, calls } = both;
    expect({ goodputBps, rttMsMean, marked, segments, calls }).toEqual({
      goodputBps: alone.goodputBps,
      rttMsMean: alone.rttMsMean,
      marked: alone.marked,
      segments: alone.segments,
      calls: alone.calls,
    });
  });
});
