import { TrampetError } from '../base/index.ts';
import { parseLink } from '../net/index.ts';
import type { ResolvedObject } from '../object/index.ts';
import { type GridRun, objectName, type SweepLine } from './_grid.ts';
import { bulkFlows } from './_plan.ts';
import { simulate } from './_simulate.ts';
import { type CommonValues, chooseKernel, type KernelChoice, openFor, traceReader } from './session.ts';

/** What a worker is asked for. */
export interface SweepTask {
  run: GridRun;
  values: CommonValues;
  seconds: number;
}

/** Errors do not cross threads as what they are. */
export type SweepAnswer =
  | { line: SweepLine }
  | { error: { message: string; kind: TrampetError['kind']; hint: string | undefined } };

/** Of the sweep that this thread works for, as all its tasks have the same kernel. */
let choice: KernelChoice | undefined;
const objects = new Map<string, ResolvedObject>();

/** Does one run. */
export function work({ run, values, seconds }: SweepTask): SweepAnswer {
  try {
    choice ??= chooseKernel(values);
    let resolved = objects.get(run.path);
    if (resolved === undefined) {
      resolved = openFor(run.path, choice);
      objects.set(run.path, resolved);
    }
    const { cfi } = choice;
    const plan = {
      link: parseLink(run.link, { readTrace: traceReader('.') }),
      seconds,
      flows: bulkFlows(run.path, 1),
      events: [],
      load: [],
    };
    const done = simulate(plan, new Map([[run.path, resolved]]), { ...choice, seed: run.seed }, { cfi });
    const result = done.flows[0];
    return {
      line: {
        schema: 1,
        object: objectName(run.path),
        sha256: run.sha256,
        kernel: values.kernel,
        cfi: values.cfi,
        mitigations: values.mitigations,
        hashSeed: choice.hashSeed,
        link: run.link,
        seconds,
        seed: run.seed,
        goodputBps: result?.goodputBps ?? null,
        rttMsMean: result?.rttMsMean ?? null,
        rttMsP95: result?.rttMsP95 ?? null,
        retransmits: result?.retransmits ?? null,
        rtos: result?.rtos ?? null,
        dropped: result?.dropped ?? null,
        lost: result?.lost ?? null,
        marked: result?.marked ?? null,
        calls: done.calls,
        instructions: done.instructions,
        faults: done.faults.map(({ kind }) => kind),
      },
    };
  } catch (error) {
    if (!(error instanceof TrampetError)) throw error;
    return { error: { message: error.message, kind: error.kind, hint: error.hint } };
  }
}
