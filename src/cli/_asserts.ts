import { CC_MEMBERS } from '../subsystems/index.ts';
import type { RunDocument } from './_simulate.ts';
import { CliError } from './error.ts';

/** Units of a quantity: factor to the one that is kept (bit/s, ms). */
const RATE = { bit: 1, kbit: 1e3, mbit: 1e6, gbit: 1e9 };
const TIME = { us: 1e-3, ms: 1, s: 1e3 };
const NONE = {};

interface Quantity {
  units: Readonly<Record<string, number>>;
  /** Undefined where the guest died before there was a figure. */
  of(document: RunDocument): number | undefined;
}

type FlowFigure = 'retransmits' | 'rtos' | 'dropped' | 'lost' | 'marked' | 'segments';
const sum = (figure: FlowFigure): Quantity => ({
  units: NONE,
  of: ({ flows }) => (flows.length === 0 ? undefined : flows.reduce((all, flow) => all + flow[figure], 0)),
});

/** What can be asserted; of several flows the sum, of round-trip times the largest mean. */
const QUANTITIES: Readonly<Record<string, Quantity>> = {
  goodput: {
    units: RATE,
    of: ({ flows }) => (flows.length === 0 ? undefined : flows.reduce((all, flow) => all + flow.goodputBps, 0)),
  },
  rtt: {
    units: TIME,
    of: ({ flows }) => (flows.length === 0 ? undefined : Math.max(...flows.map(({ rttMsMean }) => rttMsMean))),
  },
  retransmits: sum('retransmits'),
  rtos: sum('rtos'),
  dropped: sum('dropped'),
  lost: sum('lost'),
  marked: sum('marked'),
  segments: sum('segments'),
  calls: { units: NONE, of: ({ calls }) => calls },
  instructions: { units: NONE, of: ({ instructions }) => instructions },
  faults: { units: NONE, of: ({ faults }) => faults.length },
  ...Object.fromEntries(
    CC_MEMBERS.map((member) => [
      `calls.${member}`,
      { units: NONE, of: ({ callsByMember }) => callsByMember[member] ?? 0 } satisfies Quantity,
    ]),
  ),
};

const COMPARE: Readonly<Record<string, (a: number, b: number) => boolean>> = {
  '>': (a, b) => a > b,
  '>=': (a, b) => a >= b,
  '<': (a, b) => a < b,
  '<=': (a, b) => a <= b,
  '==': (a, b) => a === b,
  '!=': (a, b) => a !== b,
};

/** `goodput > 18mbit`. */
export interface Assertion {
  text: string;
  quantity: string;
  operator: string;
  value: number;
  unit: string;
}

/** An assertion and what a run says to it. */
export interface Verdict {
  text: string;
  holds: boolean;
  /** The figure in the assertion's unit; null if there is none because the guest died. */
  actual: number | null;
  /** `goodput is 17.2mbit`. */
  why: string;
}

/** Reads `goodput > 18mbit`. @throws CliError */
export function parseAssertion(text: string): Assertion {
  const match = /^\s*([a-z_.]+)\s*(>=|<=|==|!=|>|<)\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(text);
  if (match === null) throw new CliError(`--assert '${text}' is no comparison such as 'goodput > 18mbit'`);
  const [, name = '', operator = '', digits, written = ''] = match;
  const quantity = name.toLowerCase();
  if (!Object.hasOwn(QUANTITIES, quantity))
    throw new CliError(
      `--assert '${text}': '${name}' is not one of ${Object.keys(QUANTITIES)
        .filter((known) => !known.includes('.'))
        .join(', ')}, calls.MEMBER`,
    );
  const { units } = QUANTITIES[quantity]!;
  const unit = written.toLowerCase();
  const names = Object.keys(units);
  if (names.length === 0 ? unit !== '' : !names.includes(unit))
    throw new CliError(
      `--assert '${text}': ${quantity} ${names.length === 0 ? 'has no unit' : `needs a unit (${names.join(', ')})`}`,
    );
  return { text: text.trim(), quantity, operator, value: Number(digits), unit };
}

export function judge({ text, quantity, operator, value, unit }: Assertion, document: RunDocument): Verdict {
  const { units, of } = QUANTITIES[quantity]!;
  const figure = of(document);
  if (figure === undefined) return { text, holds: false, actual: null, why: `${quantity} is unknown, the guest died` };
  const actual = figure / (units[unit] ?? 1);
  return {
    text,
    holds: COMPARE[operator]!(actual, value),
    actual,
    why: `${quantity} is ${Number.isInteger(actual) ? actual : actual.toFixed(3)}${unit}`,
  };
}
