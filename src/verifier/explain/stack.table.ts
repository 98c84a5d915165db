import { bytes, type Facts, group, type MessageClass, R } from './facts.ts';

const FRAME = 512;

/** `off=-520 size=8` against the 512 bytes of a frame. */
function outside(off: number, size: number): string {
  if (off >= 0) return `The access of ${bytes(size)} lies above the function's own stack, which ends at 0.`;
  if (off < -FRAME) return `The access lies ${-off} bytes down; a function has ${FRAME} bytes of stack.`;
  return `The access of ${bytes(size)} at ${off} reaches beyond the end of the function's stack.`;
}

/** Functions of the program with the stack that each uses, the largest first. */
function depths(facts: Facts): string {
  const subs = facts.verdict.subprogs.map(({ start, stackDepth }) => ({
    name: facts.text.functionAt(start),
    depth: Math.ceil(stackDepth / 16) * 16,
  }));
  return subs
    .sort((a, b) => b.depth - a.depth)
    .slice(0, 4)
    .map(({ name, depth }) => `${name}() ${depth}`)
    .join(', ');
}

const LARGEST = 'Move large local variables into a per-CPU array map, or make them smaller.';

/** The function's stack: where, what was written there, and how much of it there is. */
export const STACK: readonly MessageClass[] = [
  {
    id: 'stack-bounds',
    pattern:
      /invalid (?:indirect |zero-sized )?(?<what>read from|write to|access to|indirect access to)? ?stack R(?<reg>\d+) off=(?<off>-?\d+) size=(?<size>\d+)/,
    reason: (m) => outside(Number(group(m, 'off')), Number(group(m, 'size'))),
    suggestion: (m) =>
      Number(group(m, 'off')) < -FRAME
        ? LARGEST
        : 'Local variables lie below the frame pointer: check the offset, and the size of the array.',
  },
  {
    id: 'stack-variable-offset',
    pattern:
      /invalid (?<unbounded>unbounded )?variable-offset(?: indirect)?(?<what> read from| write to| access to| indirect access to)? stack R(?<reg>\d+)/,
    reason: (m, f) =>
      `The position in the array on the stack is not a constant (${f.words(R(m))}), ${group(m, 'unbounded') === '' ? 'and not all that it may be lies in memory that was written' : 'and has no limit that the verifier can see'}.`,
    suggestion: (_m, f) =>
      `Fill the whole array first (= {}), and check the index right before the access: if (${f.index('i')} >= N) ${f.leave} Or keep the array in a map value.`,
  },
  {
    id: 'stack-uninitialized',
    pattern:
      /invalid (?:indirect )?read from stack (?:R(?<reg>\d+) )?(?:off (?<off>-?\d+)|var_off \S+(?: \S+)?)\+(?<at>\d+) size (?<size>\d+)/,
    slice: () => ({ branches: true }),
    reason: (m, f) => {
      const what = f.text.callee(f.at) === undefined ? 'The program reads' : `${f.callee} reads`;
      return `${what} ${bytes(group(m, 'size'))} of the stack, of which byte ${group(m, 'at')} was not written on this way.`;
    },
    suggestion: () =>
      'Initialise the variable where it is declared (= {} or = 0), padding between members included: __builtin_memset(&x, 0, sizeof(x)).',
  },
  {
    id: 'spill-size',
    pattern: /invalid size of register (?<what>fill|spill)/,
    reason: (m) =>
      group(m, 'what') === 'fill'
        ? 'A pointer that was saved on the stack is read back in part; half a pointer is of no use.'
        : 'A pointer is saved on the stack in part.',
    suggestion: () => 'Read and write it as one 8-byte variable (a pointer, not u32).',
  },
  {
    id: 'spill-corrupt',
    pattern: /attempt to corrupt spilled pointer on stack/,
    reason: () => 'The write changes some bytes of a pointer that is saved on the stack.',
    suggestion: () => 'Overwrite the whole 8 bytes, or use another variable.',
  },
  {
    id: 'stack-of-caller',
    pattern: /cannot spill pointers to stack into stack frame of the caller|cannot return stack pointer to the caller/,
    reason: () => "The address of a function's local variable would outlive the function.",
    suggestion: () => 'Let the caller own the variable and pass its address down.',
  },
  {
    id: 'dynptr-overwrite',
    pattern: /potential write to dynptr|cannot overwrite referenced dynptr/,
    reason: () => 'The write may destroy a dynptr on the stack that is still in use.',
    suggestion: () => 'Release it first (bpf_ringbuf_submit_dynptr() or discard), or use another variable.',
  },
  {
    id: 'stack-size',
    pattern:
      /stack size of subprog (?<sub>\d+) is (?<size>\d+)\. Too large|stack size (?<size2>\d+)\(extra \d+\) is too large/,
    at: () => null,
    follow: () => [],
    reason: (m, f) => {
      const sub = f.verdict.subprogs[Number(group(m, 'sub'))];
      const name = sub === undefined ? 'A function' : `${f.text.functionAt(sub.start)}()`;
      return `${name} needs ${group(m, 'size') || group(m, 'size2')} bytes of stack; ${FRAME} are allowed.`;
    },
    suggestion: () => LARGEST,
  },
  {
    id: 'stack-combined',
    pattern: /combined stack size of (?<calls>\d+) calls is (?<size>\d+)\. Too large/,
    at: () => null,
    follow: () => [],
    reason: (m, f) =>
      `Functions that call each other, ${group(m, 'calls')} deep, need ${group(m, 'size')} bytes of stack together; ${FRAME} are allowed. Bytes by function: ${depths(f)}.`,
    suggestion: () =>
      `${LARGEST} Inlining a function (__always_inline) lets its variables share the stack of its caller.`,
  },
  {
    id: 'stack-tail-call',
    pattern: /tail_calls are not allowed when call stack of previous frames is (?<size>\d+) bytes/,
    at: () => null,
    follow: () => [],
    reason: (m) =>
      `A function that makes a tail call may have at most 256 bytes of stack above it; here are ${group(m, 'size')}.`,
    suggestion: () => 'Make the tail call from the main function, or use less stack in its callers.',
  },
  {
    id: 'call-depth',
    pattern: /the call stack of (?<frames>\d+) frames is too deep(?<static> !)?/,
    at: (m, f) => (group(m, 'static') === '' ? f.at : null),
    follow: () => [],
    reason: (m) => `Function calls nest ${group(m, 'frames')} deep; 8 are allowed, the main function included.`,
    suggestion: () => 'Inline some of the functions with __always_inline, or split the work with tail calls.',
  },
];
