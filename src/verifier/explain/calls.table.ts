import { cap, type Facts, group, type MessageClass, R } from './facts.ts';

const arg = (m: RegExpMatchArray): number => Number(group(m, 'arg'));
/** Register of `arg#N`, which counts from 0. */
const argReg = (m: RegExpMatchArray): readonly number[] => [arg(m) + 1];
const none = () => [];

/** Register types of messages, as nouns. */
const NOUNS: Readonly<Record<string, string>> = {
  fp: 'the stack',
  map_value: 'a map value',
  map_key: 'a map key',
  mem: 'memory of known size',
  ringbuf_mem: 'ring buffer memory',
  pkt: 'packet data',
  map_ptr: 'a map',
  ctx: "the program's context",
  sock: 'a socket',
  sock_common: 'a socket',
  tcp_sock: 'a TCP socket',
  func: 'a static function',
  dynptr_ptr: 'a dynptr',
  scalar: 'a number',
};

/** `fp, pkt, map_value` as nouns; a kernel struct if there is a `ptr_`. */
function wanted(list: string): string {
  const words = new Set<string>();
  for (const type of list.split(/,\s*/)) {
    const noun = NOUNS[type.trim()];
    if (noun !== undefined) words.add(noun);
    else if (/ptr_/.test(type)) words.add('a kernel struct');
  }
  return [...words].join(', ').replace(/, ([^,]*)$/, ' or $1') || list;
}

