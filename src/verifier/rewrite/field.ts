import { CLASS, type Insn, MODE, SIZE } from '../../bpf/index.ts';
import type { Btf } from '../../btf/index.ts';
import { insn, load, sizeBits } from './build.ts';

/** What became of one access of a context or of a socket. */
export interface Converted {
  insns: readonly Insn[];
  /** Bytes of the real field (`target_size`); 0 where the kernel does not say. */
  size: number;
}

/** An access to convert. Its offset is that of the field, and its width the field's where it was narrower. */
export interface FieldAccess {
  /** The load or store as the program has it. */
  insn: Insn;
  write: boolean;
  vmlinux: Btf;
  /** The program reads how the packet's time came about (`prog->tstamp_type_access`). */
  knowsTstampType: boolean;
  /** CONFIG_NR_CPUS, if known. */
  maxCpus?: number;
}

/** Gives undefined for a field that it does not know. */
export type Converter = (access: FieldAccess) => Converted | undefined;

export const { B, W, DW } = SIZE;

/** A store of the program's value to another offset and with another width (`BPF_EMIT_STORE`). */
export const storeAs = (original: Insn, size: number, off: number): Insn =>
  insn((original.code & 7) | MODE.MEM | size, original.dst, original.src, off, original.imm);

/** Reads or writes a member of a kernel struct in place of the program's field. */
export function member({ insn: si, write, vmlinux }: FieldAccess, struct: string, path: string): Converted {
  const { offset, size } = vmlinux.member(struct, path);
  const bits = sizeBits(size);
  return { insns: [write ? storeAs(si, bits, offset) : load(bits, si.dst, si.src, offset)], size };
}

/** Follows pointers from the program's base register to a member, all in the destination register. */
export function follow({ insn: { dst, src }, vmlinux }: FieldAccess, ...steps: readonly [string, string][]): Converted {
  let size = 0;
  const insns = steps.map(([struct, path], k) => {
    const place = vmlinux.member(struct, path);
    size = place.size;
    return load(sizeBits(place.size), dst, k === 0 ? src : dst, place.offset);
  });
  return { insns, size };
}

export const isStoreOfRegister = ({ code }: Insn): boolean => (code & 7) === CLASS.STX;
