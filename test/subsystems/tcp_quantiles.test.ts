import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Quantiles } from '../../src/subsystems/tcp/quantiles.ts';

describe('quantiles', () => {
  it('are those of a sorted list, to one in a thousand', () => {
    const values = fc.array(fc.oneof(fc.integer({ min: 0, max: 5000 }), fc.integer({ min: 0, max: 2 ** 31 })), {
      minLength: 1,
      maxLength: 200,
    });
    fc.assert(
      fc.property(values, fc.integer({ min: 1, max: 100 }), (list, percent) => {
        const quantiles = new Quantiles();
        for (const value of list) quantiles.add(value);
        const exact = list.toSorted((a, b) => a - b)[Math.ceil((list.length * percent) / 100) - 1]!;
        const told = quantiles.at(percent / 100);
        expect(told).toBeLessThanOrEqual(exact);
        expect(exact - told).toBeLessThanOrEqual(exact < 2048 ? 0 : exact / 1000);
      }),
    );
  });

  it('of nothing are none', () => {
    expect(new Quantiles().at(0.95)).toBe(0);
  });
});
