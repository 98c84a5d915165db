import { PROG_TRACING } from '../tables/contexts.table.ts';
import { bytes, cap, type Facts, group, type MessageClass, R, span } from './facts.ts';

/** What the pointer in a register points into, as a noun. */
const AREAS: Readonly<Record<string, string>> = {
  'map value': 'the map value',
  'map key': 'the map key',
  packet: 'the packet',
  memory: 'the memory',
};

/** `if (i >= 4) return 0;` for an index into elements of the size that is accessed. */
function indexCheck(facts: Facts, room: number, regno: number): string {
  const index = facts.index('i');
  const count = facts.arrayLength(regno) ?? Math.floor(room / facts.size);
  const mask = count > 1 && (count & (count - 1)) === 0 ? ` Or mask it: ${index} & ${count - 1}` : '';
  return `Check the index right before the access, as an unsigned number: if (${index} >= ${count}) ${facts.leave}${mask}`;
}

/** Bytes that may be accessed through a pointer; undefined where the verifier does not say. */
function roomOf(facts: Facts, regno: number): number | undefined {
  const reg = facts.reg(regno);
  if (reg?.map) return reg.map.valueSize;
  return reg !== undefined && reg.memSize > 0 ? reg.memSize : undefined;
}

const packetCheck = (facts: Facts): string =>
  `Compare with the end of the packet before the access: if (ptr + ${facts.size} > data_end) ${facts.leave}`;

