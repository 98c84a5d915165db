import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readMaybeGzip } from './directory.ts';

/** One call of a congestion op, ours or the kernel's. */
export interface TcpCall {
  op: string;
  args: number[];
  /** icsk_ca_state when the op ran. */
  state: number;
}

/** A scenario of scenario.json, as far as it is replayed. */
export interface TcpScenario {
  rate_Bps: number;
  fwd_us: number;
  back_us: number;
  buf_pkts: number;
  ccs: string[];
  /** `bytes N`, `secs S` or `bursts BYTES:MS,…`. */
  work: string;
  /** Ordinals of data packets that are lost, counted from 1. */
  drop?: string;
  /** How many more arrivals of a dropped sequence are lost. */
  drop_rtx?: number;
  /** `FROM:US`: everything is lost from that packet on. */
  blackout?: string;
  loss_ppm?: number;
  seed?: number;
  mark?: number;
  ecn?: number;
}

/** Statistics over the kernel's repeats. */
export type Spread = Record<string, { min: number; mean: number; max: number }>;

export interface TcpGoldens {
  scenarios: Record<string, TcpScenario>;
  summary: Record<string, { spread: Spread }>;
  object: Uint8Array;
  /** The sender's ops calls in a run; undefined if that run is not here. */
  calls(scenario: string, cc: string, run: number): TcpCall[] | undefined;
}

interface TraceLine {
  f: string;
  op: string;
  a?: number[];
  s?: Record<string, number>;
  p?: Record<string, number>;
}

function senderCalls(text: string): TcpCall[] {
  let state = 0;
  const calls: TcpCall[] = [];
  for (const line of text.trimEnd().split('\n').slice(1)) {
    const { f, op, a, s, p } = JSON.parse(line) as TraceLine;
    if (f !== 's0') continue;
    state = s?.ca_state ?? state;
    if (!op.startsWith('K:')) calls.push({ op, args: a ?? [], state });
    state = p?.ca_state ?? state;
  }
  return calls;
}

/** Opens a directory with scenario.json, summary.json, obj/tr.bpf.o and traces. */
export function openTcpGoldens(path: string): TcpGoldens {
  const json = (name: string) => JSON.parse(readFileSync(join(path, name), 'utf8'));
  return {
    scenarios: json('scenario.json').scenarios,
    summary: json('summary.json'),
    object: readMaybeGzip(join(path, 'obj', 'tr.bpf.o')),
    calls: (scenario, cc, run) => {
      try {
        return senderCalls(new TextDecoder().decode(readMaybeGzip(join(path, `${scenario}-${cc}-${run}.jsonl.gz`))));
      } catch (error) {
        if ((error as { code?: string }).code === 'ENOENT') return undefined;
        throw error;
      }
    },
  };
}
