import { CC_MEMBERS, type FlowReport } from '../subsystems/index.ts';
import { lossOf, totalGoodput } from './_figures.ts';
import type { RunDocument } from './_simulate.ts';
import { CliError } from './error.ts';

/** Units of a quantity: factor to the one that is kept (bit/s, ms). */
const RATE = { bit: 1, kbit: 1e3, mbit: 1e6, gbit: 1e9 };
const TIME = { us: 1e-3, ms: 1, s: 1e3 };
const SHARE = { '%': 0.01 };
const NONE = {};

interface Quantity {
  units: Readonly<Record<string, number>>;
  /** Of a document, or of one of its flows; undefined where the guest died before there was a figure. */
  of(document: RunDocument, flow?: FlowReport): number | undefined;
  /** Whether there is such a figure of a single flow. */
  single: boolean;
}

/** A figure of flows, as `of` makes it of several. */
const flowFigure = (units: Quantity['units'], of: (flows: readonly FlowReport[]) => number): Quantity => ({
  units,
  of: ({ flows }, flow) => (flow !== undefined ? of([flow]) : flows.length === 0 ? undefined : of(flows)),
  single: true,
});
const sum = (figure: (flow: FlowReport) => number, units: Quantity['units'] = NONE) =>
  flowFigure(units, (flows) => flows.reduce((all, flow) => all + figure(flow), 0));
const largest = (figure: (flow: FlowReport) => number, units: Quantity['units']) =>
  flowFigure(units, (flows) => flows.reduce((most, flow) => Math.max(most, figure(flow)), 0));
const whole = (of: (document: RunDocument) => number | undefined): Quantity => ({ units: NONE, of, single: false });

/** What can be asserted; of several flows the sum, of round-trip times the largest, of loss the share of all packets. */
const QUANTITIES: Readonly<Record<string, Quantity>> = {
  goodput: {
    units: RATE,
    of: ({ seconds, flows }, flow) =>
      flow !== undefined ? flow.goodputBps : flows.length === 0 ? undefined : totalGoodput(flows, seconds),
    single: true,
  },
  rtt: largest(({ rttMsMean }) => rttMsMean, TIME),
  rtt95: largest(({ rttMsP95 }) => rttMsP95, TIME),
  loss: flowFigure(SHARE, lossOf),
  retransmits: sum(({ retransmits }) => retransmits),
  rtos: sum(({ rtos }) => rtos),
  dropped: sum(({ dropped }) => dropped),
  lost: sum(({ lost }) => lost),
  marked: sum(({ marked }) => marked),
  segments: sum(({ segments }) => segments),
  fairness: whole(({ fairness }) => fairness ?? undefined),
  calls: whole(({ calls }) => calls),
  instructions: whole(({ instructions }) => instructions),
  faults: whole(({ faults }) => faults.length),
  ...Object.fromEntries(
    CC_MEMBERS.map((member) => [`calls.${member}`, whole(({ callsByMember }) => callsByMember[member] ?? 0)]),
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

/** `goodput > 18mbit`, `goodput[ex_cubic] > 5mbit`. */
export interface Assertion {
  text: string;
  quantity: string;
  /** The flow that is meant, instead of all. */
  flow: string | undefined;
  operator: string;
  value: number;
  unit: string;
}

/** An assertion and what a run says to it. */
export interface Verdict {
  text: string;
  holds: boolean;
  /** The figure in the assertion's unit; null if there is none because the guest died, or no flow has that name. */
  actual: number | null;
  /** `goodput is 17.2mbit`. */
  why: string;
}

/** Reads `goodput > 18mbit`. @throws CliError */
export function parseAssertion(text: string): Assertion {
  const bad = (why: string) => new CliError(`--assert '${text}': ${why}`);
  const match = /^\s*([a-z0-9_.]+)\s*(?:\[([^\]]*)\])?\s*(>=|<=|==|!=|>|<)\s*(\d+(?:\.\d+)?)\s*([a-z%]*)\s*$/i.exec(
    text,
  );
  if (match === null) throw new CliError(`--assert '${text}' is no comparison such as 'goodput > 18mbit'`);
  const [, name = '', flow, operator = '', digits, written = ''] = match;
  const quantity = name.toLowerCase();
  if (!Object.hasOwn(QUANTITIES, quantity))
    throw bad(
      `'${name}' is not one of ${Object.keys(QUANTITIES)
        .filter((known) => !known.includes('.'))
        .join(', ')}, calls.MEMBER`,
    );
  const { units, single } = QUANTITIES[quantity]!;
  if (flow !== undefined && !single) throw bad(`${quantity} is not a figure of one flow`);
  const unit = written.toLowerCase();
  const names = Object.keys(units);
  if (names.length === 0 ? unit !== '' : !names.includes(unit))
    throw bad(`${quantity} ${names.length === 0 ? 'has no unit' : `needs a unit (${names.join(', ')})`}`);
  return { text: text.trim(), quantity, flow, operator, value: Number(digits), unit };
}

export function judge({ text, quantity, flow, operator, value, unit }: Assertion, document: RunDocument): Verdict {
  const { units, of } = QUANTITIES[quantity]!;
  const unknown = (why: string) => ({ text, holds: false, actual: null, why: `${quantity} is unknown, ${why}` });
  const one = document.flows.find(({ name }) => name === flow);
  if (document.flows.length > 0 && flow !== undefined && one === undefined)
    return unknown(`there is no flow '${flow}'`);
  const figure = of(document, one);
  if (figure === undefined) return unknown('the guest died');
  const actual = figure / (units[unit] ?? 1);
  return {
    text,
    holds: COMPARE[operator]!(actual, value),
    actual,
    why: `${quantity} is ${Number.isInteger(actual) ? actual : actual.toFixed(3)}${unit}`,
  };
}
