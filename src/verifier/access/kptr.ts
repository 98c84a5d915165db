import { CLASS, type Insn, MODE } from '../../bpf/index.ts';
import { typeStr } from '../core/log.ts';
import { markChainPrecision } from '../core/precise.ts';
import * as T from '../core/reg_types.table.ts';
import { markRegKnownZero, registerIsNull } from '../core/regs.ts';
import { type Env, type RecordField, Reject, reject } from '../core/types.ts';
import { isConst } from '../domain/index.ts';
import * as F from '../tables/special_fields.table.ts';
import { inRcuSection } from './iterators.ts';
import { constOff } from './numbers.ts';
import { fieldAt, hasField, isAllocated, recordOf, structRecord } from './record.ts';
import { checkPtrOff } from './region.ts';
import { structIdsMatch } from './struct_match.ts';

const OWNED = F.BPF_KPTR_REF | F.BPF_KPTR_PERCPU;

/** Flags that a pointer stored in the field may have. */
function allowedFlags(field: RecordField, inKernel: boolean): number {
  if (!inKernel) return T.PTR_MAYBE_NULL | T.MEM_ALLOC | (field.type === F.BPF_KPTR_PERCPU ? T.MEM_PERCPU : 0);
  const untrusted = field.type === F.BPF_KPTR_UNREF ? T.PTR_UNTRUSTED : 0;
  return T.PTR_MAYBE_NULL | T.PTR_TRUSTED | T.MEM_RCU | untrusted;
}

function matches(env: Env, field: RecordField, regno: number): { ok: boolean; name: string } {
  const reg = env.reg(regno);
  if ((reg.type & T.BASE_TYPE_MASK) !== T.PTR_TO_BTF_ID) return { ok: false, name: '' };
  const flags = reg.type & ~T.BASE_TYPE_MASK;
  if (flags & ~allowedFlags(field, reg.btf === env.vmlinux)) return { ok: false, name: '' };
  if ((field.type === F.BPF_KPTR_PERCPU) !== ((flags & T.MEM_PERCPU) !== 0)) return { ok: false, name: '' };
  const name = reg.btf!.name(reg.btfId);
  checkPtrOff(env, regno, typeStr(reg.type), true);
  const strict = field.type !== F.BPF_KPTR_UNREF;
  return { ok: structIdsMatch(env, reg.btf!, reg.btfId, reg.off, field.btf!, field.btfId!, strict), name };
}

/** Whether R`regno` may be put in the field (`map_kptr_match_type`, kernel/bpf/verifier.c, 6.18). */
export function checkKptrMatch(env: Env, field: RecordField, regno: number): void {
  const { ok, name } = matches(env, field, regno);
  if (ok) return;
  const wanted = field.btf!.name(field.btfId!);
  const or = field.type === F.BPF_KPTR_UNREF ? ` or ${typeStr(T.PTR_TO_BTF_ID | T.PTR_UNTRUSTED)}${wanted}` : '';
  const has = `R${regno} type=${typeStr(env.reg(regno).type)}${name}`;
  reject(env, 'EACCES', `invalid kptr access, ${has} expected=${typeStr(T.PTR_TO_BTF_ID)}${wanted}${or}`);
}

/** What a pointer loaded from the field is good for (`btf_ld_kptr_type`). */
function loadedFlags(env: Env, field: RecordField): number {
  const inKernel = field.btf === env.vmlinux;
  const protects = !inKernel || F.RCU_PROTECTED.includes(field.btf!.name(field.btfId!));
  const safe = field.type === F.BPF_KPTR_PERCPU || (field.type === F.BPF_KPTR_REF && protects);
  if (!safe || !inRcuSection(env)) return T.PTR_MAYBE_NULL | T.PTR_UNTRUSTED;
  const own = field.type === F.BPF_KPTR_PERCPU ? T.MEM_PERCPU : inKernel ? 0 : T.MEM_ALLOC;
  const record = inKernel ? null : structRecord(field.btf!, env.vmlinux, field.btfId!);
  return T.PTR_MAYBE_NULL | T.MEM_RCU | own | (hasField(record, F.BPF_GRAPH_NODE) ? T.NON_OWN_REF : 0);
}

function load(env: Env, field: RecordField, regno: number): void {
  const reg = env.reg(regno);
  markRegKnownZero(reg);
  reg.btf = reg.map = null;
  if (field.type === F.BPF_UPTR) {
    reg.type = T.PTR_TO_MEM | T.PTR_MAYBE_NULL;
    reg.memSize = field.btf!.sizeOf(field.btfId!);
  } else {
    reg.type = T.PTR_TO_BTF_ID | loadedFlags(env, field);
    reg.btf = field.btf!;
    reg.btfId = field.btfId!;
  }
  reg.id = ++env.idGen;
}

/** A load from or store to a pointer field of a map's value (`check_map_kptr_access`, kernel/bpf/verifier.c, 6.18). */
export function accessKptr(env: Env, insn: Insn, valueRegno: number, field: RecordField): void {
  if ((insn.code & 0xe0) !== MODE.MEM) {
    reject(env, 'EACCES', 'kptr in map can only be accessed using BPF_MEM instruction mode');
  }
  const cls = insn.code & 7;
  if (cls !== CLASS.LDX && field.type & OWNED) reject(env, 'EACCES', 'store to referenced kptr disallowed');
  if (cls !== CLASS.LDX && field.type === F.BPF_UPTR) reject(env, 'EACCES', 'store to uptr disallowed');
  if (cls === CLASS.LDX) load(env, field, valueRegno);
  else if (cls === CLASS.STX) {
    if (registerIsNull(env.reg(valueRegno))) markChainPrecision(env, valueRegno);
    else checkKptrMatch(env, field, valueRegno);
  } else if (insn.imm !== 0) {
    reject(env, 'EACCES', `BPF_ST imm must be 0 when storing to kptr at off=${field.offset}`);
  }
}

/** The field that `bpf_kptr_xchg` fills (`process_kptr_func`). */
export function exchangedField(env: Env, regno: number): RecordField {
  const reg = env.reg(regno);
  if (!isAllocated(reg.type) && !reg.map!.btf) {
    reject(env, 'EINVAL', `map '${reg.map!.name}' has to have BTF in order to use bpf_kptr_xchg`);
  }
  if (!isConst(reg)) {
    reject(env, 'EINVAL', `R${regno} doesn't have constant offset. kptr has to be at the constant offset`);
  }
  const record = recordOf(env, reg);
  if (!hasField(record, F.BPF_KPTR)) reject(env, 'EINVAL', `R${regno} has no valid kptr`);
  const off = reg.off + constOff(reg);
  const field = fieldAt(record, off, F.BPF_KPTR);
  if (!field) throw reject(env, 'EACCES', `off=${off} doesn't point to kptr`);
  if (!(field.type & OWNED)) reject(env, 'EACCES', `off=${off} kptr isn't referenced kptr`);
  return field;
}

/** What was in the field now belongs to the program, and is in R0. */
export function setExchanged(env: Env, field: RecordField | null): void {
  if (!field) throw new Reject('EFAULT');
  const r0 = env.reg(0);
  markRegKnownZero(r0);
  const own = field.btf === env.vmlinux ? 0 : T.MEM_ALLOC;
  const percpu = own && field.type === F.BPF_KPTR_PERCPU ? T.MEM_PERCPU : 0;
  r0.type = T.PTR_TO_BTF_ID | T.PTR_MAYBE_NULL | own | percpu;
  r0.btf = field.btf!;
  r0.btfId = field.btfId!;
}
