import type { Btf } from '../btf/index.ts';
import { funcModel, registerCount } from '../jit/index.ts';
import type { ResolvedObject } from '../object/index.ts';
import { faultsOf, type KernelFault, type Target } from '../target/index.ts';
import { dim, out, yellow } from './print.ts';

const REGISTER_ARGUMENTS = 6;

/** Argument registers of an ops member; 0 for one that is no function. */
export function memberRegisters(btf: Btf, type: string, member: string): number {
  const field = btf.struct(type).members.find(({ name }) => name === member);
  const pointer = field === undefined ? undefined : btf.resolve(field.type);
  const proto = pointer?.kind === 'ptr' ? btf.resolve(pointer.type) : undefined;
  return proto?.kind === 'func_proto' ? registerCount(funcModel(btf, proto.id)) : 0;
}

/** The faults of this kernel, in this configuration, that members with so many argument registers meet. */
export function faultsFor(target: Pick<Target, 'era' | 'features'>, members: readonly number[]): KernelFault[] {
  const meets: Partial<Record<KernelFault['id'], boolean>> = {
    'stack-arguments': members.some((registers) => registers > REGISTER_ARGUMENTS),
    'bhi-arity': members.some((registers) => registers < 2),
  };
  return faultsOf(target).filter(({ id }) => meets[id] ?? true);
}

/** The same for all members of an object's tables that programs implement. */
export function faultsForObject(target: Pick<Target, 'era' | 'features'>, object: ResolvedObject): KernelFault[] {
  const registers = object.structOps.flatMap(({ type, programs }) =>
    programs.map(({ member }) => memberRegisters(object.target.btf, type, member)),
  );
  return faultsFor(target, registers);
}

/** Names each fault, what it leads to, and who has it. */
export function printFaults(faults: readonly KernelFault[]): void {
  for (const { id, what, consequence, kernels } of faults) {
    out(yellow(`fault of this kernel (${id}): ${what};`));
    out(yellow(`  ${consequence}`) + dim(`  — ${kernels}; docs/kernel-faults.md`));
  }
}

/** Names the members whose trampolines carry another hash than their prototype has: every checked call of them traps. */
export function printMismatches(members: readonly { member: string; hash: string; typeId: string | null }[]): void {
  for (const { member, hash, typeId } of members)
    if (typeId !== null && hash !== typeId)
      out(yellow(`${member}: the hash read from its stub is ${hash}, its prototype's ${typeId}: checked calls trap`));
}
