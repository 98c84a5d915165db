import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Argument, Kernel } from '../../src/kernel/index.ts';
import { Simulator } from '../../src/net/index.ts';
import {
  type CcMember,
  CongestionOps,
  congestionControls,
  type DataPacket,
  findCongestionControl,
  forgetSocket,
  Receiver,
  registerSocket,
  Sender,
  type TcpSock,
} from '../../src/subsystems/index.ts';
import { file, session } from '../support.ts';

const MSS = 1448;
const HALF = 10e6;
const PACKETS = 150;
const NO_REDUCTION = -1;

type OnCall = (member: CcMember, args: readonly Argument[], sock: TcpSock) => void;

/** A flow with losses, reordering and a link of 24 Mbit/s; `onCall` sees each call. */
function flow(kernel: Kernel, lost: readonly number[], late: readonly number[], onCall: OnCall): void {
  const simulator = new Simulator();
  const ops = new CongestionOps(kernel, findCongestionControl(kernel, congestionControls(kernel)[0]!)!);
  const left = new Set(lost);
  const overtaken = new Set(late);
  const receiver = new Receiver(simulator, false, (ack) => void simulator.after(HALF, () => sender.onAck(ack)));
  let free = 0;
  const sender = new Sender(kernel, simulator, ops, {
    ecn: false,
    handshakeRtt: 2 * HALF,
    source: [{ bytes: PACKETS * MSS, pauseNs: 0 }],
    send: (packet: DataPacket) => {
      free = Math.max(free, simulator.now) + 500e3;
      if (left.delete(packet.seq)) return;
      const extra = overtaken.delete(packet.seq) ? 30e6 : 0;
      simulator.after(free - simulator.now + HALF + extra, () => receiver.receive(packet));
    },
  });
  ops.onCall = (member, args) => onCall(member, args, sender.sock);
  registerSocket(kernel, sender.sock, ops);
  sender.start();
  for (let ms = 10; ms < 60_000 && !sender.closed; ms += 10) simulator.runUntil(ms * 1e6);
  expect([sender.closed, receiver.delivered, receiver.distinct]).toEqual([true, PACKETS + 1, PACKETS + 1]);
  sender.stop();
  forgetSocket(kernel, sender.sock);
  ops.release();
}

/** What recorded runs of 6.18 showed without exception. */
describe('what holds at each call', () => {
  const { kernel } = session(file('test/golden/linux-6.12/obj/cc_allops.bpf.o'), 'off');
  const numbers = (most: number) => fc.uniqueArray(fc.integer({ min: 0, max: PACKETS - 1 }), { maxLength: most });

  it('of a flow that loses and reorders', () => {
    fc.assert(
      fc.property(numbers(20), numbers(5), (lost, late) => {
        let reduction = NO_REDUCTION;
        let delivered = 1;
        let told = 0;
        flow(kernel, lost, late, (member, args, sock) => {
          const get = (...names: Parameters<TcpSock['get']>[0][]) => names.map((name) => sock.get(name));
          if (member === 'pkts_acked') {
            // Called when deliveries were counted, before in_ack_event of the same acknowledgment.
            told++;
            expect(sock.get('delivered')).toBeGreaterThanOrEqual(delivered);
            delivered = sock.get('delivered');
          }
          if (member === 'in_ack_event') {
            expect(told).toBeGreaterThan(0);
            // Counters never disagree.
            const [out, sacked, lostOut, retrans] = get('packets_out', 'sacked_out', 'lost_out', 'retrans_out');
            expect([sacked! + lostOut! <= out!, retrans! <= out!]).toEqual([true, true]);
          }
          if (member === 'ssthresh') {
            expect(sock.get('prior_cwnd')).toBe(sock.get('snd_cwnd'));
            reduction = sock.get('snd_nxt');
          }
          if (member !== 'set_state') return;
          if (args[1] === 3 && reduction !== NO_REDUCTION) {
            expect(get('high_seq', 'undo_marker', 'snd_cwnd_cnt')).toEqual([reduction, sock.get('snd_una'), 0]);
            expect(get('prr_delivered', 'prr_out')).toEqual([0, 0]);
          }
          // A timeout leaves one segment more than what is still believed to be under way.
          if (args[1] === 4) expect(sock.get('snd_cwnd')).toBe(sock.inFlight() + 1);
          reduction = NO_REDUCTION;
        });
      }),
      { numRuns: 15 },
    );
  }, 60_000);
});
