import { dirname, resolve } from 'node:path';
import { type LinkSpec, parseLink } from '../net/index.ts';
import type { FlowSource, Hosts } from '../subsystems/index.ts';
import { type Assertion, parseAssertion } from './_asserts.ts';
import type { EventPlan, FlowPlan } from './_plan.ts';
import { YamlFile, type YamlValue } from './_yaml.ts';
import { bitRate, byteCount, duration, number, seconds } from './options.ts';
import { readFile, traceReader } from './session.ts';

/** What a scenario file says; options on the command line go before it. */
export interface ScenarioFile {
  name?: string;
  link?: LinkSpec;
  second?: LinkSpec;
  seconds?: number;
  seed?: string;
  /** Paths; in the file they are relative to it. */
  load: string[];
  flows: FlowPlan[];
  events: EventPlan[];
  assert: Assertion[];
}

export const isScenario = (path: string): boolean => /\.ya?ml$/i.test(path);

const PARTS = ['name', 'link', 'second', 'for', 'seed', 'load', 'flows', 'events', 'assert'] as const;
const FLOW = ['object', 'table', 'name', 'count', 'start', 'stop', 'source', 'crosses', 'hosts'] as const;
const HOSTS = ['gso_max_segs', 'rmem', 'rmem_max', 'timestamps', 'both_ends'] as const;
const EVENT = ['at', 'update', 'table', 'flow', 'setsockopt', 'unregister'] as const;
const MOST_FLOWS = 10_000;

/** Reads a scenario file (examples/scenarios/README.md). @throws CliError naming the place of what is wrong */
export async function readScenario(path: string): Promise<ScenarioFile> {
  const root = await YamlFile.parse(path, new TextDecoder().decode(readFile(path)));
  const top = root.mapping('a scenario', PARTS);
  const folder = dirname(path);
  const file = (value: YamlValue) => resolve(folder, value.text());
  const link = (text: string) => parseLink(text, { readTrace: traceReader(folder) });
  const flows = top.flows?.list() ?? [];
  if (flows.length === 0) throw (top.flows ?? root).bad("a scenario needs flows, a list of mappings with an 'object'");
  const scenario: ScenarioFile = {
    load: top.load?.list().map(file) ?? [],
    flows: flows.map((value) => readFlow(value, file)),
    events: top.events?.list().map((value) => readEvent(value, file)) ?? [],
    assert: top.assert?.list().map((value) => value.as(parseAssertion)) ?? [],
  };
  if (scenario.flows.reduce((sum, { count }) => sum + count, 0) > MOST_FLOWS)
    throw top.flows!.bad(`more than ${MOST_FLOWS} flows`);
  if (top.name !== undefined) scenario.name = top.name.text();
  if (top.link !== undefined) scenario.link = top.link.as(link);
  if (top.second !== undefined) scenario.second = top.second.as(link);
  if (top.for !== undefined) scenario.seconds = top.for.as((text) => seconds('for', text));
  if (top.seed !== undefined) scenario.seed = top.seed.as((text) => `${number('seed', text)}`);
  return scenario;
}

const nanoseconds = (text: string) => Math.round(duration(text) * 1e9);

function readFlow(value: YamlValue, file: (value: YamlValue) => string): FlowPlan {
  const { object, table, name, count, start, stop, source, crosses, hosts } = value.mapping('a flow', FLOW);
  if (object === undefined) throw value.bad("a flow has no 'object'");
  return {
    object: file(object),
    ...(table === undefined ? {} : { table: table.text() }),
    ...(name === undefined ? {} : { name: name.text() }),
    count: count?.as((text) => number('count', text, 1, MOST_FLOWS)) ?? 1,
    startNs: start?.as(nanoseconds) ?? 0,
    ...(stop === undefined ? {} : { stopNs: stop.as(nanoseconds) }),
    source: source === undefined ? { kind: 'bulk' } : readSource(source),
    ...(crosses === undefined ? {} : { crosses: crosses.oneOf(['first', 'second', 'both']) }),
    ...(hosts === undefined ? {} : { hosts: readHosts(hosts) }),
  };
}

/** `{gso_max_segs: 44, rmem: 128KB, rmem_max: 6MB, timestamps: false, both_ends: true}`. */
function readHosts(value: YamlValue): Hosts {
  const { gso_max_segs, rmem, rmem_max, timestamps, both_ends } = value.mapping('hosts', HOSTS);
  if (rmem_max !== undefined && rmem === undefined) throw rmem_max.bad('needs an rmem to grow from');
  const initial = rmem?.as(byteCount);
  return {
    ...(gso_max_segs === undefined
      ? {}
      : { gsoMaxSegs: gso_max_segs.as((text) => number('gso_max_segs', text, 1, 65535)) }),
    ...(initial === undefined ? {} : { receiveMemory: { initial, most: rmem_max?.as(byteCount) ?? initial } }),
    ...(timestamps === undefined ? {} : { noTimestamps: !timestamps.flag() }),
    ...(both_ends === undefined ? {} : { bothEnds: both_ends.flag() }),
  };
}

/** `bulk`, `{rate: 2mbit}`, `{request: 64KB, think: 500ms}`. */
function readSource(value: YamlValue): FlowSource {
  if (value.isText) return { kind: value.oneOf(['bulk']) };
  const { rate, request, think } = value.mapping('a source', ['rate', 'request', 'think']);
  if (rate !== undefined && request === undefined && think === undefined)
    return { kind: 'limited', rateBps: rate.as(bitRate) };
  if (request === undefined || rate !== undefined)
    throw value.bad("a source is 'bulk', a mapping with a rate, or one with a request and a think time");
  return { kind: 'requests', bytes: request.as(byteCount), thinkNs: think?.as(nanoseconds) ?? 0 };
}

function readEvent(value: YamlValue, file: (value: YamlValue) => string): EventPlan {
  const { at, update, table, flow, setsockopt, unregister } = value.mapping('an event', EVENT);
  if (at === undefined) throw value.bad("an event has no 'at'");
  const atNs = at.as(nanoseconds);
  const kinds = [update, setsockopt, unregister].filter((kind) => kind !== undefined);
  if (kinds.length !== 1) throw value.bad('an event is one of update, setsockopt, unregister');
  if ((flow === undefined) !== (setsockopt === undefined))
    throw value.bad("'flow' says whose setsockopt it is: both or none");
  if (table !== undefined && update === undefined) throw table.bad("'table' is the one that an update puts in place");
  if (update !== undefined)
    return { atNs, kind: 'update', object: file(update), ...(table === undefined ? {} : { table: table.text() }) };
  if (setsockopt !== undefined) return { atNs, kind: 'setsockopt', flow: flow!.text(), congestion: setsockopt.text() };
  return { atNs, kind: 'unregister', congestion: unregister!.text() };
}
