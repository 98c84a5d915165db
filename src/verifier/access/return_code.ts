import { typeStr } from '../core/log.ts';
import { markChainPrecision } from '../core/precise.ts';
import * as T from '../core/reg_types.table.ts';
import { checkRegArg } from '../core/regs.ts';
import { type Env, type RegState, Reject, type RetvalRange, reject } from '../core/types.ts';
import * as P from '../tables/contexts.table.ts';
import { LSM_BOOL } from '../tables/lsm.table.ts';
import { skipModifiers } from './btf_walk.ts';
import { MAX_ERRNO, smax, smin } from './numbers.ts';
import { checkPtrOff } from './region.ts';

const BPF_CGROUP_INET_EGRESS = 1;

/** What the program's type lets it return; null: anything. */
function allowedRange(env: Env): RetvalRange | null {
  const { progType, expectedAttachType, attachBtfId } = env.input;
  switch (progType) {
    case P.PROG_CGROUP_SKB:
      return { minval: 0, maxval: expectedAttachType === BPF_CGROUP_INET_EGRESS ? 3 : 1 };
    case P.PROG_CGROUP_SOCK_ADDR:
      if (P.SOCK_ADDR_ALLOW_ONLY.includes(expectedAttachType)) return { minval: 1, maxval: 1 };
      return { minval: 0, maxval: P.SOCK_ADDR_BIND.includes(expectedAttachType) ? 3 : 1 };
    case P.PROG_CGROUP_SOCK:
    case P.PROG_SOCK_OPS:
    case P.PROG_CGROUP_DEVICE:
    case P.PROG_CGROUP_SYSCTL:
    case P.PROG_CGROUP_SOCKOPT:
    case P.PROG_SK_LOOKUP:
    case P.PROG_NETFILTER:
      return { minval: 0, maxval: 1 };
    case P.PROG_KPROBE:
      return P.ATTACH_SESSIONS.includes(expectedAttachType) ? { minval: 0, maxval: 1 } : null;
    case P.PROG_RAW_TRACEPOINT:
      return attachBtfId ? { minval: 0, maxval: 0 } : null;
    case P.PROG_TRACING:
      if (expectedAttachType === P.ATTACH_FENTRY || expectedAttachType === P.ATTACH_FEXIT) {
        return { minval: 0, maxval: 0 };
      }
      return expectedAttachType === P.ATTACH_ITER ? { minval: 0, maxval: 1 } : null;
    case P.PROG_LSM:
      if (expectedAttachType === P.ATTACH_LSM_CGROUP) return { minval: returnsVoid(env) ? 1 : 0, maxval: 1 };
      return LSM_BOOL.has(env.attachFuncName.replace(/^bpf_lsm_/, ''))
        ? { minval: 0, maxval: 1 }
        : { minval: -MAX_ERRNO, maxval: 0 };
    default:
      return null;
  }
}

/** What an LSM hook with a value may have returned, which is what a program sees of it; null for other programs. */
export function hookRange(env: Env): RetvalRange | null {
  return env.input.expectedAttachType === P.ATTACH_LSM_MAC && !returnsVoid(env) ? allowedRange(env) : null;
}

/** The struct that a struct_ops member gives a pointer to, 0 without. */
function returnedStruct(env: Env): number {
  if (env.input.progType !== P.PROG_STRUCT_OPS) return 0;
  const proto = env.vmlinux.type(env.attachFuncProto);
  const type = proto.kind === 'func_proto' ? skipModifiers(env.vmlinux, proto.returns).type : proto;
  return type.kind === 'ptr' ? skipModifiers(env.vmlinux, type.type).id : 0;
}

function returnsVoid(env: Env): boolean {
  if (env.input.progType !== P.PROG_STRUCT_OPS && env.input.progType !== P.PROG_LSM) return false;
  const proto = env.vmlinux.type(env.attachFuncProto);
  return proto.kind === 'func_proto' && proto.returns === 0;
}

/** The value in R`regno` at the end of the main program or of a callback that nobody waits for (`check_return_code`). */
export function checkReturnCode(env: Env, regno: number, regName: string): void {
  const frame = env.cur.frame[0]!;
  const isProgram = frame.subprogno === 0 || frame.inExceptionCallbackFn;
  const ofCgroup = env.input.expectedAttachType === P.ATTACH_LSM_CGROUP;
  if (isProgram && returnsVoid(env) && !ofCgroup) return;
  const struct = isProgram && !frame.inExceptionCallbackFn ? returnedStruct(env) : 0;
  const held = env.peek(regno);
  if (struct && held.btf === env.vmlinux && held.btfId === struct && held.refObjId) {
    checkPtrOff(env, regno, typeStr(held.type), false);
    return;
  }
  checkRegArg(env, regno, 'src');
  const reg = env.reg(regno);
  if (frame.inAsyncCallbackFn) {
    enforceReturnRange(env, 'At async callback return', regno, regName, reg, { minval: 0, maxval: 0 });
    return;
  }
  if (!isProgram) {
    if (reg.type === T.SCALAR_VALUE) return;
    const what = `register R${regno} is not a scalar value (${typeStr(reg.type)})`;
    reject(env, 'EINVAL', `At subprogram exit the ${what}`);
  }
  const range = struct ? { minval: 0, maxval: 0 } : allowedRange(env);
  const is32 = env.input.progType === P.PROG_LSM && !ofCgroup;
  if (!range) return;
  try {
    enforceReturnRange(env, 'At program exit', regno, regName, reg, range, is32);
  } catch (error) {
    if (error instanceof Reject && ofCgroup && returnsVoid(env))
      env.verbose("Note, BPF_LSM_CGROUP that attach to void LSM hooks can't modify return value!\n");
    throw error;
  }
}

/** A scalar whose lower half (`is32`) or whole must be in `range`, and from here on precisely so (`verbose_invalid_scalar` where it is not). */
export function enforceReturnRange(
  env: Env,
  where: string,
  regno: number,
  name: string,
  reg: RegState,
  range: RetvalRange,
  is32 = false,
): void {
  if (reg.type !== T.SCALAR_VALUE) {
    reject(env, 'EINVAL', `${where} the register R${regno} is not a known value (${typeStr(reg.type)})`);
  }
  markChainPrecision(env, regno);
  const [min, max] = is32 ? [reg.s32min, reg.s32max] : [smin(reg), smax(reg)];
  if (min >= range.minval && max <= range.maxval) return;
  const unbounded = smin(reg) <= -(2 ** 63) && smax(reg) >= 2 ** 63 - 1;
  let has = unbounded ? ' unknown scalar value' : '';
  if (smin(reg) > -(2 ** 63)) has += ` smin=${smin(reg)}`;
  if (smax(reg) < 2 ** 63 - 1) has += ` smax=${smax(reg)}`;
  reject(
    env,
    'EINVAL',
    `${where} the register ${name} has${has} should have been in [${range.minval}, ${range.maxval}]`,
  );
}
