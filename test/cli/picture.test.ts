import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Canvas } from '../../src/cli/_canvas.ts';
import { LEAST_HEIGHT, picture } from '../../src/cli/_picture.ts';
import { cut, Screen } from '../../src/cli/_screen.ts';
import { trampet } from './support.ts';

const sample = fc.record({
  t: fc.double({ min: 0, max: 10, noNaN: true }),
  cwnd: fc.nat(1e6),
  ssthresh: fc.option(fc.nat(1e6)),
  srttMs: fc.double({ min: 0, max: 1e5, noNaN: true }),
  inFlight: fc.nat(1e6),
  rateBps: fc.double({ min: 0, max: 1e12, noNaN: true }),
  queuePackets: fc.nat(1e6),
});
const flows = fc.array(fc.record({ name: fc.string(), samples: fc.array(sample, { maxLength: 20 }) }), {
  maxLength: 14,
});

describe('the picture of a run', () => {
  it('fits into the window, whatever the samples are', () => {
    fc.assert(
      fc.property(
        flows,
        fc.integer({ min: 41, max: 300 }),
        fc.integer({ min: LEAST_HEIGHT, max: 60 }),
        (drawn, width, height) => {
          const lines = picture({ seconds: 10, flows: drawn }, { width, height });
          expect(lines).toHaveLength(height);
          for (const line of lines) expect(line.length).toBeLessThanOrEqual(width);
          expect(lines.join('')).not.toMatch(/NaN|undefined|Infinity/);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('draws a rising window as a rising line', () => {
    const samples = Array.from({ length: 100 }, (_, i) => ({
      ...{ t: (i + 1) / 10, cwnd: i, ssthresh: null, srttMs: 1, inFlight: 1, rateBps: 1, queuePackets: 0 },
    }));
    const lines = picture({ seconds: 10, flows: [{ name: 'f', samples }] }, { width: 57, height: LEAST_HEIGHT + 6 });
    const starts = lines.slice(0, 8).map((line) => line.search(/[⠁-⣿]/));
    expect(starts).toEqual([...starts].sort((a, b) => b - a));
    expect(new Set(starts).size).toBe(8);
  });

  it('a dot is where it belongs', () => {
    const canvas = new Canvas(2, 1);
    canvas.dot(0, 0, 0);
    canvas.dot(3, 3, 1);
    canvas.dot(-1, 0, 0);
    canvas.dot(4, 0, 0);
    expect(canvas.rows((text, pen) => `${pen}${text}`)).toEqual(['0⡀1⠈']);
  });
});

describe('the live view', () => {
  it('redraws in place, cuts what would wrap, and leaves the cursor below', () => {
    let text = '';
    const screen = new Screen({ write: (more) => (text += more) });
    screen.draw(['first', 'x'.repeat(30)], 10);
    const first = text;
    text = '';
    screen.draw(['second', 'y'], 10);
    const [esc, on] = ['\x1b[', '\x1b[?2026h\x1b[?25l'];
    const off = '\x1b[J\x1b[?25h\x1b[?2026l';
    expect(first).toBe(`${on}first${esc}K\n${'x'.repeat(10)}${esc}K\n${off}`);
    expect(text).toBe(`${on}${esc}2Fsecond${esc}K\ny${esc}K\n${off}`);
    text = '';
    screen.print(['stays']);
    screen.clear();
    expect(text).toBe(`${esc}2F${esc}Jstays\n`);
    expect(cut(`${esc}1mabc${esc}0mdef`, 4)).toBe(`${esc}1mabc${esc}0md`);
  });

  it('is not there without a terminal: no escape codes, no trace of progress', () => {
    for (const more of [[], ['--all-cfi'], ['--vs', 'examples/cubic.bpf.o']]) {
      const { status, stdout, stderr } = trampet('run', 'examples/reno.bpf.o', '--for', '1s', ...more);
      expect(status).toBe(0);
      expect(stderr).toBe('');
      expect(stdout).not.toContain('\x1b');
      expect(stdout).not.toContain('\r');
      for (const word of ['cwnd', 'RTT', 'in flight', 'rate', 'queue', 'Recovery']) expect(stdout).toContain(word);
    }
  });
});
