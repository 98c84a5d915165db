import type { Btf, MemberPlace } from '../../btf/index.ts';
import * as T from '../core/reg_types.table.ts';
import { markRegKnownZero, markRegUnknown } from '../core/regs.ts';
import { type Env, opsName, type RegView, Reject, reject } from '../core/types.ts';
import { isConst, tnumText } from '../domain/index.ts';
import * as P from '../tables/contexts.table.ts';
import * as M from '../tables/map_helpers.table.ts';
import type { Access } from './_access.ts';
import { btfStructAccess, type FieldAccess } from './btf_walk.ts';
import { inRcuSection } from './iterators.ts';
import { isTrusted } from './kfunc_pointer.ts';
import { isGplCompatible } from './license.ts';
import { constOff } from './numbers.ts';
import { isAllocated, structRecord } from './record.ts';
import * as R from './region.ts';
import { unsupported } from './unsupported.ts';

const { BPF_READ } = R;

/** Stores of the test ops `bpf_dummy_ops` (`bpf_dummy_ops_btf_struct_access`). */
function storeToDummyState({ env, reg, off, size }: Access): void {
  const state = env.vmlinux.find('bpf_dummy_ops_state', 'struct');
  if (state === undefined) reject(env, 'EINVAL', '');
  if (reg.btfId !== state) reject(env, 'EACCES', 'only access to bpf_dummy_ops_state is supported');
  if (off + size <= env.vmlinux.sizeOf(state!)) return;
  reject(env, 'EACCES', `write access at off ${off} with size ${size}`);
}

/** Types whose programs may set the mark of a tracked connection. */
const CONNTRACK_WRITERS: readonly number[] = [P.PROG_SCHED_CLS, P.PROG_SCHED_ACT, P.PROG_XDP];

/** Stores of packet programs to kernel structs: `nf_conn.mark` (`tc_cls_act_btf_struct_access`). */
function storeToConntrack({ env, reg, off, size }: Access): void {
  const conn = env.vmlinux.find('nf_conn', 'struct');
  if (conn === undefined) reject(env, 'EACCES', '');
  // `nf_conn___init`, not yet inserted, has the same layout.
  if (reg.btfId !== conn && reg.btfId !== env.vmlinux.find('nf_conn___init', 'struct'))
    reject(env, 'EACCES', 'only read is supported');
  const mark = env.vmlinux.struct(conn!).members.find(({ name }) => name === 'mark');
  if (mark === undefined || off !== mark.bitOffset / 8)
    throw reject(env, 'EACCES', `no write support to nf_conn at off ${off}`);
  const end = off + env.vmlinux.sizeOf(mark.type);
  if (off + size > end)
    reject(env, 'EACCES', `write access at off ${off} with size ${size} beyond the member of nf_conn ended at ${end}`);
}

/** Where a kernel's tcp_sock may be written, by its BTF; they are asked for at every store. */
const writable = new WeakMap<Btf, readonly MemberPlace[]>();

function writablePlaces(vmlinux: Btf): readonly MemberPlace[] {
  let places = writable.get(vmlinux);
  if (places === undefined) {
    places = P.TCP_SOCK_WRITABLE.map((path) => vmlinux.member('tcp_sock', path));
    writable.set(vmlinux, places);
  }
  return places;
}

/** Stores to kernel structs: the few members that tcp_congestion_ops may set (`bpf_tcp_ca_btf_struct_access`). */
function storeToStruct(at: Access): void {
  if (CONNTRACK_WRITERS.includes(at.env.input.progType)) {
    storeToConntrack(at);
    return;
  }
  const { env, reg, off, size } = at;
  const ops = opsName(env.input, env.vmlinux);
  if (ops === 'bpf_dummy_ops') {
    storeToDummyState(at);
    return;
  }
  if (ops !== 'tcp_congestion_ops' || reg.btfId !== env.vmlinux.find('tcp_sock', 'struct'))
    reject(env, 'EACCES', 'only read is supported');
  const places = writablePlaces(env.vmlinux);
  const place = places.find((p) => (p === places[2] ? off >= p.offset && off < p.offset + p.size : off === p.offset));
  if (!place) {
    env.verbose(`no write support to tcp_sock at off ${off}\n`);
    throw new Reject('EACCES');
  }
  const end = place.offset + place.size;
  if (off + size > end) {
    const where = `beyond the member of tcp_sock ended at ${end}`;
    reject(env, 'EACCES', `write access at off ${off} with size ${size} ${where}`);
  }
}

