import { describe, expect, it } from 'vitest';
import { parseLink } from '../../src/net/index.ts';
import { CC_MEMBERS, congestionControls, type FlowResult, runFlow } from '../../src/subsystems/index.ts';
import { example, file, session } from '../support.ts';

function flow(
  bytes: Uint8Array,
  cfi: 'off' | 'kcfi' | 'fineibt',
  link: string,
  seconds = 5,
  hashSeed = 0,
): { result: FlowResult; calls: Map<string, number>; trace: string[] } {
  const { kernel } = session(bytes, cfi, hashSeed);
  const idle = kernel.heap.count;
  const result = runFlow(kernel, {
    congestion: congestionControls(kernel)[0]!,
    link: parseLink(link),
    seconds,
    seed: 1,
    samples: 50,
  });
  expect(kernel.heap.count).toBe(idle);
  return { result, calls: kernel.calls, trace: kernel.trace.lines };
}

describe('flows', () => {
  it.each(['reno', 'cubic', 'dctcp'])('%s: the same in every CFI mode, and no fault', (name) => {
    const link = name === 'dctcp' ? '50mbit,4ms,100p,ecn=20p' : '20mbit,40ms,100p';
    const off = flow(example(name), 'off', link);
    for (const [cfi, seed] of [
      ['kcfi', 0],
      ['fineibt', 0],
      ['kcfi', 99],
      ['fineibt', 77],
    ] as const)
      expect(flow(example(name), cfi, link, 5, seed).result).toEqual(off.result);
    expect(off.result.flow.goodputBps).toBeGreaterThan(0.8 * parseLink(link).rateBps);
    expect(off.result.flow.goodputBps).toBeLessThan(parseLink(link).rateBps);
  });

  it('every member that BPF may implement is called', () => {
    const bytes = file('test/golden/linux-6.12/obj/cc_allops.bpf.o');
    // An object with cong_control has no use for cong_avoid; Reno's covers that one.
    const calls = flow(bytes, 'fineibt', '20mbit,40ms,60p,stall=2s:700ms').calls;
    const more = flow(example('reno'), 'fineibt', '20mbit,40ms,60p,stall=2s:700ms').calls;
    for (const member of CC_MEMBERS)
      expect((calls.get(member) ?? 0) + (more.get(member) ?? 0), member).toBeGreaterThan(0);
  });

  it('loss is repaired by selective acknowledgments, without timeouts', () => {
    const { flow: figures } = flow(example('cubic'), 'off', '20mbit,40ms,100p,loss=0.5%').result;
    expect(figures.lost).toBeGreaterThanOrEqual(5);
    expect(figures.retransmits).toBeGreaterThanOrEqual(figures.lost + figures.dropped - 5);
    expect(figures.rtos).toBe(0);
  });

  it('a stall times out, and the timeout is undone', () => {
    const { result, calls } = flow(example('reno'), 'kcfi', '20mbit,40ms,100p,stall=2s:700ms');
    expect(result.flow.rtos).toBeGreaterThanOrEqual(1);
    expect(calls.get('undo_cwnd')).toBeGreaterThanOrEqual(1);
  });

  it('DCTCP keeps the queue near the marking threshold', () => {
    const { samples, flow: figures } = flow(example('dctcp'), 'fineibt', '100mbit,2ms,300p,ecn=20p').result;
    expect(figures.marked).toBeGreaterThan(0);
    expect(figures.dropped).toBe(0);
    const queues = samples.slice(20).map(({ queuePackets }) => queuePackets);
    expect(Math.max(...queues)).toBeLessThan(60);
  });

  it('Reno halves, and grows by one packet for each window', () => {
    const { samples } = flow(example('reno'), 'off', '10mbit,100ms,50p', 60).result;
    const drops = samples.filter(
      ({ cwnd, ssthresh }, i) => i > 0 && ssthresh !== null && cwnd < 0.7 * samples[i - 1]!.cwnd,
    );
    expect(drops.length).toBeGreaterThan(0);
    for (const { cwnd, ssthresh } of samples.slice(10)) expect(cwnd).toBeGreaterThanOrEqual(Math.min(ssthresh ?? 1, 2));
  });

  it('an unknown congestion control is -ENOENT', () => {
    const { kernel } = session(example('reno'), 'off');
    expect(() => runFlow(kernel, { congestion: 'nobody', link: parseLink('1mbit,10ms'), seconds: 1, seed: 1 })).toThrow(
      '-ENOENT',
    );
  });
});