/** Size to which an object has to be bounded, in words of C. */
const sizeCheck = (facts: Facts): string =>
  /sizeof|\bchar\s+\w+\[/.test(facts.source)
    ? 'Bound the size by that of the buffer'
    : 'Bound the size right before the call';

/** Helpers and kernel functions: whether they may be called, and with what. */
export const CALLS: readonly MessageClass[] = [
  {
    id: 'argument-type',
    pattern: /R(?<reg>\d+) type=(?<has>\S+) expected=(?<want>[^\n]+)/,
    reason: (m, f) =>
      `${cap(f.argument(R(m)))} must be a pointer to ${wanted(group(m, 'want'))}, but is ${group(m, 'has') === 'scalar' ? `a number (${f.words(R(m))})` : f.words(R(m))}.`,
    suggestion: (m, f) => {
      if (group(m, 'has').includes('or_null')) return `Check it first: if (!${f.variable(R(m), 'ptr')}) ${f.leave}`;
      return group(m, 'has') === 'scalar'
        ? 'Pass the address of a variable: &key, not key, and not an address that was computed or cast from a number.'
        : 'Copy the data to a local variable and pass its address.';
    },
  },
  {
    id: 'argument-null',
    pattern:
      /Possibly NULL pointer passed to (?:helper arg(?<helper>\d+)|trusted arg(?<arg>\d+))|arg#(?<arg2>\d+) is expected to be non-NULL/,
    follow: (m) => [nullArgument(m)],
    reason: (m, f) => {
      const regno = nullArgument(m);
      const call = f.originCall(regno);
      return `${cap(f.argument(regno))} may be NULL${call === undefined ? '' : `: it is what ${call.name} returned`}.`;
    },
    suggestion: (m, f) => `Check it before the call: if (!${f.variable(nullArgument(m), 'ptr')}) ${f.leave}`,
  },
  {
    id: 'size-zero',
    pattern: /R(?<reg>\d+) invalid zero-sized read: u64=\[(?<min>\d+),(?<max>\d+)\]/,
    reason: (m, f) =>
      group(m, 'max') === '0'
        ? `${cap(f.argument(R(m)))}, a size, is 0.`
        : `${cap(f.argument(R(m)))}, a size, may be 0, and may be as large as ${group(m, 'max')}.`,
    suggestion: (m, f) =>
      group(m, 'max') === '0'
        ? 'Pass the number of bytes that the buffer has: sizeof(buffer).'
        : `${sizeCheck(f)}, on both ends: if (n < 1 || n > sizeof(buffer)) ${f.leave}`,
  },
  {
    id: 'argument-value',
    pattern: /doesn't support non-zero flags/,
    follow: () => [2],
    reason: (_m, f) => `The flags of ${f.callee} must be 0; here they are ${f.words(2)}.`,
    suggestion: () => 'Pass 0.',
  },
  {
    id: 'empty-access',
    pattern: /invalid zero-sized read/,
    follow: () => [1],
    reason: (_m, f) =>
      `${cap(f.callee)} would access an object of no bytes: ${f.words(1)} has no keys or values of the kind that this call needs.`,
    suggestion: () =>
      'Use the functions meant for this type of map (bpf_ringbuf_reserve() for a ring buffer, for example), or give the map key and value types.',
  },
  {
    id: 'size-negative',
    pattern: /R(?<reg>\d+) min value is negative, either use unsigned or 'var &= const'/,
    reason: (m, f) => `${cap(f.argument(R(m)))}, a size, may be negative${f.signed(R(m))}.`,
    suggestion: (_m, f) => `Make the size unsigned (u32), and bound it: if (n > sizeof(buffer)) ${f.leave}`,
  },
  {
    id: 'size-unbounded',
    pattern: /R(?<reg>\d+) unbounded memory access, use 'var &= const' or 'if \(var < const\)'/,
    reason: (m, f) => `${cap(f.argument(R(m)))}, a size, is larger than any buffer, or may be: ${f.words(R(m))}.`,
    suggestion: (_m, f) =>
      `${sizeCheck(f)}: if (n > sizeof(buffer)) ${f.leave} Where that is a power of two, n &= sizeof(buffer) - 1 does it as well`,
  },
  {
    id: 'helper-not-allowed',
    pattern:
      /program of this type cannot use helper (?<name>\w+)#\d+|func (?<name2>\w+)#\d+ (?:not supported for program type|supported only for)|helper call is not allowed in probe/,
    follow: none,
    reason: (m, f) => {
      const name = group(m, 'name') || group(m, 'name2') || f.callee;
      if (f.ops === 'tcp_congestion_ops' && f.member === 'release' && /sockopt$/.test(name))
        return `${name} may not be called from ${f.ops}.release, which runs while the socket goes away; other members may call it.`;
      return `${name} is not for ${f.ops === '' ? 'programs of this type' : `implementations of ${f.ops}.${f.member}`}.`;
    },
    suggestion: (m, f) =>
      f.ops === 'tcp_congestion_ops' && f.member === 'release'
        ? 'Call it from another member (init, set_state …).'
        : `Look for a kernel function (kfunc) that does it, or do that part in a program of a type that has ${group(m, 'name') || group(m, 'name2') || f.callee}, and share data through a map.`,
  },
  {
    id: 'helper-unknown',
    pattern: /invalid func (?<name>\w+)#(?<number>\d+)/,
    follow: none,
    reason: (m) => `Linux 6.18 has no helper with the number ${group(m, 'number')}.`,
    suggestion: () =>
      'Check the declaration of the function. Function pointers cannot be called; a kernel function is declared extern … __ksym.',
  },
  {
    id: 'gpl-only',
    pattern: /from non-GPL compatible program/,
    follow: none,
    reason: (_m, f) =>
      `${f.callee} is only for programs under a license compatible with the GPL; this one says '${f.input.license}'.`,
    suggestion: () => `If that is so: char LICENSE[] SEC("license") = "GPL"; ("Dual MIT/GPL" is one that counts)`,
  },
  {
    id: 'sleeps',
    pattern:
      /helper call might sleep in a non-sleepable prog|program must be sleepable to call sleepable kfunc (?<name>\w+)|(?:kernel func|sleepable helper) (?<name2>[\w#]+) (?:is sleepable with)?in (?<where>[\w-]+)|global functions that may sleep are not allowed/,
    follow: none,
    reason: (m, f) =>
      group(m, 'where') === ''
        ? `${cap(f.callee)} may sleep, but this program runs where sleeping is not possible.`
        : `${cap(f.callee)} may sleep, but is called while ${{ rcu_read_lock: 'an RCU read lock is held', 'non-preemptible': 'preemption is off' }[group(m, 'where')] ?? 'sleeping is not possible'}.`,
    suggestion: (m) =>
      group(m, 'where') === ''
        ? 'Make the program sleepable if its kind allows that (SEC("struct_ops.s/…"), SEC("lsm.s/…")), or use a function that does not sleep.'
        : 'End the locked section before the call.',
  },
  {
    id: 'map-type',
    pattern:
      /cannot pass map_type (?<type>\d+) into func (?<name>\w+)#\d+|expected prog array map for tail call|callback function not allowed for map/,
    follow: none,
    reason: (_m, f) => `${cap(f.callee)} does not work on maps of this type.`,
    suggestion: () => 'Use the functions meant for the type of the map, or change the type (BPF_MAP_TYPE_…).',
  },
  {
    id: 'map-unknown',
    pattern:
      /invalid map_ptr to access map->(?<what>key|value|type)|R(?<reg>\d+) is not a known constant|pointer in R(?<reg2>\d+) isn't map pointer/,
    reason: (m, f) =>
      group(m, 'reg') !== ''
        ? `${cap(f.argument(R(m)))} must be a constant.`
        : `The verifier cannot tell which map ${f.callee} gets here: it differs by way.`,
    suggestion: () => 'Make the call once in each branch, so that each has one map or one constant.',
  },
  {
    id: 'kfunc-not-allowed',
    pattern: /calling kernel function (?<name>\w+) is not allowed/,
    follow: none,
    reason: (m, f) =>
      `The kernel function ${group(m, 'name')} is not for ${f.ops === '' ? 'programs of this type' : `${f.ops} programs`}.`,
    suggestion: () =>
      'Call it from a program of a type that has it, or use a helper; kernel functions are registered by program type.',
  },
  {
    id: 'kfunc-missing',
    pattern:
      /calling kernel function is not supported without CONFIG_DEBUG_INFO_BTF|kernel btf_id \d+ is not a function|failed to find BTF for kernel function|invalid kernel function call not eliminated|cannot find address for kernel function/,
    follow: none,
    reason: () => 'The kernel function does not exist in this kernel.',
    suggestion: () =>
      'Check the configuration that it needs (CONFIG_DEBUG_INFO_BTF=y first). Declare it extern … __ksym __weak and test bpf_ksym_exists(function) before the call.',
  },
  {
    id: 'kfunc-argument-memory',
    pattern: /arg#(?<arg>\d+) pointer type (?<type>\w+ \S+) must point to (?:scalar|\w+ scalar|void)?[^\n]*/,
    follow: argReg,
    reason: (m, f) =>
      `${cap(f.argument(arg(m) + 1))} must be a pointer to a ${group(m, 'type').toLowerCase()} of the kernel, but is ${f.words(arg(m) + 1)}.`,
    suggestion: (m) =>
      `Pass a ${group(m, 'type').toLowerCase()} * that the kernel gave to the program (an argument, or a member of one); memory of your own does not do.`,
  },
  {
    id: 'kfunc-context',
    pattern: /arg#(?<arg>\d+) expect(?:ed|s) pointer to ctx(?:, but got (?<has>\S+))?/,
    follow: argReg,
    reason: (m, f) => `${cap(f.argument(arg(m) + 1))} must be the program's context, but is ${f.words(arg(m) + 1)}.`,
    suggestion: () => 'Pass the context pointer as the program got it.',
  },
  {
    id: 'dynptr-state',
    pattern:
      /Dynptr has to be an uninitialized dynptr|Expected an initialized dynptr as arg #(?<arg>\d+)|Expected a dynptr of type (?<type>\w+) as arg #(?<arg2>\d+)|cannot pass pointer to const bpf_dynptr|arg#(?<arg3>\d+) expected pointer to stack or const struct bpf_dynptr|cannot release unowned const bpf_dynptr/,
    follow: none,
    reason: (m, f) => {
      if (/uninitialized/.test(m[0]))
        return `${cap(f.callee)} makes a new dynptr, but this variable holds one already.`;
      if (/initialized/.test(m[0]))
        return `${cap(f.callee)} needs a dynptr that was set up before; on this way it was not, or was released.`;
      if (group(m, 'type') !== '') return `${cap(f.callee)} needs a dynptr of another kind (${group(m, 'type')}).`;
      return `${cap(f.callee)} cannot take this dynptr: it must be a variable on the stack that may be changed.`;
    },
    suggestion: () =>
      'Use one struct bpf_dynptr per dynptr, set it up (bpf_dynptr_from_mem(), bpf_ringbuf_reserve_dynptr() …) before its use on every way, and release it once.',
  },
  {
    id: 'iterator-state',
    pattern:
      /expected (?<what>an initialized|uninitialized) (?<iter>iter_\w+) as arg #(?<arg>\d+)|expected valid iter pointer|arg#(?<arg2>\d+) expected pointer to an iterator on stack|expected an RCU CS when using (?<next>\w+)/,
    follow: none,
    reason: (m, f) => {
      if (group(m, 'next') !== '') return `${group(m, 'next')} must be called while an RCU read lock is held.`;
      if (group(m, 'what') === 'uninitialized')
        return `${cap(f.callee)} starts an iterator in a variable that holds one already.`;
      return `${cap(f.callee)} needs an iterator that was started before; on this way it was not, or was destroyed.`;
    },
    suggestion: (m) =>
      group(m, 'next') === ''
        ? 'Call the iterator’s new function first, then next until it gives NULL, then destroy, once each on every way; bpf_for() and bpf_for_each() do all of it.'
        : 'Put bpf_rcu_read_lock() before the loop and bpf_rcu_read_unlock() behind it.',
  },
  {
    id: 'kfunc-argument',
    pattern:
      /R(?<reg>\d+) (?:must be a known constant|is not a const|is not a scalar)|Unrecognized arg#(?<arg>\d+) type (?<type>[^\n]+)|arg#(?<arg2>\d+) (?:is neither|doesn't point|expected|is )[^\n]*|kernel function \w+ args#(?<arg3>\d+)[^\n]*is not supported|arg#(?<arg4>\d+) arg#\d+ memory, len pair leads to invalid memory access/,
    follow: (m) => {
      const of = group(m, 'arg') || group(m, 'arg2') || group(m, 'arg3') || group(m, 'arg4');
      return [group(m, 'reg') === '' ? Number(of) + 1 : R(m)];
    },
    reason: (m, f) => {
      const of = group(m, 'arg') || group(m, 'arg2') || group(m, 'arg3') || group(m, 'arg4');
      const regno = group(m, 'reg') === '' ? Number(of) + 1 : R(m);
      return `${cap(f.argument(regno))} is not what the function takes: it is ${f.words(regno)}.`;
    },
    suggestion: (_m, f) =>
      `Compare the call with the prototype of ${f.callee} in the kernel, and with how the selftests call it.`,
  },
  {
    id: 'format-string',
    pattern:
      /Invalid format string|string is not zero-terminated|does not point to a readonly map|direct value access on string failed/,
    reason: () => 'The format string is not one that the verifier can read and understand.',
    suggestion: () =>
      'Use a string constant in read-only memory (static const char fmt[] = "…") with as many arguments as it names; %d %i %u %x %ld %lu %lx %p %pI4 %pI6 %ps %pS %pB %s are known.',
  },
  {
    id: 'helper-memory',
    pattern:
      /(?<name>\w+)\(\) may write into memory pointed by R(?<reg>\d+)|helper access to the packet is not allowed|R(?<reg2>\d+) must have zero offset/,
    reason: (m, f) =>
      group(m, 'name') === ''
        ? group(m, 'reg2') === ''
          ? `${cap(f.callee)} cannot work on packet data directly.`
          : 'The pointer was moved; this function takes only the start of the object.'
        : `${group(m, 'name')} may write to ${f.words(R(m))}, which is read-only.`,
    suggestion: () => 'Copy the data to a local variable and pass its address.',
  },
  {
    id: 'spinlock-call',
    pattern: /function calls are not allowed while holding a lock|global function calls are not allowed/,
    follow: none,
    reason: (_m, f) => `${cap(f.callee)} is called while a lock is held.`,
    suggestion: () =>
      'Release the lock first; with a lock held, only short code without calls is possible. Static functions are, where the kernel says so.',
  },
];

/** Register of the argument that may be NULL. */
function nullArgument(m: RegExpMatchArray): number {
  const helper = group(m, 'helper');
  return helper === '' ? Number(group(m, 'arg') || group(m, 'arg2')) + 1 : Number(helper);
}
