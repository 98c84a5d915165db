import { MODE, sizeInBytes } from '../../bpf/index.ts';
import * as b from './build.ts';
import { spare } from './context_sock.ts';
import { type Converter, DW, follow, member, W } from './field.ts';

// Contexts of cgroup programs (kernel/bpf/cgroup.c, 6.18).

/** `struct bpf_sysctl` (`sysctl_convert_ctx_access`): the position lies behind a pointer. */
export const convertSysctl: Converter = (access) => {
  const KERN = 'bpf_sysctl_kern';
  const { insn: si, vmlinux, write } = access;
  if (si.off === 0) {
    const { offset, size } = vmlinux.member(KERN, 'write');
    return { insns: [b.load(si.code & 0x18, si.dst, si.src, offset)], size };
  }
  if (si.off < 4 || si.off >= 8) return undefined;
  const position = vmlinux.member(KERN, 'ppos').offset;
  if (!write)
    return {
      insns: [b.load(DW, si.dst, si.src, position), b.load(b.sizeBits(sizeInBytes(si.code)), si.dst, si.dst, 0)],
      size: 4,
    };
  const reg = spare(si);
  const saved = vmlinux.member(KERN, 'tmp_reg').offset;
  return {
    insns: [
      b.store(DW, si.dst, saved, reg),
      b.load(DW, reg, si.dst, position),
      b.insn((si.code & 7) | MODE.MEM | W, reg, si.src, 0, si.imm),
      b.load(DW, reg, si.dst, saved),
    ],
    size: 4,
  };
};

/** `struct bpf_sockopt` (`cg_sockopt_convert_ctx_access`): the return value is the task's. */
export const convertSockopt: Converter = (access) => {
  const KERN = 'bpf_sockopt_kern';
  const own: Readonly<Record<number, string>> = {
    0: 'sk',
    8: 'optval',
    16: 'optval_end',
    24: 'level',
    28: 'optname',
    32: 'optlen',
  };
  const { insn: si, vmlinux, write } = access;
  if (own[si.off] !== undefined) return { ...member(access, KERN, own[si.off]!), size: 0 };
  if (si.off !== 36) return undefined;
  const steps = [
    [KERN, 'current_task'],
    ['task_struct', 'bpf_ctx'],
    ['bpf_cg_run_ctx', 'retval'],
  ] as const;
  if (!write)
    return { ...follow(access, ...steps.map(([struct, path]) => [struct, path] as [string, string])), size: 0 };
  const reg = spare(si);
  const saved = vmlinux.member(KERN, 'tmp_reg').offset;
  const [task, context, value] = steps.map(([struct, path]) => vmlinux.member(struct, path));
  return {
    insns: [
      b.store(DW, si.dst, saved, reg),
      b.load(DW, reg, si.dst, task!.offset),
      b.load(DW, reg, reg, context!.offset),
      b.insn((si.code & 7) | MODE.MEM | b.sizeBits(value!.size), reg, si.src, value!.offset, si.imm),
      b.load(DW, reg, si.dst, saved),
    ],
    size: 0,
  };
};