/** Loads and stores through pointers to maps, packets, memory and the context. */
export const MEMORY: readonly MessageClass[] = [
  {
    id: 'null-dereference',
    pattern: /R(?<reg>\d+) invalid mem access '(?<type>\w*or_null\w*)'/,
    reason: (m, f) => {
      const call = f.originCall(R(m));
      const own = f.isGlobalArgument(R(m)) ? 'This argument of a global function' : 'This pointer';
      const source = call === undefined ? own : `The pointer that ${call.name} returned`;
      return `${source} may be NULL, and it is ${f.isStore ? 'written through' : 'read'} without a check.`;
    },
    suggestion: (m, f) =>
      `Check it before the first use: if (!${f.variable(R(m), 'ptr')}) ${f.leave}${f.isGlobalArgument(R(m)) ? ' Or mark the argument __arg_nonnull, which callers then must keep to.' : ''}`,
  },
  {
    id: 'not-a-pointer',
    pattern: /R(?<reg>\d+) invalid mem access 'scalar'/,
    reason: (m, f) =>
      `The program uses a number (${f.words(R(m))}) as an address. Either it never was a pointer, or it stopped to be one on the way: overwritten in part, computed with, or read from memory that holds plain numbers.`,
    suggestion: (m, f) =>
      f.words(R(m)) === '0'
        ? 'On this way the pointer is NULL: leave the function before the access.'
        : 'Keep the pointer whole and follow it from where the verifier knows it. To read kernel memory at an address that is only a number, use bpf_probe_read_kernel() or BPF_CORE_READ().',
  },
  {
    id: 'wrong-memory',
    pattern: /R(?<reg>\d+) invalid mem access '(?<type>[^']+)'/,
    reason: (m, f) =>
      `${cap(f.words(R(m)))}: such a pointer cannot be ${f.isStore ? 'written through' : 'read'} directly.`,
    suggestion: (m) =>
      ({
        map_ptr: 'Use the bpf_map_* helpers on the map, and access what bpf_map_lookup_elem returns.',
        pkt_end: 'data_end only marks the end: compare with it, and read through the pointer that starts at data.',
        dynptr_ptr: 'Read with bpf_dynptr_read() or bpf_dynptr_slice().',
      })[group(m, 'type')] ?? 'Read what it points to with the helper meant for it, or with bpf_probe_read_kernel().',
  },
  {
    id: 'out-of-bounds',
    pattern:
      /invalid access to (?<area>map value|map key|packet|memory),(?: \w+_size=(?<room>\d+))? off=(?<off>-?\d+) size=(?<size>\d+)[^\n]*\nR(?<reg>\d+) (?<why>min|max) value is (?:outside|negative)/,
    reason: (m, f) => {
      const [off, size, room] = [Number(group(m, 'off')), Number(group(m, 'size')), group(m, 'room')];
      const area = AREAS[group(m, 'area')]!;
      const known = f.reg(R(m))?.maskLo === 0;
      const where = `${f.isStore ? 'writes' : 'reads'} ${span(off, size)}`;
      if (room === '') return `The access ${where} of ${area}, beyond what was checked.`;
      const fate = group(m, 'why') === 'max' && !known ? 'may reach up to' : 'reaches';
      return known
        ? `The access ${where} of ${area}, which has ${bytes(room)}.`
        : `The access ${fate} ${span(off, size)} of ${area}, which has ${bytes(room)}.`;
    },
    suggestion: (m, f) => {
      if (group(m, 'area') === 'packet') return packetCheck(f);
      const room = Number(group(m, 'room'));
      if (room === 0) return 'There is nothing to access here: look at the type of the map.';
      if (f.reg(R(m))?.maskLo === 0)
        return `Stay within ${bytes(room)}: use a smaller index, or make the ${group(m, 'area')} larger.`;
      return indexCheck(f, room, R(m));
    },
  },
  {
    id: 'out-of-bounds',
    pattern: /R(?<reg>\d+) (?:min|max) value is outside of the allowed memory range/,
    reason: (m, f) => `The access may lie outside of what it points to: ${f.words(R(m))}.`,
    suggestion: (m, f) => indexCheck(f, roomOf(f, R(m)) ?? 8, R(m)),
  },
  {
    id: 'unchecked-packet',
    pattern: /R(?<reg>\d+) offset is outside of the packet/,
    reason: (_m, f) =>
      `The packet may end before what is accessed (${bytes(f.size)}); nothing on this way makes sure that it is long enough.`,
    suggestion: (_m, f) => packetCheck(f),
  },
  {
    id: 'unbounded-index',
    pattern: /R(?<reg>\d+) unbounded memory access, make sure to bounds check any such access/,
    reason: (m, f) => {
      const room = roomOf(f, R(m));
      return `The offset has no upper limit that would keep the access inside${room === undefined ? '' : ` of ${bytes(room)}`}: ${f.words(R(m))}.`;
    },
    suggestion: (m, f) => indexCheck(f, roomOf(f, R(m)) ?? 8, R(m)),
  },
  {
    id: 'negative-index',
    pattern: /R(?<reg>\d+) min value is negative, either use unsigned index/,
    reason: (m, f) => `The index may be negative${f.signed(R(m))}.`,
    suggestion: (_m, f) =>
      `Make the index unsigned, or check both ends: if (${f.index('i')} < 0 || ${f.index('i')} >= N) ${f.leave}`,
  },
  {
    id: 'pointer-out-of-range',
    pattern: /value (?<value>-?\d+) makes (?<type>\S+) pointer be out of bounds/,
    follow: (_m, f) => addends(f),
    reason: (m, f) => {
      const addend = addends(f)[0];
      const what = addend === undefined ? '' : ` It is ${f.words(addend)}.`;
      return Number(group(m, 'value')) < 0
        ? `What is added to the pointer may be as low as ${group(m, 'value')}: the result could lie anywhere before the object.${what}`
        : `What is added to the pointer may be as large as ${group(m, 'value')}: the result could lie anywhere behind the object.${what}`;
    },
    suggestion: (_m, f) =>
      `Bound it on both sides before it is added, or make it unsigned: if (${f.index('i')} < 0 || ${f.index('i')} >= N) ${f.leave}`,
  },
  {
    id: 'pointer-math-range',
    pattern:
      /math between (?<type>\S+) pointer and (?<what>register with unbounded min value|-?\d+) is not allowed|(?<type2>\S+) pointer offset (?<off>-?\d+) is not allowed/,
    follow: (_m, f) => addends(f),
    reason: (m) =>
      group(m, 'what').startsWith('register')
        ? 'The number that is added to the pointer has no lower limit that the verifier can see.'
        : `The pointer would move by ${group(m, 'what') || group(m, 'off')} bytes; the verifier follows pointers for 512 MB at most.`,
    suggestion: (_m, f) =>
      `Bound the number before it is added: if (${f.index('i')} >= N) ${f.leave} with an unsigned type.`,
  },
  {
    id: 'map-read-only',
    pattern: /(?<verb>write|read) (?:into|from) map forbidden/,
    reason: (m) =>
      group(m, 'verb') === 'write'
        ? 'The program writes to data that is read-only for programs (const or .rodata, or a map with BPF_F_RDONLY_PROG).'
        : 'The program reads a map that is write-only for programs (BPF_F_WRONLY_PROG).',
    suggestion: (m) =>
      group(m, 'verb') === 'write'
        ? 'Make the variable non-const (so that it lies in .data or .bss), or set it from user space before the load.'
        : 'Drop BPF_F_WRONLY_PROG from the map, or read what was written from user space.',
  },
  {
    id: 'context-access',
    pattern: /invalid bpf_context access off=(?<off>-?\d+) size=(?<size>\d+)/,
    follow: () => [],
    reason: (m, f) => contextReason(f, Number(group(m, 'off')), Number(group(m, 'size'))),
    suggestion: (_m, f) =>
      f.ops !== '' || f.input.progType === PROG_TRACING
        ? 'Use BPF_PROG() with the prototype of the kernel, so that every argument comes from its own place; arguments cannot be changed.'
        : f.isStore
          ? 'Write only the members of the context that programs of this type may set (for a packet: mark, priority, cb[], tc_index …).'
          : 'Access whole members of the context struct by their name, with the size that they are declared with.',
  },
  {
    id: 'context-moved',
    pattern:
      /(?:negative offset|dereference of modified|variable) (?<what>\w+) (?:ptr R(?<reg>\d+) off=(?<off>-?\d+)|access var_off=\S+)(?: \S+)? disallowed/,
    reason: (m) =>
      `The ${group(m, 'what') === 'ctx' ? 'context' : group(m, 'what')} pointer was moved before it was used; only the pointer as it was given is known.`,
    suggestion: () =>
      'Use the original pointer with a constant offset (a plain member access). If the compiler did this, copy the member into a local variable first, or put barrier_var() on the pointer.',
  },
  {
    id: 'misaligned',
    pattern: /misaligned (?<what>\w+ )?access off (?<off>\S+) size (?<size>\d+)/,
    reason: (m) => `The access of ${bytes(group(m, 'size'))} is not aligned to its size.`,
    suggestion: () => 'Align the member, or copy the bytes with __builtin_memcpy() into an aligned variable.',
  },
  {
    id: 'mixed-pointers',
    pattern: /same insn cannot be used with different pointers/,
    reason: (_m, f) =>
      `The same access ${f.isStore ? 'writes to' : 'reads'} memory of different kinds, depending on the way that leads there.`,
    suggestion: () =>
      'Access each kind of memory in a branch of its own. If the compiler merged the branches, put barrier_var() on the pointers.',
  },
  {
    id: 'atomic-memory',
    pattern: /BPF_ATOMIC (?:stores into|loads from) R(?<reg>\d+) (?<type>\S+) is not allowed/,
    reason: (m, f) => `Atomic operations do not work on ${f.words(R(m))}.`,
    suggestion: () => 'Use them on map values, the stack or an arena; read and write the rest plainly.',
  },
  {
    id: 'packet-read-only',
    pattern: /cannot write into packet|the prog does not allow writes to packet data/,
    reason: () => 'Programs of this type may read the packet, but not change it.',
    suggestion: () => 'Use a program type that may write (tc, xdp), or change the packet with bpf_skb_store_bytes().',
  },
  {
    id: 'memory-read-only',
    pattern: /R(?<reg>\d+) cannot write into (?<type>\S+)|only read from (?<what>\S+) is supported/,
    reason: (m, f) => `${cap(f.words(m.groups!['reg'] === undefined ? (f.insn?.dst ?? 0) : R(m)))} is read-only.`,
    suggestion: () => 'Copy it to a local variable or a map value and change the copy.',
  },
  {
    id: 'buffer-bounds',
    pattern:
      /R(?<reg>\d+) invalid (?<kind>\S+) buffer access: off=(?<off>-?\d+), size=(?<size>\d+)|invalid variable buffer offset/,
    reason: (m) =>
      m.groups!['kind'] === undefined
        ? 'The offset into the buffer is not a constant.'
        : `The access of ${bytes(group(m, 'size'))} at ${group(m, 'off')} lies outside of the buffer.`,
    suggestion: () => 'Access buffers at constant offsets that lie inside.',
  },
  {
    id: 'address-leak',
    pattern: /R(?<reg>\d+) leaks addr (?<where>[\w ]+)|leaking pointer from stack/,
    reason: (m) => `The address of a kernel object would be given away ${group(m, 'where')}.`,
    suggestion: () => 'Store the value that it points to, or an identifier, instead of the pointer.',
  },
  {
    id: 'kptr-access',
    pattern:
      /kptr (?:in map|access|cannot)|invalid kptr access|store to referenced kptr|can only be accessed using BPF_LDX/,
    reason: () => 'A kernel pointer kept in a map value (__kptr) is accessed in a way that could break or leak it.',
    suggestion: () => 'Move it in and out whole with bpf_kptr_xchg(), and read it as one 8-byte member.',
  },
  {
    id: 'special-field',
    pattern: /(?<name>\S+) cannot be accessed directly by load\/store/,
    reason: (m) => `The map value holds ${group(m, 'name')}, which only its helpers may touch; the access covers it.`,
    suggestion: () => 'Read or write the members around it one by one instead of the whole struct.',
  },
  {
    id: 'socket-field',
    pattern: /R(?<reg>\d+) invalid (?<kind>\w+) access off=(?<off>-?\d+) size=(?<size>\d+)/,
    reason: (m, f) =>
      `${cap(f.words(R(m)))} has no readable member of ${bytes(group(m, 'size'))} at ${group(m, 'off')}.`,
    suggestion: () => 'Access whole members by their name, as struct bpf_sock or bpf_tcp_sock declares them.',
  },
];

