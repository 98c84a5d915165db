import { fromHex, TrampetError, toHex } from '../base/index.ts';
import { CALL, disassemble, type Insn, LD_IMM64, PSEUDO, PSEUDO_CALL, readInsns, writeInsns } from '../bpf/index.ts';
import { type RewriteTarget, type Rewritten, type RewrittenFunction, rewriteAccepted } from '../verifier/index.ts';
import { compareSlots } from './_compare.ts';
import { kernelAddress, targetOf } from './_target.ts';
import { type Verified, type VerifiedProgram, verifyAll } from './_verify.ts';
import type { Checker, OracleDirectory, Outcome } from './types.ts';

type Judged = Extract<Verified, { verdict: unknown }>;

/** The functions that the JIT got: with subprograms, `main` of the golden repeats the first of them. */
export const functionsOf = ({ kprogs }: VerifiedProgram) =>
  (kprogs ?? []).filter(({ label }, _, all) => label !== 'main' || all.length === 1);

/** Our final instructions of an accepted program, calls between its functions at the golden's addresses; or why not. */
export function rewritten(directory: OracleDirectory, result: Verified): Rewritten | { why: string } {
  if ('why' in result) return { why: result.why };
  if (!result.verdict.ok) return { why: `refused with ${result.verdict.errno}` };
  try {
    const target = rewriteTarget(directory, result.program);
    if (result.program.attached) takeMapAddresses(result, target);
    const done = rewriteAccepted(result.verdict, result.input, target);
    settleCalls(done.functions, result.program, kernelAddress(directory, '__bpf_call_base') ?? 0n);
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
export function rewriteTarget(directory: OracleDirectory, program: VerifiedProgram): RewriteTarget {
  const { btf, kconfig } = targetOf(directory, undefined);
  const cpus = kconfig?.get('CONFIG_NR_CPUS');
  const aux = program.kprogs?.[0]?.aux_addr;
  return {
    vmlinux: btf,
    symbol: (name) => kernelAddress(directory, name) ?? (name === 'jiffies' ? operand(program, JIFFIES) : undefined),
    cpuNumber: { offset: operand(program, CPU_NUMBER), wide: true },
    timedMayGoto: true,
    ...(cpus === undefined ? {} : { maxCpus: Number(cpus) }),
    ...(aux === undefined ? {} : { progAux: BigInt(aux) }),
  };
}

/** `r0 = VARIABLE; r0 = this CPU's r0`, and `r0 = VARIABLE; r0 = *(u64 *)(r0 + 0)`: symbols do not name these variables. */
const CPU_NUMBER = /b7000000([0-9a-f]{8})bf00ffff00000000/;
const JIFFIES = /18000000([0-9a-f]{8})00000000([0-9a-f]{8})7900000000000000/;

/** The address that a recorded instruction holds. */
function operand({ kprogs }: VerifiedProgram, pattern: RegExp): bigint | undefined {
  for (const { insnsiHex } of kprogs ?? []) {
    const match = pattern.exec(insnsiHex);
    if (match === null) continue;
    const bytes = match.slice(1).join('').match(/../g)!;
    return BigInt(`0x${bytes.reverse().join('')}`);
  }
  return undefined;
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
