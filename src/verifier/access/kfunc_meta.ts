import type { Insn } from '../../bpf/index.ts';
import type { Btf, BtfFuncProto, BtfType } from '../../btf/index.ts';
import { isKfuncCall } from '../core/cfg.ts';
import { type Env, reject } from '../core/types.ts';
import * as K from '../tables/kfuncs.table.ts';
import { skipModifiers } from './btf_walk.ts';
import { isGplCompatible } from './license.ts';
import { unsupported } from './unsupported.ts';

const MAX_KFUNC_DESCS = 256;

/** A parameter of a kfunc. */
export interface KfuncParam {
  name: string;
  /** Behind typedefs and qualifiers. */
  type: BtfType;
}

/** A kfunc that a program may call (`struct bpf_kfunc_call_arg_meta`, the part that the prototype gives). */
export interface KfuncMeta {
  btf: Btf;
  id: number;
  name: string;
  flags: number;
  proto: BtfFuncProto;
  params: readonly KfuncParam[];
}

interface Facts {
  /** Functions with the tag `bpf_kfunc`: those that some set registers. */
  tagged: ReadonlySet<number>;
  metas: Map<number, KfuncMeta>;
}

const FACTS = new WeakMap<Btf, Facts>();

function factsOf(btf: Btf): Facts {
  let facts = FACTS.get(btf);
  if (!facts) {
    const tagged = new Set<number>();
    for (const id of btf.findAll('bpf_kfunc', 'decl_tag')) {
      const tag = btf.type(id);
      if (tag.kind === 'decl_tag') tagged.add(tag.type);
    }
    facts = { tagged, metas: new Map() };
    FACTS.set(btf, facts);
  }
  return facts;
}

/** `KIND name` of a type as the log has it (`btf_type_str` and its name). */
export function kindName(type: BtfType): string {
  const kind = type.kind === 'void' ? 'UNKNOWN' : type.kind.toUpperCase();
  return `${kind} ${type.name}`;
}

export const isScalarType = (type: BtfType): boolean =>
  type.kind === 'int' || type.kind === 'enum' || type.kind === 'enum64';

/** Whether a parameter's name ends in `suffix` (`btf_param_match_suffix`). */
export const hasSuffix = (param: KfuncParam, suffix: string): boolean =>
  param.name.length > suffix.length && param.name.endsWith(suffix);

function mayCall(env: Env, kfunc: K.Kfunc): boolean {
  const hooks = K.KFUNC_SETS[kfunc.set]!;
  if (hooks === 'all') return true;
  const { progType, expectedAttachType } = env.input;
  const hook = K.KFUNC_HOOK[progType];
  if (!hook || !hooks.includes(hook)) return false;
  return K.KFUNC_FILTERS[kfunc.set]?.(progType, expectedAttachType) ?? true;
}

/** What the kernel knows of the kfunc that `insn` calls (`fetch_kfunc_meta`); refuses those that the program may not call. */
export function kfuncMeta(env: Env, insn: Insn): KfuncMeta {
  const meta = findMeta(env, insn);
  if (!meta) return reject(env, 'EACCES', `calling kernel function ${env.vmlinux.name(insn.imm)} is not allowed`);
  return meta;
}

function findMeta(env: Env, insn: Insn): KfuncMeta | null {
  const btf = env.vmlinux;
  const name = btf.name(insn.imm);
  const facts = factsOf(btf);
  const kfunc = K.KFUNCS.get(name);
  // A BTF without any tag comes from a pahole before 1.27: only the table tells kfuncs then.
  if (facts.tagged.size > 0 && !facts.tagged.has(insn.imm)) return null;
  if (K.NOT_CALLABLE.has(name)) return null;
  if (!kfunc) return unsupported(env, `kfunc ${name}`);
  if (!mayCall(env, kfunc)) return null;
  const known = facts.metas.get(insn.imm);
  if (known) return known;
  const proto = protoOf(btf, insn.imm)!;
  const params = proto.params.map((param) => ({ name: param.name, type: skipModifiers(btf, param.type).type }));
  const meta = { btf, id: insn.imm, name, flags: kfunc.flags, proto, params };
  facts.metas.set(insn.imm, meta);
  return meta;
}

function protoOf(btf: Btf, id: number): BtfFuncProto | null {
  const func = id > 0 && id < btf.typeCount ? btf.type(id) : null;
  const proto = func?.kind === 'func' ? btf.type(func.type) : null;
  return proto?.kind === 'func_proto' ? proto : null;
}

