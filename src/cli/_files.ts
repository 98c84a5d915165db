import { closeSync, openSync, writeSync } from 'node:fs';
import { CliError } from './error.ts';

const BUFFER = 1 << 16;

/** A text file that is being written; lines are gathered so that a long trace costs few writes. */
export class TextFile {
  readonly #path: string;
  readonly #fd: number;
  #pending: string[] = [];
  #size = 0;

  /** @throws CliError if the file cannot be made */
  constructor(path: string, append = false) {
    this.#path = path;
    this.#fd = this.#try(() => openSync(path, append ? 'a' : 'w'));
  }

  write(text: string): void {
    this.#pending.push(text);
    this.#size += text.length;
    if (this.#size >= BUFFER) this.flush();
  }

  flush(): void {
    const bytes = Buffer.from(this.#pending.join(''));
    this.#pending = [];
    this.#size = 0;
    this.#try(() => {
      for (let at = 0; at < bytes.length; ) at += writeSync(this.#fd, bytes, at);
    });
  }

  close(): void {
    this.flush();
    closeSync(this.#fd);
  }

  #try<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw new CliError(`${this.#path}: ${(error as Error).message}`, 'unreadable');
    }
  }
}
