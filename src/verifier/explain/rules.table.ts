import { TCP_CA_UNSUPPORTED } from '../tables/contexts.table.ts';
import { cap, type Facts, group, type MessageClass, R } from './facts.ts';

const none = () => [];
const nowhere = () => null;

/** How a resource that was taken is given back, by what took it. */
const RELEASES: Readonly<Record<string, string>> = {
  bpf_ringbuf_reserve: 'bpf_ringbuf_submit() or bpf_ringbuf_discard()',
  bpf_ringbuf_reserve_dynptr: 'bpf_ringbuf_submit_dynptr() or bpf_ringbuf_discard_dynptr()',
  bpf_sk_lookup_tcp: 'bpf_sk_release()',
  bpf_sk_lookup_udp: 'bpf_sk_release()',
  bpf_skc_lookup_tcp: 'bpf_sk_release()',
  bpf_obj_new_impl: 'bpf_obj_drop(), or add it to a list or tree',
  bpf_rbtree_remove: 'bpf_obj_drop(), or add it to a list or tree',
  bpf_list_pop_front: 'bpf_obj_drop(), or add it to a list or tree',
  bpf_list_pop_back: 'bpf_obj_drop(), or add it to a list or tree',
  bpf_kptr_xchg: 'the release function of its type, or bpf_kptr_xchg() back into a map',
  bpf_task_acquire: 'bpf_task_release()',
  bpf_task_from_pid: 'bpf_task_release()',
  bpf_task_from_vpid: 'bpf_task_release()',
  bpf_cgroup_acquire: 'bpf_cgroup_release()',
  bpf_cgroup_ancestor: 'bpf_cgroup_release()',
  bpf_cgroup_from_id: 'bpf_cgroup_release()',
  bpf_cpumask_create: 'bpf_cpumask_release()',
  bpf_cpumask_acquire: 'bpf_cpumask_release()',
};

function releaseOf(name: string): string {
  const known = RELEASES[name];
  if (known !== undefined) return known;
  return /_new$/.test(name) ? `${name.replace(/_new$/, '_destroy')}()` : 'the function that releases it';
}

const acquired = (m: RegExpMatchArray, facts: Facts): string =>
  facts.text.callee(Number(group(m, 'insn')))?.name ?? 'the program';

function acquiredAt(m: RegExpMatchArray, facts: Facts): string {
  const at = Number(group(m, 'insn'));
  const line = facts.text.line(at);
  const file = line === undefined ? '' : `${line.file.slice(line.file.lastIndexOf('/') + 1)}:${line.line}, `;
  return `${file}instruction ${at}`;
}

const LOCKS: Readonly<Record<string, [what: string, release: string]>> = {
  bpf_spin_lock: ['a spin lock is held', 'bpf_spin_unlock()'],
  bpf_local_irq_save: ['interrupts are off', 'bpf_local_irq_restore()'],
  bpf_rcu_read_lock: ['an RCU read lock is held', 'bpf_rcu_read_unlock()'],
  bpf_preempt_disable: ['preemption is off', 'bpf_preempt_enable()'],
};

