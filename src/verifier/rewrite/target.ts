import type { Insn } from '../../bpf/index.ts';
import type { Btf } from '../../btf/index.ts';
import { VerifierError } from '../error.ts';
import { insn, loadImm64 } from './build.ts';

/** The kernel that a program is rewritten for. */
export interface RewriteTarget {
  /** Layouts that rewritten instructions bake in. */
  vmlinux: Btf;
  /** Full address of a function or variable of the kernel; undefined where it has none that is known. */
  symbol(name: string): bigint | undefined;
  /** The processor's number: the per-CPU variable's offset, and whether its move is of 64 bits (6.15). */
  cpuNumber: { offset: bigint | undefined; wide: boolean };
  /** CONFIG_NR_CPUS, if known. */
  maxCpus?: number;
  /** may_goto asks the clock, and goes where it skips nothing (6.15; of x86-64). */
  timedMayGoto: boolean;
  /** `prog->aux`, which some callbacks are told. */
  progAux?: bigint;
}

/** What was asked of the kernel and is not known. */
export function unknownTo(where: string, what: string): VerifierError {
  return new VerifierError(what, where, 'VERIFIER', 'unsupported');
}

/** `imm` of a call of a kernel function: its distance from `__bpf_call_base`. @throws VerifierError `unsupported` */
export function callDistance(target: RewriteTarget, symbol: string, where: string): number {
  return Number(BigInt.asIntN(32, addressOf(target, symbol, where) - addressOf(target, '__bpf_call_base', where)));
}

/** A call of a kernel function. @throws VerifierError `unsupported` if the kernel has none of that name */
export function callOf(target: RewriteTarget, symbol: string, where: string, original?: Insn): Insn {
  const imm = callDistance(target, symbol, where);
  return original === undefined ? insn(0x85, 0, 0, 0, imm) : { ...original, imm };
}

/** A register gets the address of a kernel symbol. @throws VerifierError `unsupported` */
export function loadAddress(target: RewriteTarget, dst: number, symbol: string, where: string): Insn[] {
  return loadImm64(dst, addressOf(target, symbol, where));
}

function addressOf(target: RewriteTarget, symbol: string, where: string): bigint {
  const address = target.symbol(symbol);
  if (address === undefined) throw unknownTo(where, `'${symbol}' is not modelled`);
  return address;
}
