import { fromHex, TrampetError, toHex } from '../base/index.ts';
import { CALL, disassemble, type Insn, LD_IMM64, PSEUDO, PSEUDO_CALL, readInsns, writeInsns } from '../bpf/index.ts';
import { helperSymbol, mapOperation } from '../kernel/index.ts';
import {
  type CallRewriter,
  inlineHelper,
  type RewrittenFunction,
  rewriteAccepted,
  VerifierError,
  type VerifierInput,
} from '../verifier/index.ts';
import { compareSlots } from './_compare.ts';
import { kernelAddress } from './_target.ts';
import { type Verified, type VerifiedProgram, verifyAll } from './_verify.ts';
import type { Checker, OracleDirectory, Outcome } from './types.ts';

/** BPF_FUNC_get_smp_processor_id, BPF_FUNC_jiffies64. */
const CPU_ID = 8;
const JIFFIES64 = 118;
/** BPF_FUNC_map_update_elem, BPF_FUNC_map_delete_elem. */
const MAP_WRITES: ReadonlySet<number> = new Set([2, 3]);
/** ktime_get_ns, get_current_pid_tgid, get_current_uid_gid, get_current_task: one function in every program type. */
const PLAIN_HELPERS: ReadonlySet<number> = new Set([5, 14, 15, 35]);

/** The functions that the JIT got: with subprograms, `main` of the golden repeats the first of them. */
export const functionsOf = ({ kprogs }: VerifiedProgram) =>
  (kprogs ?? []).filter(({ label }, _, all) => label !== 'main' || all.length === 1);

/** Our final instructions of an accepted program, calls between its functions at the golden's addresses; or why not. */
export function rewritten(
  directory: OracleDirectory,
  result: Verified,
): { functions: RewrittenFunction[] } | { why: string } {
  if ('why' in result) return { why: result.why };
  if (!result.verdict.ok) return { why: `refused with ${result.verdict.errno}` };
  try {
    const functions = rewriteAccepted(
      result.verdict,
      result.program.name,
      result.input,
      callsOf(directory, result.input),
    );
    settleCalls(functions, result.program, kernelAddress(directory, '__bpf_call_base') ?? 0n);
    return { functions };
  } catch (error) {
    if (error instanceof TrampetError && error.kind === 'unsupported') return { why: error.message };
    throw error;
  }
}

/** Where functions lie is the allocator's choice: calls and callbacks get the addresses that the golden has. */
function settleCalls(functions: readonly RewrittenFunction[], program: VerifiedProgram, callBase: bigint): void {
  const addresses = functionsOf(program).map(({ bpf_func: address }) => BigInt(address));
  const put = (insn: Insn, value: bigint) => {
    insn.imm = Number(BigInt.asIntN(32, value));
  };
  for (const { insns } of functions) {
    insns.forEach((insn, at) => {
      if (insn.code === CALL && insn.src === PSEUDO_CALL) put(insn, (addresses[insn.off] ?? 0n) - callBase);
      else if (insn.code === LD_IMM64 && insn.src === PSEUDO.FUNC) {
        const address = addresses[insn.imm] ?? 0n;
        put(insn, address);
        put(insns[at + 1]!, address >> 32n);
      }
    });
  }
}

/** Calls as that kernel has them: helpers and kfuncs by their symbols, look-ups inlined. */
export function callsOf(
  directory: OracleDirectory,
  { maps, target }: Pick<VerifierInput, 'maps' | 'target'>,
): CallRewriter {
  const address = (symbol: string) => kernelAddress(directory, symbol);
  const distance = (symbol: string, where: string): number => {
    const [place, base] = [address(symbol), address('__bpf_call_base')];
    if (place === undefined || base === undefined)
      throw new VerifierError(`no address of '${symbol}' is known`, where, 'VERIFIER', 'unsupported');
    return Number(BigInt.asIntN(32, place - base));
  };
  return {
    helper: (insn, map, where) => {
      const at = address('jiffies');
      const cpuNumber = address('cpu_number');
      const lacks = (insn.imm === JIFFIES64 && at === undefined) || (insn.imm === CPU_ID && cpuNumber === undefined);
      const inlined = lacks
        ? undefined
        : inlineHelper(0, insn.imm, maps[map], {
            arrayValues: target.vmlinux.member('bpf_array', 'value').offset,
            htabKey: target.vmlinux.member('htab_elem', 'key').offset,
            htabLookup: distance('__htab_map_lookup_elem', where),
            cpuNumber: Number(BigInt.asIntN(32, cpuNumber ?? 0n)),
            jiffies: {
              lo: Number(BigInt.asIntN(32, at ?? 0n)),
              hi: Number(BigInt.asIntN(32, (at ?? 0n) >> 32n)),
            },
          });
      if (inlined !== undefined) return inlined.insns;
      const operation = MAP_WRITES.has(insn.imm) ? mapOperation(insn.imm, maps[map]?.type ?? 0) : undefined;
      const symbol = operation ?? (PLAIN_HELPERS.has(insn.imm) ? helperSymbol(insn.imm) : undefined);
      if (symbol !== undefined) return [{ ...insn, imm: distance(symbol, where) }];
      throw new VerifierError('calls of this helper are not rewritten yet', where, 'VERIFIER', 'unsupported');
    },
    kfunc: (insn, where) => [{ ...insn, off: 0, imm: distance(target.vmlinux.name(insn.imm), where) }],
  };
}

/** Final instructions of every function against those that the kernel's JIT got. */
export const checkRewritten: Checker = {
  kind: 'rewritten insns',
  *check(directory, mode, object) {
    for (const result of verifyAll(directory, mode, object)) {
      const { program } = result;
      const wanted = functionsOf(program);
      if (!program.accepted || wanted.length === 0) continue;
      const got = rewritten(directory, result);
      if ('why' in got) yield { name: program.name, status: 'unsupported', why: got.why };
      else yield compareFunctions(program.name, got.functions, wanted);
    }
  },
};

function compareFunctions(
  name: string,
  got: readonly RewrittenFunction[],
  wanted: readonly { label: string; insnsiHex: string; stack_depth: number }[],
): Outcome {
  if (got.length !== wanted.length)
    return { name, status: 'failed', at: 'functions', want: String(wanted.length), got: String(got.length) };
  for (const [i, { label, insnsiHex, stack_depth: depth }] of wanted.entries()) {
    const own = got[i]!;
    const outcome = compareSlots(`${name}/${label}`, toHex(writeInsns(own.insns)), insnsiHex, (hex, slot) => {
      const insns = readInsns(fromHex(hex));
      return slot < insns.length ? disassemble(insns, slot) : `(end, ${insns.length} slots)`;
    });
    if (outcome.status === 'failed') return outcome;
    if (own.stackDepth !== depth)
      return { name, status: 'failed', at: `${label}: stack depth`, want: String(depth), got: String(own.stackDepth) };
  }
  return { name, status: 'passed' };
}
