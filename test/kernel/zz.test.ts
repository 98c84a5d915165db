import { it } from 'vitest';
import { parseLink } from '../../src/net/index.ts';
import { runFlows } from '../../src/subsystems/index.ts';
import { Private } from '../../src/subsystems/tcp/modules/private.ts';
import { boot } from '../support.ts';
it('x', () => {
  const kernel = boot('off', 0, {}, '6.18');
  const ca = new Private<any>(kernel, 'bbr');
  let n = 0;
  const orig = kernel.callMember.bind(kernel);
  (kernel as any).callMember = (kdata: number, type: string, member: string, args: any) => {
    const r = orig(kdata, type, member, args);
    if (member === 'cong_control' && kernel.now() > 1e9 && n++ < 60) {
      ca.of({ pointer: args[0].ptr } as any);
      const m = kernel.memory, f = (x: string) => kernel.field('rate_sample', x).offset;
      console.log((kernel.now()/1e6).toFixed(1), ['mode','cycle_idx','pacing_gain','round_start','rtt_cnt','min_rtt_us','cycle_mstamp','lt_use_bw','extra_acked_win_rtts','ack_epoch_acked'].map((x) => x + '=' + ca.get(x)).join(' '), 'bw', (m.u32(ca.at('bw')+4)/2**24*1448*8).toFixed(2), 'rs', m.i32(args[3].ptr+f('delivered')), m.u32(args[3].ptr+f('interval_us')), m.u32(args[3].ptr+f('prior_delivered')), 'dm', m.u32(args[0].ptr + kernel.field('tcp_sock','delivered_mstamp').offset), m.u32(args[0].ptr + kernel.field('tcp_sock','delivered').offset), 'pr', m.u32(args[0].ptr + kernel.field('sock','sk_pacing_rate').offset)*8/1e6);
    }
    return r;
  };
  runFlows(kernel, { link: parseLink('20mbit,40ms,200p'), flows: [{ name: 'a', congestion: 'bbr', source: { kind: 'bulk' }, startNs: 0 }], seconds: 2, seed: 1, samples: 250 });
});
