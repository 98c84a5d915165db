import type { Insn } from '../../bpf/index.ts';
import { pushCallbackCall } from '../core/calls.ts';
import type { SetCalleeState } from '../core/hooks.ts';
import { markChainPrecision } from '../core/precise.ts';
import * as T from '../core/reg_types.table.ts';
import { markRegKnownZero, markRegUnknown } from '../core/regs.ts';
import { copyReg, type Env, type FuncState, Reject, reject } from '../core/types.ts';
import { ITERABLE_MAPS } from '../tables/map_helpers.table.ts';
import { BPF_RB_ROOT } from '../tables/special_fields.table.ts';
import { DYNPTR_LOCAL } from './_slots.ts';
import { markCallbackDynptr } from './dynptr.ts';
import type { CallMeta } from './helper_memory.ts';
import { constOff, umax } from './numbers.ts';
import { fieldAt, recordOf } from './record.ts';
import { markGraphNode, setNonOwning } from './references.ts';
import { unsupported } from './unsupported.ts';

/** Helpers that call a function back before they return. */
export const SYNC_CALLBACKS: readonly string[] = ['for_each_map_elem', 'loop', 'find_vma', 'user_ringbuf_drain'];

function waitsFor(callee: FuncState): void {
  callee.inCallbackFn = true;
  callee.callbackRetRange = { minval: 0, maxval: 1 };
}

/** `callback(u64 index, void *ctx)` of `bpf_loop` (`set_loop_callback_state`). */
const setLoop: SetCalleeState = (env, caller, callee) => {
  markRegUnknown(env, callee.reg(1));
  copyReg(callee.reg(2), caller.peek(3));
  waitsFor(callee);
};

/** `callback(map, key, value, ctx)` of `bpf_for_each_map_elem` (`map_set_for_each_callback_args`). */
const setForEach: SetCalleeState = (_env, caller, callee) => {
  const { map } = caller.peek(1);
  copyReg(callee.reg(1), caller.peek(1));
  for (const [regno, type] of [
    [2, T.PTR_TO_MAP_KEY],
    [3, T.PTR_TO_MAP_VALUE],
  ] as const) {
    const reg = callee.reg(regno);
    markRegKnownZero(reg);
    reg.type = type;
    reg.map = map;
  }
  copyReg(callee.reg(4), caller.peek(3));
  waitsFor(callee);
};

/** `callback(map, key, value)` of a timer, a work queue or a task's work, which runs later (`set_timer_callback_state`). */
const setAsync =
  (mapReg: number): SetCalleeState =>
  (_env, caller, callee) => {
    const { map } = caller.peek(mapReg);
    const types = [T.CONST_PTR_TO_MAP, T.PTR_TO_MAP_KEY, T.PTR_TO_MAP_VALUE];
    for (const [i, type] of types.entries()) {
      const reg = callee.reg(i + 1);
      reg.type = type;
      markRegKnownZero(reg);
      reg.map = map;
    }
    callee.inAsyncCallbackFn = true;
    callee.callbackRetRange = { minval: 0, maxval: 0 };
  };

/** Leaves the function that will run on its own, with nothing of this state, to be walked; `mapReg`: R1 or R2 has the map. */
export function callAsync(
  env: Env,
  insn: Insn,
  insnIdx: number,
  subprogno: number,
  mapReg: number,
  sleepable: boolean,
): void {
  pushCallbackCall(env, insn, insnIdx, subprogno, setAsync(mapReg), true, sleepable);
}

const TREE_KFUNCS: readonly string[] = [
  'bpf_rbtree_add_impl',
  'bpf_rbtree_remove',
  'bpf_rbtree_first',
  'bpf_rbtree_root',
  'bpf_rbtree_left',
  'bpf_rbtree_right',
];

/** Whether the current function compares nodes for a tree whose lock is held (`in_rbtree_lock_required_cb`). */
export function inTreeCallback(env: Env): boolean {
  const frame = env.func();
  if (env.cur.curframe === 0 || !frame.inCallbackFn) return false;
  const { src, imm } = env.insns[frame.callsite]!;
  return src === 2 && imm > 0 && imm < env.vmlinux.typeCount && TREE_KFUNCS.includes(env.vmlinux.name(imm));
}

