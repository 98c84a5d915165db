import { fromHex, TrampetError, toHex } from '../base/index.ts';
import { CALL, disassemble, type Insn, LD_IMM64, PSEUDO, PSEUDO_CALL, readInsns, writeInsns } from '../bpf/index.ts';
import { type RewriteTarget, type Rewritten, type RewrittenFunction, rewriteAccepted } from '../verifier/index.ts';
import { compareSlots } from './_compare.ts';
import { CPU_NUMBER, JIFFIES, operand } from './_operands.ts';
import { recordedPrograms } from './_recorded.ts';
import { kernelAddress, targetOf } from './_target.ts';
import { type Verified, type VerifiedProgram, verifyAll } from './_verify.ts';
import type { Checker, OracleDirectory, Outcome } from './types.ts';

type Judged = Extract<Verified, { verdict: unknown }>;

/** The functions that the JIT got: with subprograms, `main` of the golden repeats the first of them. */
export const functionsOf = ({ kprogs }: VerifiedProgram) =>
  (kprogs ?? []).filter(({ label }, _, all) => label !== 'main' || all.length === 1);

/** Every accepted program of a golden, and the kernel to rewrite it for. */
export function acceptedPrograms(
  directory: OracleDirectory,
  mode: string,
  object: string,
): { result: Verified; target: RewriteTarget }[] {
  const judged = verifyAll(directory, mode, object).filter(({ program }) => program.accepted);
  if (judged.length === 0) return recordedPrograms(directory, mode, object);
  return judged.map((result) => ({ result, target: rewriteTarget(directory, result.program) }));
}

/** Our final instructions of an accepted program, calls between its functions at the golden's addresses; or why not. */
export function rewritten(result: Verified, target: RewriteTarget): Rewritten | { why: string } {
  if ('why' in result) return { why: result.why };
  if (!result.verdict.ok) return { why: `6.18 refuses with ${result.verdict.errno}` };
  try {
    if (result.program.attached) takeMapAddresses(result, target);
    const done = rewriteAccepted(result.verdict, result.input, target);
    settleCalls(done.functions, result.program, target.symbol('__bpf_call_base') ?? 0n);
    return done;
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
        const address = addresses[insn.off] ?? 0n;
        put(insn, address);
        put(insns[at + 1]!, address >> 32n);
      }
    });
  }
}

/** Stands for map `index` where its place is not known; values lie 2^32 behind. */
const placeholder = (index: number) => 0x7fed000000000000n + (BigInt(index) << 34n);

/** Where maps lie is the allocator's choice too: the recorded load of each says so where it is first named. */
function takeMapAddresses({ program, input, verdict }: Judged, target: RewriteTarget): void {
  for (const [index, map] of input.maps.entries())
    Object.assign(map, { address: placeholder(index), valueAddress: placeholder(index) + (1n << 32n) });
  const { functions } = rewriteAccepted(verdict, input, target);
  for (const [k, { insnsiHex }] of functionsOf(program).entries()) {
    const recorded = readInsns(fromHex(insnsiHex));
    const own = functions[k]?.insns ?? [];
    own.forEach((insn, at) => {
      if (insn.code !== LD_IMM64 || recorded[at]?.code !== LD_IMM64) return;
      const value = wide(own, at) - placeholder(0);
      const map = value < 0n ? undefined : input.maps[Number(value >> 34n)];
      if (map === undefined) return;
      if ((value >> 32n) & 1n) map.valueAddress = wide(recorded, at) - (value & 0xffffffffn);
      else map.address = wide(recorded, at);
    });
  }
}

const wide = (insns: readonly Insn[], at: number): bigint =>
  BigInt.asUintN(64, (BigInt(insns[at + 1]!.imm) << 32n) | BigInt(insns[at]!.imm >>> 0));

/** The goldens' kernel, as far as rewrites ask for it. */
function rewriteTarget(directory: OracleDirectory, program: VerifiedProgram): RewriteTarget {
  const { btf, kconfig } = targetOf(directory, undefined);
  const cpus = kconfig?.get('CONFIG_NR_CPUS');
  const aux = program.kprogs?.[0]?.aux_addr;
  const insns = (program.kprogs ?? []).map(({ insnsiHex }) => insnsiHex);
  return {
    vmlinux: btf,
    symbol: (name) => kernelAddress(directory, name) ?? (name === 'jiffies' ? operand(insns, JIFFIES) : undefined),
    cpuNumber: { offset: operand(insns, CPU_NUMBER), wide: true },
    timedMayGoto: true,
    ...(cpus === undefined ? {} : { maxCpus: Number(cpus) }),
    ...(aux === undefined ? {} : { progAux: BigInt(aux) }),
  };
}

/** Final instructions of every function against those that the kernel's JIT got. */
export const checkRewritten: Checker = {
  kind: 'rewritten insns',
  *check(directory, mode, object) {
    for (const { result, target } of acceptedPrograms(directory, mode, object)) {
      const { program } = result;
      const wanted = functionsOf(program);
      if (wanted.length === 0) continue;
      const got = rewritten(result, target);
      if ('why' in got) yield { name: program.name, status: 'unsupported', why: got.why };
      else {
        const own = got.functions.filter(({ hidden }) => !hidden);
        yield compareFunctions(program.name, own, wanted);
      }
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
