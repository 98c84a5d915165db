import type { Kernel } from '../../kernel/index.ts';
import type { LinkSpec } from '../../net/index.ts';
import { type FlowReport, type FlowSample, runFlows } from './flows.ts';
import type { OpCall } from './scenario.types.ts';

export interface FlowOptions {
  /** Name of a registered congestion control. */
  congestion: string;
  link: LinkSpec;
  /** Simulated seconds. */
  seconds: number;
  /** For random loss. */
  seed: number;
  /** Samples to take, evenly spaced (default 200). */
  samples?: number;
  /** Called after each sample, e.g. to show progress. */
  onSample?: (sample: FlowSample, share: number) => void;
  /** Called after each call of a member. */
  onCall?: (call: OpCall) => void;
}

export interface FlowResult {
  flow: Omit<FlowReport, 'samples'>;
  samples: FlowSample[];
}

/**
 * Runs one bulk flow over a link with the given congestion control.
 * @throws KernelError -ENOENT if nobody registered it, -EINVAL for numbers that make no sense; NetError for such a link;
 *   KernelOops if the guest faults
 */
export function runFlow(kernel: Kernel, options: FlowOptions): FlowResult {
  const { congestion, link, seconds, seed, samples, onSample, onCall } = options;
  const { flows } = runFlows(
    kernel,
    {
      link,
      flows: [{ name: congestion, congestion, source: { kind: 'bulk' }, startNs: 0 }],
      seconds,
      seed,
      ...(samples === undefined ? {} : { samples }),
    },
    {
      ...(onSample === undefined ? {} : { onSample: (_, sample, share) => onSample(sample, share) }),
      ...(onCall === undefined ? {} : { onCall }),
    },
  );
  const { samples: course, ...flow } = flows[0]!;
  return { flow, samples: course };
}
