import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../../src/base/index.ts';
import { Bottleneck, type LinkSpec, paceOf, parseLink, parseMahimahi, Simulator } from '../../src/net/index.ts';

const traced = (ms: string): LinkSpec => parseLink('trace=t,2us,1000p', { readTrace: () => ms });

/** Milliseconds at which packets of the given sizes arrive, offered all at `atMs`. */
function arrivals(spec: LinkSpec, sizes: readonly number[], atMs = 0): number[] {
  const simulator = new Simulator();
  const times: number[] = [];
  const link = new Bottleneck(simulator, spec, new Random(1), () => times.push(Math.floor(simulator.now / 1e6)));
  simulator.after(atMs * 1e6, () => {
    for (const size of sizes) link.send({ size, ecnCapable: false, ce: false });
  });
  simulator.runUntil(100e9);
  return times;
}

describe('mahimahi traces', () => {
  it('let 1504 bytes out at each of their milliseconds, and begin again', () =>
    expect(arrivals(traced('1\n5\n5\n10\n'), Array(6).fill(1504))).toEqual([1, 5, 5, 10, 11, 15]));
  it('cut packets, and put several into one opportunity', () => {
    expect(arrivals(traced('1\n5\n10'), [2000, 1008])).toEqual([5, 5]);
    expect(arrivals(traced('1\n5\n10'), [500, 500, 500, 500])).toEqual([1, 1, 1, 5]);
  });
  it('lose the opportunities that nobody uses', () =>
    expect(arrivals(traced('1\n5\n10'), [1504, 1504], 25)).toEqual([30, 31]));
  it('have a mean rate', () => expect(traced('1\n5\n5\n10').rateBps).toBe((4 * 1504 * 8) / 0.01));
  it.each([
    ['', 'lasts longer'],
    ['0', 'lasts longer'],
    ['1\n\n2', 't:2'],
    ['1\nx', 't:2'],
    ['5\n4', 't:2'],
    ['-1', 't:1'],
    ['1.5', 't:1'],
  ])('%j is refused, with its line', (text, why) => expect(() => parseMahimahi(text, 't')).toThrow(why));
});

describe('rates that change', () => {
  it('a packet is sent at the rates that it meets', () =>
    // 12000 bits: 6000 at 6 Mbit/s, then nothing for a second, then 6000 at 1 Mbit/s.
    expect(arrivals(parseLink('rates=0s:6mbit;1ms:0bit;1001ms:1mbit,2us'), [1500, 1500])).toEqual([1007, 1019]));
  it('a link that ends sends nothing more', () =>
    expect(arrivals(parseLink('rates=0s:12mbit;2ms:0bit,2us'), Array(5).fill(1500))).toEqual([1, 2]));
  it('begin again', () =>
    expect(arrivals(parseLink('rates=0s:12mbit;2ms:0bit;10ms:again,2us'), Array(5).fill(1500))).toEqual([
      1, 2, 11, 12, 21,
    ]));

  it('a schedule of one rate is that rate', () =>
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 40, max: 9000 }), { minLength: 1, maxLength: 20 }),
        fc.integer({ min: 1_000_000, max: 1_000_000_000 }),
        fc.integer({ min: 1, max: 1_000_000 }),
        (sizes, rateBps, periodNs) => {
          const link = parseLink('20mbit,40ms,100p');
          const plain = paceOf({ ...link, rateBps });
          const steps = paceOf({
            ...link,
            rateBps,
            schedule: { kind: 'steps', steps: [{ atNs: 0, rateBps }], periodNs },
          });
          let now = 0;
          for (const size of sizes) {
            const until = plain.until(now, size, false);
            expect(Math.abs(steps.until(now, size, false) - until)).toBeLessThanOrEqual(1);
            now = until;
          }
        },
      ),
      { numRuns: 50 },
    ));
});