/** `less(a, b)` of `bpf_rbtree_add_impl`: two nodes that the tree owns (`set_rbtree_add_callback_state`). */
const setLess: SetCalleeState = (env, caller, callee) => {
  const root = caller.peek(1);
  const field = fieldAt(recordOf(env, root), root.off + constOff(root), BPF_RB_ROOT);
  if (!field) throw new Reject('EFAULT');
  for (const regno of [1, 2]) {
    const reg = callee.reg(regno);
    markGraphNode(reg, field);
    setNonOwning(env, reg);
  }
  waitsFor(callee);
};

/** `bpf_rbtree_add_impl`: walks the function that compares, and on behind the call. */
export function callLess(env: Env, insn: Insn, insnIdx: number, subprogno: number): void {
  pushCallbackCall(env, insn, insnIdx, subprogno, setLess);
}

/** `callback(dynptr, ctx)` of `bpf_user_ringbuf_drain` (`set_user_ringbuf_callback_state`). */
const setDrain: SetCalleeState = (env, caller, callee) => {
  markCallbackDynptr(env, callee.reg(1), DYNPTR_LOCAL);
  copyReg(callee.reg(2), caller.peek(3));
  waitsFor(callee);
};

export function callDrain(env: Env, insn: Insn, insnIdx: number, { subprogno }: CallMeta): void {
  pushCallbackCall(env, insn, insnIdx, subprogno, setDrain);
}

/** `callback(task, vma, ctx)` of `bpf_find_vma` (`set_find_vma_callback_state`). */
const setFindVma: SetCalleeState = (env, caller, callee) => {
  const vma = env.vmlinux.find('vm_area_struct', 'struct');
  if (vma === undefined) throw unsupported(env, 'a kernel without struct vm_area_struct');
  copyReg(callee.reg(1), caller.peek(1));
  const reg = callee.reg(2);
  markRegKnownZero(reg);
  reg.type = T.PTR_TO_BTF_ID;
  reg.btf = env.vmlinux;
  reg.btfId = vma;
  copyReg(callee.reg(3), caller.peek(4));
  waitsFor(callee);
};

export function callFindVma(env: Env, insn: Insn, insnIdx: number, { subprogno }: CallMeta): void {
  pushCallbackCall(env, insn, insnIdx, subprogno, setFindVma);
}

/** `bpf_for_each_map_elem`: walks the function once more, and on behind the call. */
export function callForEach(env: Env, insn: Insn, insnIdx: number, meta: CallMeta): void {
  if (!ITERABLE_MAPS.includes(meta.map!.type)) reject(env, 'ENOTSUPP', 'callback function not allowed for map');
  pushCallbackCall(env, insn, insnIdx, meta.subprogno, setForEach);
}

/** Whether the loop may be written in place (`update_loop_inline_state`): flags 0 and always the same function. */
function updateLoopInline(env: Env, insnIdx: number, subprogno: number): void {
  const aux = env.aux[insnIdx]!;
  const flags = env.reg(4);
  const zero = flags.type === T.SCALAR_VALUE && (flags.varLo | flags.varHi | flags.maskLo | flags.maskHi) === 0;
  if (!aux.loopInlineInitialized) {
    aux.loopInlineInitialized = true;
    if (zero) markChainPrecision(env, 4);
    aux.loopInlineFit = zero;
    aux.loopCallbackSubprog = subprogno;
    return;
  }
  if (!aux.loopInlineFit) return;
  if (zero) markChainPrecision(env, 4);
  aux.loopInlineFit = zero && aux.loopCallbackSubprog === subprogno;
}

/** `bpf_loop`: R1 tells how often the function is walked. */
export function callLoop(env: Env, insn: Insn, insnIdx: number, meta: CallMeta): void {
  updateLoopInline(env, insnIdx, meta.subprogno);
  markChainPrecision(env, 1);
  const func = env.func();
  if (func.callbackDepth < umax(env.reg(1))) {
    pushCallbackCall(env, insn, insnIdx, meta.subprogno, setLoop);
    return;
  }
  func.callbackDepth = 0;
  if (env.input.logLevel & 2) env.verbose(`frame${env.cur.curframe} bpf_loop iteration limit reached\n`);
}
