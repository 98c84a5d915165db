import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readMaybeGzip } from './directory.ts';

/** One call of a congestion op, ours or the kernel's. */
export interface TcpCall {
  op: string;
  args: number[];
  /** icsk_ca_state when the op ran. */
  state: number;
  /** Microseconds since the flow's SYN. */
  at: number;
}

/** A scenario of scenario.json, as far as it is replayed. */
export interface TcpScenario {
  rate_Bps: number;
  fwd_us: number;
  back_us: number;
  buf_pkts: number;
  /** Traced controls; two joined by `_` share the link. */
  ccs: string[];
  /** `bytes N`, `secs S` or `bursts BYTES:MS,…`. */
  work: string;
  /** 1448 with TCP timestamps, 1460 without. */
  mss?: number;
  /** Ordinals of data packets that are lost, counted from 1. */
  drop?: string;
  /** How many more arrivals of a dropped sequence are lost. */
  drop_rtx?: number;
  /** `FROM:US`: everything is lost from that packet on. */
  blackout?: string;
  /** `BYTE:COUNT`, one or several: the first arrivals from that byte of the stream on are lost. */
  tail?: string | string[];
  /** 0: without TCP timestamps. */
  timestamps?: number;
  /** `EVERY:US`: each so manieth data packet is late, and overtaken. */
  reorder?: string;
  /** Each data packet is late by up to this much. */
  jitter_us?: number;
  loss_ppm?: number;
  seed?: number;
  mark?: number;
  ecn?: number;
}

/** What a scenario may say; anything else would be left out silently. */
const KNOWN = new Set(
  (
    'rate_Bps fwd_us back_us buf_pkts ccs work mss timestamps drop drop_rtx blackout tail reorder jitter_us loss_ppm seed mark ecn ' +
    'set note bdp_pkts'
  ).split(' '),
);

/** The first part of a scenario that is not replayed, if there is one. */
export const notReplayed = (scenario: TcpScenario): string | undefined =>
  Object.keys(scenario).find((key) => !KNOWN.has(key));

/** Statistics over the kernel's repeats. */
export type Spread = Record<string, { min: number; mean: number; max: number }>;

export interface TcpGoldens {
  scenarios: Record<string, TcpScenario>;
  /** Of a scenario with one control (`A-reno`); undefined if it was not recorded. */
  spread(label: string): Spread | undefined;
  object: Uint8Array;
  /** A sender's ops calls in a run (`s0`, `s1`); undefined if that run is not here. */
  calls(label: string, run: number, flow: string): TcpCall[] | undefined;
}

interface TraceLine {
  dt: number;
  f: string;
  op: string;
  a?: number[];
  s?: Record<string, number>;
  p?: Record<string, number>;
}

/** Times are told from the first flow's SYN. */
function senderCalls(text: string, flow: string): TcpCall[] {
  let state = 0;
  let at = 0;
  const calls: TcpCall[] = [];
  for (const line of text.trimEnd().split('\n').slice(1)) {
    const { dt, f, op, a, s, p } = JSON.parse(line) as TraceLine;
    at += dt;
    if (f !== flow) continue;
    state = s?.ca_state ?? state;
    if (!op.startsWith('K:')) calls.push({ op, args: a ?? [], state, at });
    state = p?.ca_state ?? state;
  }
  return calls;
}

interface RunFlow {
  time_in_state_s?: Record<string, number>;
  sawtooth_period_s?: number | null;
}
interface Summary {
  spread: Spread;
  runs?: { flows?: Record<string, RunFlow> }[];
}

/** The spread as recorded, and that of figures that only the runs have. */
function wholeSpread({ spread, runs = [] }: Summary): Spread {
  const values: Record<string, number[]> = {};
  for (const { flows = {} } of runs) {
    const names = Object.keys(flows).filter((name) => name.startsWith('s'));
    for (const name of names) {
      const prefix = names.length === 1 ? '' : `${name}.`;
      const note = (figure: string, value: number) => {
        values[prefix + figure] ??= [];
        values[prefix + figure]!.push(value);
      };
      const { time_in_state_s = {}, sawtooth_period_s } = flows[name]!;
      for (const [state, seconds] of Object.entries(time_in_state_s)) note(`time_in_state_s.${state}`, seconds);
      if (typeof sawtooth_period_s === 'number') note('sawtooth_period_s', sawtooth_period_s);
    }
  }
  const whole = { ...spread };
  for (const [figure, list] of Object.entries(values)) {
    const mean = list.reduce((sum, value) => sum + value, 0) / list.length;
    whole[figure] ??= { min: Math.min(...list), mean, max: Math.max(...list) };
  }
  return whole;
}

/** Opens a directory with scenario.json, summary.json, obj/tr.bpf.o and traces. */
export function openTcpGoldens(path: string): TcpGoldens {
  const json = (name: string) => JSON.parse(readFileSync(join(path, name), 'utf8'));
  const scenarios: Record<string, TcpScenario> = json('scenario.json').scenarios;
  const summary: Record<string, Summary> = json('summary.json');
  return {
    scenarios,
    spread: (label) => (summary[label] === undefined ? undefined : wholeSpread(summary[label])),
    object: readMaybeGzip(join(path, 'obj', 'tr.bpf.o')),
    calls: (label, run, flow) => {
      try {
        const file = join(path, `${label}-${run}.jsonl.gz`);
        return senderCalls(new TextDecoder().decode(readMaybeGzip(file)), flow);
      } catch (error) {
        if ((error as { code?: string }).code === 'ENOENT') return undefined;
        throw error;
      }
    },
  };
}
