import { type Facts, group, type MessageClass, R } from './facts.ts';

const asm = 'This does not come from C code as such: look at inline assembly, or at what generated the instructions.';
const none = () => [];
const insnOf = (m: RegExpMatchArray): number => Number(group(m, 'insn'));

/** BPF_LD of a packet, which overwrites r0 to r5 as a call does. */
const isPacketLoad = (code: number): boolean => (code & 0xe7) === 0x20 || (code & 0xe7) === 0x40;

const unread = (facts: Facts, regno: number): 'return' | 'clobbered' | 'unset' => {
  if (facts.insn?.code === 0x95 && regno === 0) return 'return';
  const steps = facts.slice([regno]);
  const last = steps.at(-1);
  const at = last === undefined ? -1 : facts.path[last.index]!.at;
  const clobbered = facts.text.callee(at) !== undefined || isPacketLoad(facts.verdict.insns[at]?.code ?? 0);
  return regno >= 1 && regno <= 5 && clobbered ? 'clobbered' : 'unset';
};

/** What the instructions themselves must keep to: registers, arithmetic, jumps, loops, size. */
export const FLOW: readonly MessageClass[] = [
  {
    id: 'uninitialized',
    pattern: /R(?<reg>\d+) !read_ok/,
    slice: (m, f) => ({ branches: unread(f, R(m)) === 'unset' }),
    reason: (m, f) => {
      switch (unread(f, R(m))) {
        case 'return':
          return 'On this way the function ends without a return value.';
        case 'clobbered':
          return `r${R(m)} is used after a call (or an old packet load), which overwrites r0 to r5.`;
        default:
          return `r${R(m)} is used on a way on which nothing was put into it: a variable is read before it is set.`;
      }
    },
    suggestion: (m, f) =>
      ({
        return: 'Return a number on every way: return 0;',
        clobbered:
          'Keep the value in r6 to r9 over the call, or load it again. From C, look at inline assembly and at prototypes of functions that take fewer arguments than they use.',
        unset:
          'Initialise the variable where it is declared. Compilers drop what depends on an uninitialised variable: build with -Wall.',
      })[unread(f, R(m))],
  },
  {
    id: 'frame-pointer',
    pattern: /frame pointer is read only/,
    reason: () => 'r10 holds the address of the stack and cannot be changed.',
    suggestion: () => 'Copy it first: r2 = r10; r2 += -8;',
  },
  {
    id: 'pointer-arithmetic-null',
    pattern: /R(?<reg>\d+) pointer arithmetic on (?<type>\S+) prohibited, null-check it first/,
    reason: (m, f) => `The pointer (${f.words(R(m))}) is moved before it was checked for NULL.`,
    suggestion: (m, f) => `Check it first: if (!${f.variable(R(m), 'ptr')}) ${f.leave}`,
  },
  {
    id: 'pointer-arithmetic',
    pattern:
      /R(?<reg>\d+) (?:(?<wide>32-bit) pointer arithmetic prohibited|pointer arithmetic (?:on (?<type>\S+) prohibited|with (?<op>\S+) operator prohibited|prohibited)|tried to subtract pointer from scalar|subtraction from stack pointer prohibited|bitwise operator (?<bits>\S+) on pointer prohibited|pointer \S+ pointer prohibited|sign-extension part of pointer|partial copy of pointer)/,
    reason: (m, f) => {
      const op = group(m, 'op') || group(m, 'bits');
      if (group(m, 'type') !== '') return `Nothing may be added to this pointer: ${f.words(R(m))}.`;
      if (/stack pointer/.test(m[0]))
        return 'Numbers may be added to the address of the stack, but not subtracted from it.';
      if (/pointer \S+ pointer/.test(m[0]))
        return 'Two pointers are computed with each other; only a number may be added to a pointer.';
      if (group(m, 'wide') !== '') return 'A pointer is computed with in 32 bits, which would cut off its upper half.';
      return op === ''
        ? 'To a pointer, numbers may be added and subtracted; this computes something else with it.'
        : `To a pointer, numbers may be added and subtracted, but '${op}' is not defined for it.`;
    },
    suggestion: (m, f) =>
      group(m, 'type') === 'pkt_end'
        ? 'Compute with the pointer that starts at data instead, and compare it with data_end.'
        : `Compute the offset as a number first, then add it to the pointer.${f.source.includes('long') ? '' : ' If the number is meant, read the pointer with bpf_probe_read_kernel() or keep it as u64 from the start.'}`,
  },
  {
    id: 'pointer-comparison',
    pattern: /R(?<reg>\d+) pointer comparison prohibited/,
    reason: () => 'Pointers of these kinds cannot be compared.',
    suggestion: () => 'Compare with NULL, or compare identifiers that the objects hold.',
  },
  {
    id: 'division-by-zero',
    pattern: /div by zero/,
    reason: () => 'The program divides by the constant 0.',
    suggestion: () => 'Check the divisor; where it is computed at compile time, look at the macro that gives it.',
  },
  {
    id: 'shift',
    pattern: /invalid shift (?<by>-?\d+)/,
    reason: (m, f) =>
      `A shift by ${group(m, 'by')} is not defined for ${(f.insn?.code ?? 7) % 8 === 4 ? 32 : 64} bits.`,
    suggestion: (_m, f) => `Shift by 0 … ${(f.insn?.code ?? 7) % 8 === 4 ? 31 : 63}.`,
  },
  {
    id: 'bad-instruction',
    pattern:
      /unknown opcode (?<code>[0-9a-f]+)|(?<what>\w[\w/ |[\]]*) uses? (?:reserved fields|invalid)|invalid BPF_(?:LD|ALU|JMP)\S* (?:mode|opcode|insn)|invalid bpf_ld_imm64 insn|unrecognized bpf_ld_imm64|R\d+ is invalid|BPF_ATOMIC uses invalid atomic opcode|invalid atomic operand size|unknown insn class/,
    follow: none,
    at: (m, f) => (f.path.length > 0 ? f.at : opcodeAt(f, group(m, 'code'))),
    reason: (m) =>
      group(m, 'code') === ''
        ? `An instruction is not a valid one (${m[0]}).`
        : `There is an instruction with the unknown opcode 0x${group(m, 'code')}.`,
    suggestion: () => `${asm} A newer instruction set than the kernel knows is another cause: try -mcpu=v3.`,
  },
  {
    id: 'jump-target',
    pattern:
      /jump out of range from insn (?<insn>\d+) to (?<to>-?\d+)|jump into the middle of ldimm64 insn (?<wide>\d+)/,
    at: (m) => (group(m, 'insn') === '' ? Number(group(m, 'wide')) : insnOf(m)),
    follow: none,
    reason: (m) =>
      group(m, 'insn') === ''
        ? 'A jump goes into the middle of a 16-byte instruction.'
        : `A jump leaves its function: instruction ${group(m, 'to')} is not part of it.`,
    suggestion: () => asm,
  },
  {
    id: 'unreachable',
    pattern: /unreachable insn (?<insn>\d+)/,
    at: insnOf,
    follow: none,
    reason: () => 'No way leads to this instruction; a program may not hold dead code.',
    suggestion: (_m, f) =>
      hasBackwardGoto(f)
        ? 'A loop before it never ends: give the loop an exit that can be reached.'
        : 'Remove the code, or look for a jump or exit before it that is always taken. Compilers remove dead code with -O2.',
  },
  {
    id: 'falls-off',
    pattern: /last insn is not an exit or jmp/,
    at: (_m, f) => f.verdict.insns.length - 1,
    follow: none,
    reason: () => 'A function runs past its last instruction: it does not return.',
    suggestion: () =>
      'End every function with return. If C has one, the compiler took the end for unreachable: look for undefined behaviour before it (an uninitialised variable, a shift too far, a missing return).',
  },
  {
    id: 'recursion',
    pattern: /back-edge from insn (?<insn>\d+) to (?<to>\d+)|recursive call/,
    at: (m) => (group(m, 'insn') === '' ? null : insnOf(m)),
    follow: none,
    reason: () => 'The program has a loop, or a function that calls itself, where none is allowed.',
    suggestion: () => 'Use bpf_for(), bpf_loop() or a bounded for loop; recursion is not possible.',
  },
  {
    id: 'infinite-loop',
    pattern: /infinite loop detected at insn (?<insn>\d+)/,
    at: insnOf,
    slice: (m) => ({ branches: true, from: insnOf(m) }),
    reason: () => 'The loop came around with nothing changed that the verifier looks at: it may never end.',
    suggestion: () =>
      'Count the rounds and stop at a constant (for (i = 0; i < 64; i++)), or use bpf_for() or bpf_loop(). The counter must be a local variable.',
  },
  {
    id: 'too-complex',
    pattern: /BPF program is too large\. Processed (?<count>\d+) insn/,
    follow: none,
    reason: (_m, f) =>
      `The verifier gave up after a million instructions: too many different ways lead through the program, or a loop has too many rounds (${f.loop}).`,
    suggestion: () =>
      'Use bpf_for(), bpf_loop() or can_loop for long loops, so that one round is looked at for all; move parts into global (non-static) functions, which are verified once; keep fewer conditions open at the same time.',
  },
  {
    id: 'too-many-jumps',
    pattern: /The sequence of (?<count>\d+) jumps is too complex/,
    follow: none,
    reason: (_m, f) => `More than 8192 branches are open at the same time on one way through the program (${f.loop}).`,
    suggestion: () =>
      'Turn the loop that holds the branches into bpf_for() or bpf_loop(), or move its body into a global function.',
  },
  {
    id: 'too-many',
    pattern:
      /too many (?<what>subprograms|different kernel function calls|different module BTFs)|The total number of maps per program/,
    at: () => null,
    follow: none,
    reason: (m) => `The program has too many ${group(m, 'what') || 'maps'}.`,
    suggestion: () => 'Split it into several programs joined by tail calls.',
  },
];

/** The first instruction of this opcode. */
function opcodeAt(facts: Facts, code: string): number | null {
  const at = code === '' ? -1 : facts.verdict.insns.findIndex((insn) => insn.code === Number.parseInt(code, 16));
  return at < 0 ? null : at;
}

const hasBackwardGoto = (facts: Facts): boolean =>
  facts.verdict.insns.some(({ code, off, imm }) => (code === 0x05 && off < 0) || (code === 0x06 && imm < 0));
