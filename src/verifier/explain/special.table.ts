import { cap, group, type MessageClass } from './facts.ts';

const none = () => [];
const nowhere = () => null;

/** Objects with rules of their own: special members, allocated objects, exceptions, arenas; what needs rights; faults. */
export const SPECIAL: readonly MessageClass[] = [
  {
    id: 'special-member',
    pattern:
      /R(?<reg>\d+) doesn't have constant offset|off[ =]-?\d+ (?:doesn't point to|kptr isn't)|has no valid (?:kptr|bpf_\w+)|has to have BTF in order to use|not found at offset=|offset=\d+, but expected/,
    reason: (_m, f) =>
      `${cap(f.callee)} needs the address of a special member (a lock, timer, work queue, kernel pointer, list head or tree root), and this is not the address of one.`,
    suggestion: () =>
      'Pass &value->member with the value as the look-up returned it, and describe the value to the kernel: __type(value, struct …) in the map.',
  },
  {
    id: 'object-offset',
    pattern: /(?<kind>\w+) has to be at a constant offset|cannot pass in (?<kind2>\w+) at an offset=(?<off>-?\d+)/,
    follow: (_m, f) => (f.insn?.code === 0x85 ? [1] : []),
    reason: (m) =>
      `The address is not that of the ${group(m, 'kind') || group(m, 'kind2')} itself, but of a place inside of it or unknown.`,
    suggestion: () => 'Pass the address of the variable as it was declared, not one computed from it.',
  },
  {
    id: 'owned-object',
    pattern:
      /rbtree_remove (?:node|not)|held lock and object are not|operation on \S+ expects|conversion of owning ref|can't spin_|unnecessary rbtree callback|is neither owning or non-owning ref/,
    follow: none,
    slice: () => ({ branches: true }),
    reason: (_m, f) =>
      `${cap(f.callee)} is used on an object of a list or tree that the program does not hold in the way that this needs.`,
    suggestion: () =>
      'Hold the lock that lies in the same structure as the list or tree, and remember that an object that was added belongs to the list or tree from then on.',
  },
  {
    id: 'exception',
    pattern: /exception (?:callback|cb)|bpf_throw/,
    follow: none,
    reason: () => 'The exception callback, or the place that throws, does not keep to the rules for exceptions.',
    suggestion: () =>
      'An exception callback is one global function that takes a u64 and returns what the program may return; callbacks of helpers cannot throw.',
  },
  {
    id: 'packet-load',
    pattern: /BPF_LD_\[ABS\|IND\]|LD_ABS|BPF_LD_ABS\|IND/,
    follow: none,
    reason: () => 'The old packet loads (load_byte(), load_half(), load_word()) are not possible here.',
    suggestion: () => 'Use bpf_skb_load_bytes(), or read through data and data_end.',
  },
  {
    id: 'tail-call',
    pattern:
      /tail_call (?:is only allowed in functions|abusing map_ptr)|(?:poke descriptor|tracking tail call prog) failed/,
    follow: none,
    reason: () => 'The tail call cannot be made from here in this way.',
    suggestion: () => 'Call it from a function that returns int, with one prog array map.',
  },
  {
    id: 'map-pairing',
    pattern: /map_uid=\d+ doesn't match map pointer/,
    follow: none,
    reason: () => 'The object and the map that are passed together do not belong together.',
    suggestion: () => 'Pass the map that the value was looked up in, inner maps included.',
  },
  {
    id: 'map-key-write',
    pattern: /write to change key R(?<reg>\d+) not allowed/,
    reason: () => 'The key that a callback gets may be read, but not changed.',
    suggestion: () => 'Copy it to a local variable and change the copy.',
  },
  {
    id: 'stack-variable-argument',
    pattern: /variable offset stack pointer cannot be passed/,
    reason: (_m, f) => `${cap(f.callee)} gets the address of a place in the stack that is not a constant.`,
    suggestion: () => 'Pass the address of the whole array, or keep the array in a map value.',
  },
  {
    id: 'allocation',
    pattern: /bpf_(?:percpu_)?obj_new\S* (?:type|requires)|local type ID argument|bpf_rdonly_cast type ID/,
    follow: none,
    reason: () => 'The type that is to be allocated (or cast to) is not one for which that works.',
    suggestion: () =>
      'Name a struct of the program (bpf_obj_new(typeof(*p))) or, for casts, of the kernel; per-CPU objects may hold only plain numbers.',
  },
  {
    id: 'arena',
    pattern: /[Aa]rena|addr_space_cast/,
    follow: none,
    reason: () => 'The program uses arena memory in a way that is not possible.',
    suggestion: () =>
      'One arena per program, which it must refer to; convert pointers with cast_kern() and cast_user() where the compiler does not.',
  },
  {
    id: 'module',
    pattern: /module BTF|fd_array|kernel module function/,
    at: nowhere,
    follow: none,
    reason: () => 'The program calls a function of a kernel module that the kernel could not find.',
    suggestion: () => 'Load the module first, and let libbpf resolve the function.',
  },
  {
    id: 'kfunc-prototype',
    pattern:
      /kernel function \S+ (?:returns|unhandled)|acquire kernel function does not return|does not have a valid func_proto|address of kernel function|Function \S+ has \d+ > \d+ args|kfunc \S+ failed callback/,
    follow: none,
    reason: (_m, f) => `${cap(f.callee)} has a prototype that programs cannot call.`,
    suggestion: () => 'Use another function of the kernel; at most five arguments, numbers or pointers, are possible.',
  },
  {
    id: 'call-target',
    pattern: /call to invalid destination|invalid insn idx/,
    at: nowhere,
    follow: none,
    reason: () => 'A call goes to a place that is no instruction of the program.',
    suggestion: () => 'The object was not linked right: let libbpf load it, or look at what changed the instructions.',
  },
  {
    id: 'global-argument',
    pattern:
      /arg#(?<arg>\d+) (?:type tag|has|struct doesn't|arena|reference type)|Type '(?<type>[^']+)' is not a struct|is not a global function/,
    at: nowhere,
    follow: none,
    reason: () =>
      'An argument of a global function has a type or tag with which the function cannot be verified on its own.',
    suggestion: () =>
      'Pass numbers, pointers to structs of fixed size, or the context, with one __arg_ tag; or make the function static.',
  },
  {
    id: 'privilege',
    pattern:
      /CAP_\w+|prohibited for !root|mixed signed bounds|beyond pointer bounds|from different maps, paths or scalars|speculative verification|access is allowed only/,
    reason: (m) => `This needs rights that the loading process does not have (${m[0]}).`,
    suggestion: () => 'Load the program with CAP_BPF and CAP_PERFMON (or as root).',
  },
  {
    id: 'lsm-return',
    pattern: /attach to void LSM hooks can't modify return value/,
    follow: () => [0],
    reason: () => 'The hook returns nothing, so its program must return 1.',
    suggestion: () => 'return 1;',
  },
  {
    id: 'verifier-fault',
    pattern: /verifier (?:bug|internal error)|REG INVARIANTS VIOLATION|\bBUG\b|misconfigured|internal bug|^bug:/i,
    follow: none,
    reason: () =>
      'The verifier came into a state that it should never reach: this is a fault of the verifier, not of the program.',
    suggestion: () =>
      'Please report it with the program; a small change of the program around this line often avoids it.',
  },
];
