#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { TrampetError } from '../base/index.ts';
import { CliError } from './error.ts';
import { bold, out, progress, setColor } from './print.ts';

type Command = (args: string[]) => number | Promise<number>;

/** Each command is read when it is wanted: starting takes as long as what is used. */
const COMMANDS: Record<string, () => Promise<Command>> = {
  run: async () => (await import('./run.ts')).run,
  sweep: async () => (await import('./sweep.ts')).sweep,
  merge: async () => (await import('./sweep.ts')).merge,
  test: async () => (await import('./test.ts')).test,
  inspect: async () => (await import('./inspect.ts')).inspect,
  verify: async () => (await import('./verify.ts')).verify,
  jit: async () => (await import('./jit.ts')).jit,
  trampoline: async () => (await import('./trampoline.ts')).trampoline,
  hash: async () => (await import('./hash.ts')).hash,
  break: async () => (await import('./break.ts')).breakCommand,
  splat: async () => (await import('./splat.ts')).splat,
  conformance: async () => (await import('./conformance.ts')).conformance,
};

const help = () => `${bold('trampet')}: Linux's bpf_struct_ops under kCFI and FineIBT, in user space

  run OBJ                      load, register, and drive a congestion control over a simulated link
  sweep OBJ…                   objects × links × seeds on all cores; merge FILE… joins what several machines did
  test OBJ [CASES]             BPF_PROG_TEST_RUN of bpf_dummy_ops programs
  inspect OBJ                  ops tables, programs, maps, CO-RE relocations
  verify OBJ [PROGRAM]         verdicts of Linux 6.18's verifier, with its log
  jit OBJ PROGRAM              C, BPF and x86-64 side by side
  trampoline OBJ TABLE.MEMBER  the annotated trampoline
  hash 'PROTOTYPE'             kCFI type id of a C function type
  break OBJ TABLE.MEMBER       call it wrongly: what traps in which CFI mode
  splat [FILE]                 explain a CFI or "Missing ENDBR" report
  conformance DIR              instruction tests, in an interpreter and on the machine

  trampet run cubic.bpf.o --all-cfi
  trampet trampoline cubic.bpf.o cubic.ssthresh --cfi kcfi
  trampet hash 'u32 ssthresh(struct sock *sk)'

'trampet COMMAND --help' tells the rest; --color and --no-color go with each.
Exit codes: 0 fine, 1 the answer is no, 2 usage, 3 unreadable or unsupported input.`;

const EXIT: Record<TrampetError['kind'], number> = { refused: 1, usage: 2, unreadable: 3, unsupported: 3 };

function version(): string {
  const { version: text } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  return text;
}

async function main(args: string[]): Promise<number> {
  setColor(args.includes('--no-color') ? false : args.includes('--color') ? true : undefined);
  const rest = args.filter((arg) => arg !== '--color' && arg !== '--no-color');
  // `help COMMAND` is `COMMAND --help`.
  const [name, ...own] = rest[0] === 'help' && rest.length === 2 ? [rest[1], '--help'] : rest;
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    out(help());
    return 0;
  }
  if (name === '--version') {
    out(version());
    return 0;
  }
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) throw new CliError(`'${name}' is no command`, 'usage', "'trampet --help' lists them");
  return (await command())(own);
}

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});
try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  progress('');
  if (error instanceof TrampetError) {
    process.stderr.write(`trampet: ${error.message}\n`);
    if (error.hint !== undefined) process.stderr.write(`  ${error.hint}\n`);
    process.exitCode = EXIT[error.kind];
  } else {
    process.stderr.write(
      `trampet ${version()}: this is a bug in trampet; please report it with the command and the object\n${error instanceof Error ? error.stack : String(error)}\n`,
    );
    process.exitCode = 70;
  }
}
