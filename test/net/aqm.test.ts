import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../../src/base/index.ts';
import { Bottleneck, formatLink, parseLink, Red, Simulator } from '../../src/net/index.ts';

interface Packet {
  size: number;
  ecnCapable: boolean;
  ce: boolean;
  number: number;
}

/** Offers `count` packets of 1500 bytes, one each `gapNs`. */
function offer(text: string, count: number, gapNs: number, ecnCapable = false, seed = 1) {
  const simulator = new Simulator();
  const arrivals: [number, number][] = [];
  const link = new Bottleneck<Packet>(simulator, parseLink(text), new Random(seed), (packet) =>
    arrivals.push([simulator.now, packet.number]),
  );
  const queues: number[] = [];
  for (let i = 0; i < count; i++)
    simulator.after(i * gapNs, () => {
      link.send({ size: 1500, ecnCapable, ce: false, number: i });
      queues.push(link.queued);
    });
  return { simulator, link, arrivals, queues };
}

describe('queue disciplines', () => {
  it('CoDel brings a standing queue down, a buffer alone does not', () => {
    // 1 packet a millisecond leaves; 1.05 come.
    const last = (text: string) => {
      const { simulator, queues, link } = offer(text, 20_000, 952_381);
      simulator.runUntil(20e9);
      const late = queues.slice(-5000);
      return { mean: late.reduce((sum, length) => sum + length, 0) / late.length, dropped: link.dropped };
    };
    expect(last('12mbit,20ms,500p').mean).toBeGreaterThan(400);
    const codel = last('12mbit,20ms,500p,codel=5ms:100ms');
    expect(codel.mean).toBeLessThan(100);
    expect(codel.mean).toBeGreaterThan(2);
    expect(codel.dropped).toBeGreaterThan(500);
  });

  it('CoDel leaves a short burst alone, and marks what may be marked', () => {
    const burst = offer('12mbit,20ms,500p,codel=5ms:100ms', 50, 0);
    burst.simulator.runUntil(1e9);
    expect([burst.link.dropped, burst.arrivals.length]).toEqual([0, 50]);
    const marked = offer('12mbit,20ms,500p,codel=5ms:100ms:ecn', 2000, 952_381, true);
    marked.simulator.runUntil(10e9);
    expect(marked.link.marked).toBeGreaterThan(0);
    expect(marked.link.dropped).toBe(0);
  });

  it('RED drops nothing below, twice the base probability between, all above', () => {
    const share = (length: number) => {
      const red = new Red(20, 60, 0.1, new Random(5));
      for (let i = 0; i < 10_000; i++) red.enqueue(length, 0);
      let drops = 0;
      for (let i = 0; i < 20_000; i++) if (red.enqueue(length, 0)) drops++;
      return drops / 20_000;
    };
    expect(share(10)).toBe(0);
    expect(share(30)).toBeGreaterThan(0.04);
    expect(share(30)).toBeLessThan(0.06);
    expect(share(50)).toBeGreaterThan(0.11);
    expect(share(50)).toBeLessThan(0.17);
    expect(share(70)).toBe(1);
  });

  it('RED forgets while the link is idle', () => {
    const red = new Red(20, 60, 0.1, new Random(5));
    for (let i = 0; i < 10_000; i++) red.enqueue(50, 0);
    expect(red.average).toBeCloseTo(50, 3);
    red.enqueue(0, 5000);
    expect(red.average).toBeLessThan(0.01);
  });
});

describe('what happens on the way', () => {
  it('loses the packets of a script', () => {
    const { simulator, arrivals, link } = offer('12mbit,20ms,100p,drop=0;3;4', 6, 0);
    simulator.runUntil(1e9);
    expect(arrivals.map(([, number]) => number)).toEqual([1, 2, 5]);
    expect(link.lost).toBe(3);
  });

  it('jitter keeps the order, reordering does not', () => {
    const order = (text: string) => {
      const { simulator, arrivals } = offer(text, 2000, 1e6);
      simulator.runUntil(10e9);
      expect(arrivals).toHaveLength(2000);
      return arrivals.filter(([, number], i) => i > 0 && number < arrivals[i - 1]![1]).length;
    };
    expect(order('12mbit,20ms,100p,jitter=10ms')).toBe(0);
    expect(order('12mbit,20ms,100p,reorder=5%:5ms')).toBeGreaterThan(50);
  });

  it('packets are conserved, and the same seed gives the same', () => {
    const part = fc.constantFrom(
      'loss=3%',
      'ecn=5p',
      'jitter=3ms',
      'reorder=10%:7ms',
      'drop=1;5;9',
      'codel=1ms:10ms',
      'codel=1ms:10ms:ecn',
      'fq_codel=1ms:10ms',
      'fq_codel=1ms:10ms:ecn',
      'red=3p:9p:20%',
      'red=3p:9p:20%:ecn',
    );
    fc.assert(
      fc.property(
        fc.uniqueArray(part, { maxLength: 5 }),
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 100_000, max: 2_000_000 }),
        fc.integer(),
        fc.boolean(),
        (parts, buffer, gapNs, seed, ecn) => {
          const text = ['12mbit,20ms', `${buffer}p`, ...parts].join(',');
          const first = offer(text, 300, gapNs, ecn, seed);
          const again = offer(text, 300, gapNs, ecn, seed);
          for (const end of [5e6, 50e6, 100e6, 2e9]) {
            first.simulator.runUntil(end);
            const { sent, delivered, dropped, lost, queued, travelling } = first.link;
            expect(delivered + dropped + lost + queued + travelling).toBe(sent);
            // FQ-CoDel's limit is without the packet that is being sent.
            expect(queued).toBeLessThanOrEqual(buffer + 1);
          }
          again.simulator.runUntil(2e9);
          expect(again.arrivals).toEqual(first.arrivals);
          expect(first.link.delivered).toBe(first.arrivals.length);
        },
      ),
      { numRuns: 60 },
    );
  });

  it.each(['red=9p:3p:20%', 'codel=1ms', 'drop=', 'drop=x', 'jitter=3', 'reorder=100%:1ms'])('refuses %s', (part) => {
    expect(() => parseLink(`12mbit,20ms,${part}`)).toThrow(/^[^\n]+$/);
  });

  it('is told in words', () =>
    expect(formatLink(parseLink('12mbit,20ms,9p,red=3p:8p:20%:ecn,jitter=1ms,drop=1;2,reorder=1%:2ms'))).toBe(
      '12 Mbit/s · RTT 20 ms · buffer 9 packets · RED 3–8 packets, 20 % with ECN · loses packets 1, 2 · jitter 1 ms · 1 % late by 2 ms',
    ));
});