/** References, locks, what programs of a type must return and may be. */
export const RULES: readonly MessageClass[] = [
  {
    id: 'function-arguments',
    pattern:
      /Caller passes invalid args into func#(?<sub>\d+)|Arg#(?<arg>\d+) type (?<type>\w+) in (?<name>\w+)\(\) is not supported yet|R(?<reg>\d+) is not a scalar\n/,
    reason: (m) =>
      group(m, 'name') === ''
        ? 'The call does not fit the prototype of the global function, by which that is verified on its own.'
        : `${group(m, 'name')}() is global, and so verified on its own, but its argument ${Number(group(m, 'arg')) + 1} is of a kind for which that is not possible.`,
    suggestion: () =>
      'Make the function static, or tag its arguments (__arg_ctx, __arg_nonnull, __arg_trusted, __arg_nullable).',
  },
  {
    id: 'reference-leak',
    pattern: /Unreleased reference id=(?<id>\d+) alloc_insn=(?<insn>\d+)\n(?<where>.*) would lead to reference leak/,
    follow: none,
    slice: (m) => ({ branches: true, from: Number(group(m, 'insn')) }),
    reason: (m, f) =>
      `What ${acquired(m, f)} took (${acquiredAt(m, f)}) is not released on this way to the end of the program.`,
    suggestion: (m, f) =>
      `Call ${releaseOf(acquired(m, f))} on every way that leaves the program, early returns included.`,
  },
  {
    id: 'held-at-exit',
    pattern:
      /(?<where>.*) cannot be used inside (?<lock>\w+)-ed region|(?<count>\d+) bpf_preempt_enable\S* (?:is|are)? ?missing/,
    follow: none,
    slice: (m, f) => {
      const from = f.lastCall([group(m, 'lock'), 'bpf_preempt_disable']);
      return { branches: true, ...(from === undefined ? {} : { from }) };
    },
    reason: (m) => {
      const [what] = LOCKS[group(m, 'lock')] ?? ['preemption is off'];
      const where = /exit|throw/i.test(group(m, 'where')) ? 'The program ends' : 'A tail call leaves the program';
      return `${where} while ${what}.`;
    },
    suggestion: (m) => `Call ${(LOCKS[group(m, 'lock')] ?? LOCKS['bpf_preempt_disable']!)[1]} before, on every way.`,
  },
  {
    id: 'release-unacquired',
    pattern:
      /reference has not been acquired before|R(?<reg>\d+) must be referenced when passed to release function|arg (?<arg>\d+) is an unacquired reference|expects refcounted PTR_TO_BTF_ID|allocated object must be referenced/,
    follow: (m, f) => [group(m, 'reg') === '' ? Number(group(m, 'arg') || (f.insn?.code === 0x85 ? 1 : 0)) : R(m)],
    reason: (_m, f) =>
      `${cap(f.callee)} releases something that the program does not own here: it was never taken, or was released already.`,
    suggestion: () => 'Release exactly what a function of the program acquired, once, and do not touch it afterwards.',
  },
  {
    id: 'lock-pairing',
    pattern:
      /Locking two bpf_spin_locks|bpf_spin_unlock (?:without|of different)|nested rcu read lock|unmatched (?:rcu read unlock|attempt to enable preemption)|bpf_spin_lock at off=\d+ must be held|requires RCU critical section protection/,
    follow: none,
    slice: () => ({ branches: true }),
    reason: (m) =>
      /must be held|requires/.test(m[0])
        ? 'This needs a lock that is not held here.'
        : 'Locks are not taken and released in pairs on this way.',
    suggestion: () => 'Take the lock once, do the work, and release the same lock, on every way; locks do not nest.',
  },
  {
    id: 'return-range',
    pattern: /(?<where>At [\w ]+) the register R\d has(?<has>.*?) should have been in \[(?<min>-?\d+), (?<max>-?\d+)\]/,
    follow: () => [0],
    reason: (m, f) => {
      const who = /callback/.test(group(m, 'where')) ? 'The callback' : 'The program';
      return `${who} returns ${f.words(0)}; ${allowed(m)}.`;
    },
    suggestion: (m) =>
      `Return ${group(m, 'min') === group(m, 'max') ? `${group(m, 'min')} on every way` : `a number from ${group(m, 'min')} to ${group(m, 'max')}; clamp it if it is computed`}.`,
  },
  {
    id: 'return-type',
    pattern:
      /(?<where>At [\w ]+) (?:the )?register R\d is not a (?:known|scalar) value \((?<type>\S+)\)|R0 leaks addr as return value|R0 not a scalar value/,
    follow: () => [0],
    reason: (_m, f) => `The function returns ${f.words(0)} where a number is expected.`,
    suggestion: () => 'Return a number.',
  },
  {
    id: 'struct-ops-license',
    pattern: /struct ops programs must have a GPL compatible license/,
    at: nowhere,
    follow: none,
    reason: (_m, f) =>
      `Programs that implement a kernel ops table must be under a license compatible with the GPL; this one says '${f.input.license}'.`,
    suggestion: () => 'If that is so: char LICENSE[] SEC("license") = "GPL"; ("Dual MIT/GPL" counts as well)',
  },
  {
    id: 'struct-ops-member',
    pattern:
      /attach to (?<what>unsupported|invalid) member (?:idx )?(?<member>\w+)(?:\(@idx \d+\))? of struct (?<struct>\w+)/,
    at: nowhere,
    follow: none,
    reason: (m) =>
      group(m, 'what') === 'invalid'
        ? `'${group(m, 'member')}' of struct ${group(m, 'struct')} is no function that a program could implement.`
        : `The kernel does not let programs implement '${group(m, 'member')}' of struct ${group(m, 'struct')}.`,
    suggestion: (m) =>
      TCP_CA_UNSUPPORTED.includes(group(m, 'member'))
        ? `Leave '${group(m, 'member')}' out; the other function pointers of the struct can be implemented.`
        : `Leave '${group(m, 'member')}' out of the ops table, or run a kernel that has a stub for it.`,
  },
  {
    id: 'attach-target',
    pattern:
      /attach_btf_id (?<id>\d+) (?:is not a supported struct|points to disabled hook)|struct_ops module (?<module>\S+) is not found|Attaching \S+ to __noreturn/,
    at: nowhere,
    follow: none,
    reason: () => 'The kernel has nothing of this kind that a program could be attached to.',
    suggestion: () =>
      'Check that the kernel is built with the subsystem (its CONFIG_ option, or its module loaded) and that the name is right.',
  },
  {
    id: 'not-sleepable',
    pattern:
      /Only fentry\S* .* programs can be sleepable|Syscall programs can only be sleepable|Sleepable programs can only use/,
    at: nowhere,
    follow: none,
    reason: (m) =>
      /can only use/.test(m[0])
        ? 'A sleepable program uses a map of a type that is not safe to use while sleeping.'
        : 'This kind of program cannot be sleepable, or has to be.',
    suggestion: (m) =>
      /can only use/.test(m[0])
        ? 'Use array, hash, ring buffer or local storage maps, or make the program not sleepable.'
        : 'Change the section name: with .s for sleepable, without for not.',
  },
  {
    id: 'map-use',
    pattern:
      /bpf_struct_ops map cannot be used in prog|fd (?<fd>-?\d+) is not pointing to valid bpf_map|invalid access to map value pointer|direct value offset of \d+ is not allowed|tracing progs cannot use|socket filter progs cannot use|Only one arena per program/,
    follow: none,
    reason: () => 'The program refers to a map that it cannot use, or in a way that it cannot be used.',
    suggestion: () => 'Check the type of the map against the type of the program, and that the loader created the map.',
  },
  {
    id: 'kernel-symbol',
    pattern:
      /kernel is missing BTF, make sure (?<config>CONFIG_\w+=y)|ldimm64 (?:insn specifies invalid btf_id|failed to find the address|unable to resolve)|pseudo btf_id \d+ in ldimm64/,
    follow: none,
    reason: () => 'The program uses a kernel variable or type that this kernel does not describe.',
    suggestion: (m) =>
      group(m, 'config') === ''
        ? 'Declare it extern … __ksym __weak and check its address, or run a kernel that has it.'
        : `Build the kernel with ${group(m, 'config')}.`,
  },
  {
    id: 'btf-functions',
    pattern:
      /func_info|missing btf|number of funcs|line_info|callback function not static|callback function cannot be the main program|subprogs without BTF/,
    at: nowhere,
    follow: none,
    reason: (m) =>
      /callback function/.test(m[0])
        ? 'A function that is called back must be static, and not the program itself.'
        : 'The debug information about functions does not fit the instructions.',
    suggestion: (m) =>
      /callback function/.test(m[0])
        ? 'Declare the callback static.'
        : 'Build with clang -g -O2 -target bpf, and do not strip or edit .BTF.ext.',
  },
  {
    id: 'jit-required',
    pattern: /JIT (?:is required|does(?:n't| not) support)|non-JITed program/,
    at: nowhere,
    follow: none,
    reason: () =>
      'The program needs the just-in-time compiler, which is off in this kernel or cannot do what it needs.',
    suggestion: () => 'Turn it on: sysctl net.core.bpf_jit_enable=1',
  },
];

function allowed(m: RegExpMatchArray): string {
  const [min, max] = [group(m, 'min'), group(m, 'max')];
  return min === max ? `only ${min} is allowed` : `from ${min} to ${max} is allowed`;
}
