import type { Explanation, PathStep, Place } from '../verifier/index.ts';
import { bold, cyan, dim, green, out, red, yellow } from './print.ts';

const LABEL = 14;
const INSN = 28;
const LONGEST = 46;
const WIDEST = 100;

const columns = (): number => Math.max(60, Math.min(WIDEST, process.stdout.columns ?? WIDEST));

/** Text in lines of at most `width` characters, broken between words. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/)) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line += line === '' ? word : ` ${word}`;
  }
  lines.push(line);
  return lines;
}

/** A long line around the place that is meant, at most `width` characters. */
export function excerpt(text: string, mark: number, width: number): string {
  if (text.length <= width) return text;
  const start = Math.max(0, Math.min(mark - (width >> 2), text.length - width + 1));
  const head = start === 0 ? '' : '…';
  const body = text.slice(start, start + width - head.length);
  return start + body.length >= text.length ? head + body : `${head + body.slice(0, -1)}…`;
}

const indent = ' '.repeat(LABEL);

function labelled(label: string, lines: readonly string[]): void {
  lines.forEach((line, i) => {
    out(i === 0 ? `  ${bold(label.padEnd(LABEL - 2))}${line}` : `${indent}${line}`);
  });
}

function sourceLine(place: Place, program: string, width: number): string {
  const where = `${place.file.split('/').at(-1)}:${place.line}`;
  const within = place.function === program ? '' : ` ${place.function}()`;
  const text = excerpt(place.source, place.mark, Math.max(20, width - where.length - within.length - 2));
  return `${cyan(where)}${dim(within)}  ${text}`;
}

function insnText(step: Place & Partial<PathStep>, digits: number): string {
  const branch = step.taken === undefined ? '' : step.taken ? '  → taken' : '  → not taken';
  const times = (step.times ?? 1) > 1 ? `  ${step.times}×` : '';
  return `${String(step.insn).padStart(digits)}: ${step.text}${branch}${times}`;
}

/** An instruction, and to its right what is known then. */
function insnLines(step: Place & Partial<PathStep>, digits: number, column: number, width: number): string[] {
  const left = insnText(step, digits);
  if (!step.state) return [left];
  const rows = wrap(`${step.operand}: ${step.state}`, Math.max(24, width - column - 2));
  const padded = (row: string, i: number) => `${(i === 0 ? left : '').padEnd(column)}  ${dim(row)}`;
  return left.length > column ? [left, ...rows.map((row, i) => padded(row, i + 1))] : rows.map(padded);
}

/** Where states start: behind the longest instruction, if that is not very long. */
const columnOf = (steps: readonly (Place & Partial<PathStep>)[], digits: number): number =>
  Math.max(INSN, Math.min(LONGEST, Math.max(...steps.map((step) => insnText(step, digits).length))));

/** The slice, with a line of C above the instructions made of it. */
export function pathLines(path: readonly PathStep[], program: string, width: number): string[] {
  const digits = Math.max(...path.map(({ insn }) => String(insn).length)) + 1;
  const column = columnOf(path, digits);
  const lines: string[] = [];
  let last = '';
  for (const step of path) {
    if (step.omitted > 0) lines.push(dim(`${' '.repeat(digits)}  … ${step.omitted} more`));
    const key = `${step.file}:${step.line}:${step.function}`;
    if (key !== last && step.file !== '') lines.push(sourceLine(step, program, width));
    last = key;
    lines.push(...insnLines(step, digits, column, width));
  }
  return lines;
}

export function printAccepted(program: string, stats: { insnProcessed: number; totalStates: number }): void {
  out(
    `${green('accepted')}  ${bold(program)}  ${dim(`${stats.insnProcessed} instructions, ${stats.totalStates} states`)}`,
  );
}

export function printUnknown(program: string, why: string): void {
  out(`${yellow('unknown ')}  ${bold(program)}`);
  for (const line of wrap(why, columns() - LABEL)) out(`${indent}${line}`);
}

/** A refusal that no instruction of the program is to blame for. */
export function printRefusedWhole(program: string, why: string): void {
  out(`${red('refused ')}  ${bold(program)}`);
  labelled('Reason', wrap(why, columns() - LABEL));
}

export function printRefused(program: string, explanation: Explanation): void {
  const width = columns() - LABEL;
  const { reason, message, at, path, suggestion, errno } = explanation;
  out(`${red('refused ')}  ${bold(program)}  ${dim(`-${errno}`)}`);
  const words = message.split('\n').filter((line) => line !== reason);
  labelled('Reason', [
    ...wrap(reason, width),
    ...words.flatMap((line) => wrap(`verifier: ${line}`, width).map((text) => dim(text))),
  ]);
  if (at !== null) {
    const last = path.at(-1);
    const state = { ...(last?.insn === at.insn ? last : at), times: 1 };
    const digits = String(at.insn).length;
    labelled('At', [
      ...(at.file === '' ? [] : [sourceLine(at, program, width)]),
      ...insnLines(state, digits, columnOf([state], digits), width),
    ]);
  }
  if (path.length > 1) labelled('Path', pathLines(path, program, width));
  if (suggestion !== null) labelled('Suggestion', wrap(suggestion, width));
  out();
}

/** Only the path: `--slice`. */
export function printSlice(program: string, { path, errno }: Explanation): void {
  out(`${red('refused ')}  ${bold(program)}  ${dim(`-${errno}`)}`);
  if (path.length === 0) out(dim('  no instruction was walked'));
  else for (const line of pathLines(path, program, columns() - 2)) out(`  ${line}`);
}
