import { createHash } from 'node:crypto';
import { existsSync, readFileSync, truncateSync } from 'node:fs';
import { basename } from 'node:path';
import { CliError } from './error.ts';
import { number } from './options.ts';
import { table } from './print.ts';
import { readFile } from './session.ts';

/** Runs a sweep may have. */
const MOST_RUNS = 1_000_000;

/** One run of a sweep. */
export interface GridRun {
  path: string;
  /** Distinguishes versions of an object: first half of the SHA-256 of the file. */
  sha256: string;
  link: string;
  seed: number;
}

/** A line of a sweep's output. Nothing in it depends on the machine that ran it. */
export interface SweepLine {
  schema: 1;
  object: string;
  sha256: string;
  kernel: string;
  cfi: string;
  mitigations: string;
  hashSeed: number;
  link: string;
  seconds: number;
  seed: number;
  /** Null if the guest died. */
  goodputBps: number | null;
  rttMsMean: number | null;
  rttMsP95: number | null;
  retransmits: number | null;
  rtos: number | null;
  dropped: number | null;
  lost: number | null;
  marked: number | null;
  calls: number;
  instructions: number;
  faults: string[];
}

/** What identifies a run: everything that its result follows from. */
export const keyOf = (line: Pick<SweepLine, (typeof KEY)[number]>): string =>
  JSON.stringify(KEY.map((name) => line[name]));
const KEY = ['object', 'sha256', 'kernel', 'cfi', 'mitigations', 'hashSeed', 'link', 'seconds', 'seed'] as const;

/** Objects × links × seeds, seeds fastest. @throws CliError */
export function grid(paths: readonly string[], links: readonly string[], seeds: readonly number[]): GridRun[] {
  if (paths.length * links.length * seeds.length > MOST_RUNS)
    throw new CliError(`a sweep of ${paths.length * links.length * seeds.length} runs is too large (${MOST_RUNS})`);
  return paths.flatMap((path) => {
    const sha256 = createHash('sha256').update(readFile(path)).digest('hex').slice(0, 32);
    return links.flatMap((link) => seeds.map((seed) => ({ path, sha256, link, seed })));
  });
}

export const objectName = (path: string): string => basename(path).replace(/\.bpf\.o$|\.o$/, '');

/** `1..10`, `3`, `1,5,20..29`. @throws CliError */
export function parseSeeds(text: string): number[] {
  const seeds = new Set<number>();
  for (const part of text.split(',')) {
    const [from = '', to = from, more] = part.split('..');
    const [first, last] = [number('seeds', from), number('seeds', to)];
    if (more !== undefined || last < first || last - first >= MOST_RUNS)
      throw new CliError(`--seeds '${part}' is no range such as 1..10`);
    for (let seed = first; seed <= last; seed++) seeds.add(seed);
  }
  return [...seeds];
}

/** `3/16`: every sixteenth run, from the third. @throws CliError */
export function parseShard(text: string): (index: number) => boolean {
  const match = /^(\d+)\/(\d+)$/.exec(text);
  const [part, of] = [Number(match?.[1]), Number(match?.[2])];
  if (!(part >= 1 && part <= of)) throw new CliError(`--shard '${text}' is no part such as 3/16`);
  return (index) => index % of === part - 1;
}

/** Lines of a sweep that was begun; a last line that was cut off is removed from the file. @throws CliError */
export function resume(path: string): SweepLine[] {
  if (!existsSync(path)) return [];
  const bytes = readFileSync(path);
  const end = bytes.lastIndexOf(10) + 1;
  const lines = parseLines(path, bytes.toString('utf8', 0, end));
  if (end < bytes.length) truncateSync(path, end);
  return lines;
}

/** Reads JSON lines of a sweep. @throws CliError naming the line */
export function parseLines(path: string, text: string): SweepLine[] {
  return text
    .split('\n')
    .map((line, i) => ({ line, at: `${path}:${i + 1}` }))
    .filter(({ line }) => line !== '')
    .map(({ line, at }) => {
      let value: unknown;
      try {
        value = JSON.parse(line);
      } catch {
        throw new CliError(`${at}: no JSON`, 'unreadable');
      }
      const known = value as Partial<SweepLine> | null;
      if (known?.schema !== 1 || KEY.some((name) => known[name] === undefined) || !Array.isArray(known.faults))
        throw new CliError(`${at}: no line of a sweep`, 'unreadable');
      return value as SweepLine;
    });
}

/** The same lines in one order whatever order they came in, each once. @throws CliError if two results of a run differ */
export function mergeLines(lines: readonly SweepLine[]): SweepLine[] {
  const known = new Map<string, SweepLine>();
  for (const line of lines) {
    const key = keyOf(line);
    const other = known.get(key);
    if (other !== undefined && JSON.stringify(other) !== JSON.stringify(line))
      throw new CliError(`two results of one run differ: ${line.object}, ${line.link}, seed ${line.seed}`, 'refused');
    known.set(key, line);
  }
  const compare = (a: string | number, b: string | number) => (a < b ? -1 : a > b ? 1 : 0);
  return [...known.values()].sort((a, b) => {
    for (const name of KEY) {
      const order = compare(a[name], b[name]);
      if (order !== 0) return order;
    }
    return 0;
  });
}

/** A row an object and link: means over seeds, and the goodput's spread. */
export function summary(lines: readonly SweepLine[]): string[] {
  const groups = new Map<string, SweepLine[]>();
  for (const line of lines) {
    const key = JSON.stringify([line.object, line.kernel, line.cfi, line.mitigations, line.seconds, line.link]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [line]);
    else group.push(line);
  }
  const mean = (
    group: readonly SweepLine[],
    name: 'goodputBps' | 'rttMsMean' | 'rttMsP95' | 'retransmits' | 'rtos',
  ) => {
    const values = group.map((line) => line[name]).filter((value) => value !== null);
    return values.reduce((all, value) => all + value, 0) / values.length;
  };
  const shown = (value: number, digits: number) => (Number.isNaN(value) ? '-' : value.toFixed(digits));
  const rows = [...groups.values()].map((group) => {
    const rates = group.map(({ goodputBps }) => goodputBps).filter((rate) => rate !== null);
    const bound = (of: number) => (rates.length === 0 ? '-' : (of / 1e6).toFixed(2));
    return [
      group[0]!.object,
      group[0]!.link,
      group[0]!.cfi,
      `${group.length}`,
      shown(mean(group, 'goodputBps') / 1e6, 2),
      bound(Math.min(...rates)),
      bound(Math.max(...rates)),
      shown(mean(group, 'rttMsMean'), 1),
      shown(mean(group, 'rttMsP95'), 1),
      shown(mean(group, 'retransmits'), 1),
      shown(mean(group, 'rtos'), 1),
      `${group.filter(({ faults }) => faults.length > 0).length}`,
    ];
  });
  const head = [
    'object',
    'link',
    'cfi',
    'runs',
    'Mbit/s',
    'min',
    'max',
    'RTT ms',
    '95 %',
    'retransmits',
    'RTOs',
    'died',
  ];
  return table([head, ...rows], [3, 4, 5, 6, 7, 8, 9, 10, 11]);
}
