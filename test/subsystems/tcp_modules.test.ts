import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseLink } from '../../src/net/index.ts';
import { type FlowReport, type FlowSpec, runFlows } from '../../src/subsystems/index.ts';
import { cubicRoot } from '../../src/subsystems/tcp/modules/cubic.ts';
import { boot, file, MODES, session } from '../support.ts';

const flow = (congestion: string, more: Partial<FlowSpec> = {}): FlowSpec => ({
  name: congestion,
  congestion,
  source: { kind: 'bulk' },
  startNs: 0,
  ...more,
});

const shared = boot('kcfi');
function run(congestion: string, link: string, seconds: number, kernel = shared): FlowReport {
  return runFlows(kernel, { link: parseLink(link), flows: [flow(congestion)], seconds, seed: 1 }).flows[0]!;
}

describe("the kernel's own congestion controls", () => {
  it('each of them is the same in every CFI mode', () => {
    const results = MODES.filter((_, i) => i % 2 === 0).map(([cfi, seed]) => {
      const kernel = boot(cfi, seed);
      return ['reno', 'cubic', 'dctcp', 'bbr'].map((name) =>
        run(name, name === 'dctcp' ? '50mbit,4ms,100p,ecn=20p' : '20mbit,40ms,100p', 0.5, kernel),
      );
    });
    for (const other of results.slice(1)) expect(other).toEqual(results[0]);
    for (const { goodputBps } of results[0]!) expect(goodputBps).toBeGreaterThan(8e6);
  });

  it('CUBIC leaves slow start by HyStart before the buffer is full, and fills a long path after losses', () => {
    const { samples, goodputBps, dropped, lost } = run('cubic', '20mbit,80ms,200p,drop=1500', 6);
    const left = samples.find(({ ssthresh }) => ssthresh !== null)!;
    expect(left.queuePackets).toBeLessThan(150);
    expect([dropped, lost]).toEqual([0, 1]);
    expect(goodputBps).toBeGreaterThan(14e6);
  });

  it('BBR finds the rate, keeps the queue short, and looks at the bare path after ten seconds', () => {
    const { samples, goodputBps, dropped } = run('bbr', '5mbit,40ms,60p', 12);
    expect(goodputBps).toBeGreaterThan(4.2e6);
    expect(dropped).toBeLessThan(100);
    const late = samples.filter(({ t }) => t > 3);
    const queue = late.reduce((sum, { queuePackets }) => sum + queuePackets, 0) / late.length;
    expect(queue).toBeLessThan(40);
    const probes = late.filter(({ cwnd }) => cwnd === 4).map(({ t }) => t);
    expect(probes.some((t) => t > 9 && t < 12)).toBe(true);
  });

  it('BBR keeps its rate where losses are random', () => {
    expect(run('bbr', '5mbit,40ms,100p,loss=2%', 4).goodputBps).toBeGreaterThan(3.5e6);
    expect(run('cubic', '5mbit,80ms,100p,loss=3%', 4).goodputBps).toBeLessThan(2.5e6);
  });

  it('DCTCP keeps the queue at the threshold, and is Reno where nothing is marked', () => {
    const marked = run('dctcp', '100mbit,2ms,300p,ecn=20p', 0.5);
    expect(marked.dropped).toBe(0);
    expect(Math.max(...marked.samples.slice(40).map(({ queuePackets }) => queuePackets))).toBeLessThan(60);
    const [plain, reno] = ['dctcp', 'reno'].map((name) => run(name, '20mbit,40ms,100p', 2));
    expect(plain!.goodputBps).toBe(reno!.goodputBps);
  });

  it('programs may call their functions, all of them one after the other on the same state', () => {
    const { kernel } = session(file('test/objects/tcp_kfuncs.bpf.o'), 'kcfi', 0, {}, '6.18');
    const scenario = (name: string) => ({
      link: parseLink('20mbit,40ms,60p,stall=2s:700ms'),
      flows: [flow(name)],
      seconds: 3,
      seed: 1,
    });
    expect(runFlows(kernel, scenario('all_kfuncs')).flows[0]!.segments).toBeGreaterThan(100);
    const [own, borrowed] = ['cubic', 'kf_cubic'].map((name) => {
      const { name: _, congestion: __, ...report } = runFlows(kernel, scenario(name)).flows[0]!;
      return report;
    });
    expect(borrowed).toEqual(own);
  });

  it('have names that programs cannot take', () => {
    const { kernel } = session(file('test/objects/tcp_kfuncs.bpf.o'), 'off', 0, {}, '6.18');
    expect(() => run('dctcp-reno', '1mbit,10ms', 1, kernel)).toThrow('-ENOENT');
    expect(() => run('vegas', '1mbit,10ms', 1, kernel)).toThrow('-ENOENT');
  });

  it('the cube root is a per cent off at most', () => {
    fc.assert(
      fc.property(fc.integer({ min: 64, max: 2 ** 50 }), (value) => {
        const root = Math.cbrt(value);
        expect(Math.abs(cubicRoot(value) - root)).toBeLessThanOrEqual(1 + root / 100);
      }),
    );
    expect([0, 1, 8, 27, 63].map(cubicRoot)).toEqual([0, 1, 2, 3, 4]);
  });
});
