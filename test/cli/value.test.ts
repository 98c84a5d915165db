import { expect, it } from 'vitest';
import { decodeValue, valueText } from '../../src/cli/_value.ts';
import { btf } from '../support.ts';

const types = btf('6.12');
const decode = (name: string, fill: (view: DataView) => void) => {
  const id = types.find(name, 'struct', 'union')!;
  const bytes = new Uint8Array(types.sizeOf(id));
  fill(new DataView(bytes.buffer));
  return decodeValue(types, id, bytes);
};

it('bitfields, signed members, arrays and texts are read from bytes', () => {
  const { offset, bitOffset } = types.member('tcp_options_received', 'snd_wscale');
  const options = decode('tcp_options_received', (view) => {
    view.setInt32(0, -5, true);
    view.setUint8(offset, 0b1010 << (bitOffset % 8));
  });
  expect(options).toMatchObject({ ts_recent_stamp: -5, snd_wscale: 10, rcv_wscale: 0 });
  const name = types.member('tcp_congestion_ops', 'name').offset;
  const ops = decode('tcp_congestion_ops', (view) => {
    view.setBigUint64(types.member('tcp_congestion_ops', 'ssthresh').offset, 0xffffffffc0001010n, true);
    for (const [i, sign] of [...'cubic'].entries()) view.setUint8(name + i, sign.charCodeAt(0));
  });
  expect(ops).toMatchObject({ ssthresh: '0xffffffffc0001010', name: 'cubic', flags: 0 });
});

it('numbers that JSON cannot hold are texts, structures in arrays are structures', () => {
  const at = (member: string) => types.member('rate_sample', member).offset;
  const rates = decode('rate_sample', (view) => {
    view.setBigUint64(at('prior_mstamp'), 1n << 63n, true);
    view.setBigInt64(at('rtt_us'), -1n, true);
  });
  expect(rates).toMatchObject({ prior_mstamp: '9223372036854775808', rtt_us: -1, delivered: 0 });
  const minmax = decode('minmax', (view) => view.setUint32(12, 7, true));
  expect(minmax).toEqual({
    s: [
      { t: 0, v: 0 },
      { t: 0, v: 7 },
      { t: 0, v: 0 },
    ],
  });
});

it('a value on one line', () => {
  expect(valueText({ a: 1, b: ['x', '0x10'], c: { d: true } })).toBe('{a: 1, b: ["x", 0x10], c: {d: true}}');
});
