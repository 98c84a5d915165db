import type { LinkSpec } from '../net/index.ts';
import type { FlowSample } from '../subsystems/index.ts';
import { linkWords } from './_figures.ts';
import { flowColor, HEIGHT, LEAST_HEIGHT, picture } from './_picture.ts';
import { Screen } from './_screen.ts';
import { bold, dim, drawable, progress, table, windowSize } from './print.ts';

/** Flows whose present figures are told under the picture. */
const TOLD = 6;
const BAR = 30;
/** Lines that a picture with its figures takes at least. */
const LEAST = LEAST_HEIGHT + 5;

export interface LiveRun {
  object: string;
  cfi: string;
  link: LinkSpec;
  second?: LinkSpec | undefined;
  seconds: number;
}

/** What is shown while a run goes on. */
export interface Live {
  sample(flow: string, sample: FlowSample, share: number): void;
  /** Lines that stay, above. */
  print(lines: readonly string[]): void;
  /** Takes away what is not to stay. */
  end(): void;
}

/** The picture where `screen` says so, else a bar on stderr. */
export function live(run: LiveRun, screen: boolean): Live {
  const { rows = 0 } = windowSize();
  return screen && drawable(process.stdout) && rows >= LEAST ? new LivePicture(run) : new LiveBar(run);
}

const bar = (share: number) => '█'.repeat(Math.round(share * BAR)).padEnd(BAR, '░');

class LiveBar implements Live {
  readonly #run: LiveRun;
  constructor(run: LiveRun) {
    this.#run = run;
  }

  sample(_flow: string, { t, cwnd }: FlowSample, share: number): void {
    progress(`${this.#run.cfi.padEnd(7)} ${bar(share)} ${t.toFixed(1)} s  cwnd ${cwnd}`);
  }

  print(lines: readonly string[]): void {
    for (const line of lines) process.stdout.write(`${line}\n`);
  }

  end(): void {
    progress('');
  }
}

class LivePicture implements Live {
  readonly #run: LiveRun;
  readonly #screen = new Screen(process.stdout);
  readonly #flows = new Map<string, FlowSample[]>();

  constructor(run: LiveRun) {
    this.#run = run;
  }

  sample(flow: string, sample: FlowSample, share: number): void {
    let samples = this.#flows.get(flow);
    if (samples === undefined) {
      samples = [];
      this.#flows.set(flow, samples);
    }
    samples.push(sample);
    if (!this.#screen.due()) return;
    const { columns, rows = 0 } = windowSize();
    this.#screen.draw(this.#lines(sample.t, share, columns, Math.max(LEAST, rows)), columns);
  }

  print(lines: readonly string[]): void {
    this.#screen.print(lines);
  }

  end(): void {
    this.#screen.clear();
  }

  #lines(t: number, share: number, columns: number, rows: number): string[] {
    const { object, cfi, second, seconds } = this.#run;
    const flows = [...this.#flows].map(([name, samples]) => ({ name, samples }));
    const head = `${bold(object)}  ${dim(linkWords(this.#run))}`;
    const state = `${dim(`cfi ${cfi}`)}  ${bar(share)}  ${t.toFixed(1)} of ${seconds} s`;
    const legend = now(flows, Math.min(TOLD, rows - LEAST_HEIGHT - 4));
    const height = Math.min(HEIGHT, rows - legend.length - 3);
    return [
      head,
      state,
      ...picture({ seconds, flows, shared: second === undefined }, { width: columns, height }),
      ...legend,
    ];
  }
}

/** The last sample of each flow, one a line. */
function now(flows: readonly { name: string; samples: readonly FlowSample[] }[], most: number): string[] {
  const rows = flows.slice(0, most).map(({ name, samples }, n) => {
    const { cwnd, ssthresh, srttMs, inFlight, rateBps } = samples.at(-1)!;
    return [
      flowColor(n)(`━━ ${name}`),
      `cwnd ${cwnd}`,
      `ssthresh ${ssthresh ?? '∞'}`,
      `RTT ${srttMs.toFixed(1)} ms`,
      `in flight ${inFlight}`,
      `${(rateBps / 1e6).toFixed(2)} Mbit/s`,
    ];
  });
  const lines = table(rows, [1, 2, 3, 4, 5]);
  if (flows.length > most) lines.push(dim(`   and ${flows.length - most} more`));
  return lines;
}
