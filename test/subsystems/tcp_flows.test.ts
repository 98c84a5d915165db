import { describe, expect, it } from 'vitest';
import { parseLink } from '../../src/net/index.ts';
import {
  congestionControls,
  type FlowSpec,
  jainIndex,
  runFlow,
  runFlows,
  type Scenario,
} from '../../src/subsystems/index.ts';
import { example, session } from '../support.ts';

const bulk = (name: string, congestion: string, more: Partial<FlowSpec> = {}): FlowSpec => ({
  name,
  congestion,
  source: { kind: 'bulk' },
  startNs: 0,
  ...more,
});

const link = parseLink('20mbit,40ms,100p');

describe('flows that share a link', () => {
  it('one of them is what runFlow gives, and its memory is free afterwards', () => {
    const { kernel } = session(example('cubic'), 'off');
    const idle = kernel.heap.count;
    const congestion = congestionControls(kernel)[0]!;
    const calls: string[] = [];
    const alone = runFlow(kernel, {
      congestion,
      link,
      seconds: 5,
      seed: 1,
      samples: 50,
      onCall: ({ member }) => calls.push(member),
    });
    expect(kernel.heap.count).toBe(idle);
    expect(alone.samples).toHaveLength(50);
    expect(calls).toHaveLength(Object.values(alone.flow.calls).reduce((sum, count) => sum + count, 0));
  });

  it('two that are alike share it, in every CFI mode alike', () => {
    const results = (['off', 'kcfi', 'fineibt'] as const).map((cfi) => {
      const { kernel } = session(example('reno'), cfi);
      const congestion = congestionControls(kernel)[0]!;
      const flows = [bulk('a', congestion), bulk('b', congestion, { startNs: 1e9, stopNs: 15e9 })];
      const result = runFlows(kernel, { link, flows, seconds: 20, seed: 3 });
      for (const [member, calls] of kernel.calls)
        expect(
          result.flows.reduce((sum, flow) => sum + (flow.calls[member as keyof typeof flow.calls] ?? 0), 0),
          member,
        ).toBe(calls);
      return result;
    });
    expect(results[1]).toEqual(results[0]);
    expect(results[2]).toEqual(results[0]);
    const [a, b] = results[0]!.flows as [(typeof results)[0]['flows'][0], (typeof results)[0]['flows'][0]];
    expect(a.goodputBps * 20 + b.goodputBps * 14).toBeLessThan(20e6 * 20);
    expect(a.goodputBps * 20 + b.goodputBps * 14).toBeGreaterThan(0.8 * 20e6 * 20);
    expect(results[0]!.fairness).toBeGreaterThan(0.8);
    expect(a.dropped + b.dropped).toBe(results[0]!.dropped);
    expect(b.samples.every(({ t }) => t >= 1 && t < 15)).toBe(true);
    expect(Object.values(b.secondsInState).reduce((sum, s) => sum + s, 0)).toBeCloseTo(14, 6);
    expect(a.rttMsP95).toBeGreaterThanOrEqual(a.rttMsMean);
  });

  it('sources that are not always busy', () => {
    const { kernel } = session(example('cubic'), 'off');
    const congestion = congestionControls(kernel)[0]!;
    const { flows } = runFlows(kernel, {
      link,
      flows: [
        bulk('limited', congestion, { source: { kind: 'limited', rateBps: 2e6 } }),
        bulk('requests', congestion, { source: { kind: 'requests', bytes: 14480, thinkNs: 60e6 } }),
      ],
      seconds: 10,
      seed: 1,
    });
    expect(flows[0]!.goodputBps).toBeGreaterThan(1.9e6);
    expect(flows[0]!.goodputBps).toBeLessThan(2.1e6);
    // 10 segments, a round trip of 40 ms and more, 60 ms of thinking: below ten times a second.
    expect(flows[1]!.segments).toBeGreaterThan(700);
    expect(flows[1]!.segments).toBeLessThanOrEqual(1000);
  });

  it('two links in a row: who crosses both gets less than who crosses one, and waits for both', () => {
    const { kernel } = session(example('reno'), 'off');
    const congestion = congestionControls(kernel)[0]!;
    const result = runFlows(kernel, {
      link,
      second: parseLink('10mbit,20ms,60p'),
      flows: [
        bulk('both', congestion),
        bulk('first', congestion, { crosses: 'first' }),
        bulk('second', congestion, { crosses: 'second' }),
      ],
      seconds: 20,
      seed: 1,
    });
    const [both, first, second] = result.flows.map(({ goodputBps }) => goodputBps / 1e6) as [number, number, number];
    expect(both).toBeLessThan(Math.min(first, second));
    expect(both + first).toBeGreaterThan(17);
    expect(both + first).toBeLessThan(20);
    expect(both + second).toBeGreaterThan(8.5);
    expect(both + second).toBeLessThan(10);
    const rtts = result.flows.map(({ samples }) => Math.min(...samples.map(({ srttMs }) => srttMs)));
    expect(rtts[0]).toBeGreaterThanOrEqual(60);
    expect(rtts[1]).toBeGreaterThanOrEqual(40);
    expect(rtts[2]).toBeLessThan(60);
    expect(result.flows.reduce((sum, { dropped }) => sum + dropped, 0)).toBe(result.dropped);
  });

  it('refuses what makes no sense', () => {
    const { kernel } = session(example('reno'), 'off');
    const congestion = congestionControls(kernel)[0]!;
    const run = (...flows: FlowSpec[]) => runFlows(kernel, { link, flows, seconds: 1, seed: 1 });
    expect(() => run(bulk('a', 'nobody'))).toThrow('-ENOENT');
    expect(() => run(bulk('a', congestion), bulk('a', congestion))).toThrow('-EINVAL');
    expect(() => run(bulk('a', congestion, { startNs: 2e9 }))).toThrow('-EINVAL');
    expect(() => run(bulk('a', congestion, { startNs: 2e9, stopNs: 3e9 }))).toThrow('-EINVAL');
    for (const source of [
      { kind: 'limited', rateBps: 0 },
      { kind: 'requests', bytes: 0, thinkNs: 0 },
      { kind: 'requests', bytes: 1, thinkNs: -1e6 },
      { kind: 'limited', rateBps: Number.POSITIVE_INFINITY },
      { kind: 'requests', bytes: 1, thinkNs: Number.NaN },
    ] as const)
      expect(() => run(bulk('a', congestion, { source }))).toThrow('-EINVAL');
    expect(() => run(bulk('a', congestion, { crosses: 'both' }))).toThrow('-EINVAL');
    const wrong = (more: Partial<Scenario>) => () =>
      runFlows(kernel, { link, flows: [bulk('a', congestion)], seconds: 1, seed: 1, ...more });
    for (const seconds of [0, -1, Number.NaN, Number.POSITIVE_INFINITY, 1e9])
      expect(wrong({ seconds })).toThrow(/^[^\n]*-EINVAL$/);
    for (const samples of [0, 1.5, Number.NaN, 1e9]) expect(wrong({ samples })).toThrow('-EINVAL');
    expect(wrong({ seed: Number.NaN })).toThrow('-EINVAL');
    const actions = [{ atNs: Number.NaN, run: () => {} }];
    expect(() => runFlows(kernel, { link, flows: [bulk('a', congestion)], seconds: 1, seed: 1 }, { actions })).toThrow(
      '-EINVAL',
    );
    expect(wrong({ link: { ...link, rateBps: -1 } })).toThrow(/^link: [^\n]*out of bounds/);
    expect(wrong({ second: { ...link, loss: Number.NaN } })).toThrow(/^second link: [^\n]*out of bounds/);
    expect(wrong({ events: [{ atNs: 0, flow: 'b', congestion }] })).toThrow('-EINVAL');
    expect(wrong({ events: [{ atNs: 2e9, flow: 'a', congestion }] })).toThrow('-EINVAL');
    expect(wrong({ events: [{ atNs: Number.NaN, flow: 'a', congestion }] })).toThrow('-EINVAL');
    expect(wrong({ events: [{ atNs: 0.5e9, flow: 'a', congestion: 'nobody' }] })).toThrow(
      "flow 'a': setsockopt(TCP_CONGESTION, 'nobody'): -ENOENT",
    );
  });

  it("Jain's index", () => {
    expect(jainIndex([1, 1, 1, 1])).toBe(1);
    expect(jainIndex([1, 0, 0, 0])).toBe(0.25);
    expect(jainIndex([0])).toBe(1);
  });
});
