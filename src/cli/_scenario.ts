import { dirname, resolve } from 'node:path';
import { parseDocument } from 'yaml';
import { CliError } from './error.ts';
import { readFile } from './session.ts';

/** What a scenario file says; options on the command line go before it. */
export interface ScenarioFile {
  /** Paths of the objects, one a flow; in the file they are relative to it. */
  objects: string[];
  table?: string;
  link?: string;
  for?: string;
  seed?: string;
  assert: string[];
}

export const isScenario = (path: string): boolean => /\.ya?ml$/i.test(path);

const WORDS = ['link', 'for', 'seed'] as const;

/**
 * Reads a scenario: `link`, `for`, `seed`, `assert` (a list), `flows` (a list of `object`; if there is one
 * flow, with `table`). @throws CliError naming the file and what is wrong in it
 */
export function readScenario(path: string): ScenarioFile {
  const bad = (why: string) => new CliError(`${path}: ${why}`, 'unreadable');
  const document = parseDocument(new TextDecoder().decode(readFile(path)));
  const [error] = document.errors;
  if (error !== undefined) throw bad(error.message.split('\n')[0]!.replace(/:$/, ''));
  let root: unknown;
  try {
    root = document.toJS();
  } catch (cause) {
    throw bad((cause as Error).message);
  }
  const top = mapping(root, ['link', 'for', 'seed', 'assert', 'flows'], 'a scenario', bad);
  const scenario: ScenarioFile = { objects: [], assert: [] };
  for (const name of WORDS) if (top[name] !== undefined) scenario[name] = word(top[name], name, bad);
  scenario.assert = list(top['assert'] ?? [], 'assert', bad).map((text) => word(text, 'assert', bad));
  const flows = list(top['flows'] ?? [], 'flows', bad);
  if (flows.length === 0) throw bad("'flows' names no flow");
  for (const value of flows) {
    const flow = mapping(value, flows.length === 1 ? ['object', 'table'] : ['object'], 'a flow', bad);
    if (flow['object'] === undefined) throw bad("a flow has no 'object'");
    scenario.objects.push(resolve(dirname(path), word(flow['object'], 'object', bad)));
    if (flow['table'] !== undefined) scenario.table = word(flow['table'], 'table', bad);
  }
  return scenario;
}

type Bad = (why: string) => CliError;

function mapping(value: unknown, keys: readonly string[], what: string, bad: Bad): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw bad(`${what} is a mapping of ${keys.join(', ')}`);
  for (const key of Object.keys(value))
    if (!keys.includes(key)) throw bad(`'${key}' is no part of ${what} (${keys.join(', ')})`);
  return value as Record<string, unknown>;
}

function list(value: unknown, name: string, bad: Bad): unknown[] {
  if (!Array.isArray(value)) throw bad(`'${name}' is no list`);
  return value;
}

function word(value: unknown, name: string, bad: Bad): string {
  if (typeof value !== 'string' && typeof value !== 'number') throw bad(`'${name}' is no text`);
  return `${value}`;
}
