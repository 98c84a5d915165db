import { describe, expect, it } from 'vitest';
import { Random } from '../../src/base/index.ts';
import { Bottleneck, checkLink, parseLink, Simulator } from '../../src/net/index.ts';

describe('link descriptions', () => {
  it.each([
    ['20mbit,40ms,100p', { rateBps: 20e6, rttNs: 40e6, bufferPackets: 100, loss: 0 }],
    [
      '1gbit,500us,150KB,loss=0.1%,ecn=20p',
      { rateBps: 1e9, rttNs: 500e3, bufferBytes: 150_000, loss: 0.001, ecnPackets: 20 },
    ],
    ['20mbit,40ms,50p,30KB,ecn=12KB', { bufferPackets: 50, bufferBytes: 30_000, ecnBytes: 12_000 }],
    [
      '20mbit,40ms,fq_codel:ecn',
      { bufferPackets: 10_240, aqm: { kind: 'fq_codel', targetNs: 5e6, intervalNs: 100e6, ecn: true } },
    ],
    ['rates=0s:20mbit;5s:0bit;10s:again,40ms', { rateBps: 10e6, schedule: { kind: 'steps', periodNs: 10e9 } }],
    ['64kbit,1s', { rateBps: 64e3, rttNs: 1e9, bufferPackets: 10, loss: 0 }],
    ['10mbit,20ms,stall=5s:600ms', { stall: { atNs: 5e9, forNs: 600e6 } }],
  ])('%s', (text, spec) => expect(parseLink(text)).toMatchObject(spec));

  it.each([
    '',
    '20mbit',
    '40ms',
    '20mbit,40ms,0p',
    '20mbit,40ms,1.5p',
    '20 mbit',
    '20mbit,40ms,loss=100%',
    '20mbit,40ms,loss=x',
    '1bit,1ms',
    '20mbit,40ms,ecn=1.5p',
    '20mbit,9000s',
    '20parsec,1ms',
    '1e9mbit,1ms',
    '20mbit,40ms,1KB',
    '20mbit,40ms,ecn=-1p',
    'rates=1s:20mbit,40ms',
    'rates=0s:0bit,40ms',
    'rates=0s:20mbit;5s:again;6s:1mbit,40ms',
    'rates=0s:20mbit;5s:10mbit;4s:again,40ms',
    'trace=up.trace,40ms',
  ])('refuses %j in one line', (text) => {
    expect(() => parseLink(text)).toThrow(/^[^\n]+$/);
  });
});

describe('numbers that no text gives', () => {
  const link = parseLink('20mbit,40ms,100p');
  it.each([
    { rateBps: Number.NaN },
    { rateBps: -1 },
    { rateBps: Number.POSITIVE_INFINITY },
    { rttNs: 0 },
    { bufferPackets: 0 },
    { bufferPackets: Number.NaN },
    { bufferBytes: 0 },
    { loss: -0.1 },
    { loss: 1 },
    { ecnPackets: -1 },
    { jitterNs: Number.NaN },
    { stall: { atNs: -1, forNs: 1 } },
    { reorder: { share: 2, byNs: 1 } },
    { dropList: [1.5] },
    { aqm: { kind: 'codel', targetNs: 0, intervalNs: 1e6, ecn: false } },
    { aqm: { kind: 'red', minPackets: 9, maxPackets: 3, probability: 0.1, ecn: false } },
    { schedule: { kind: 'steps', steps: [] } },
    { schedule: { kind: 'opportunities', ms: [2, 1] } },
  ] as const)('%j is refused in one line', (wrong) => {
    expect(() => checkLink({ ...link, ...wrong })).toThrow(/^link: [^\n]+$/);
  });
});

describe('simulator', () => {
  it('runs events by time, and by order within a time; cancelled ones not at all', () => {
    const simulator = new Simulator();
    const seen: string[] = [];
    simulator.after(20, () => seen.push('c'));
    simulator.after(10, () => (seen.push('a'), simulator.after(0, () => seen.push('b'))));
    simulator.after(15, () => seen.push('never')).cancelled = true;
    simulator.after(20, () => seen.push('d'));
    simulator.runUntil(20);
    expect(seen).toEqual(['a', 'b', 'c', 'd']);
    expect(simulator.now).toBe(20);
  });
});

describe('bottleneck', () => {
  const run = (spec: string, count: number, seed = 1) => {
    const simulator = new Simulator();
    const arrivals: [number, boolean][] = [];
    const link = new Bottleneck(
      simulator,
      parseLink(spec),
      new Random(seed),
      (packet: { size: number; ecnCapable: boolean; ce: boolean }) => arrivals.push([simulator.now, packet.ce]),
    );
    for (let i = 0; i < count; i++) link.send({ size: 1500, ecnCapable: true, ce: false });
    simulator.runUntil(60e9);
    return { link, arrivals };
  };

  it('serves at its rate, after half of the round-trip time', () => {
    const { arrivals } = run('12mbit,40ms,10p', 3);
    expect(arrivals.map(([at]) => at / 1e6)).toEqual([21, 22, 23]);
  });
  it('drops what the buffer does not hold', () => {
    const { link, arrivals } = run('12mbit,40ms,10p', 25);
    expect([arrivals.length, link.dropped]).toEqual([10, 15]);
  });
  it('drops what the buffer does not hold in bytes, and marks from a number of bytes on', () => {
    const { link, arrivals } = run('12mbit,40ms,15KB,ecn=6KB', 25);
    expect([arrivals.length, link.dropped]).toEqual([10, 15]);
    expect(arrivals.map(([, ce]) => ce)).toEqual([false, false, false, false, ...Array(6).fill(true)]);
  });
  it('marks above the threshold', () => {
    expect(run('12mbit,40ms,10p,ecn=4p', 10).arrivals.map(([, ce]) => ce)).toEqual([
      false,
      false,
      false,
      false,
      ...Array(6).fill(true),
    ]);
  });
  it('loses at random, the same for the same seed', () => {
    const first = run('12mbit,40ms,1000p,loss=10%', 1000, 7);
    expect(first.link.lost).toBeGreaterThan(50);
    expect(first.link.lost).toBeLessThan(150);
    expect(run('12mbit,40ms,1000p,loss=10%', 1000, 7).arrivals).toEqual(first.arrivals);
  });
  it('stalls', () => {
    expect(run('12mbit,40ms,10p,stall=0s:1s', 1).arrivals[0]![0] / 1e6).toBe(1021);
  });
});
