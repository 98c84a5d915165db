import { describe, expect, it } from 'vitest';
import { parseLink } from '../../src/net/index.ts';
import { congestionControls, type FlowResult, runFlow } from '../../src/subsystems/index.ts';
import { example, session } from '../support.ts';

const MODES = ['off', 'kcfi', 'fineibt'] as const;

function run(name: string, link: string, cfi: (typeof MODES)[number] = 'off'): FlowResult {
  const { kernel } = session(example(name), cfi);
  const congestion = congestionControls(kernel)[0]!;
  return runFlow(kernel, { congestion, link: parseLink(link), seconds: 5, seed: 1, samples: 50 });
}

describe('examples that measure', () => {
  it.each(['vegas', 'bbr_like'])('%s: the same in every CFI mode, no fault, the link is used', (name) => {
    const [off, ...others] = MODES.map((cfi) => run(name, '20mbit,40ms,100p', cfi));
    for (const other of others) expect(other).toEqual(off);
    expect(off!.flow.goodputBps).toBeGreaterThan(0.8 * 20e6);
  });

  it('Vegas keeps a queue of a few packets once it has settled, Reno a long one', () => {
    const queue = (name: string) => {
      const late = run(name, '20mbit,40ms,100p').samples.slice(-10);
      return Math.max(...late.map(({ queuePackets }) => queuePackets));
    };
    expect(queue('vegas')).toBeLessThan(15);
    expect(queue('reno')).toBeGreaterThan(30);
  });

  it('loss at random does not slow the BBR-like one down as it does Reno', () => {
    const goodput = (name: string) => run(name, '20mbit,40ms,100p,loss=1%').flow.goodputBps;
    expect(goodput('bbr_like')).toBeGreaterThan(0.75 * 20e6);
    expect(goodput('reno')).toBeLessThan(0.6 * 20e6);
  });
});
