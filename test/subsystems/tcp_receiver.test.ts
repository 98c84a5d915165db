import { describe, expect, it } from 'vitest';
import { Simulator } from '../../src/net/index.ts';
import { type AckPacket, type DataPacket, Receiver } from '../../src/subsystems/index.ts';
import { JIFFY, usToJiffies, wheelExpiry } from '../../src/subsystems/tcp/jiffies.ts';
import { segmentMemory } from '../../src/subsystems/tcp/receive_window.ts';

const MSS = 1448;
/** A full segment at 10 Mbit/s. */
const SPACING = 1.2e6;
const US = 1000;

interface Ack extends AckPacket {
  at: number;
}

/** What a receiver answers to segments that come one by one, `SPACING` apart; those in `late` come at the end. */
function answers(count: number, late: readonly number[] = [], more: Partial<DataPacket>[] = []): Ack[] {
  const simulator = new Simulator();
  const acks: Ack[] = [];
  const receiver = new Receiver(simulator, false, (ack) => void acks.push({ ...ack, at: simulator.now }));
  const order = [...Array(count).keys()].filter((seq) => !late.includes(seq)).concat(late);
  let newest = 0;
  order.forEach((seq, i) => {
    simulator.after(40e6 + i * SPACING, () => {
      // The sender echoes what came back a round trip ago.
      const echo = acks.findLast(({ at }) => at <= simulator.now - 40e6)?.sentAt ?? 20e6;
      newest = Math.max(newest, echo);
      receiver.receive({
        seq,
        bytes: MSS,
        endByte: 1 + (seq + 1) * MSS,
        fin: false,
        push: false,
        size: MSS + 66,
        ecnCapable: false,
        ce: false,
        cwr: false,
        sentAt: simulator.now - 20e6,
        echo: newest,
        ...more[seq],
      });
    });
  });
  simulator.runUntil(60e9);
  return acks;
}

/** Recorded runs of 6.18 with tcp_rmem[1] of 4 MiB. */
describe('receiver', () => {
  it('offers the window that the recorded receiver offered, step by step', () => {
    const windows = answers(200).map(({ window }) => window);
    expect(windows.slice(0, 12)).toEqual([
      2100224, 2103296, 2106368, 2108416, 2111488, 2114560, 2117632, 2120704, 2123776, 2125824, 2128896, 2131968,
    ]);
    expect(windows.at(-1)).toBe(2620416);
  });

  it('acknowledges 197 segments one by one, and then every second one', () => {
    const acks = answers(260);
    const steps = acks.map(({ ack }, i) => ack - (acks[i - 1]?.ack ?? 0));
    expect(steps.findIndex((step) => step !== 1)).toBe(197);
    expect(steps.slice(197, -1).every((step) => step === 2)).toBe(true);
  });

  it('delays the last acknowledgment by the timer', () => {
    // 240 segments leave one over: 197 alone, 21 pairs, one.
    const acks = answers(240);
    const [before, last] = acks.slice(-2) as [Ack, Ack];
    expect(last.ack - before.ack).toBe(1);
    const arrived = before.at + SPACING;
    const jiffies = last.at / JIFFY - Math.floor(arrived / JIFFY);
    expect([last.at % JIFFY, jiffies]).toEqual([0, 11]);
  });

  it('tells at once of the end of a write', () => {
    const push: Partial<DataPacket>[] = [];
    push[238] = { push: true };
    const acks = answers(239, [], push);
    expect(acks.at(-1)!.ack).toBe(239);
    expect(acks.at(-1)!.at).toBe(40e6 + 238 * SPACING);
  });

  it('tells of a hole at once while the window opens, three times more after that, then late', () => {
    const acks = answers(260, [149]);
    const sacks = acks.filter(({ sacks }) => sacks.length > 0);
    expect(sacks[0]!.sacks).toEqual([{ start: 150, end: 151 }]);
    const late = sacks.map(({ at }) => (at - 40e6) % SPACING);
    const held = late.findIndex((ns) => ns > 0);
    // The window stands still after 22 segments, since they wait; 16 quick ones and three duplicates follow.
    expect(held).toBe(22 + 16 + 3);
    expect(late.slice(held)).toEqual(Array(sacks.length - held).fill(1100 * US));
    // The hole is filled: all at once, and the window is what the crowded buffer leaves.
    const filled = acks.find(({ ack }) => ack === 260)!;
    expect(filled.sacks).toEqual([]);
    expect(filled.window).toBeLessThan(2590720);
  });

  it('reports what arrived twice, the newest hole first', () => {
    const simulator = new Simulator();
    const acks: AckPacket[] = [];
    const receiver = new Receiver(simulator, false, (ack) => void acks.push(ack));
    const send = (seq: number) =>
      receiver.receive({
        seq,
        bytes: MSS,
        endByte: 1 + (seq + 1) * MSS,
        fin: false,
        push: false,
        size: MSS + 66,
        ecnCapable: false,
        ce: false,
        cwr: false,
        sentAt: 0,
        echo: 0,
      });
    for (const seq of [0, 2, 4, 6, 2, 0]) send(seq);
    const block = (start: number) => ({ start, end: start + 1 });
    expect(acks[3]!.sacks).toEqual([block(6), block(4), block(2)]);
    // A D-SACK takes one of three places.
    expect(acks[4]!.dsack).toEqual({ ...block(2), endByte: 1 + 3 * MSS });
    expect(acks[4]!.sacks).toEqual([block(2), block(6)]);
    expect(acks[5]!.dsack).toEqual({ ...block(0), endByte: 1 + MSS });
    for (const seq of [1, 3, 5]) send(seq);
    expect(acks.at(-1)!.ack).toBe(7);
    expect([receiver.distinct, receiver.received]).toEqual([7, 9]);
  });

  it('sees the memory of segments as tun allocates it', () => {
    expect([1448, 500, 100, 1].map(segmentMemory)).toEqual([2304, 1280, 832, 832]);
  });
});

describe('the timer wheel', () => {
  it('never fires early, and in steps of eight, 64 and more for what is far away', () => {
    expect(usToJiffies(240_001)).toBe(61);
    expect(wheelExpiry(1000, 1061)).toBe(1062);
    expect(wheelExpiry(1000, 1062)).toBe(1063);
    expect(wheelExpiry(1000, 1073)).toBe(1080);
    expect(wheelExpiry(1000, 1080)).toBe(1088);
    expect(wheelExpiry(1000, 1000 + 504)).toBe(1536);
  });
});
