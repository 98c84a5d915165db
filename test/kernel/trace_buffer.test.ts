import { describe, expect, it } from 'vitest';
import { TraceBuffer } from '../../src/kernel/index.ts';

describe('TraceBuffer', () => {
  it('keeps the last lines in order, and counts those before', () => {
    const trace = new TraceBuffer();
    const printed = Array.from({ length: 40_000 }, (_, i) => `line ${i}`);
    for (const [i, line] of printed.entries()) {
      trace.push(line);
      if (i === 99) expect([trace.lines, trace.lost]).toEqual([printed.slice(0, 100), 0]);
    }
    expect(trace.lines).toHaveLength(16_384);
    expect(trace.lost).toBe(40_000 - 16_384);
    expect(trace.lines).toEqual(printed.slice(trace.lost));
  });
});