/** Trust of a pointer loaded from a struct: as much as its parent and the RCU section give (`check_ptr_to_btf_access`). */
function loadedFlag(env: Env, reg: RegView, found: FieldAccess): number {
  if (reg.type & T.PTR_UNTRUSTED) return T.PTR_UNTRUSTED;
  const plain = found.flag & ~(T.TRUSTED_MODIFIERS | T.MEM_RCU);
  if (!isTrusted(reg) && !(reg.type & T.MEM_RCU)) return plain;
  const struct = reg.btf!.name(reg.btfId);
  const safe = (fields: Readonly<Record<string, readonly string[]>>): boolean =>
    fields[struct]?.includes(found.fieldName) === true;
  if (safe(P.SAFE_TRUSTED)) return found.flag | T.PTR_TRUSTED;
  if (safe(P.SAFE_TRUSTED_OR_NULL)) return found.flag | T.PTR_TRUSTED | T.PTR_MAYBE_NULL;
  if (!inRcuSection(env) || reg.type & T.PTR_MAYBE_NULL) return T.PTR_UNTRUSTED;
  if (safe(P.SAFE_RCU)) return found.flag | T.MEM_RCU;
  if (safe(P.SAFE_RCU_OR_NULL)) return (found.flag & ~T.PTR_UNTRUSTED) | T.MEM_RCU | T.PTR_MAYBE_NULL;
  if (found.flag & T.MEM_RCU) return found.flag | T.PTR_MAYBE_NULL;
  return found.flag & (T.MEM_PERCPU | T.MEM_USER) ? found.flag : plain;
}

/** Special fields of the program's own objects are for helpers and kfuncs alone. */
function checkObjectField({ env, reg, off, size }: Access): void {
  const loose = T.NON_OWN_REF | T.MEM_RCU;
  if (!(reg.type & loose) && !reg.refObjId) {
    reject(env, 'EFAULT', 'verifier bug: ref_obj_id for allocated object must be non-zero');
  }
  const fields = structRecord(reg.btf!, env.vmlinux, reg.btfId)?.fields ?? [];
  const hit = fields.find((field) => off < field.offset + field.size && field.offset < off + size);
  if (hit) reject(env, 'EACCES', `direct access to ${R.fieldName(hit.type)} is disallowed`);
}

/** A load from or store to a struct of the kernel or an object of the program's own (`check_ptr_to_btf_access`). */
export function kernelStruct(at: Access): void {
  const { env, reg, regno, off } = at;
  const name = reg.btf!.name(reg.btfId);
  const who = `R${regno} is ptr_${name}`;
  if (reg.btf === env.vmlinux && !isGplCompatible(env.input.license)) {
    reject(env, 'EINVAL', `Cannot access kernel 'struct ${name}' from non-GPL compatible program`);
  }
  if (off < 0) reject(env, 'EACCES', `${who} invalid negative access: off=${off}`);
  if (!isConst(reg) || constOff(reg) !== 0) {
    reject(env, 'EACCES', `${who} invalid variable offset: off=${off}, var_off=${tnumText(reg)}`);
  }
  if (reg.type & T.MEM_USER) reject(env, 'EACCES', `${who} access user memory: off=${off}`);
  if (reg.type & T.MEM_PERCPU) reject(env, 'EACCES', `${who} access percpu memory: off=${off}`);
  const local = isAllocated(reg.type);
  if (at.access !== BPF_READ && !local) {
    if (reg.type & T.PTR_UNTRUSTED) reject(env, 'EACCES', 'only read is supported');
    storeToStruct(at);
    return;
  }
  if (local) checkObjectField(at);
  const found = btfStructAccess(env, reg.btf!, reg.btfId, off, at.size, local);
  if (at.access === BPF_READ) setFromStruct(at, reg.btf!, found, found.btfId ? loadedFlag(env, reg, found) : 0);
}

/** What was loaded from a struct: a pointer, `flag` being a struct's, or a number (`mark_btf_ld_reg`). */
function setFromStruct({ env, valueRegno }: Access, btf: Btf, found: FieldAccess, flag: number): void {
  if (valueRegno < 0) return;
  const dst = env.reg(valueRegno);
  if (!found.btfId && !found.memory) {
    markRegUnknown(env, dst);
    return;
  }
  markRegKnownZero(dst);
  if (found.memory) {
    dst.type = T.PTR_TO_MEM | T.MEM_RDONLY | T.PTR_UNTRUSTED;
    dst.memSize = 0;
    return;
  }
  dst.type = T.PTR_TO_BTF_ID | flag;
  dst.btf = btf;
  dst.btfId = found.btfId;
  if (flag & T.PTR_MAYBE_NULL) dst.id = ++env.idGen;
}

/** Bytes of a kernel struct that a helper or function reads. */
export function readKernelStruct(env: Env, regno: number, off: number, size: number): void {
  const reg = env.peek(regno);
  const at = { env, insnIdx: env.insnIdx, regno, reg, off, size, access: BPF_READ, valueRegno: -1, isLdsx: false };
  kernelStruct(at);
}

/** The kernel's own struct of a map (`check_ptr_to_map_access`). */
export function mapStruct(at: Access): void {
  const { env, reg, regno, off } = at;
  const name = M.STRUCT_OF_MAP[reg.map!.type];
  if (!name) throw reject(env, 'ENOTSUPP', `map_ptr access not supported for map type ${reg.map!.type}`);
  const id = env.vmlinux.find(name, 'struct');
  if (id === undefined) throw unsupported(env, `a kernel without struct ${name}`);
  if (off < 0) reject(env, 'EACCES', `R${regno} is ${name} invalid negative access: off=${off}`);
  if (at.access !== BPF_READ) reject(env, 'EACCES', `only read from ${name} is supported`);
  const found = btfStructAccess(env, env.vmlinux, id, off, at.size, false);
  setFromStruct(at, env.vmlinux, found, found.flag);
}
