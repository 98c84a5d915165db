import { TCP_SOCK_WRITABLE } from '../tables/contexts.table.ts';
import { bytes, cap, type Facts, group, type MessageClass, R } from './facts.ts';

const WRITABLE = TCP_SOCK_WRITABLE.map((path) =>
  path.slice(path.startsWith('inet_conn.') ? path.lastIndexOf('.') + 1 : 0),
)
  .map((name) => (name === 'pending' ? 'icsk_ack.pending' : name))
  .join(', ');

function tcpMember(facts: Facts, off: number): string {
  const struct = facts.vmlinux.find('tcp_sock', 'struct');
  const member = struct === undefined ? undefined : facts.memberAt(struct, off);
  return member === undefined ? `the bytes at ${off} of tcp_sock` : `'${member}' (at ${off} of tcp_sock)`;
}

/** Kernel objects that BTF describes: what of them may be read and written. */
export const OBJECTS: readonly MessageClass[] = [
  {
    id: 'tcp-sock-read-only',
    pattern: /no write support to tcp_sock at off (?<off>\d+)/,
    reason: (m, f) => {
      const off = Number(group(m, 'off'));
      const past = pastPrivate(f, off);
      return past === undefined
        ? `A congestion control may not write ${tcpMember(f, off)}.`
        : `The write goes ${bytes(past)} past icsk_ca_priv, which has ${bytes(privateSize(f))}, into ${tcpMember(f, off)}.`;
    },
    suggestion: (m, f) =>
      pastPrivate(f, Number(group(m, 'off'))) === undefined
        ? `These members may be written: ${WRITABLE}. Keep what is your own in icsk_ca_priv, or in a BPF_MAP_TYPE_SK_STORAGE map.`
        : `Keep at most ${bytes(privateSize(f))} there (static_assert(sizeof(struct state) <= ${privateSize(f)}), check indices); what does not fit belongs into a BPF_MAP_TYPE_SK_STORAGE map.`,
  },
  {
    id: 'write-past-member',
    pattern:
      /write access at off (?<off>\d+) with size (?<size>\d+)(?: beyond the member of (?<struct>\w+) ended at (?<end>\d+))?/,
    reason: (m) =>
      `The write of ${bytes(group(m, 'size'))} at ${group(m, 'off')} goes beyond the end of the member that may be written${group(m, 'end') === '' ? '' : ` (it ends at ${group(m, 'end')})`}.`,
    suggestion: (m, f) =>
      group(m, 'struct') === 'tcp_sock'
        ? `Write the member with its own size. State of your own that does not fit into icsk_ca_priv (${bytes(privateSize(f))}) belongs into a BPF_MAP_TYPE_SK_STORAGE map.`
        : 'Write the member with its own size.',
  },
  {
    id: 'object-read-only',
    pattern: /only read is supported|only access to (?<struct>\w+) is supported/,
    reason: (_m, f) => `${cap(f.words(f.insn?.dst ?? 0))} may be read, but not written, by programs of this type.`,
    suggestion: (_m, f) =>
      f.ops === 'tcp_congestion_ops'
        ? `Only some members of struct tcp_sock may be written: ${WRITABLE}.`
        : 'Keep state of your own in a map; change kernel objects with the kfuncs and helpers made for it.',
  },
  {
    id: 'variable-member',
    pattern: /R(?<reg>\d+) is (?<type>\S+) invalid variable offset: off=(?<off>-?\d+), var_off=(?<bits>\S+ \S+|\S+)/,
    reason: (m, f) =>
      `A member of a kernel object must be known at load time, but the offset here varies: ${f.words(R(m))}.`,
    suggestion: (_m, f) =>
      f.isStore
        ? 'Write at constant offsets: choose with if or switch between plain members, or keep the array in a map value or on the stack.'
        : `Read at constant offsets, or copy the array first with bpf_probe_read_kernel() and index the copy with a checked index.`,
  },
  {
    id: 'negative-member',
    pattern: /R(?<reg>\d+) is (?<type>\S+) invalid negative access: off=(?<off>-?\d+)/,
    reason: (m) => `The access lies ${-Number(group(m, 'off'))} bytes before the object.`,
    suggestion: () =>
      'Follow the pointers that the object has; container_of() needs bpf_core_cast() or bpf_rdonly_cast().',
  },
  {
    id: 'user-memory',
    pattern: /R(?<reg>\d+) is (?<type>\S+) access user memory/,
    reason: () => 'The pointer points to user memory, which cannot be read directly.',
    suggestion: () => 'Read it with bpf_probe_read_user(), or bpf_copy_from_user() in a sleepable program.',
  },
  {
    id: 'percpu-memory',
    pattern: /R(?<reg>\d+) is (?<type>\S+) access percpu memory/,
    reason: () => 'The pointer is a per-CPU one; each CPU has its own copy.',
    suggestion: () =>
      `Take the copy of one CPU first: bpf_this_cpu_ptr(ptr), or bpf_per_cpu_ptr(ptr, cpu) and a check for NULL.`,
  },
  {
    id: 'no-such-member',
    pattern:
      /access beyond struct (?<struct>\S+) at off (?<off>\d+) size (?<size>\d+)|struct (?<struct2>\S+) doesn't have field at offset (?<off2>\d+)|access beyond the end of member (?<member>\S+)|cannot access ptr member (?<pointer>\S+)/,
    reason: (m) => {
      const struct = group(m, 'struct') || group(m, 'struct2');
      if (struct !== '')
        return `struct ${struct} has no member at ${group(m, 'off') || group(m, 'off2')} that could be read so.`;
      return `The access does not fit the member '${group(m, 'member') || group(m, 'pointer')}'.`;
    },
    suggestion: () =>
      'Check that the pointer has the type that the program thinks (a cast changes nothing for the verifier), and build with preserve_access_index so that offsets are those of the kernel that runs.',
  },
  {
    id: 'untrusted-pointer',
    pattern: /R(?<reg>\d+) must be (?:referenced or trusted|a rcu pointer)/,
    reason: (m, f) =>
      `${cap(f.argument(R(m)))} must be a pointer that is sure to stay valid; this one is ${f.words(R(m))}, read from memory that may change.`,
    suggestion: (_m, f) =>
      `Pass a pointer that came as the program's argument or from a function that takes a reference (and check it for NULL: ${f.leave} otherwise); read pointers under bpf_rcu_read_lock() where they are RCU-protected.`,
  },
  {
    id: 'wrong-struct',
    pattern:
      /R(?<reg>\d+) is of type (?<has>\S+) but (?<want>\S+) is expected|kernel function (?<fn>\S+) args#(?<arg>\d+) expected pointer to (?<want2>\w+ \S+) but (?:R\d+ has a pointer to )?(?<has2>.+)/,
    follow: (m) => [m.groups!['reg'] === undefined ? Number(group(m, 'arg')) + 1 : R(m)],
    reason: (m, f) => {
      const regno = m.groups!['reg'] === undefined ? Number(group(m, 'arg')) + 1 : R(m);
      const want = group(m, 'want') || group(m, 'want2').toLowerCase();
      return `${cap(f.argument(regno))} must point to ${want.includes(' ') ? want : `struct ${want}`}, but points to ${f.words(regno)}.`;
    },
    suggestion: () =>
      'Pass a pointer to that struct; a cast in C changes nothing, but a member of it (such as &tp->inet_conn) or bpf_core_cast() does.',
  },
];

/** Bytes from the end of icsk_ca_priv to a write at `off` of tcp_sock through a pointer into it; undefined if it is none. */
function pastPrivate(facts: Facts, off: number): number | undefined {
  const struct = facts.vmlinux.find('tcp_sock', 'struct');
  const reg = facts.insn === undefined ? undefined : facts.reg(facts.insn.dst);
  if (struct === undefined || reg === undefined) return undefined;
  const place = facts.vmlinux.member(struct, 'inet_conn.icsk_ca_priv');
  const start = reg.off + reg.varLo;
  const end = place.offset + place.size;
  return start >= place.offset && start <= end && off >= end ? off - end + facts.size : undefined;
}

function privateSize(facts: Facts): number {
  const struct = facts.vmlinux.find('tcp_sock', 'struct');
  return struct === undefined ? 0 : facts.vmlinux.member(struct, 'inet_conn.icsk_ca_priv').size;
}
