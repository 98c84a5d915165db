import type { Btf, BtfStruct } from '../../btf/index.ts';
import type { Argument, Kernel } from '../../kernel/index.ts';
import type { GuestPtr } from '../../machine/index.ts';
import type { CcMember, CongestionOps } from './ops.ts';
import type { OpCall } from './scenario.types.ts';
import type { TcpSock } from './sock.ts';

/** Names of the arguments after the socket (include/net/tcp.h, 6.18): BTF has none for function pointers in structures. */
const NAMES: Partial<Record<CcMember, readonly string[]>> = {
  cong_avoid: ['ack', 'acked'],
  set_state: ['new_state'],
  cwnd_event: ['ev'],
  in_ack_event: ['flags'],
  pkts_acked: ['sample'],
  cong_control: ['ack', 'flag', 'rs'],
};

/** How the arguments of a member after the socket are told, and whether it returns something. */
interface Signature {
  args: { name: string; struct: Field[] | undefined }[];
  returns: boolean;
}

/** An integer member of a structure; bitfields are left out. */
interface Field {
  name: string;
  offset: number;
  size: number;
  signed: boolean;
}

/** Tells `listener` of every call of a member of `ops` that returns, with the window of `sock` before and after. */
export function traceCalls(
  kernel: Kernel,
  ops: CongestionOps,
  sock: TcpSock,
  flow: string,
  now: () => number,
  listener: (call: OpCall) => void,
): void {
  const signatures = new Map<CcMember, Signature>();
  /** Calls nest where a program changes the congestion control of its own socket. */
  const open: Omit<OpCall, 'after'>[] = [];
  const window = () => ({ cwnd: sock.get('snd_cwnd'), ssthresh: sock.get('snd_ssthresh') });
  const signatureOf = (member: CcMember) => {
    let signature = signatures.get(member);
    if (signature === undefined) {
      signature = readSignature(kernel.btf, member, kernel.field('tcp_congestion_ops', member).type);
      signatures.set(member, signature);
    }
    return signature;
  };
  const others = ops.onCall;
  ops.onCall = (member, args) => {
    others?.(member, args);
    const named: OpCall['args'] = {};
    signatureOf(member).args.forEach(({ name, struct }, i) => {
      const argument = args[i + 1];
      if (argument !== undefined) named[name] = told(kernel, argument, struct);
    });
    open.push({ flow, ns: now(), member, args: named, before: window() });
  };
  ops.onReturn = (result) => {
    const call = open.pop()!;
    listener({ ...call, after: window(), ...(signatureOf(call.member).returns ? { result } : {}) });
  };
}

function readSignature(btf: Btf, member: CcMember, type: number): Signature {
  const pointer = btf.resolve(type);
  const proto = pointer.kind === 'ptr' ? btf.resolve(pointer.type) : pointer;
  if (proto.kind !== 'func_proto') return { args: [], returns: false };
  // Before 6.10 cong_control had no more than its last argument.
  const names = (NAMES[member] ?? []).slice(-(proto.params.length - 1));
  return {
    args: proto.params.slice(1).map(({ type }, i) => {
      const value = btf.resolve(type);
      const target = value.kind === 'ptr' ? btf.resolve(value.type) : undefined;
      return { name: names[i] ?? `arg${i + 2}`, struct: target?.kind === 'struct' ? fieldsOf(btf, target) : undefined };
    }),
    returns: btf.resolve(proto.returns).kind !== 'void',
  };
}

function fieldsOf(btf: Btf, struct: BtfStruct): Field[] {
  const fields: Field[] = [];
  for (const { name, type, bitOffset, bitSize } of struct.members) {
    const value = btf.resolve(type);
    if (value.kind === 'int' && bitSize === 0)
      fields.push({ name, offset: bitOffset / 8, size: value.size, signed: value.signed });
  }
  return fields;
}

function told(kernel: Kernel, argument: Argument, struct: Field[] | undefined): OpCall['args'][string] {
  if (typeof argument === 'number') return argument;
  if ('lo' in argument) return (argument.lo >>> 0) + argument.hi * 0x1_0000_0000;
  if (struct === undefined || argument.ptr === 0) return argument.ptr;
  return Object.fromEntries(struct.map((field) => [field.name, read(kernel, argument.ptr + field.offset, field)]));
}

function read({ memory }: Kernel, at: GuestPtr, { size, signed }: Field): number {
  switch (size) {
    case 1:
      return signed ? (memory.u8(at) << 24) >> 24 : memory.u8(at);
    case 2:
      return signed ? (memory.u16(at) << 16) >> 16 : memory.u16(at);
    case 4:
      return signed ? memory.i32(at) : memory.u32(at);
    default:
      return memory.u32(at) + (signed ? memory.i32(at + 4) : memory.u32(at + 4)) * 0x1_0000_0000;
  }
}
