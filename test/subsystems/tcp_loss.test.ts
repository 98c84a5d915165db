import { describe, expect, it } from 'vitest';
import { Simulator } from '../../src/net/index.ts';
import {
  CongestionOps,
  congestionControls,
  type DataPacket,
  findCongestionControl,
  forgetSocket,
  Receiver,
  registerSocket,
  Sender,
} from '../../src/subsystems/index.ts';
import { example, session } from '../support.ts';

const MSS = 1448;
const PACKETS = 40;
const HALF = 10e6;

describe('scripted loss', () => {
  const { kernel } = session(example('reno'), 'off');
  const kdata = findCongestionControl(kernel, congestionControls(kernel)[0]!)!;

  /** Runs a flow that loses the first transmission of some packets; the segments that the application got. */
  function flow(lost: readonly number[]): { closed: boolean; delivered: number; distinct: number } {
    const simulator = new Simulator();
    const ops = new CongestionOps(kernel, kdata);
    const left = new Set(lost);
    const receiver = new Receiver(simulator, false, (ack) => void simulator.after(HALF, () => sender.onAck(ack)));
    const sender = new Sender(kernel, simulator, ops, {
      ecn: false,
      handshakeRtt: 2 * HALF,
      source: [{ bytes: PACKETS * MSS, pauseNs: 0 }],
      send: (packet: DataPacket) => {
        if (!left.delete(packet.seq)) simulator.after(HALF, () => receiver.receive(packet));
      },
    });
    registerSocket(kernel, sender.sock);
    sender.start();
    for (let ms = 10; ms < 30_000 && !sender.closed; ms += 10) simulator.runUntil(ms * 1e6);
    const { closed } = sender;
    sender.stop();
    forgetSocket(kernel, sender.sock);
    ops.release();
    return { closed, delivered: receiver.delivered, distinct: receiver.distinct };
  }
  // The end of the stream counts as a segment.
  const whole = { closed: true, delivered: PACKETS + 1, distinct: PACKETS + 1 };

  it('of every packet: the flow ends, each byte once', () => {
    for (let first = 0; first <= PACKETS; first++) expect(flow([first]), `${first}`).toEqual(whole);
  });

  it('of every pair of packets', () => {
    for (let first = 0; first < PACKETS; first++)
      for (let second = first + 1; second <= PACKETS; second++)
        expect(flow([first, second]), `${first}, ${second}`).toEqual(whole);
  }, 60_000);
});
