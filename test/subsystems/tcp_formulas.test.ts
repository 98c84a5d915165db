import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Argument, GateCall, Kernel } from '../../src/kernel/index.ts';
import { Simulator } from '../../src/net/index.ts';
import {
  type Burst,
  type CcMember,
  CongestionOps,
  congestionControls,
  type DataPacket,
  findCongestionControl,
  forgetSocket,
  Receiver,
  registerSocket,
  Sender,
  TcpSock,
  tcpSubsystem,
} from '../../src/subsystems/index.ts';
import { GuestStruct } from '../../src/subsystems/tcp/guest_struct.ts';
import { JIFFY, Jiffies, usToJiffies } from '../../src/subsystems/tcp/jiffies.ts';
import { updatePacingRate } from '../../src/subsystems/tcp/pacing.ts';
import { emptyTally, type RateTally, writeRateSample } from '../../src/subsystems/tcp/rate.ts';
import { Recovery } from '../../src/subsystems/tcp/recovery.ts';
import { baseRto, MinRtt, updateRtt } from '../../src/subsystems/tcp/rtt.ts';
import { Scoreboard } from '../../src/subsystems/tcp/scoreboard.ts';
import { example, file, session } from '../support.ts';

const MSS = 1448;
const RUNS = { numRuns: 2000 };
const range = (min: number, max: number) => fc.integer({ min, max });

