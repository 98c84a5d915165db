import type { Document, LineCounter } from 'yaml';
import { TrampetError } from '../base/index.ts';
import { CliError } from './error.ts';

type Key = string | number;

/** A value of a YAML file, with its place: every complaint names file, line and path (`flows[1].start`). */
export class YamlValue {
  readonly #file: YamlFile;
  readonly #path: readonly Key[];
  readonly #value: unknown;

  constructor(file: YamlFile, path: readonly Key[], value: unknown) {
    this.#file = file;
    this.#path = path;
    this.#value = value;
  }

  get missing(): boolean {
    return this.#value === undefined || this.#value === null;
  }

  bad(why: string): CliError {
    return this.#file.bad(this.#path, why);
  }

  /** The value, if it is a mapping of nothing but `keys`, for the keys that are there. @throws CliError */
  mapping<K extends string>(what: string, keys: readonly K[]): Partial<Record<K, YamlValue>> {
    const value = this.#value;
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw this.bad(`${what} is a mapping of ${keys.join(', ')}`);
    const found: Partial<Record<K, YamlValue>> = {};
    for (const [key, own] of Object.entries(value)) {
      const known = keys.find((name) => name === key);
      if (known === undefined)
        throw new YamlValue(this.#file, [...this.#path, key], own).bad(
          `'${key}' is no part of ${what} (${keys.join(', ')})`,
        );
      const child = new YamlValue(this.#file, [...this.#path, key], own);
      if (!child.missing) found[known] = child;
    }
    return found;
  }

  /** @throws CliError unless it is a list */
  list(): YamlValue[] {
    if (!Array.isArray(this.#value)) throw this.bad('is no list');
    return this.#value.map((own, i) => new YamlValue(this.#file, [...this.#path, i], own));
  }

  get isText(): boolean {
    return typeof this.#value === 'string';
  }

  /** @throws CliError unless it is a text or a number */
  text(): string {
    if (typeof this.#value !== 'string' && typeof this.#value !== 'number') throw this.bad('is no text');
    return `${this.#value}`;
  }

  /** @throws CliError unless it is true or false */
  flag(): boolean {
    if (typeof this.#value !== 'boolean') throw this.bad('is neither true nor false');
    return this.#value;
  }

  /** @throws CliError unless it is one of the words */
  oneOf<const W extends string>(words: readonly W[]): W {
    const found = words.find((word) => word === this.#value);
    if (found === undefined) throw this.bad(`is not one of ${words.join(', ')}`);
    return found;
  }

  /** What `read` makes of the text; what it refuses is told with the place. @throws CliError */
  as<T>(read: (text: string) => T): T {
    const text = this.text();
    try {
      return read(text);
    } catch (error) {
      if (!(error instanceof TrampetError)) throw error;
      throw this.bad(error.message);
    }
  }
}

/** A YAML file that was read. */
export class YamlFile {
  readonly #path: string;
  readonly #document: Document;
  readonly #lines: LineCounter;

  constructor(path: string, document: Document, lines: LineCounter) {
    this.#path = path;
    this.#document = document;
    this.#lines = lines;
  }

  /** The whole. @throws CliError for what is no YAML */
  static async parse(path: string, text: string): Promise<YamlValue> {
    const { LineCounter, parseDocument } = await import('yaml');
    const lines = new LineCounter();
    const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: 'error' });
    const file = new YamlFile(path, document, lines);
    const [error] = document.errors;
    if (error !== undefined)
      throw new CliError(`${path}:${lines.linePos(error.pos[0]).line}: ${oneLine(error.message)}`, 'unreadable');
    try {
      return new YamlValue(file, [], document.toJS());
    } catch (cause) {
      throw new CliError(`${path}: ${oneLine((cause as Error).message)}`, 'unreadable');
    }
  }

  bad(path: readonly Key[], why: string): CliError {
    const text = path.map((key, i) => (typeof key === 'number' ? `[${key}]` : i === 0 ? key : `.${key}`)).join('');
    const where = text === '' ? '' : ` ${oneLine(text)}:`;
    return new CliError(`${this.#path}:${this.#lineOf(path)}:${where} ${oneLine(why)}`, 'unreadable');
  }

  /** Line of the value, or of the nearest that it lies in. */
  #lineOf(path: readonly Key[]): number {
    for (let length = path.length; length >= 0; length--) {
      const node = this.#document.getIn(path.slice(0, length), true) as { range?: readonly number[] } | undefined;
      const at = node?.range?.[0];
      if (at !== undefined) return this.#lines.linePos(at).line;
    }
    return 1;
  }
}

const oneLine = (text: string) => text.split(/[\r\n]/)[0]!.replace(/[^\x20-\x7e\u00a0-\uffff]/g, '?');