/** Kfuncs that each verification has seen so far. */
const SEEN = new WeakMap<Env, Set<number>>();

/** Notes a kfunc that the program calls (`add_kfunc_call`), before anything is walked. */
export function addKfuncCall(env: Env, insn: Insn): void {
  let seen = SEEN.get(env);
  if (!seen) {
    if (!env.input.target.jitRequested) reject(env, 'ENOTSUP', 'JIT is required for calling kernel function');
    if (!isGplCompatible(env.input.license))
      reject(env, 'EINVAL', 'cannot call kernel function from non-GPL compatible program');
    seen = new Set();
    SEEN.set(env, seen);
  }
  if (insn.imm === 0 && insn.off === 0) return;
  if (insn.off !== 0) unsupported(env, 'kfuncs of modules');
  if (seen.has(insn.imm)) return;
  if (seen.size === MAX_KFUNC_DESCS) reject(env, 'E2BIG', 'too many different kernel function calls');
  const btf = env.vmlinux;
  if (insn.imm < 0 || insn.imm >= btf.typeCount || btf.kind(insn.imm) !== 'func')
    reject(env, 'EINVAL', `kernel btf_id ${insn.imm >>> 0} is not a function`);
  if (!protoOf(btf, insn.imm))
    reject(env, 'EINVAL', `kernel function btf_id ${insn.imm} does not have a valid func_proto`);
  if (K.DEVICE_BOUND.includes(btf.name(insn.imm)))
    reject(env, 'EINVAL', 'metadata kfuncs require device-bound program');
  seen.add(insn.imm);
}

/** Name of a called kfunc for the log's text of the instruction (`disasm_kfunc_name`). */
export function kfuncName(env: Env, insn: Insn): string {
  if (insn.off !== 0 || insn.imm <= 0 || insn.imm >= env.vmlinux.typeCount) return '<error>';
  return env.vmlinux.name(insn.imm);
}

/** The flags of the called kfunc, without refusing anything; 0 if it is not one that is modelled. */
function kfuncFlags(env: Env, insn: Insn): number {
  if (!isKfuncCall(insn) || insn.off !== 0 || insn.imm === 0) return 0;
  return K.KFUNCS.get(env.vmlinux.name(insn.imm))?.flags ?? 0;
}

export const kfuncIsIterNext = (env: Env, insn: Insn): boolean => (kfuncFlags(env, insn) & K.KF_ITER_NEXT) !== 0;

export const kfuncMightSleep = (env: Env, insn: Insn): boolean => (kfuncFlags(env, insn) & K.KF_SLEEPABLE) !== 0;

/** Arguments that the call reads and whether it sets R0 (`bpf_get_call_summary`); null for what is not known to be a function. */
export function kfuncSummary(env: Env, insn: Insn): { numParams: number; isVoid: boolean; fastcall: boolean } | null {
  const proto = insn.src === 2 && insn.off === 0 && kfuncMayBeCalled(env, insn) ? protoOf(env.vmlinux, insn.imm) : null;
  if (!proto) return null;
  const fastcall = (kfuncFlags(env, insn) & K.KF_FASTCALL) !== 0;
  return { numParams: proto.params.length, isVoid: proto.returns === 0, fastcall };
}

/** 1: the kfunc calls a function back before it returns; 2: later. */
export function kfuncCallbackKind(env: Env, insn: Insn): number {
  if (insn.off !== 0 || insn.imm <= 0 || insn.imm >= env.vmlinux.typeCount) return 0;
  const name = env.vmlinux.name(insn.imm);
  return name === 'bpf_rbtree_add_impl' ? 1 : K.ASYNC_CALLBACKS.includes(name) ? 2 : 0;
}

/** Whether packet pointers are not good any more after the kfunc (`is_kfunc_pkt_changing`). */
export const kfuncChangesPacket = (env: Env, insn: Insn): boolean =>
  insn.off === 0 && insn.imm > 0 && insn.imm < env.vmlinux.typeCount && env.vmlinux.name(insn.imm) === K.PULL_DATA;

/** Whether the kernel has it in a set for this program; the refusal comes when the call is reached. */
function kfuncMayBeCalled(env: Env, insn: Insn): boolean {
  const name = env.vmlinux.name(insn.imm);
  const kfunc = K.KFUNCS.get(name);
  return insn.imm !== 0 && kfunc !== undefined && factsOf(env.vmlinux).tagged.has(insn.imm) && mayCall(env, kfunc);
}
