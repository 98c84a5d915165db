import type { Insn } from '../../bpf/index.ts';
import * as T from '../core/reg_types.table.ts';
import { type Env, reject } from '../core/types.ts';
import { isStruct, skipModifiers } from './btf_walk.ts';
import { unsupported } from './unsupported.ts';

const PERCPU_SECTION = '.data..percpu';
const SIZELESS: readonly string[] = ['void', 'func', 'func_proto', 'fwd'];

/** Whether the variable is one that each processor has of its own. */
function isPerCpu({ vmlinux }: Env, id: number): boolean {
  const section = vmlinux.find(PERCPU_SECTION, 'datasec');
  const datasec = section === undefined ? null : vmlinux.type(section);
  return datasec?.kind === 'datasec' && datasec.entries.some(({ type }) => type === id);
}

/**
 * A 64-bit load of a kernel variable's or function's address (`check_pseudo_btf_id`, kernel/bpf/verifier.c, 6.18): puts
 * the address in the instruction and notes what the register points to.
 */
export function checkPseudoBtfId(env: Env, insn: Insn, insnIdx: number): void {
  const { vmlinux } = env;
  const next = env.insns[insnIdx + 1]!;
  const aux = env.aux[insnIdx]!;
  const id = insn.imm;
  if (next.imm !== 0) unsupported(env, 'variables of modules');
  if (id <= 0 || id >= vmlinux.typeCount) reject(env, 'ENOENT', `ldimm64 insn specifies invalid btf_id ${id}.`);
  const type = vmlinux.type(id);
  if (type.kind !== 'var' && type.kind !== 'func') {
    throw reject(env, 'EINVAL', `pseudo btf_id ${id} in ldimm64 isn't KIND_VAR or KIND_FUNC`);
  }
  const { symbolAddress } = env.input.target;
  // Without a table of symbols the address, like those of maps, is left at 0.
  const address = symbolAddress ? symbolAddress(type.name) : 0n;
  if (address === undefined) {
    throw reject(env, 'ENOENT', `ldimm64 failed to find the address for kernel symbol '${type.name}'.`);
  }
  insn.imm = Number(BigInt.asIntN(32, address));
  next.imm = Number(BigInt.asIntN(32, address >> 32n));
  if (type.kind === 'func') {
    aux.btfVarType = T.PTR_TO_MEM | T.MEM_RDONLY;
    aux.btfVarMemSize = 0;
    return;
  }
  const { type: target } = skipModifiers(vmlinux, type.type);
  if (isPerCpu(env, id) || isStruct(target)) {
    aux.btfVarType = T.PTR_TO_BTF_ID | (isPerCpu(env, id) ? T.MEM_PERCPU : 0);
    aux.btfVarBtf = vmlinux;
    aux.btfVarBtfId = type.type;
    return;
  }
  if (SIZELESS.includes(target.kind)) {
    reject(env, 'EINVAL', `ldimm64 unable to resolve the size of type '${type.name}': -22`);
  }
  aux.btfVarType = T.PTR_TO_MEM | T.MEM_RDONLY;
  aux.btfVarMemSize = vmlinux.sizeOf(target.id);
}
