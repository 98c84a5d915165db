import { markChainPrecision } from '../core/precise.ts';
import * as T from '../core/reg_types.table.ts';
import { registerIsNull } from '../core/regs.ts';
import { copyReg, type Env, RegState, Reject, reject } from '../core/types.ts';
import { isConst } from '../domain/index.ts';
import { hasSize } from './btf_walk.ts';
import { checkMemoryArgument, checkSizeArgument } from './helper_memory.ts';
import type { KfuncArgs } from './kfunc_args.ts';
import { hasSuffix, type KfuncMeta, kindName } from './kfunc_meta.ts';
import type { Target } from './kfunc_pointer.ts';
import { constOff } from './numbers.ts';
import { markNotNull } from './pointers.ts';
import { BPF_READ, BPF_WRITE } from './region.ts';

/** Memory of the size that the parameter's type has. */
export function checkTypedMemory(env: Env, meta: KfuncMeta, arg: number, target: Target): void {
  if (!hasSize(target.type)) {
    const type = `reference type('${kindName(target.type)}')`;
    reject(env, 'EINVAL', `arg#${arg} ${type} size cannot be determined: -22`);
  }
  checkMemoryArgument(env, arg + 1, meta.btf.sizeOf(target.id));
}

/** Notes a number that the kfunc must know while the program is verified. */
function noteConstant(env: Env, regno: number, seen: KfuncArgs): void {
  const reg = env.reg(regno);
  if (seen.constant) reject(env, 'EFAULT', 'verifier bug: only one constant argument permitted');
  if (!isConst(reg)) reject(env, 'EINVAL', `R${regno} must be a known constant`);
  seen.constant = { lo: reg.varLo, hi: reg.varHi };
}

/** Memory whose size is the next argument (`check_kfunc_mem_size_reg`). */
export function checkSizedMemory(env: Env, meta: KfuncMeta, arg: number, seen: KfuncArgs): void {
  const reg = env.reg(arg + 1);
  const sizeRegno = arg + 2;
  if (!registerIsNull(reg) || !hasSuffix(meta.params[arg]!, '__opt')) {
    const saved = new RegState();
    copyReg(saved, reg);
    const mayBeNull = (reg.type & T.PTR_MAYBE_NULL) !== 0;
    if (mayBeNull) markNotNull(reg);
    try {
      checkSizeArgument(env, sizeRegno, BPF_READ, true, null);
      checkSizeArgument(env, sizeRegno, BPF_WRITE, true, null);
    } catch (error) {
      if (error instanceof Reject) {
        env.verbose(`arg#${arg} arg#${arg + 1} memory, len pair leads to invalid memory access\n`);
      }
      throw error;
    }
    if (mayBeNull) copyReg(reg, saved);
  }
  if (hasSuffix(meta.params[arg + 1]!, '__szk')) noteConstant(env, sizeRegno, seen);
}

/** A number of the kfunc: `__k` parameters must be known, and so must sizes of what it returns. */
export function checkScalar(env: Env, meta: KfuncMeta, arg: number, seen: KfuncArgs): void {
  const regno = arg + 1;
  const reg = env.reg(regno);
  const param = meta.params[arg]!;
  if (reg.type !== T.SCALAR_VALUE) reject(env, 'EINVAL', `R${regno} is not a scalar`);
  if (hasSuffix(param, '__k')) {
    noteConstant(env, regno, seen);
    markChainPrecision(env, regno);
    return;
  }
  if (param.name !== 'rdonly_buf_size' && param.name !== 'rdwr_buf_size') return;
  if (seen.returnSize) reject(env, 'EINVAL', '2 or more rdonly/rdwr_buf_size parameters for kfunc');
  if (!isConst(reg)) reject(env, 'EINVAL', `R${regno} is not a const`);
  seen.returnReadOnly = param.name === 'rdonly_buf_size';
  seen.returnSize = constOff(reg);
  markChainPrecision(env, regno);
}
