#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { fromHex, TrampetError } from '../base/index.ts';
import { readInsns } from '../bpf/index.ts';
import { readBtf } from '../btf/index.ts';
import { Guest } from '../conformance/index.ts';
import { makeTarget } from '../target/index.ts';

// The plugin protocol of the bpf_conformance project: the program comes as base16 on standard input, memory as base16 in the
// first argument; r0 goes out as hex, or a message and a non-zero exit code. Options are --cfi MODE and --program HEX.

/** Base16 with any white space. */
function base16(text: string): Uint8Array {
  const digits = text.replace(/\s+/g, '');
  if (!/^([0-9a-f]{2})*$/i.test(digits)) throw new TypeError('not base16');
  return fromHex(digits.toLowerCase());
}

function main(args: string[]): number {
  const cfi = args.includes('--cfi') ? args[args.indexOf('--cfi') + 1] : 'fineibt';
  if (cfi !== 'off' && cfi !== 'kcfi' && cfi !== 'fineibt') throw new TypeError('--cfi takes off, kcfi or fineibt');
  const rest = args.filter((arg, i) => arg !== '--cfi' && args[i - 1] !== '--cfi');
  const at = rest.indexOf('--program');
  const program = at < 0 ? readFileSync(0, 'utf8') : (rest[at + 1] ?? '');
  const memory = rest.find((arg, i) => !arg.startsWith('--') && (at < 0 || i !== at + 1)) ?? '';
  const bytes = base16(program);
  if (bytes.length === 0 || bytes.length % 8 !== 0) throw new TypeError('the program is no multiple of 8 bytes');
  const btf = readBtf(
    new Uint8Array(readFileSync(fileURLToPath(new URL('../../data/btf/vmlinux-6.12.btf', import.meta.url)))),
  );
  const { r0 } = new Guest(makeTarget({ release: '6.12', btf, cfi })).run(readInsns(bytes), base16(memory));
  process.stdout.write(`${r0.toString(16)}\n`);
  return 0;
}

try {
  process.exitCode = main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof TrampetError) && !(error instanceof TypeError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
