import { hex32 } from '../base/index.ts';
import type { PastedReport } from './read.ts';

/** Which check failed, as the bytes around the trap tell. */
export type CheckKind =
  | 'kcfi'
  | 'fineibt r10'
  | 'fineibt ea'
  | 'fineibt eax'
  | 'paranoid'
  | 'paranoid its'
  | 'ibt'
  | 'unknown';

/** A type id and who has it. */
export interface TypeReading {
  id: number;
  prototypes: string[];
}

export interface Explanation {
  kind: CheckKind;
  /** The check in words, and the kernels that have this form. */
  check: string;
  kernels: string;
  where: string;
  target?: string;
  /** What the target is, if its symbol says so. */
  targetIs?: string;
  wanted?: TypeReading;
  /** Undefined where the report does not hold it. */
  found?: TypeReading;
  warned: boolean;
  release?: string;
  /** What follows from the above, line by line. */
  notes: string[];
  /** A known fault of a kernel that this certainly is. */
  resembles?: { id: string; what: string };
}

interface Form {
  kind: CheckKind;
  /** Bytes before the trap, the trap itself and what follows; −1 stands for any byte. */
  before: readonly number[];
  trap: readonly number[];
  check: string;
  kernels: string;
}

const ANY = -1;
const HASH = [ANY, ANY, ANY, ANY] as const;
const FORMS: readonly Form[] = [
  {
    kind: 'kcfi',
    before: [0x41, 0xba, ...HASH, 0x45, 0x03, 0x53, ANY, 0x74, 0x02],
    trap: [0x0f, 0x0b],
    check: 'kCFI: the caller compares the hash in front of the callee with its own; ud2 at the call site',
    kernels: 'since 6.1',
  },
  {
    kind: 'fineibt r10',
    before: [0x41, 0x81, 0xea, ...HASH, 0x74, ANY],
    trap: [0x0f, 0x0b],
    check: "FineIBT: the callee compares the hash that the caller brings in r10d; ud2 in the callee's preamble",
    kernels: '6.2 to 6.14',
  },
  {
    kind: 'fineibt ea',
    before: [0xf3, 0x0f, 0x1e, 0xfa, 0x41, 0x81],
    trap: [0xea],
    check:
      "FineIBT: the callee compares the hash that the caller brings in r10d; the 0xea byte of the preamble's sub traps",
    kernels: '6.15 to 6.17, from source',
  },
  {
    kind: 'fineibt eax',
    before: [0x2d, ...HASH, 0x2e, 0x0f, 0x85, 0x03, 0, 0, 0, 0x0f, 0x1f, 0x40],
    trap: [0xd6],
    check: 'FineIBT: the callee compares the hash that the caller brings in eax; the d6 in its poisoned ENDBR traps',
    kernels: 'since 6.18',
  },
  {
    kind: 'paranoid',
    before: [0xb8, ...HASH, 0x41, 0x3b, 0x43, 0xf5, 0x2e, 0x4d, 0x8d, 0x5b],
    trap: [0xf0, 0x75, 0xfd],
    check: 'paranoid FineIBT: the caller compares before it calls; the f0 inside of its lea traps (lock jne)',
    kernels: 'since 6.18 in this form',
  },
  {
    kind: 'paranoid its',
    before: [],
    trap: [0xd6, 0x75, 0xfd],
    check: "paranoid FineIBT with ITS thunks: the d6 in front of a thunk's jne traps",
    kernels: 'since 6.18 in this form',
  },
];

/** Explains a report by what it holds and nothing else. @param prototypes who has which type id, see prototypesByHash */
export function explain(report: PastedReport, prototypes: ReadonlyMap<number, string[]>, hashSeed = 0): Explanation {
  if (report.vector === 'missing endbr') return explainEndbr(report);
  const form = formOf(report);
  const reading = (id: number): TypeReading => ({ id, prototypes: prototypes.get((id ^ hashSeed) >>> 0) ?? [] });
  const found = foundHash(report, form?.kind);
  const target = report.target!;
  const is = describeTarget(target);
  const resembles = resemblance(report, form?.kind, found);
  return {
    kind: form?.kind ?? 'unknown',
    check: form?.check ?? 'the report has no Code line that shows the check',
    kernels: form?.kernels ?? 'not in this report',
    where: report.where,
    target,
    ...(is === undefined ? {} : { targetIs: is }),
    wanted: reading(report.expected!),
    ...(found === undefined ? {} : { found: reading(found) }),
    warned: report.warned,
    ...(report.release === undefined ? {} : { release: report.release }),
    notes: notesOn(report, form?.kind, found),
    ...(resembles === undefined ? {} : { resembles }),
  };
}