/** The register that is added to a pointer by the refused instruction. */
function addends(facts: Facts): number[] {
  const { insn } = facts;
  if (insn === undefined || (insn.code & 8) === 0) return insn === undefined ? [] : [insn.dst];
  const source = facts.reg(insn.src);
  return [source?.type === 1 ? insn.src : insn.dst];
}

/** The struct that C sees as the context, by program type. */
const CONTEXTS: Readonly<Record<number, string>> = {
  1: '__sk_buff',
  3: '__sk_buff',
  4: '__sk_buff',
  6: 'xdp_md',
  8: '__sk_buff',
};

function contextReason(facts: Facts, off: number, size: number): string {
  const where = `${bytes(size)} at ${off}`;
  if (facts.ops !== '' || facts.input.progType === PROG_TRACING) {
    const what = facts.ops === '' ? 'The attached function' : `${facts.ops}.${facts.member}`;
    if (facts.isStore) return `The program writes to its own arguments (${where} of the context), which are read-only.`;
    return `${what} has no argument ${Math.floor(off / 8) + 1}, or not one that is read with ${where} of the context.`;
  }
  const what = `The program ${facts.isStore ? 'writes' : 'reads'} ${where} of its context`;
  const name = CONTEXTS[facts.input.progType];
  const struct = name === undefined ? undefined : facts.vmlinux.find(name, 'struct');
  if (struct !== undefined) {
    const total = facts.vmlinux.sizeOf(struct);
    if (off < 0 || off + size > total) return `${what}, but struct ${name} has ${bytes(total)}.`;
    const member = facts.memberAt(struct, off);
    if (member !== undefined)
      return `${what}, which is ${name}.${member}; programs of this type may not ${facts.isStore ? 'write' : 'read'} it so.`;
  }
  return `${what}, where programs of this type have no member${facts.isStore ? ' to write' : ''} that starts there with this size.`;
}
