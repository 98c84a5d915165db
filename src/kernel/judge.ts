import { ATTACH_TYPES, CALL, type Insn, PROG_TYPES, writeInsns } from '../bpf/index.ts';
import type { GuestPtr } from '../machine/index.ts';
import { encodeForLoad, POISON_CORE, type ResolvedProgram } from '../object/index.ts';
import {
  type Accepted,
  assumeAccepted,
  type Judgement,
  judgeProgram,
  type RewriteTarget,
  type Rewritten,
  rewriteAccepted,
  VerifierError,
  verifierInput,
} from '../verifier/index.ts';
import type { TracingTarget } from './attach.ts';
import { UnsupportedError } from './error.ts';
import type { Kernel } from './kernel.ts';
import type { Loading } from './load.ts';

/** `pcpu_hot.cpu_number`. */
const CPU_NUMBER = 12;

/** Judgements of programs that name no symbol of a kernel, with their code: they hold in every kernel that has the same BTF. */
const known = new WeakMap<ResolvedProgram, { code: Uint8Array; judgement: Judgement }>();

/**
 * Verifies a program and rewrites it for the kernel's JIT, as BPF_PROG_LOAD does.
 * @param aux its `struct bpf_prog_aux`
 * @returns its functions and tail calls; `notVerified`: what keeps us from a verdict, in which case only its structure was checked
 * @throws VerifierError with errno and last line of the verifier if it refuses; UnsupportedError
 */
export function acceptProgram(
  loading: Loading,
  program: ResolvedProgram,
  aux: GuestPtr,
  tracing: TracingTarget | undefined,
): Rewritten & { notVerified: string | undefined } {
  const { kernel, maps } = loading;
  const insns = encodeForLoad(program, (map) => map);
  const named = settleSymbols(kernel, program, insns);
  const judgement: Judgement =
    tracing?.program !== undefined
      ? { kind: 'unknown', why: 'programs that attach to programs are not modelled' }
      : named
        ? judge(loading, program, insns)
        : remembered(loading, program, insns);
  if (judgement.kind === 'refused') throw refusal(program, judgement);
  const accepted = judgement.kind === 'accepted' ? judgement.verdict : assume(loading, program, insns, tracing);
  const input = {
    name: program.name,
    progType: PROG_TYPES.indexOf(program.type),
    expectedAttachType: ATTACH_TYPES.indexOf(program.attach),
    attachBtfId: kernel.btf.find(program.structOps?.type ?? '', 'struct') ?? 0,
    sleepable: program.sleepable,
    maps,
  };
  return {
    ...rewriteAccepted(accepted, input, rewriteTarget(kernel, aux)),
    notVerified: judgement.kind === 'unknown' ? judgement.why : undefined,
  };
}

function remembered(loading: Loading, program: ResolvedProgram, insns: Insn[]): Judgement {
  const code = writeInsns(insns);
  const before = known.get(program);
  if (before?.code.length === code.length && before.code.every((byte, i) => byte === code[i])) return before.judgement;
  const judgement = judge(loading, program, insns);
  known.set(program, { code, judgement });
  return judgement;
}

function judge({ kernel, resolved, maps }: Loading, program: ResolvedProgram, insns: Insn[]): Judgement {
  return judgeProgram(() => {
    const input = verifierInput(resolved, program, maps, 0);
    return { ...input, insns, target: { ...input.target, symbolAddress: (name) => addressOf(kernel, name) } };
  });
}

/** What a program that was not verified is taken for. */
function assume(
  { kernel, maps }: Loading,
  program: ResolvedProgram,
  insns: Insn[],
  tracing: TracingTarget | undefined,
): Accepted {
  for (const { insn, resolution } of program.core)
    if (insns[insn]!.code === CALL && insns[insn]!.imm === POISON_CORE)
      throw unresolved(program, insn, resolution.local);
  for (const reference of program.references)
    if (reference.kind === 'kfunc' && reference.btfId === undefined)
      throw new VerifierError(
        `calling kernel function '${reference.name}', which the target does not have`,
        `${program.name}: insn ${reference.insn}`,
      );
  const proto = tracing === undefined ? memberProto(kernel, program) : tracing.btf === kernel.btf ? tracing.proto : 0;
  return assumeAccepted(program.name, insns, maps, { btf: kernel.btf, proto, ops: program.structOps?.type ?? '' });
}

function refusal(program: ResolvedProgram, { errno, reason }: { errno: string; reason: string }): VerifierError {
  const poisoned = reason.includes(`#${POISON_CORE}`)
    ? program.core.find(({ insn }) => program.insns[insn]!.imm === POISON_CORE)
    : undefined;
  if (poisoned !== undefined) return unresolved(program, poisoned.insn, poisoned.resolution.local);
  const why = reason === '' ? 'refused by the verifier' : reason;
  return new VerifierError(`${why} (-${errno})`, `program '${program.name}'`, errno);
}

const unresolved = (program: ResolvedProgram, insn: number, local: string): VerifierError =>
  new VerifierError(
    `unresolvable CO-RE relocation ${local}: the target kernel has no such field or type`,
    `${program.name}: insn ${insn}`,
  );

/** BTF id of the prototype of the member that the program implements. */
export function memberProto(kernel: Kernel, program: ResolvedProgram): number {
  const { type, member } = program.structOps!;
  const field = kernel.btf.struct(type).members.find(({ name }) => name === member);
  const pointer = field === undefined ? undefined : kernel.btf.resolve(field.type);
  return pointer?.kind === 'ptr' ? kernel.btf.resolve(pointer.type).id : 0;
}

/** 64-bit loads of kernel symbols without a type get their addresses; whether there are any. */
function settleSymbols(kernel: Kernel, program: ResolvedProgram, insns: Insn[]): boolean {
  const symbols = program.references.filter(({ kind }) => kind === 'ksym' || kind === 'ksym_typed');
  for (const reference of symbols) {
    if (reference.kind !== 'ksym') continue;
    const address = addressOf(kernel, reference.name);
    if (address === undefined)
      throw new UnsupportedError(
        `kernel variable '${reference.name}' is not modelled`,
        `${program.name}: insn ${reference.insn}`,
      );
    insns[reference.insn]!.imm = Number(BigInt.asIntN(32, address));
    insns[reference.insn + 1]!.imm = Number(BigInt.asIntN(32, address >> 32n));
  }
  return symbols.length > 0;
}

function addressOf({ symbols, memory }: Kernel, name: string): bigint | undefined {
  const symbol = symbols.find(name);
  return symbol === undefined ? undefined : memory.address(symbol.start);
}

/** This kernel, as rewrites see it. */
function rewriteTarget(kernel: Kernel, aux: GuestPtr): RewriteTarget {
  const { era } = kernel.target;
  return {
    vmlinux: kernel.btf,
    symbol: (name) => addressOf(kernel, name),
    cpuNumber: {
      offset: BigInt(kernel.symbol('pcpu_hot') - kernel.percpuBase + CPU_NUMBER),
      wide: era.cpuNumberMove === 64,
    },
    timedMayGoto: era.timedMayGoto,
    progAux: kernel.memory.address(aux),
  };
}