/** What the kernel's own runs showed without exception (6.18), against the functions that the stack uses. */
describe('formulas', () => {
  const { kernel } = session(example('reno'), 'off');
  const kdata = findCongestionControl(kernel, congestionControls(kernel)[0]!)!;
  const ops = new CongestionOps(kernel, kdata);
  const sock = new TcpSock(kernel);
  registerSocket(kernel, sock);

  it('proportional rate reduction', () => {
    const recovery = new Recovery(sock, ops, new Scoreboard(sock), new Jiffies(kernel, new Simulator()));
    const cases = fc.record({
      prior: range(1, 5000),
      ssthresh: range(2, 4000),
      out: range(0, 4000),
      sacked: range(0, 1000),
      lost: range(0, 1000),
      retrans: range(0, 500),
      delivered: range(0, 5000),
      sent: range(0, 5000),
      fresh: range(0, 40),
      newlyLost: range(0, 3),
      advanced: fc.boolean(),
      cwnd: range(1, 5000),
    });
    fc.assert(
      fc.property(cases, (c) => {
        fc.pre(c.out >= c.sacked + c.lost);
        const inFlight = c.out - c.sacked - c.lost + c.retrans;
        sock.set('snd_cwnd', c.cwnd);
        sock.set('prior_cwnd', c.prior);
        sock.set('snd_ssthresh', c.ssthresh);
        sock.set('packets_out', c.out);
        sock.set('sacked_out', c.sacked);
        sock.set('lost_out', c.lost);
        sock.set('retrans_out', c.retrans);
        sock.set('prr_delivered', c.delivered);
        sock.set('prr_out', c.sent);
        recovery.reduce(c.fresh, c.newlyLost, c.advanced);
        if (c.fresh === 0) {
          expect(sock.get('snd_cwnd')).toBe(c.cwnd);
          expect(sock.get('prr_delivered')).toBe(c.delivered);
          return;
        }
        const all = c.delivered + c.fresh;
        const room = c.ssthresh - inFlight;
        let may: number;
        if (room < 0) may = Number((BigInt(c.ssthresh) * BigInt(all) + BigInt(c.prior - 1)) / BigInt(c.prior)) - c.sent;
        else may = Math.min(room, Math.max(all - c.sent, c.fresh) + (c.advanced && c.newlyLost === 0 ? 1 : 0));
        if (c.sent === 0) may = Math.max(may, 1);
        expect(sock.get('prr_delivered')).toBe(all);
        expect(sock.get('snd_cwnd')).toBe(inFlight + Math.max(may, 0));
      }),
      RUNS,
    );
  });

  it("Reno's growth, and what gates it", () => {
    const gate = tcpSubsystem.gates!(() => kernel).find(({ name }) => name === 'tcp_reno_cong_avoid')!;
    const avoid = (acked: number) => {
      const args = [sock.pointer, 0, acked];
      const lo = (index: number) => args[index]! | 0;
      gate.handler({ lo, hi: () => 0, ptr: (index: number) => args[index]!, ret: () => {} } as unknown as GateCall);
    };
    const cases = fc.record({
      cwnd: range(1, 300),
      ssthresh: fc.oneof(range(2, 300), fc.constant(0x7fffffff)),
      count: range(0, 600),
      acked: range(1, 80),
      limited: fc.boolean(),
      most: range(0, 300),
    });
    fc.assert(
      fc.property(cases, (c) => {
        sock.set('snd_cwnd', c.cwnd);
        sock.set('snd_ssthresh', c.ssthresh);
        sock.set('snd_cwnd_cnt', c.count);
        sock.set('snd_cwnd_clamp', 0xffffffff);
        sock.set('is_cwnd_limited', c.limited ? 1 : 0);
        sock.set('max_packets_out', c.most);
        avoid(c.acked);
        const slowStart = c.cwnd < c.ssthresh;
        if (!c.limited && !(slowStart && c.cwnd < 2 * c.most)) {
          expect([sock.get('snd_cwnd'), sock.get('snd_cwnd_cnt')]).toEqual([c.cwnd, c.count]);
          return;
        }
        const grown = slowStart ? Math.min(c.cwnd + c.acked, c.ssthresh) : c.cwnd;
        const rest = c.acked - (grown - c.cwnd);
        if (rest === 0) {
          expect([sock.get('snd_cwnd'), sock.get('snd_cwnd_cnt')]).toEqual([grown, c.count]);
          return;
        }
        // A count from a larger window is worth one packet, however large it is.
        const carried = c.count >= grown;
        const count = (carried ? 0 : c.count) + rest;
        expect(sock.get('snd_cwnd')).toBe(grown + (carried ? 1 : 0) + Math.floor(count / grown));
        expect(sock.get('snd_cwnd_cnt')).toBe(count % grown);
      }),
      RUNS,
    );
  });

  it('the pacing rate', () => {
    const cases = fc.record({
      cwnd: range(1, 100_000),
      ssthresh: fc.oneof(range(2, 200_000), fc.constant(0x7fffffff)),
      out: range(0, 100_000),
      srtt: range(1, 0x3fffffff),
      most: fc.oneof(fc.constant(Number.MAX_SAFE_INTEGER), range(1, 1e9)),
    });
    fc.assert(
      fc.property(cases, (c) => {
        sock.set('snd_cwnd', c.cwnd);
        sock.set('snd_ssthresh', c.ssthresh);
        sock.set('packets_out', c.out);
        sock.set('srtt_us', c.srtt);
        sock.set('sk_max_pacing_rate', c.most);
        sock.set('mss_cache', MSS);
        updatePacingRate(sock);
        // srtt_us is eight times the microseconds; percent of a window each RTT.
        const percent = c.cwnd < Math.floor(c.ssthresh / 2) ? 200n : 120n;
        const rate = (BigInt(MSS) * percent * BigInt(Math.max(c.cwnd, c.out)) * 80_000n) / BigInt(c.srtt);
        expect(BigInt(sock.get('sk_pacing_rate'))).toBe(rate < BigInt(c.most) ? rate : BigInt(c.most));
      }),
      RUNS,
    );
  });

  it('the smoothed round trip, its deviation, and the timeout in jiffies', () => {
    const reset = () => {
      for (const name of ['srtt_us', 'mdev_us', 'mdev_max_us', 'rttvar_us', 'snd_una', 'rtt_seq', 'snd_nxt'] as const)
        sock.set(name, 0);
    };
    const rto = () => usToJiffies(baseRto(sock));
    reset();
    updateRtt(sock, 40159);
    expect([sock.get('srtt_us'), sock.get('mdev_us'), sock.get('rttvar_us'), rto()]).toEqual([
      321272, 80318, 200000, 61,
    ]);
    fc.assert(
      fc.property(fc.array(range(1, 2_000_000), { minLength: 1, maxLength: 60 }), (samples) => {
        reset();
        let srtt = 0;
        let mdev = 0;
        let least = 0;
        samples.forEach((us, i) => {
          updateRtt(sock, us);
          if (i === 0) {
            srtt = 8 * us;
            mdev = 2 * us;
          } else {
            const error = us - Math.floor(srtt / 8);
            const excess = Math.abs(error) - Math.floor(mdev / 4);
            srtt += error;
            // A round trip that falls changes the deviation eight times more slowly.
            mdev += error < 0 && excess > 0 ? Math.floor(excess / 8) : excess;
          }
          least = Math.max(least, mdev, 200_000);
          expect([sock.get('srtt_us'), sock.get('mdev_us')]).toEqual([Math.max(1, srtt), mdev]);
          // Within one window the variance only rises.
          expect(sock.get('rttvar_us')).toBe(least);
          expect(rto()).toBe(Math.ceil((Math.floor(srtt / 8) + least) / 4000));
        });
      }),
      { numRuns: 300 },
    );
  });

  it('the least round trip of five minutes', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ us: range(1, 1e6), after: range(0, 60) }), { maxLength: 100 }), (samples) => {
        const least = new MinRtt(sock);
        const seen: { us: number; at: number }[] = [];
        let at = 0;
        for (const { us, after } of samples) {
          at += after;
          seen.push({ us, at });
          least.update(us, at);
          // Never above what the window's newest sample says, never below the least of all.
          expect(least.us).toBeLessThanOrEqual(us);
          expect(least.us).toBeGreaterThanOrEqual(Math.min(...seen.map((sample) => sample.us)));
          const recent = seen.filter((sample) => at - sample.at <= 75);
          expect(least.us).toBeLessThanOrEqual(Math.min(...recent.map((sample) => sample.us)));
          expect(sock.minRtt()).toBe(least.us);
        }
      }),
    );
  });

  it('rate samples', () => {
    const sample = new GuestStruct(kernel, 'rate_sample');
    const read = sampleReader(kernel, sample.pointer);
    const cases = fc.record({
      delivered: range(0, 1e6),
      ago: range(0, 1e5),
      priorAt: range(0, 1e9),
      sendInterval: range(0, 1e9),
      ackInterval: range(0, 1e9),
      minRttUs: range(1, 1e6),
      any: fc.boolean(),
      appLimited: fc.boolean(),
      rttUs: range(-1, 1e6),
    });
    fc.assert(
      fc.property(cases, (c) => {
        fc.pre(c.ago <= c.delivered);
        sock.set('delivered', c.delivered);
        const { any, appLimited, sendInterval, priorAt } = c;
        const priorDelivered = c.delivered - c.ago;
        const tally: RateTally = any
          ? { ...emptyTally(), any, appLimited, sendInterval, priorAt, priorDelivered }
          : emptyTally();
        const now = priorAt + c.ackInterval;
        const facts = { now, minRttUs: c.minRttUs, rttUs: c.rttUs, losses: 1, ackedSacked: 2, priorInFlight: 3 };
        writeRateSample(sample, sock, tally, { ...facts, delayed: false });
        expect(read('rtt_us')).toBe(c.rttUs);
        expect([read('losses'), read('acked_sacked'), read('prior_in_flight')]).toEqual([1, 2, 3]);
        const send = read('snd_interval_us');
        const receive = read('rcv_interval_us');
        if (!any) {
          expect([read('delivered'), read('interval_us'), send, receive]).toEqual([-1, -1, 0, 0]);
          return;
        }
        expect(read('delivered')).toBe(c.delivered - read('prior_delivered'));
        expect([send, receive]).toEqual([Math.floor(sendInterval / 1000), Math.floor(c.ackInterval / 1000)]);
        const longer = Math.max(send, receive);
        // Faster than the fastest round trip: no sample.
        expect(read('interval_us')).toBe(longer < c.minRttUs ? -1 : longer);
        expect(read('is_app_limited')).toBe(appLimited ? 1 : 0);
      }),
      RUNS,
    );
    sample.free();
  });
});

