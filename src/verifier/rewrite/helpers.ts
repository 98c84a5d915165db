import { ALU, ATOMIC, CLASS, HELPERS, type Insn, JMP, MODE, SIZE, SRC_X } from '../../bpf/index.ts';
import { type InsnAux, MAP_PTR_POISON } from '../core/types.ts';
import { ATTACH_FEXIT, ATTACH_MODIFY_RETURN, PROG_TRACING } from '../tables/contexts.table.ts';
import { STORAGE_GET } from '../tables/map_helpers.table.ts';
import { MAP_OPERATIONS, MAP_OPS } from '../tables/map_ops.table.ts';
import * as b from './build.ts';
import { inlineLookup } from './maps.ts';
import { callOf, loadAddress, type RewriteTarget, unknownTo } from './target.ts';

const { R0, R1, R2, R3 } = b;
const { DW, W } = SIZE;
const EINVAL = 22;
const EOPNOTSUPP = 95;
const GFP_KERNEL = 0xcc0;
const GFP_ATOMIC = 0x820;
/** Attach types whose programs see a return value. */
const AFTER_RETURN: ReadonlySet<number> = new Set([ATTACH_FEXIT, ATTACH_MODIFY_RETURN]);

/** Functions that are not called after their prototype. */
const FUNCTIONS: Readonly<Record<string, string>> = {
  bpf_get_prandom_u32: 'bpf_user_rnd_u32',
  bpf_get_raw_smp_processor_id: 'bpf_get_raw_cpu_id',
  bpf_xdp_get_buff_len_trace: 'bpf_xdp_get_buff_len',
  bpf_skb_output: 'bpf_skb_event_output',
  bpf_xdp_output: 'bpf_xdp_event_output',
};

/** What of a program decides how its calls are rewritten. */
export interface ProgramFacts {
  progType: number;
  expectedAttachType: number;
  sleepable: boolean;
}

/**
 * What stands in place of the call `insn` of a helper, as `do_misc_fixups` (kernel/bpf/verifier.c, 6.18) has it: a call of
 * its function or of the map's own, or instructions. Tail calls are not among them.
 * @throws VerifierError `unsupported` if the kernel has no function of that name
 */
export function rewriteHelper(
  insn: Insn,
  aux: InsnAux,
  facts: ProgramFacts,
  target: RewriteTarget,
  where: string,
): readonly Insn[] {
  const name = HELPERS[insn.imm] ?? '';
  const proto = aux.helperProto === '' ? `bpf_${name}` : aux.helperProto;
  const plain = (): Insn => callOf(target, FUNCTIONS[proto] ?? proto, where, insn);
  if (name === 'timer_set_callback') {
    if (target.progAux === undefined) throw unknownTo(where, 'prog->aux has no address');
    return [...b.loadImm64(R3, target.progAux), plain()];
  }
  if (STORAGE_GET.includes(name)) {
    const atomic = !facts.sleepable || aux.storageGetFuncAtomic;
    return [b.movImm(5, atomic ? GFP_ATOMIC : GFP_KERNEL), plain()];
  }
  if (aux.callWithPercpuAllocPtr) return [b.load(DW, R1, R1, 0), plain()];
  if (MAP_OPERATIONS[insn.imm] !== undefined) return mapCall(insn, aux, target, where) ?? [plain()];
  if (facts.progType === PROG_TRACING) {
    const traced = inlineTracing(name, facts);
    if (traced !== undefined) return traced;
  }
  switch (name) {
    case 'jiffies64':
      return [...loadAddress(target, R0, 'jiffies', where), b.load(DW, R0, R0, 0)];
    case 'get_smp_processor_id':
      return processorId(target, where);
    case 'get_branch_snapshot':
      throw unknownTo(where, 'bpf_get_branch_snapshot depends on the machine');
    case 'kptr_xchg':
      return [b.mov(R0, R2), b.insn(CLASS.STX | MODE.ATOMIC | DW, R1, R0, 0, ATOMIC.XCHG)];
    default:
      return [plain()];
  }
}

/** The map's own function, or a look-up in place; undefined where the map is not always the same. */
function mapCall(insn: Insn, { mapPtr }: InsnAux, target: RewriteTarget, where: string): readonly Insn[] | undefined {
  if (mapPtr === MAP_PTR_POISON || mapPtr === null) return undefined;
  const operation = MAP_OPERATIONS[insn.imm]!;
  const inlined = operation === 'lookup' ? inlineLookup(mapPtr, target, where) : undefined;
  if (inlined !== undefined) return inlined;
  const symbol = MAP_OPS[mapPtr.type]?.[operation];
  if (symbol === undefined) throw unknownTo(where, `${operation} of a map of type ${mapPtr.type} is not modelled`);
  return [callOf(target, symbol, where, insn)];
}

/** Arguments and return value of a traced function lie in its context, their number at -8, its address at -16. */
function inlineTracing(name: string, { expectedAttachType }: ProgramFacts): readonly Insn[] | undefined {
  switch (name) {
    case 'get_func_arg':
      return [
        b.load(DW, R0, R1, -8),
        b.insn(CLASS.JMP32 | JMP.JGE | SRC_X, R2, R0, 6, 0),
        b.aluImm(ALU.LSH, R2, 3),
        b.alu(ALU.ADD, R2, R1),
        b.load(DW, R0, R2, 0),
        b.store(DW, R3, 0, R0),
        b.movImm(R0, 0),
        b.jump(1),
        b.movImm(R0, -EINVAL),
      ];
    case 'get_func_ret':
      if (!AFTER_RETURN.has(expectedAttachType)) return [b.movImm(R0, -EOPNOTSUPP)];
      return [
        b.load(DW, R0, R1, -8),
        b.aluImm(ALU.LSH, R0, 3),
        b.alu(ALU.ADD, R0, R1),
        b.load(DW, R3, R0, 0),
        b.store(DW, R2, 0, R3),
        b.movImm(R0, 0),
      ];
    case 'get_func_arg_cnt':
      return [b.load(DW, R0, R1, -8)];
    case 'get_func_ip':
      return [b.load(DW, R0, R1, -16)];
    default:
      return undefined;
  }
}

function processorId({ cpuNumber: { offset, wide } }: RewriteTarget, where: string): readonly Insn[] {
  if (offset === undefined) throw unknownTo(where, "the per-CPU variable of the processor's number is not known");
  const imm = Number(BigInt.asIntN(32, offset));
  return [wide ? b.movImm(R0, imm) : b.mov32Imm(R0, imm), b.movPerCpu(R0, R0), b.load(W, R0, R0, 0)];
}
