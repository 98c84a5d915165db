import { describe, expect, it } from 'vitest';
import { Random } from '../../src/base/index.ts';
import { Bottleneck, Codel, type CodelQueue, parseLink, Simulator } from '../../src/net/index.ts';

interface Packet {
  size: number;
  ecnCapable: boolean;
  ce: boolean;
  flow: number;
}

/** Flows that each offer a packet every `gaps[flow]` nanoseconds for ten seconds. */
function offer(text: string, gaps: readonly number[]) {
  const simulator = new Simulator();
  const arrived = gaps.map(() => 0);
  const delay = gaps.map(() => 0);
  const link = new Bottleneck<Packet & { at: number }>(simulator, parseLink(text), new Random(1), (packet) => {
    arrived[packet.flow]!++;
    delay[packet.flow] = Math.max(delay[packet.flow]!, simulator.now - packet.at);
  });
  gaps.forEach((gap, flow) => {
    const send = () => {
      link.send({ size: 1500, ecnCapable: false, ce: false, flow, at: simulator.now });
      simulator.after(gap, send);
    };
    simulator.after(flow, send);
  });
  simulator.runUntil(10e9);
  return { link, arrived, delay };
}

describe('FQ-CoDel', () => {
  it('shares the link evenly among greedy flows, whatever they offer', () => {
    const { arrived } = offer('12mbit,20ms,200p,fq_codel', [1e6, 3e5, 1e5]);
    for (const count of arrived) expect(count / 3333).toBeCloseTo(1, 1);
  });

  it('lets a sparse flow pass the queue of a greedy one', () => {
    const sparse = [1e5, 20e6];
    expect(offer('12mbit,20ms,200p', sparse).delay[1]! / 1e6).toBeGreaterThan(150);
    // Half of the round-trip time, its own packet, the one that is being sent, and what a quantum of 1514 bytes lets out before.
    expect(offer('12mbit,20ms,200p,fq_codel', sparse).delay[1]! / 1e6).toBeLessThan(10 + 1 + 1 + 1);
  });

  it('drops half of the longest queue, at most 64 packets, when the limit is passed', () => {
    const simulator = new Simulator();
    const link = new Bottleneck<Packet>(simulator, parseLink('12mbit,20ms,100p,fq_codel'), new Random(1), () => {});
    const dropped: number[] = [];
    link.onDrop = ({ flow }) => void dropped.push(flow);
    const send = (flow: number) => link.send({ size: 1500, ecnCapable: false, ce: false, flow });
    for (let i = 0; i < 41; i++) send(0);
    for (let i = 0; i < 60; i++) send(1);
    expect(dropped).toEqual([]);
    send(0);
    expect(dropped).toEqual(Array(30).fill(1));
  });
});

describe('CoDel', () => {
  /** A queue that is never empty: each packet has waited `waited` nanoseconds when it is taken. */
  function drops(waited: number, everyNs: number, forNs: number): number[] {
    const gone: number[] = [];
    let now = 0;
    const codel = new Codel<number>(
      { targetNs: 5e6, intervalNs: 100e6, ecn: false },
      { drop: () => void gone.push(now), mark: () => false },
    );
    const queue: CodelQueue<number> = {
      shift: () => 0,
      get shiftedSince() {
        return now - waited;
      },
      backlog: () => 100_000,
    };
    for (; now < forNs; now += everyNs) codel.dequeue(queue, now);
    return gone;
  }

  it('does nothing below its target', () => expect(drops(4.9e6, 1e6, 2e9)).toEqual([]));

  it('drops after an interval, then at intervals that shrink with the square root', () => {
    const times = drops(50e6, 1e5, 3e9);
    expect(times[0]! / 1e6).toBeCloseTo(100, 0);
    let sum = times[0]! / 1e6;
    let inverse = 1;
    for (let n = 1; n < 20; n++) {
      // One Newton step a drop towards the reciprocal square root.
      if (n > 1) inverse *= (3 - n * inverse * inverse) / 2;
      sum += 100 * inverse;
      expect(Math.abs(times[n]! / 1e6 - sum), `drop ${n}`).toBeLessThan(0.3);
    }
    expect(inverse).toBeCloseTo(1 / Math.sqrt(19), 2);
    expect(times[1]! - times[0]!).toBeGreaterThan(99e6);
  });
});
