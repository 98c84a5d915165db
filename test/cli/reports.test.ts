import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { trampet } from './support.ts';

const folder = mkdtempSync(join(tmpdir(), 'trampet-reports-'));
const at = (name: string) => join(folder, name);
const RENO = ['run', 'examples/reno.bpf.o', '--for', '2s'];

describe('run --assert', () => {
  it('says nothing but a count when all hold', () => {
    const { status, stdout, stderr } = trampet(...RENO, '--assert', 'goodput > 1mbit', '--assert', 'faults == 0');
    expect(stderr).toBe('');
    expect(stdout).toContain('2 assertions hold');
    expect(status).toBe(0);
  });

  it('tells each that fails in one line, in every mode, and in JUnit', () => {
    const { status, stderr } = trampet(
      ...RENO,
      '--all-cfi',
      ...['--assert', 'goodput > 21mbit', '--assert', 'rtt < 1s', '--junit', at('junit.xml')],
    );
    expect(status).toBe(1);
    const lines = stderr.trimEnd().split('\n');
    expect(lines).toHaveLength(3);
    for (const line of lines)
      expect(line).toMatch(/^assertion failed: goodput > 21mbit: goodput is [\d.]+mbit \(reno, cfi /);
    const xml = readFileSync(at('junit.xml'), 'utf8');
    expect(xml.match(/<testsuite name="reno cfi \w+" tests="3" failures="1">/g)).toHaveLength(3);
    expect(xml).toContain('<testcase classname="reno cfi kcfi" name="rtt &lt; 1s"/>');
  });

  it('fails when the guest died before there was a figure', () => {
    const { status, stderr } = trampet(...RENO, '--kernel', '6.18', '--assert', 'goodput > 1mbit');
    expect(status).toBe(1);
    expect(stderr).toContain('assertion failed: goodput > 1mbit: goodput is unknown, the guest died');
  });

  it.each([
    ['goodput', 'is no comparison'],
    ['luck > 3', "'luck' is not one of goodput"],
    ['goodput > 18', 'goodput needs a unit (bit, kbit, mbit, gbit)'],
    ['rtos == 3ms', 'rtos has no unit'],
    ['constructor == 1', "'constructor' is not one of"],
  ])('%j is a usage error', (text, why) => {
    const { status, stdout, stderr } = trampet(...RENO, '--assert', text);
    expect(status).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toContain(why);
    expect(stderr.trim().split('\n')).toHaveLength(1);
  });
});

interface Data {
  header: { packet_number: number };
  frames: { acked_ranges: [number, number][] }[];
  old: string;
  new: string;
  congestion_window?: number;
}

describe('run writes', () => {
  it('--csv, --jsonl and --json, the same bytes each time; --jsonl has every call', () => {
    const make = (n: number) => {
      const { status, stdout } = trampet(...RENO, '--csv', at(`${n}.csv`), '--jsonl', at(`${n}.jsonl`), '--json');
      expect(status).toBe(0);
      return [readFileSync(at(`${n}.csv`), 'utf8'), readFileSync(at(`${n}.jsonl`), 'utf8'), stdout];
    };
    const [csv, jsonl, json] = make(1) as [string, string, string];
    expect(make(2)).toEqual([csv, jsonl, json]);
    expect(JSON.parse(json).calls).toBe(jsonl.trimEnd().split('\n').length);
    const rows = csv.trimEnd().split('\n');
    expect(rows[0]).toBe('cfi,flow,t,cwnd,ssthresh,srtt_ms,in_flight,rate_bps,queue_packets');
    expect(rows).toHaveLength(201);
    const calls = jsonl
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    const ssthresh = calls.find(({ member }) => member === 'ssthresh');
    expect(ssthresh).toMatchObject({ cfi: 'fineibt', flow: 'ex_reno', args: {} });
    expect(ssthresh.result).toBeGreaterThan(1);
    const avoid = calls.filter(({ member }) => member === 'cong_avoid');
    expect(Object.keys(avoid[0].args)).toEqual(['ack', 'acked']);
    expect(avoid.some(({ before, after }) => after.cwnd === before.cwnd + avoid[0].args.acked)).toBe(true);
    const times = calls.map(({ ns }) => ns);
    expect(times).toEqual([...times].sort((a, b) => a - b));
  });

  it('--qlog: every packet that was sent is acknowledged once, lost, or under way; time does not run backwards', () => {
    const link = ['--link', '10mbit,20ms,20p,loss=1%', '--vs', 'examples/cubic.bpf.o'];
    const document = JSON.parse(trampet(...RENO, ...link, '--json', '--qlog', at('a.qlog')).stdout);
    const { qlog_version, qlog_format, traces } = JSON.parse(readFileSync(at('a.qlog'), 'utf8'));
    expect([qlog_version, qlog_format, traces.length]).toEqual(['0.3', 'JSON', 1]);
    const { events } = traces[0];
    const times: number[] = events.map(({ time }: { time: number }) => time);
    expect(times).toEqual([...times].sort((a, b) => a - b));
    for (const flow of document.flows) {
      const own = events.filter(({ group_id }: { group_id: string }) => group_id === flow.name);
      const of = (wanted: string) => {
        const found = own.filter(({ name }: { name: string }) => name === wanted);
        return found.map(({ data }: { data: Data }) => data) as Data[];
      };
      const sent = of('transport:packet_sent').map(({ header }) => header.packet_number);
      expect(sent).toEqual(sent.map((_, i) => i));
      const acked = of('transport:packet_received').flatMap(({ frames }) =>
        frames[0]!.acked_ranges.flatMap(([from, to]) => Array.from({ length: to - from + 1 }, (_, i) => from + i)),
      );
      expect(new Set(acked).size).toBe(acked.length);
      expect(Math.max(...acked)).toBeLessThan(sent.length);
      const lost = of('recovery:packet_lost').map(({ header }) => header.packet_number);
      expect(lost.length).toBeGreaterThan(0);
      expect(lost.filter((number) => !sent.includes(number))).toEqual([]);
      expect(sent.length - acked.length - lost.length).toBeLessThan(60);
      const states = of('recovery:congestion_state_updated');
      expect(states.map((state) => state.old)).toEqual(['Open', ...states.slice(0, -1).map((state) => state.new)]);
      const windows = of('recovery:metrics_updated').flatMap(({ congestion_window }) => congestion_window ?? []);
      expect(windows).toContain(flow.samples.at(-1).cwnd * 1448);
    }
  });

  it('one line when a file cannot be made', () => {
    for (const option of ['--csv', '--jsonl', '--junit', '--qlog']) {
      const { status, stderr } = trampet(...RENO, option, at('no/such'));
      expect(status).toBe(3);
      expect(stderr.trim().split('\n')).toHaveLength(1);
      expect(stderr).toContain('no such file');
    }
  });
});
