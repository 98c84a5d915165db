import { ERRNO } from '../base/index.ts';
import { recordedLog, verifyAll } from './_verify.ts';
import type { Checker, Outcome } from './types.ts';

const AROUND = 3;
const COLUMN = 70;

const errnoName = (errno: number): string =>
  errno === 0 ? 'accepted' : (Object.entries(ERRNO).find(([, value]) => value === errno)?.[0] ?? `errno ${errno}`);

/** Accepted, or refused with which errno. */
export const checkVerdicts: Checker = {
  kind: 'verdict',
  *check(directory, mode, object) {
    for (const result of verifyAll(directory, mode, object)) {
      const { name, errno } = result.program;
      if ('why' in result) {
        yield { name, status: 'unsupported', why: result.why };
        continue;
      }
      const { verdict } = result;
      const want = errnoName(errno);
      const got = verdict.ok ? 'accepted' : verdict.errno;
      if (got === want) yield { name, status: 'passed' };
      else yield { name, status: 'failed', at: lastWords(verdict.log), want, got };
    }
  },
};

/** Whole level-2 logs, line by line. */
export const checkLogs: Checker = {
  kind: 'log',
  *check(directory, mode, object) {
    for (const result of verifyAll(directory, mode, object)) {
      const { name } = result.program;
      yield 'why' in result
        ? { name, status: 'unsupported', why: result.why }
        : compareLogs(name, result.verdict.log, recordedLog(directory, result.program));
    }
  },
};

/** What the verifier said last before its statistics. */
function lastWords(log: string): string {
  const lines = linesOf(log).filter((line) => !/^(verification time|stack depth|processed) /.test(line));
  return lines.at(-1) ?? '-';
}

/** Lines of a log without the one that says how long it took. */
function linesOf(log: string): string[] {
  const lines = log.split('\n').filter((line) => !/^verification time \d+ usec$/.test(line));
  while (lines.at(-1) === '') lines.pop();
  return lines;
}

/** Compares two logs; a failure shows the first line that differs with its neighbours, kernel's to the left. */
export function compareLogs(name: string, got: string, want: string): Outcome {
  const ours = linesOf(got);
  const kernel = linesOf(want);
  let at = 0;
  while (at < kernel.length && at < ours.length && kernel[at] === ours[at]) at++;
  if (at === kernel.length && at === ours.length) return { name, status: 'passed' };
  const rows: string[] = [];
  for (let i = Math.max(0, at - AROUND); i < Math.min(Math.max(kernel.length, ours.length), at + AROUND + 1); i++) {
    const [left, right] = [kernel[i], ours[i]];
    if (left === right) rows.push(`  ${left}`);
    else if ((left?.length ?? 0) <= COLUMN) rows.push(`| ${(left ?? '').padEnd(COLUMN)}   ${right ?? ''}`);
    else rows.push(`< ${left}`, `> ${right ?? ''}`);
  }
  const [left, right] = [kernel[at] ?? '(end)', ours[at] ?? '(end)'];
  return { name, status: 'failed', at: `line ${at + 1} of ${kernel.length}`, want: left, got: right, listing: rows };
}
