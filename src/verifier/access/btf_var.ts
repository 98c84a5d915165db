import type { Insn } from '../../bpf/index.ts';
import type { Btf } from '../../btf/index.ts';
import * as T from '../core/reg_types.table.ts';
import { type Env, reject } from '../core/types.ts';
import { isStruct, skipModifiers } from './btf_walk.ts';
import { unsupported } from './unsupported.ts';

const PERCPU = '.data..percpu';
const LOW = 0xffffffffn;

function isPerCpu(btf: Btf, variable: number): boolean {
  const id = btf.find(PERCPU, 'datasec');
  const section = id === undefined ? null : btf.type(id);
  return section?.kind === 'datasec' && section.entries.some(({ type }) => type === variable);
}

/**
 * A variable or function of the kernel as the operand of a 64-bit load (`check_pseudo_btf_id`): its address goes into
 * the instruction, its type into the instruction's facts.
 */
export function checkPseudoBtfId(env: Env, insn: Insn, insnIdx: number): void {
  const btf = env.vmlinux;
  const second = env.insns[insnIdx + 1]!;
  const id = insn.imm;
  if (second.imm !== 0) unsupported(env, 'variables of modules');
  if (id <= 0 || id >= btf.typeCount) reject(env, 'ENOENT', `ldimm64 insn specifies invalid btf_id ${id >>> 0}.`);
  const type = btf.type(id);
  if (type.kind !== 'var' && type.kind !== 'func')
    throw reject(env, 'EINVAL', `pseudo btf_id ${id} in ldimm64 isn't KIND_VAR or KIND_FUNC`);
  const { symbolAddress } = env.input.target;
  // Without a table of symbols the address, like those of maps, is left at 0.
  const address = symbolAddress ? symbolAddress(type.name) : 0n;
  if (address === undefined) {
    const text = `ldimm64 failed to find the address for kernel symbol '${type.name}'.`;
    throw reject(env, 'ENOENT', text);
  }
  insn.imm = Number(address & LOW) | 0;
  second.imm = Number((address >> 32n) & LOW) | 0;
  const aux = env.aux[insnIdx]!;
  if (type.kind === 'func') {
    aux.btfVarType = T.PTR_TO_MEM | T.MEM_RDONLY;
    return;
  }
  const percpu = isPerCpu(btf, id);
  const target = skipModifiers(btf, type.type);
  if (percpu || isStruct(target.type)) {
    aux.btfVarType = T.PTR_TO_BTF_ID | (percpu ? T.MEM_PERCPU : 0);
    aux.btfVarBtf = btf;
    aux.btfVarBtfId = type.type;
    return;
  }
  if (target.type.kind === 'void' || target.type.kind === 'fwd' || target.type.kind === 'func_proto') {
    const text = `ldimm64 unable to resolve the size of type '${'name' in target.type ? target.type.name : ''}': -22`;
    reject(env, 'EINVAL', text);
  }
  aux.btfVarType = T.PTR_TO_MEM | T.MEM_RDONLY;
  aux.btfVarMemSize = btf.sizeOf(target.id);
}
