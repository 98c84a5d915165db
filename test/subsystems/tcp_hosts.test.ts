import { describe, expect, it } from 'vitest';
import { parseLink } from '../../src/net/index.ts';
import { congestionControls, type Hosts, runFlows } from '../../src/subsystems/index.ts';
import { example, session } from '../support.ts';

const LINK = parseLink('20mbit,40ms,100p');

/** Runs a flow for two seconds between such hosts: its report, and when segments left. */
function run(cc: string, hosts: Hosts) {
  const { kernel } = session(example(cc), 'off');
  const sent: number[] = [];
  const flow = { name: 'f', congestion: congestionControls(kernel)[0]!, startNs: 0, hosts };
  const { flows } = runFlows(
    kernel,
    { link: LINK, flows: [{ ...flow, source: { kind: 'bulk' } }], seconds: 2, seed: 1 },
    { onSender: (event) => void (event.kind === 'sent' && sent.push(event.ns)) },
  );
  return { flow: flows[0]!, sent };
}

describe('hosts', () => {
  it('a paced flow leaves in bursts of min_tso_segs where the device takes them, one by one where not', () => {
    const shareOfPairs = ({ sent }: { sent: number[] }) => {
      const paced = sent.slice(sent.length / 2);
      return paced.filter((ns, i) => ns === paced[i - 1]).length / paced.length;
    };
    const alone = shareOfPairs(run('bbr_like', {}));
    const together = shareOfPairs(run('bbr_like', { gsoMaxSegs: 65535 }));
    expect(alone).toBeLessThan(0.05);
    expect(together).toBeGreaterThan(0.4);
  });

  it('a small receive buffer sets the rate', () => {
    const most = 64 << 10;
    const { flow } = run('reno', { receiveMemory: { initial: most, most } });
    // Five eighths of the buffer are window; that much goes in each round trip.
    const window = (most * 160) / 256;
    expect(flow.goodputBps / ((window * 8) / 0.04)).toBeGreaterThan(0.85);
    expect(flow.goodputBps).toBeLessThan((window * 8) / 0.04);
    expect(flow.retransmits).toBe(0);
  });

  it('without timestamps segments are longer', () => {
    const { flow } = run('reno', { noTimestamps: true });
    expect(flow.goodputBps).toBeGreaterThan(17e6);
  });

  it('refuses what no host has', () => {
    expect(() => run('reno', { gsoMaxSegs: 0 })).toThrow("flow 'f': 0 segments that leave together (1 … 65535)");
    expect(() => run('reno', { receiveMemory: { initial: 100, most: 50 } })).toThrow(
      'a receive buffer of 100 to 50 bytes',
    );
  });
});