function sampleReader(kernel: Kernel, at: number): (name: string) => number {
  return (name) => {
    const { offset, size, signed } = kernel.field('rate_sample', name);
    if (size === 1) return kernel.memory.u8(at + offset);
    if (size === 8) return Number(kernel.memory.view.getBigInt64(kernel.memory.offset(at + offset, 8), true));
    const value = kernel.memory.u32(at + offset);
    return signed ? value | 0 : value;
  };
}

interface Watch {
  onCall?: (member: CcMember, args: readonly Argument[], sender: Sender, now: number) => void;
  /** Before an acknowledgment is taken in. */
  onAck?: (sender: Sender) => void;
  onSend?: (now: number) => void;
}

/** Runs a flow on a clean link, save the losses; whether it ended. */
function watched(kernel: Kernel, source: readonly Burst[], lost: readonly number[], watch: Watch): boolean {
  const HALF = 10e6;
  const simulator = new Simulator();
  const ops = new CongestionOps(kernel, findCongestionControl(kernel, congestionControls(kernel)[0]!)!);
  const left = new Set(lost);
  const receiver = new Receiver(simulator, false, (ack) => {
    simulator.after(HALF, () => {
      watch.onAck?.(sender);
      sender.onAck(ack);
    });
  });
  let free = 0;
  const sender = new Sender(kernel, simulator, ops, {
    ecn: false,
    handshakeRtt: 2 * HALF,
    source,
    send: (packet: DataPacket) => {
      watch.onSend?.(simulator.now);
      free = Math.max(free, simulator.now) + 500e3;
      if (!left.delete(packet.seq)) simulator.after(free - simulator.now + HALF, () => receiver.receive(packet));
    },
  });
  ops.onCall = (member, args) => watch.onCall?.(member, args, sender, simulator.now);
  registerSocket(kernel, sender.sock);
  sender.start();
  for (let ms = 10; ms < 60_000 && !sender.closed; ms += 10) simulator.runUntil(ms * 1e6);
  const { closed } = sender;
  sender.stop();
  forgetSocket(kernel, sender.sock);
  ops.release();
  return closed;
}

