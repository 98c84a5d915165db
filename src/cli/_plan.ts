import type { LinkSpec } from '../net/index.ts';
import type { ResolvedObject } from '../object/index.ts';
import type { FlowSource, Hosts } from '../subsystems/index.ts';

/** Flows that are alike. */
export interface FlowPlan {
  /** Path of the object whose congestion control they have. */
  object: string;
  /** The ops table, if the object has several. */
  table?: string | undefined;
  /** Without one they are called as their congestion control. */
  name?: string | undefined;
  count: number;
  source: FlowSource;
  startNs: number;
  stopNs?: number;
  crosses?: 'first' | 'second' | 'both';
  hosts?: Hosts;
}

/** What the host does while flows run. */
export type EventPlan = { atNs: number } & (
  | /** The link of the table of the same name gets this one. */ {
      kind: 'update';
      object: string;
      table?: string | undefined;
    }
  | /** On the socket of a flow. */ { kind: 'setsockopt'; flow: string; congestion: string }
  | { kind: 'unregister'; congestion: string }
);

/** A run as the command line or a scenario file says it. */
export interface RunPlan {
  /** In reports, instead of the objects' names. */
  name?: string | undefined;
  link: LinkSpec;
  /** The second bottleneck of a parking lot. */
  second?: LinkSpec | undefined;
  seconds: number;
  flows: readonly FlowPlan[];
  events: readonly EventPlan[];
  /** Paths of objects whose tables are registered besides those of flows. */
  load: readonly string[];
}

/** Objects by their paths. */
export type Objects = ReadonlyMap<string, ResolvedObject>;

/** Paths of all objects that a plan needs, each once: those of flows first. */
export function pathsOf({ flows, load, events }: RunPlan): string[] {
  const updates = events.flatMap((event) => (event.kind === 'update' ? [event.object] : []));
  return [...new Set([...flows.map(({ object }) => object), ...load, ...updates])];
}

/** `count` bulk flows of an object from the start to the end. */
export function bulkFlows(object: string, count: number, table?: string): FlowPlan[] {
  return [{ object, table, count, source: { kind: 'bulk' }, startNs: 0 }];
}
