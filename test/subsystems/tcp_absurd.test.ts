import { describe, expect, it } from 'vitest';
import { parseLink } from '../../src/net/index.ts';
import { type FlowSpec, runFlows, type Scenario } from '../../src/subsystems/index.ts';
import { boot } from '../support.ts';

const bulk = (name: string, more: Partial<FlowSpec> = {}): FlowSpec => ({
  name,
  congestion: 'reno',
  source: { kind: 'bulk' },
  startNs: 0,
  ...more,
});
const kernel = boot('off');
const run = (link: string, seconds: number, more: Partial<Scenario> = {}) =>
  runFlows(kernel, { link: parseLink(link), flows: [bulk('a')], seconds, seed: 1, samples: 2, ...more });

describe('links that nobody has', () => {
  it.each([
    ['1kbit,100s,1p', 400],
    ['100gbit,1us,1p', 0.001],
    ['100gbit,100s,1000000p', 150],
    ['10mbit,40ms,1p', 1],
    ['10mbit,40ms,2KB', 1],
    ['10mbit,40ms,100p,ecn=0p', 1],
    ['10mbit,40ms,100p,loss=99%', 20],
    ['10mbit,40ms,100p,red=0p:1p:99%', 1],
    ['10mbit,40ms,1p,fq_codel=2us:2us', 1],
    ['10mbit,40ms,100p,codel=100s:100s', 1],
    ['rates=0s:10mbit;100ms:0bit,40ms', 2],
    ['10mbit,40ms,100p,stall=0s:100s', 2],
    ['10mbit,40ms,100p,jitter=10s,reorder=99%:10s', 2],
  ])('%s works', (link, seconds) => {
    const { flows } = run(link, seconds);
    expect(Number.isFinite(flows[0]!.goodputBps)).toBe(true);
    expect(flows[0]!.goodputBps).toBeLessThanOrEqual(parseLink(link).rateBps * 1.01);
  });

  it.each([
    '0bit,1ms',
    '1mbit,0ms',
    '1mbit,1ms,0p',
    '1mbit,1ms,-1p',
    'NaNmbit,1ms',
    '1e308gbit,1ms',
    '1mbit,1ms,loss=NaN',
    '1mbit,1ms,,',
  ])('%s is refused in one line', (link) => expect(() => parseLink(link)).toThrow(/^[^\n]+$/));
});

describe('flows that nobody has', () => {
  it('a thousand of them share a link', () => {
    const idle = kernel.heap.count;
    const flows = Array.from({ length: 1000 }, (_, i) => bulk(`${i}`, { startNs: i * 1e3 }));
    const result = run('100mbit,20ms,fq_codel', 0.12, { flows });
    const goodput = result.flows.reduce((sum, { goodputBps }) => sum + goodputBps, 0);
    expect(goodput).toBeGreaterThan(50e6);
    expect(goodput).toBeLessThan(100e6);
    expect(kernel.heap.count).toBe(idle);
  });

  it('none at all, or a very short one', () => {
    expect(run('1mbit,10ms', 1, { flows: [] })).toMatchObject({ flows: [], fairness: 1 });
    const [flow] = run('1mbit,10ms', 1, { flows: [bulk('a', { startNs: 0.5e9, stopNs: 0.5e9 + 1 })] }).flows;
    expect(flow).toMatchObject({ segments: 0, goodputBps: 0 });
  });

  it('requests of one byte without pause, and a rate of a bit a second', () => {
    const { flows } = run('1mbit,10ms', 1, {
      flows: [
        bulk('requests', { source: { kind: 'requests', bytes: 1, thinkNs: 0 } }),
        bulk('slow', { source: { kind: 'limited', rateBps: 1 } }),
      ],
    });
    expect(flows[0]!.segments).toBeGreaterThan(30);
    expect(flows[1]!.segments).toBeGreaterThan(0);
  });

  it('eleven days of a byte now and then', () => {
    const source = { kind: 'requests', bytes: 1, thinkNs: 3600e9 } as const;
    const { flows } = run('1kbit,1s', 1e6, { flows: [bulk('a', { source })] });
    expect(flows[0]!.segments).toBeGreaterThan(250);
  });

  it.each([
    { startNs: Number.NaN },
    { startNs: -1 },
    { stopNs: Number.NaN },
    { stopNs: -1 },
    { congestion: '' },
    { source: { kind: 'limited', rateBps: Number.NaN } },
    { source: { kind: 'requests', bytes: Number.POSITIVE_INFINITY, thinkNs: 0 } },
    { source: { kind: 'requests', bytes: 1.5, thinkNs: 0 } },
    { source: { kind: 'limited', rateBps: -1 } },
  ] as const)('%j is refused in one line', (more) => {
    expect(() => run('1mbit,10ms', 1, { flows: [bulk('a', more)] })).toThrow(/^[^\n]+: -E\w+$/);
  });
});