const losses = fc.uniqueArray(range(0, 119), { maxLength: 12 });
const BULK: readonly Burst[] = [{ bytes: 120 * MSS, pauseNs: 0 }];
const FLOWS = { numRuns: 60 };

describe('formulas, in flows', () => {
  it('rate samples tell what the acknowledgment did', () => {
    const { kernel } = session(file('test/golden/linux-6.12/obj/cc_allops.bpf.o'), 'off');
    fc.assert(
      fc.property(losses, (lost) => {
        const before = { delivered: 0, lost: 0, inFlight: 0 };
        const onAck = ({ sock }: Sender) => {
          before.delivered = sock.get('delivered');
          before.lost = sock.get('lost');
          before.inFlight = sock.inFlight();
        };
        let samples = 0;
        const onCall = (member: CcMember, args: readonly Argument[], { sock }: Sender, now: number) => {
          if (member !== 'cong_control' || now === 0) return;
          const read = sampleReader(kernel, (args[3] as { ptr: number }).ptr);
          samples++;
          expect(args[1]).toBe(sock.get('snd_una'));
          expect(read('acked_sacked')).toBe(sock.get('delivered') - before.delivered);
          expect(read('losses')).toBe(sock.get('lost') - before.lost);
          expect(read('prior_in_flight')).toBe(before.inFlight);
          if (read('interval_us') < 0) return;
          expect(read('delivered')).toBe(sock.get('delivered') - read('prior_delivered'));
          expect(read('interval_us')).toBe(Math.max(read('snd_interval_us'), read('rcv_interval_us')));
        };
        expect(watched(kernel, BULK, lost, { onAck, onCall })).toBe(true);
        expect(samples).toBeGreaterThan(20);
      }),
      FLOWS,
    );
  }, 60_000);

  it('each reduction asks once for ssthresh, and cong_avoid gets what was delivered', () => {
    const { kernel } = session(example('dctcp'), 'off');
    fc.assert(
      fc.property(losses, (lost) => {
        let delivered = 0;
        let asked = 0;
        const onAck = ({ sock }: Sender) => {
          delivered = sock.get('delivered');
        };
        const onCall = (member: CcMember, args: readonly Argument[], { sock }: Sender) => {
          if (member === 'ssthresh') {
            asked++;
            expect(sock.get('prior_cwnd')).toBe(sock.get('snd_cwnd'));
          }
          if (member === 'set_state') {
            // Recovery and CWR begin with a reduction; Loss has one unless it follows another.
            if (args[1] === 2 || args[1] === 3) expect(asked).toBe(1);
            asked = 0;
          }
          if (member !== 'cong_avoid') return;
          expect([0, 1, 4]).toContain(sock.get('icsk_ca_state'));
          expect(args.slice(1)).toEqual([sock.get('snd_una'), sock.get('delivered') - delivered]);
        };
        expect(watched(kernel, BULK, lost, { onAck, onCall })).toBe(true);
      }),
      FLOWS,
    );
  }, 60_000);

  it('the window after idle time', () => {
    const { kernel } = session(example('dctcp'), 'off');
    let restarts = 0;
    const bursts = fc.array(fc.record({ segments: range(1, 200), ms: range(1, 3000) }), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(bursts, (list) => {
        let expected: { cwnd: number; ssthresh: number } | undefined;
        let lastSent = -1;
        const onCall = (member: CcMember, args: readonly Argument[], { sock }: Sender, now: number) => {
          if (member !== 'cwnd_event') return;
          const cwnd = sock.get('snd_cwnd');
          const ssthresh = sock.get('snd_ssthresh');
          if (args[1] === 1) {
            restarts++;
            const rto = sock.get('icsk_rto');
            const idle = Math.floor(now / JIFFY) - Math.floor(lastSent / JIFFY);
            expect(idle).toBeGreaterThan(rto);
            let after = cwnd;
            for (let n = 1; n * rto < idle && after > Math.min(10, cwnd); n++) after = Math.floor(after / 2);
            const quarters = Math.floor(cwnd / 2) + Math.floor(cwnd / 4);
            expected = { cwnd: Math.max(after, Math.min(10, cwnd)), ssthresh: Math.max(ssthresh, quarters) };
          } else if (args[1] === 0 && expected !== undefined) {
            expect({ cwnd, ssthresh }).toEqual(expected);
            expected = undefined;
          }
        };
        const onSend = (now: number) => {
          lastSent = now;
        };
        const source = list.map(({ segments, ms }) => ({ bytes: segments * MSS, pauseNs: ms * 1e6 }));
        expect(watched(kernel, [...source, { bytes: 5 * MSS, pauseNs: 0 }], [], { onSend, onCall })).toBe(true);
      }),
      FLOWS,
    );
    expect(restarts).toBeGreaterThan(20);
  }, 60_000);
});