function explainEndbr(report: PastedReport): Explanation {
  const is = describeTarget(report.where);
  return {
    kind: 'ibt',
    check: 'IBT: the CPU wants an ENDBR where an indirect branch lands (#CP)',
    kernels: 'since 5.18, on CPUs with CET',
    where: report.where,
    target: report.where,
    ...(is === undefined ? {} : { targetIs: is }),
    warned: report.warned,
    ...(report.release === undefined ? {} : { release: report.release }),
    notes: [
      'who branched there is not in this report; the first line of the call trace is where it would have returned to',
      ...(/\+0x0\//.test(report.where)
        ? [
            'the target is the start of a function: it was sealed because nobody takes its address, or was built without ENDBR',
          ]
        : ['the target is not the start of a function']),
    ],
  };
}

function formOf({ code }: PastedReport): Form | undefined {
  if (code === undefined) return undefined;
  const { bytes, trap } = code;
  return FORMS.find(
    (form) =>
      form.trap.every((byte, i) => bytes[trap + i] === byte) &&
      form.before.every((byte, i) => {
        const at = trap - form.before.length + i;
        // What lies before the Code line's first byte is not known, and not held against the form.
        return byte === ANY || at < 0 || bytes[at] === byte;
      }),
  );
}

/** The callee's type id, from the register in which the check took the difference. */
function foundHash({ registers, expected }: PastedReport, kind: CheckKind | undefined): number | undefined {
  const of = (name: string, combine: (value: number) => number) => {
    const value = registers.get(name);
    return value === undefined ? undefined : combine(value) >>> 0;
  };
  switch (kind) {
    case 'kcfi':
      return of('R10', (value) => value + expected!);
    case 'fineibt r10':
    case 'fineibt ea':
      return of('R10', (value) => expected! - value);
    case 'fineibt eax':
      return of('RAX', (value) => expected! - value);
    default:
      return undefined;
  }
}

function describeTarget(symbol: string): string | undefined {
  const trampoline = /^bpf__(\w+)\+0x([0-9a-f]+)\//.exec(symbol);
  if (trampoline !== null) {
    const split = /^(.*_ops)_(\w+)$/.exec(trampoline[1]!);
    const member = split === null ? trampoline[1]! : `${split[1]}.${split[2]}`;
    return `the BPF trampoline of ${member}, ${Number.parseInt(trampoline[2]!, 16)} bytes into its image`;
  }
  const program = /^bpf_prog_([0-9a-f]{16})_(\w+)\+/.exec(symbol);
  if (program !== null) return `BPF program ${program[2]} (tag ${program[1]})`;
  if (/^bpf_trampoline_\d+/.test(symbol)) return 'a BPF trampoline of a traced function';
  if (/^0x[0-9a-f]+$/i.test(symbol))
    return 'an address without a symbol: not registered yet, or text that is no function';
  return undefined;
}

function notesOn(report: PastedReport, kind: CheckKind | undefined, found: number | undefined): string[] {
  const notes: string[] = [];
  if (kind === 'kcfi' || kind === 'paranoid') notes.push(`the call site is in ${report.where.replace(/\+.*/, '')}`);
  if (kind === 'fineibt r10' || kind === 'fineibt eax' || kind === 'fineibt ea')
    notes.push('the call site is not in the report itself: it is the first return address of the call trace');
  const end = /\+0x([0-9a-f]+)\/0x([0-9a-f]+)$/.exec(report.target ?? '');
  if (end !== null && end[1] === end[2])
    notes.push('the target is one byte past the end of that symbol: it is the first byte of what lies behind it');
  if (found === undefined) {
    notes.push(
      kind === 'paranoid' || kind === 'paranoid its'
        ? "the callee's type id is not in this report: the caller compared it in memory"
        : "the callee's type id is not in this report",
    );
  } else if (found === report.expected)
    notes.push('wanted and found agree: the registers do not belong to this failure');
  if (report.warned) notes.push('cfi=warn: the call went on');
  return notes;
}

const PREAMBLE_BYTES = 0x0f2e0000;

/** Known faults, each by a sign that nothing else leaves. */
function resemblance(
  { where, target, expected }: PastedReport,
  kind: CheckKind | undefined,
  found: number | undefined,
): Explanation['resembles'] {
  if (kind === 'fineibt eax' && found === ((expected! >>> 16) | PREAMBLE_BYTES) >>> 0)
    return {
      id: 'stub-hash',
      what: `Linux 6.18.32 reads a stub's hash two bytes too far: ${hex32(found)} is the upper half of the wanted id and two opcode bytes; every struct_ops call traps`,
    };
  if (kind === 'paranoid its' && where.startsWith('__x86_indirect_its_thunk_array'))
    return {
      id: 'paranoid-its',
      what: "a BPF tail call entered the static ITS thunk at a caller's hash check (Linux 6.18.32, paranoid FineIBT with ITS); the type shown is what eax happened to hold",
    };
  if (kind === 'kcfi' && /^bpf__\w+\+0x0\//.test(target ?? ''))
    return {
      id: 'no-offset',
      what: 'the table holds the first byte of the trampoline: no CFI offset was added, as in kernels before 6.8',
    };
  return undefined;
}
